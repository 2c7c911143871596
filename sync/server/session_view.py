"""A session as everybody outside sees it: of the HTTP API, and in the event channel.

Times are ISO 8601 in UTC; what has not happened is null.
"""

from __future__ import annotations

import time
from typing import Any

from sync.core.events import iso
from sync.core.session import Completion, Member, TestCase
from sync.server.sessions import LiveSession


def session_json(live: LiveSession) -> dict[str, Any]:
    """Everything of a session, as it is on disk now: ``top`` is the last event that it contains."""
    session = live.current
    return {
        "id": session.id,
        "state": str(session.state),
        "project": session.project,
        "title": session.title,
        "test_cases": [_case(each) for each in session.test_cases],
        "members": [_member(each, live.acknowledged) for each in session.members],
        "epoch": session.epoch,
        "top": live.top,
        "truncated_before": truncated_before(live),
        "open_steps": [str(each) for each in session.open_steps],
        "created_by": session.created_by,
        "created_at": iso(session.created_at),
        "started_at": _iso(session.started_at),
        "stopped_at": _iso(session.stopped_at),
        "active_seconds": round(session.active(time.time()), 3),
        "completed": [_completion(each) for each in session.completed],
        "form": session.form,
    }


def truncated_before(live: LiveSession) -> int | None:
    """Offset of the first event that retention left; null when all are there."""
    return live.truncated + 1 if live.truncated else None


def _case(case: TestCase) -> dict[str, Any]:
    return {"id": case.id, "title": case.title}


def _member(member: Member, acknowledged: dict[str, int]) -> dict[str, Any]:
    return {
        "subject": member.subject,
        "name": member.name,
        "role": member.role.word,
        "joined_at": _iso(member.joined_at),
        "acknowledged": acknowledged.get(member.subject, 0),
    }


def _completion(completion: Completion) -> dict[str, Any]:
    return {"case": completion.case, "subject": completion.subject, "at": iso(completion.at)}


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else iso(seconds)
