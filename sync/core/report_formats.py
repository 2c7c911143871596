"""A report as it is given away: as JSON, and as CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import Any

from sync.core.events import iso
from sync.core.report import Filled, Person, Report, Row, Total, Work


def to_json(told: Report) -> dict[str, Any]:
    """Everything, as values that JSON has. Times are ISO 8601 in UTC; what is not known is null."""
    session = told.session
    return {
        "session": session.id,
        "project": session.project,
        "title": session.title,
        "state": str(session.state),
        "created_at": iso(session.created_at),
        "started_at": _iso(session.started_at),
        "stopped_at": _iso(session.stopped_at),
        "made_at": iso(told.made_at),
        "duration_seconds": _seconds(told.duration_seconds),
        "active_seconds": _seconds(told.active_seconds),
        "idle_seconds": told.idle_seconds,
        "incomplete": bool(told.lacking),
        "lacking": list(told.lacking),
        "blank_rows": told.blanks,
        "rows": [_row_json(row) for row in told.rows],
        "evaluators": [_person_json(*each) for each in told.evaluators],
        "cases": [
            {"case": case, "title": title, "evaluators": total.rows} | _total_json(total)
            for case, title, total in told.cases
        ],
        "total": {"rows": told.total.rows} | _total_json(told.total),
        "events": {"total": sum(told.kinds.values()), "kinds": dict(told.kinds)},
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "evaluator": row.person.subject,
        "name": row.person.name,
        "role": row.person.role or None,
        "case": row.case,
        "title": row.title,
        **_work_json(row.work),
        **_filled_json(row.filled),
        "completed_at": _iso(row.completed_at),
    }


def _person_json(person: Person, total: Total) -> dict[str, Any]:
    who = {
        "evaluator": person.subject,
        "name": person.name,
        "role": person.role or None,
        "cases": total.rows,
    }
    return who | _total_json(total)


def _total_json(total: Total) -> dict[str, Any]:
    work, filled = _work_json(total.work), _filled_json(total.filled)
    return {**work, **filled, "completed": total.completed}


def _work_json(work: Work) -> dict[str, Any]:
    share = work.offline_share
    return {
        "edits": work.edits,
        "bytes": work.size,
        "first_edit_at": _iso(work.first_at),
        "last_edit_at": _iso(work.last_at),
        "active_seconds": _seconds(work.active_seconds),
        "offline_edits": work.offline_edits,
        "offline_share": None if share is None else round(share, 4),
    }


def _filled_json(filled: Filled | None) -> dict[str, Any]:
    if filled is None:
        return {"answered": None, "required": None, "completion": None}
    return {
        "answered": filled.answered,
        "required": filled.required,
        "completion": round(filled.share, 4),
    }


def _seconds(seconds: float) -> float:
    return round(seconds, 3)


def _iso(moment: float | None) -> str | None:
    return None if moment is None else iso(moment)


CSV_COLUMNS = (
    *("session", "evaluator", "name", "role", "case", "title", "edits", "bytes"),
    *("first_edit_at", "last_edit_at", "active_seconds", "offline_edits", "offline_share"),
    *("answered", "required", "completion", "completed_at", "incomplete"),
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet compute a cell, and not show it (OWASP, CSV Injection)."""


def to_csv(told: Report) -> str:
    """One line for each person and test case, below a header (RFC 4180).

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    lines = io.StringIO()
    writer = csv.DictWriter(lines, CSV_COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    every = {"session": told.session.id, "incomplete": str(bool(told.lacking)).lower()}
    for row in told.rows:
        cells = _row_json(row) | every
        writer.writerow({column: cell(cells[column]) for column in CSV_COLUMNS})
    return lines.getvalue()


def cell(value: object) -> object:
    """A value as it stands in a CSV file: never a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return "" if value is None else value
