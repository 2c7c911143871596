"""What goes on: in a session for who may observe it, in the service for administrators."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from auth.access import Identity
from sync.core.errors import Forbidden
from sync.core.names import MAX_BYTES
from sync.server.api.context import Asker, Parts, in_time
from sync.server.api.problems import Refusal, described
from sync.server.api.requests import SESSION_ID, RoleWord
from sync.server.api.resources import Resource, StateWord, Time
from sync.server.api.sessions import SessionPath, observed
from sync.server.api.webhooks import REPLAYED, DeadLetterResource
from sync.server.monitoring import DOCUMENT, EVENTS, STREAM

router = APIRouter(prefix="/api/v1", tags=["monitoring"])
scrapes = APIRouter(tags=["health"])

_PLACE = re.compile(f"({DOCUMENT}|{EVENTS}|{STREAM})-([0-9]{{1,15}})")

Milliseconds = Annotated[float, Field(ge=0)]

# -- of a session, as it is described


class PresenceResource(Resource):
    """One open connection of somebody."""

    kind: Literal["document", "events", "stream"] = Field(description="Streams are over HTTP.")
    document: str | None = Field(description="The draft; null for the channel of events.")
    access: Literal["write", "read"] | None = Field(description="To the draft, now.")
    since: Time
    last_seen: Time = Field(description="When the last message of it came.")
    unsaved: int = Field(ge=0, description="Edits, or events, of it that are not on disk.")
    latency_ms: Milliseconds | None = Field(description="Of a ping and its pong; null: not known.")


class CommittedResource(Resource):
    """An edit on disk."""

    document: str
    position: int = Field(ge=1)
    at: Time


class PersonResource(Resource):
    """Somebody in the session, or connected to it."""

    subject: str
    name: str
    role: RoleWord | None = Field(description="Null for who is only connected.")
    member: bool = Field(description="False for who is only connected.")
    joined_at: Time | None
    acknowledged: int = Field(ge=0, description="They have received every event up to this offset.")
    online: bool
    connections: list[PresenceResource]
    last_committed: CommittedResource | None = Field(
        description="Their last edit, as far as it is known without reading the history."
    )


class LastEditResource(Resource):
    """The last edit of a draft."""

    at: Time
    by: str
    position: int = Field(ge=1)


class DraftResource(Resource):
    """A draft that exists, or is open."""

    document: str
    evaluator: str | None = Field(description="Whose own it is; null: everybody's.")
    open: list[str] = Field(description="Subjects who have it open.")
    edits: int = Field(ge=0, description="On disk; not those that retention removed.")
    last_edit: LastEditResource | None
    note: str | None = Field(description="What is wrong with it, or why it could not be read.")


class ProgressResource(Resource):
    """How far somebody has come with the form."""

    answered: int = Field(ge=0, description="Required questions that are answered.")
    required: int = Field(ge=0)
    optional_answered: int = Field(ge=0)
    share: float = Field(
        ge=0, le=1, description="Of the required questions, or of all where none is required."
    )


class EvaluatorResource(Resource):
    """An evaluator and a test case."""

    subject: str
    progress: ProgressResource | None = Field(
        description="Null without a form, and while a draft cannot be read."
    )
    completed: bool = Field(description="They have declared their draft complete.")
    completed_at: Time | None


class CaseStatusResource(Resource):
    """What goes on with a test case."""

    id: str
    title: str
    documents: list[DraftResource]
    open: list[str] = Field(description="Subjects who have one of its drafts open.")
    edits: int = Field(ge=0)
    last_edit: LastEditResource | None
    evaluators: list[EvaluatorResource] = Field(
        description="All evaluators, and who else has answered or completed something."
    )


class QuantilesResource(Resource):
    """Half of all, 95 and 99 in a hundred took no longer; null: there were none."""

    p50: Milliseconds | None
    p95: Milliseconds | None
    p99: Milliseconds | None


class SessionDeliveryResource(Resource):
    """How events got to subscribers, since somebody is connected."""

    delivered: int = Field(ge=0)
    success: float = Field(ge=0, le=1, description="Share of those that were due.")
    latency_ms: QuantilesResource = Field(description="From the commit to the socket.")


class SessionStatusResource(Resource):
    """A session now: state, and no log."""

    session: str
    state: StateWord
    epoch: str
    top: int = Field(ge=1)
    time: Time
    active_seconds: float = Field(ge=0)
    connections: int = Field(ge=0)
    members: list[PersonResource]
    test_cases: list[CaseStatusResource]
    other_documents: list[DraftResource] = Field(
        description="Under the session's name, but of no test case of it."
    )
    delivery: SessionDeliveryResource | None = Field(description="Null while nobody subscribes.")


STATUS: dict[str, Any] = {
    "session": "refunds-7",
    "state": "running",
    "epoch": "9b1c5f0e6a7d4c32",
    "top": 8,
    "time": "2026-11-22T10:30:00.000Z",
    "active_seconds": 1500.0,
    "connections": 1,
    "members": [
        {
            "subject": "bob",
            "name": "Bob",
            "role": "evaluator",
            "member": True,
            "joined_at": "2026-11-22T10:02:10.000Z",
            "acknowledged": 8,
            "online": True,
            "connections": [
                {
                    "kind": "document",
                    "document": "drafts/refunds-7/refund-042",
                    "access": "write",
                    "since": "2026-11-22T10:02:11.000Z",
                    "last_seen": "2026-11-22T10:29:58.120Z",
                    "unsaved": 0,
                    "latency_ms": 21.0,
                }
            ],
            "last_committed": {
                "document": "drafts/refunds-7/refund-042",
                "position": 4711,
                "at": "2026-11-22T10:29:58.000Z",
            },
        }
    ],
    "test_cases": [
        {
            "id": "refund-042",
            "title": "Refund after 30 days",
            "documents": [
                {
                    "document": "drafts/refunds-7/refund-042",
                    "evaluator": None,
                    "open": ["bob"],
                    "edits": 41,
                    "last_edit": {"at": "2026-11-22T10:29:58.000Z", "by": "bob", "position": 4711},
                    "note": None,
                }
            ],
            "open": ["bob"],
            "edits": 41,
            "last_edit": {"at": "2026-11-22T10:29:58.000Z", "by": "bob", "position": 4711},
            "evaluators": [
                {
                    "subject": "bob",
                    "progress": {
                        "answered": 3,
                        "required": 4,
                        "optional_answered": 1,
                        "share": 0.75,
                    },
                    "completed": False,
                    "completed_at": None,
                }
            ],
        }
    ],
    "other_documents": [],
    "delivery": {
        "delivered": 96,
        "success": 1.0,
        "latency_ms": {"p50": 0.4, "p95": 1.6, "p99": 3.1},
    },
}


def _answer(description: str, example: object) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"example": example}}
    return {200: {"description": description, "content": content}}


@router.get(
    "/sessions/{session}/status",
    operation_id="getSessionStatus",
    summary="See who is there, and how far they are",
    response_model=SessionStatusResource,
    responses=_answer("The session now.", STATUS) | described(401, 403, 404, 503),
)
async def session_status(session: SessionPath, who: Asker, parts: Parts) -> JSONResponse:
    """See who is connected, on which draft, what of theirs is not saved yet, and how far every
    evaluator has come with every test case. Who subscribes to the events with `"status": true` gets
    the same whenever it changes.
    """
    live = await observed(parts, session, who)
    return JSONResponse(await in_time(parts.monitor.board.status(live)))


# -- of the service, as it is described


class FailingResource(Resource):
    """Why what was taken cannot be saved now; null: it can."""

    edits: str | None
    events: str | None


class StatesResource(Resource):
    """Sessions by state."""

    created: int = Field(ge=0)
    running: int = Field(ge=0)
    paused: int = Field(ge=0)
    stopped: int = Field(ge=0)


class OpenResource(Resource):
    """Open connections by kind."""

    documents: int = Field(ge=0)
    events: int = Field(ge=0)
    streams: int = Field(ge=0, description="Of events over HTTP.")


ByCode = dict[str, Annotated[int, Field(ge=0)]]


class ClosedResource(Resource):
    """Connections that have ended since the start, by close code; 0: the client went."""

    documents: ByCode
    events: ByCode


class RefusedResource(Resource):
    """Who was not let in, since the start."""

    documents: ByCode = Field(description="Though their token is good, by close code.")
    events: ByCode = Field(description="Though their token is good, by close code.")
    tokens: dict[
        Literal["missing", "expired", "invalid", "unchecked", "other"], Annotated[int, Field(ge=0)]
    ] = Field(description="Tokens and tickets; unchecked: the keys could not be had.")


class RatesResource(Resource):
    """How many a second of late."""

    of_10_s: float = Field(ge=0, alias="10s")
    of_60_s: float = Field(ge=0, alias="60s")


class EditsResource(Resource):
    """Edits and their way to disk."""

    committed: int = Field(ge=0, description="Since the start.")
    per_second: RatesResource
    bytes_per_second: RatesResource
    commit_ms: QuantilesResource = Field(description="Of the last minute.")
    retries: int = Field(ge=0, description="Commits that did not succeed.")
    unsaved_bytes: int = Field(ge=0)


class EventsResource(Resource):
    """Events and their way to disk."""

    committed: int = Field(ge=0, description="Since the start.")
    per_second: RatesResource
    commit_ms: QuantilesResource = Field(description="Of the last minute.")
    retries: int = Field(ge=0, description="Commits that did not succeed.")
    queue_depth: int = Field(ge=0, description="Those that are not on disk.")


class DeliveryResource(Resource):
    """Events and their way to subscribers."""

    delivered: int = Field(ge=0, description="Since the start, once for each subscriber.")
    undelivered: int = Field(ge=0, description="Those that subscribers lacked when they went.")
    success: float = Field(ge=0, le=1)
    per_second: RatesResource
    latency_ms: QuantilesResource = Field(description="Commit to socket, of the last minute.")
    round_trip_ms: QuantilesResource = Field(description="Pings, of the last minute.")
    resumes: int = Field(ge=0)
    unrecovered: int = Field(ge=0, description="Resumes for which the log began too late.")
    queued_bytes: int = Field(ge=0, description="For all clients that read too slowly.")


class WebhookResource(Resource):
    """One webhook; counted since the start."""

    name: str
    delivered: int = Field(ge=0)
    failed: int = Field(ge=0, description="Attempts.")
    dead: int = Field(ge=0, description="Events that became dead letters.")
    waiting: int = Field(ge=0, description="Sessions with an event that was not taken yet.")
    oldest_lag_seconds: float = Field(ge=0, description="Age of the oldest of these; 0: none.")
    failing: str | None = Field(description="Why the last attempt failed.")
    gone: bool = Field(description="It answered 410: nothing is sent until a restart.")


class RetentionResource(Resource):
    """How long is kept what is not needed any more; null: for ever."""

    history_seconds: float | None = Field(description="Edits that a snapshot contains.")
    events_seconds: float | None = Field(description="Events of sessions.")


class LagResource(QuantilesResource):
    """How late the event loop is, in the last minute."""

    max: Milliseconds


class ServiceResource(Resource):
    """The service now."""

    state: Literal["ready", "draining", "not saving"]
    failing: FailingResource
    time: Time
    started_at: Time
    uptime_seconds: float = Field(ge=0)
    sessions: StatesResource
    members: int = Field(ge=0, description="Of sessions that are not stopped.")
    connections: OpenResource
    closed: ClosedResource
    refused: RefusedResource
    rooms: int = Field(ge=0, description="Documents in memory.")
    edits: EditsResource
    events: EventsResource
    delivery: DeliveryResource
    webhooks: list[WebhookResource]
    retention: RetentionResource
    memory_bytes: int = Field(ge=0)
    loop_lag_ms: LagResource


class DeadLettersPage(Resource):
    """Events that webhooks did not take, the newest first."""

    dead_letters: list[DeadLetterResource]
    more: bool = Field(description="There are older ones: `draftsync webhooks dead` lists all.")


class ConnectionResource(Resource):
    """One open connection."""

    id: int
    kind: Literal["document", "events", "stream"] = Field(description="Streams are over HTTP.")
    subject: str
    name: str
    session: str | None
    document: str | None
    since: Time
    last_seen: Time
    round_trip_ms: Milliseconds | None = Field(description="Of a ping and its pong.")
    messages_in: int = Field(ge=0)
    messages_out: int = Field(ge=0)
    retries: int = Field(
        ge=0,
        description="Times that it was brought up to date anew: events resumed in the log, or one "
        "diff in the place of all edits that it did not read.",
    )
    unsaved: int = Field(ge=0, description="Edits, or events, of it that are not on disk.")
    behind: int | None = Field(description="Events that it is still to be sent.")
    queued_bytes: int = Field(ge=0, description="That its socket did not take yet.")


class ConnectionsPage(Resource):
    """Some connections, those to documents first, in the order in which they came."""

    connections: list[ConnectionResource]
    next: str | None = Field(description="Give it as `after` for more; null: no more.")


_TIME = "2026-11-22T10:30:00.000Z"
_QUANTILES: dict[str, Any] = {"p50": 0.4, "p95": 1.6, "p99": 3.1}
_RATES: dict[str, Any] = {"10s": 12.5, "60s": 11.2}
SERVICE: dict[str, Any] = {
    "state": "ready",
    "failing": {"edits": None, "events": None},
    "time": _TIME,
    "started_at": "2026-11-22T08:00:00.000Z",
    "uptime_seconds": 9000.0,
    "sessions": {"created": 1, "running": 3, "paused": 0, "stopped": 12},
    "members": 14,
    "connections": {"documents": 11, "events": 12, "streams": 1},
    "closed": {"documents": {"0": 40, "4409": 2}, "events": {"0": 37}},
    "refused": {
        "documents": {"4403": 1},
        "events": {},
        "tokens": {"missing": 0, "expired": 3, "invalid": 0, "unchecked": 0, "other": 0},
    },
    "rooms": 7,
    "edits": {
        "committed": 81_204,
        "per_second": _RATES,
        "bytes_per_second": {"10s": 512.0, "60s": 470.4},
        "commit_ms": _QUANTILES,
        "retries": 0,
        "unsaved_bytes": 0,
    },
    "events": {
        "committed": 912,
        "per_second": {"10s": 0.3, "60s": 0.2},
        "commit_ms": _QUANTILES,
        "retries": 0,
        "queue_depth": 0,
    },
    "delivery": {
        "delivered": 5_310,
        "undelivered": 2,
        "success": 0.9996,
        "per_second": {"10s": 1.8, "60s": 1.2},
        "latency_ms": _QUANTILES,
        "round_trip_ms": {"p50": 21.0, "p95": 48.5, "p99": 130.0},
        "resumes": 4,
        "unrecovered": 0,
        "queued_bytes": 0,
    },
    "webhooks": [
        {
            "name": "https://hooks.example.org/draftsync",
            "delivered": 903,
            "failed": 2,
            "dead": 0,
            "waiting": 1,
            "oldest_lag_seconds": 0.4,
            "failing": None,
            "gone": False,
        }
    ],
    "retention": {"history_seconds": None, "events_seconds": 2_592_000.0},
    "memory_bytes": 121_634_816,
    "loop_lag_ms": _QUANTILES | {"max": 7.9},
}
CONNECTIONS: dict[str, Any] = {
    "connections": [
        {
            "id": 17,
            "kind": "document",
            "subject": "bob",
            "name": "Bob",
            "session": "refunds-7",
            "document": "drafts/refunds-7/refund-042",
            "since": "2026-11-22T10:02:11.000Z",
            "last_seen": _TIME,
            "round_trip_ms": 21.0,
            "messages_in": 214,
            "messages_out": 388,
            "retries": 0,
            "unsaved": 0,
            "behind": None,
            "queued_bytes": 0,
        }
    ],
    "next": None,
}


DEAD_LETTERS: dict[str, Any] = {"dead_letters": [REPLAYED["failed"][0]], "more": False}


@router.get(
    "/status",
    operation_id="getStatus",
    summary="See what the service does",
    response_model=ServiceResource,
    responses=_answer("The service now.", SERVICE) | described(401, 403, 503),
)
async def status(who: Asker, parts: Parts) -> JSONResponse:
    """Sessions, connections, rates, latencies, queues, memory. For administrators."""
    _check_administrator(who)
    return JSONResponse(await parts.monitor.status())


@router.get(
    "/webhooks/dead",
    operation_id="listDeadLetters",
    summary="See what webhooks did not take",
    response_model=DeadLettersPage,
    responses=_answer("The newest.", DEAD_LETTERS) | described(401, 403, 422, 503),
)
async def dead_letters(
    who: Asker,
    parts: Parts,
    limit: Annotated[int, Query(ge=1, le=1_000, description="How many are told.")] = 100,
) -> JSONResponse:
    """Events that a webhook did not take in any of its attempts. For administrators."""
    _check_administrator(who)
    letters = await in_time(parts.monitor.dead_letters())
    return JSONResponse({"dead_letters": letters[:limit], "more": len(letters) > limit})


@router.get(
    "/connections",
    operation_id="listConnections",
    summary="See who is connected",
    response_model=ConnectionsPage,
    responses=_answer("A page.", CONNECTIONS) | described(401, 403, 422, 503),
)
async def connections(
    who: Asker,
    parts: Parts,
    session: Annotated[str | None, Query(pattern=SESSION_ID, description="Only of this.")] = None,
    document: Annotated[
        str | None, Query(max_length=MAX_BYTES, description="Only those to this.")
    ] = None,
    after: Annotated[
        str | None, Query(pattern=f"^{_PLACE.pattern}$", description="`next` of a page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="In a page.")] = 200,
) -> JSONResponse:
    """Every open connection: how fast it answers, what came and went, what waits for it. For
    administrators.
    """
    _check_administrator(who)
    match = _PLACE.fullmatch(after) if after is not None else None
    place = (match[1], int(match[2])) if match is not None else ("", 0)
    told, last = parts.monitor.connections(session, place, limit, document)
    return JSONResponse({"connections": told, "next": f"{last[0]}-{last[1]}" if last else None})


def _check_administrator(who: Identity) -> None:
    if not who.administrator:
        raise Forbidden("this is for administrators: your token must say role admin")


@scrapes.get(
    "/metrics",
    operation_id="getMetrics",
    summary="The figures for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "Series `draftsync_*`, in the text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **described(404),
    },
)
async def metrics(parts: Parts) -> Response:
    """The figures for Prometheus. No token is needed. Where `--metrics-bind` names another address,
    they are there and not here.
    """
    if parts.metrics is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "metrics are at another address: see --metrics-bind")
    return await parts.metrics.answer()
