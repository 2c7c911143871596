"""What came of a session, as JSON and for spreadsheets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from sync.core.report import IDLE_SECONDS, Chronicle, Report, report
from sync.core.report_formats import CSV_COLUMNS, to_csv, to_json
from sync.core.session import Role
from sync.server.api.context import Asker, Context, Parts
from sync.server.api.problems import RETRY_SECONDS, Refusal, described
from sync.server.api.resources import Resource, StateWord, Time
from sync.server.api.sessions import SessionPath
from sync.server.draft_answers import DraftAnswers
from sync.server.reports import read_chronicle
from sync.server.sessions import actor_in

router = APIRouter(prefix="/api/v1", tags=["reports"])

MOST_AT_ONCE = 2
"""Reports that are made at the same time: each reads all of a session's history."""

REPORT_SECONDS = 60.0
"""How long a report may take, its turn included."""

Written = Callable[[Report], str]

_turns = RunVar[anyio.CapacityLimiter]("reports")

# -- as it is described

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float | None, Field(ge=0, le=1)]


class Working(Resource):
    """Edits, the time that they took, and how far the form is filled in."""

    edits: Count
    bytes: Count = Field(description="Of the edits' updates.")
    first_edit_at: Time | None
    last_edit_at: Time | None
    active_seconds: Seconds = Field(
        description="Between edits of the same person, where these are not further apart than "
        "`idle_seconds`; it counts for the test case of the later one."
    )
    offline_edits: Count = Field(
        description="Edits that arrived in a burst after a minute of nothing. An absence that "
        "arrives as one edit is not told."
    )
    offline_share: Share
    answered: Count | None = Field(description="Required questions; null without a form.")
    required: Count | None
    completion: Share


class ReportRow(Working):
    """What one person did for one test case."""

    evaluator: str
    name: str
    role: str | None = Field(description="Null for who was never a member.")
    case: str
    title: str
    completed_at: Time | None = Field(description="When the draft was declared complete.")


class ReportTotal(Working):
    """What several rows add up to."""

    completed: Count = Field(description="Rows that are declared complete.")


class EvaluatorTotal(ReportTotal):
    """What one person did."""

    evaluator: str
    name: str
    role: str | None
    cases: Count


class CaseTotal(ReportTotal):
    """What was done for one test case."""

    case: str
    title: str
    evaluators: Count


class WholeTotal(ReportTotal):
    """What was done in all."""

    rows: Count


class EventCounts(Resource):
    """How many events the session has."""

    total: Count
    kinds: dict[str, Count]


class ReportResource(Resource):
    """What came of a session."""

    session: str
    project: str
    title: str
    state: StateWord
    created_at: Time
    started_at: Time | None
    stopped_at: Time | None
    made_at: Time
    duration_seconds: Seconds = Field(description="From its start to its stop, or to now.")
    active_seconds: Seconds = Field(description="Of these it ran, and was not paused.")
    idle_seconds: Seconds
    incomplete: bool = Field(description="Something is not there any more, or cannot be read.")
    lacking: list[str] = Field(description="What, and why.")
    blank_rows: bool = Field(
        description="Every evaluator has a row for every test case, though nothing was done."
    )
    rows: list[ReportRow]
    evaluators: list[EvaluatorTotal]
    cases: list[CaseTotal]
    total: WholeTotal
    events: EventCounts


_WORK: dict[str, Any] = {
    "edits": 41,
    "bytes": 1893,
    "first_edit_at": "2026-11-22T10:01:05.120Z",
    "last_edit_at": "2026-11-22T10:24:40.000Z",
    "active_seconds": 1282.5,
    "offline_edits": 12,
    "offline_share": 0.2927,
    "answered": 3,
    "required": 4,
    "completion": 0.75,
}
_WHO = {"evaluator": "bob", "name": "Bob", "role": "evaluator"}
_CASE = {"case": "refund-042", "title": "Refund after 30 days"}
EXAMPLE: dict[str, Any] = {
    "session": "refunds-7",
    "project": "Support agent",
    "title": "Refunds, third round",
    "state": "stopped",
    "created_at": "2026-11-22T10:00:00.000Z",
    "started_at": "2026-11-22T10:00:30.000Z",
    "stopped_at": "2026-11-22T10:30:30.000Z",
    "made_at": "2026-11-23T08:00:00.000Z",
    "duration_seconds": 1800.0,
    "active_seconds": 1500.0,
    "idle_seconds": 300.0,
    "incomplete": False,
    "lacking": [],
    "blank_rows": True,
    "rows": [_WHO | _CASE | _WORK | {"completed_at": "2026-11-22T10:25:00.000Z"}],
    "evaluators": [_WHO | {"cases": 1, "completed": 1} | _WORK],
    "cases": [_CASE | {"evaluators": 1, "completed": 1} | _WORK],
    "total": {"rows": 1, "completed": 1} | _WORK,
    "events": {
        "total": 3,
        "kinds": {"session.created": 1, "session.joined": 1, "session.started": 1},
    },
}
CSV_EXAMPLE = (
    f"{','.join(CSV_COLUMNS)}\r\n"
    "refunds-7,bob,Bob,evaluator,refund-042,Refund after 30 days,41,1893,2026-11-22T10:01:05.120Z,"
    "2026-11-22T10:24:40.000Z,1282.5,12,0.2927,3,4,0.75,2026-11-22T10:25:00.000Z,false\r\n"
)


# -- as it is made


@router.get(
    "/sessions/{session}/report",
    operation_id="getReport",
    summary="Report on a session",
    response_model=ReportResource,
    responses={
        200: {
            "description": "The report. As CSV, one line for each person and test case.",
            "content": {
                "application/json": {"example": EXAMPLE},
                "text/csv": {"schema": {"type": "string"}, "example": CSV_EXAMPLE},
            },
        },
        **described(401, 403, 404, 422, 503),
    },
)
async def get_report(
    request: Request,
    session: SessionPath,
    who: Asker,
    parts: Parts,
    format: Annotated[  # noqa: A002 - its name outside
        Literal["json", "csv"] | None,
        Query(description="Left out: CSV with `Accept: text/csv`, else JSON."),
    ] = None,
    idle_seconds: Annotated[
        float,
        Query(ge=0, le=86_400, description="The longest pause between two edits that is work."),
    ] = IDLE_SECONDS,
) -> Response:
    """How long the session took, and who did what for which test case.

    Leads, observers and administrators see everybody; who may join but not lead (`join`) sees the
    own rows. Times are the server's, of when edits arrived.
    """
    actor = actor_in(session, who)
    only = actor.subject if actor.role is Role.EVALUATOR else None
    if format == "csv" or (format is None and _wants_csv(request)):
        text = await _made(session, parts, only, idle_seconds, to_csv)
        name = f'attachment; filename="{session}.csv"'  # a session's id has no quotes
        return Response(text, media_type="text/csv", headers={"Content-Disposition": name})
    text = await _made(session, parts, only, idle_seconds, _to_json_text)
    return Response(text, media_type="application/json")


def _wants_csv(request: Request) -> bool:
    return "text/csv" in request.headers.get("accept", "").lower()


def _to_json_text(told: Report) -> str:
    return json.dumps(to_json(told), ensure_ascii=False, separators=(",", ":"))


async def _made(
    session: str, parts: Context, only: str | None, idle_seconds: float, written: Written
) -> str:
    """A report as text. Raises UnknownSession, StoreError; Refusal where it takes too long."""
    try:
        with anyio.fail_after(REPORT_SECONDS):
            async with _limiter():
                store = parts.sessions.store
                chronicle = await read_chronicle(store, session, DraftAnswers(store))
                make = partial(_text, chronicle, only, idle_seconds, written)
                return await anyio.to_thread.run_sync(make)
    except TimeoutError:
        raise Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "this report takes too long here: try again when there is less to do, or read it from "
            "the database with `draftsync sessions report`",
            headers={"Retry-After": str(RETRY_SECONDS)},
        ) from None


def _text(chronicle: Chronicle, only: str | None, idle_seconds: float, written: Written) -> str:
    """All that is left to do, on a thread: it sorts the times of all edits."""
    told = report(chronicle, time.time(), idle_seconds)
    return written(told if only is None else told.of(only))


def _limiter() -> anyio.CapacityLimiter:
    try:
        return _turns.get()
    except LookupError:
        _turns.set(limiter := anyio.CapacityLimiter(MOST_AT_ONCE))
        return limiter
