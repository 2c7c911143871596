"""Sessions as tables and lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from persistence.store import Head, StoredSession
from sync.cli.screen import (
    NOTHING,
    heading,
    minute,
    pairs,
    percent,
    printable,
    safe,
    second,
    span,
    table,
)
from sync.core.report import Filled, Person, Report, Row, Total, Work, case_of
from sync.core.session import Member, Session, draft_prefix

WIDE = 100
"""Columns of a terminal from which reports show everything."""

_STATES = {"created": "cyan", "running": "green", "paused": "yellow", "stopped": "dim"}


def state_text(state: str) -> Text:
    return Text(state, _STATES.get(state, ""))


# -- list


def list_table(found: Iterable[tuple[StoredSession, Session]], now: float) -> Table:
    """One line for each session."""
    numbers = ("cases", "members", "events")
    listed = table(
        *("id", "state", "project", *numbers, "created (UTC)", "active"),
        right=(*numbers, "active"),
        whole=("id", "state", "created (UTC)"),
    )
    for stored, session in found:
        listed.add_row(
            session.id,
            state_text(session.state),
            safe(session.project),
            f"{len(session.test_cases):,}",
            f"{len(session.members):,}",
            f"{stored.top:,}",
            second(session.created_at)[:16],
            span(session.active(now)),
        )
    return listed


# -- show


def session_view(
    stored: StoredSession,
    session: Session,
    heads: Sequence[Head],
    filled: Mapping[str, Filled],
    now: float,
) -> RenderableType:
    """Everything of one session. ``filled``: of all evaluators together, by test case."""
    removed = f", those up to {stored.truncated} removed" if stored.truncated else ""
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in (
        ("project", safe(session.project)),
        ("title", safe(session.title)),
        ("created", f"{second(session.created_at)} UTC by {session.created_by}"),
        ("started", _moment(session.started_at)),
        ("stopped", _moment(session.stopped_at)),
        ("active", span(session.active(now))),
        ("events", f"{stored.top:,}{removed}"),
    ):
        facts.add_row(name, value)
    return Group(
        Text.assemble((session.id, "bold"), "   ", state_text(session.state)),
        facts,
        "",
        _members_table(session, stored),
        "",
        _cases_table(session, heads, filled),
    )


def _moment(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{second(seconds)} UTC"


def _members_table(session: Session, stored: StoredSession) -> Table:
    members = table(
        *("member", "name", "role", "joined", "received"),
        right=("received",),
        whole=("role", "joined"),
    )
    for each in session.members:
        received = stored.acknowledged.get(each.subject, 0)
        members.add_row(
            safe(each.subject),
            safe(each.name),
            each.role.word,
            _joined(each),
            f"{received:,} of {stored.top:,}",
        )
    return members


def _joined(member: Member) -> Text:
    if member.joined_at is None:
        return Text("invited", "dim")
    return Text(minute(member.joined_at))


def _cases_table(session: Session, heads: Sequence[Head], filled: Mapping[str, Filled]) -> Table:
    numbers = ("drafts", "edits", "bytes", "filled", "complete")
    cases = table("case", "title", *numbers, "last edit", right=numbers, whole=("last edit",))
    for case, drafts in drafts_of(session, heads).items():
        known = session.case(case)
        cases.add_row(
            safe(case),
            safe(known.title if known else ""),
            f"{len(drafts):,}",
            f"{sum(head.edits for head in drafts):,}",
            f"{sum(head.size for head in drafts):,}",
            percent(filled[case].share if case in filled else None),
            str(sum(each.case == case for each in session.completed)),
            minute(max((head.updated_at for head in drafts), default=None)),
        )
    return cases


def drafts_of(session: Session, heads: Sequence[Head]) -> dict[str, list[Head]]:
    """The drafts of each test case, in their order; and of whatever else has some."""
    drafts: dict[str, list[Head]] = {case.id: [] for case in session.test_cases}
    for head in heads:
        drafts.setdefault(case_of(draft_prefix(session.id), head.document), []).append(head)
    return drafts


# -- events

_EVENT = "{:>6}  {:<14}  {:<16}  {:<10}  "
EVENTS_HEADER = Text(_EVENT.format("offset", "time (UTC)", "kind", "actor") + "data", "bold")


def event_line(offset: int, time: str, kind: str, actor: str, data: Mapping[str, Any]) -> Text:
    """An event on one line; ``time`` is ISO 8601."""
    clock = time[5:19].replace("T", " ")
    begin, kind, end = _EVENT.format(offset, clock, kind, printable(actor)).partition(kind)
    return Text.assemble(begin, (kind, "bold"), end, (pairs(data), "dim"), no_wrap=True)


# -- report


def report_view(told: Report, width: int) -> RenderableType:
    """A report, in so many columns."""
    session = told.session
    parts: list[RenderableType] = [
        heading(session.id, f"{safe(session.project)}: {safe(session.title)}"),
        Text.assemble(
            state_text(session.state),
            f" since {_moment(session.started_at)}: {span(told.duration_seconds)}, "
            f"{span(told.active_seconds)} of it active"
            if session.started_at is not None
            else "",
        ),
        "",
        _rows_table(told, wide=width >= WIDE),
        "",
        _case_totals(told),
        "",
        _kinds(told),
    ]
    parts += [Text(f"incomplete: {reason}", "yellow") for reason in told.lacking]
    if not told.blanks:
        parts.append(Text("rows without any work are left out: there are very many", "dim"))
    return Group(*parts)


_NARROW = ("edits", "active", "filled", "complete", "last edit")
_WIDE = ("edits", "bytes", "offline", "active", "filled", "complete", "first edit", "last edit")
_NUMBERS = ("edits", "bytes", "offline", "active", "filled", "complete")


def _rows_table(told: Report, *, wide: bool) -> Table:
    columns = _WIDE if wide else _NARROW
    rows = table("evaluator", "case", *columns, right=_NUMBERS, whole=columns)
    for person, total in told.evaluators:
        own = [row for row in told.rows if row.person == person]
        if len(own) > 1:
            cells = _cells(total.work, total.filled, f"{total.completed} of {total.rows}")
            all_cases = Text(f"all {len(own)}", "dim")
            rows.add_row(_who(person), all_cases, *(cells[each] for each in columns))
        for row in own:
            who = _who(person) if len(own) == 1 else ""
            cells = _row_cells(row)
            rows.add_row(who, safe(row.case), *(cells[each] for each in columns))
    return rows


def _who(person: Person) -> Text:
    role = "" if person.role == "evaluator" else f" ({person.role or 'no member'})"
    return Text.assemble((printable(person.subject), "bold"), (role, "dim"))


def _row_cells(row: Row) -> dict[str, str]:
    return _cells(row.work, row.filled, NOTHING if row.completed_at is None else "yes")


def _cells(work: Work, filled: Filled | None, complete: str) -> dict[str, str]:
    return {
        "edits": f"{work.edits:,}",
        "bytes": f"{work.size:,}",
        "offline": percent(work.offline_share),
        "active": span(work.active_seconds) if work.edits else NOTHING,
        "filled": _filled(filled),
        "complete": complete,
        "first edit": minute(work.first_at),
        "last edit": minute(work.last_at),
    }


def _filled(filled: Filled | None) -> str:
    if filled is None:
        return NOTHING
    return f"{filled.answered}/{filled.required} {percent(filled.share):>4}"


def _case_totals(told: Report) -> Table:
    numbers = ("evaluators", "edits", "active", "filled", "complete")
    totals = table("case", "title", *numbers, right=numbers)
    for case, title, total in told.cases:
        totals.add_row(safe(case), safe(title), *_total_cells(total))
    totals.add_row("total", "", *_total_cells(told.total), style="bold")
    return totals


def _total_cells(total: Total) -> list[str]:
    cells = _cells(total.work, total.filled, f"{total.completed} of {total.rows}")
    return [f"{total.rows:,}", *(cells[each] for each in ("edits", "active", "filled", "complete"))]


def _kinds(told: Report) -> Text:
    kinds = "   ".join(f"{kind}={count:,}" for kind, count in told.kinds.items())
    return Text.assemble((f"{sum(told.kinds.values()):,} events", "bold"), f"   {kinds}")
