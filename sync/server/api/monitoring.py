"""What goes on in the service, for administrators; and its figures, for Prometheus."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from sync.core.names import MAX_BYTES
from sync.server.api.context import Administrator, Parts, in_time
from sync.server.api.problems import Refusal, described
from sync.server.api.requests import SESSION_ID
from sync.server.api.resources import Resource, Time, answer
from sync.server.api.webhooks import REPLAYED, DeadLetterResource
from sync.server.monitoring import DOCUMENT, EVENTS, STREAM

router = APIRouter(prefix="/api/v1", tags=["monitoring"])
scrapes = APIRouter(tags=["health"])

_PLACE = re.compile(f"({DOCUMENT}|{EVENTS}|{STREAM})-([0-9]{{1,15}})")

Milliseconds = Annotated[float, Field(ge=0)]

# -- as it is described


class QuantilesResource(Resource):
    """Half of all, 95 and 99 in a hundred took no longer; null: there were none."""

    p50: Milliseconds | None
    p95: Milliseconds | None
    p99: Milliseconds | None


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
        Literal["missing", "expired", "invalid", "revoked", "unchecked", "other"],
        Annotated[int, Field(ge=0)],
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


class MomentResource(Resource):
    """The service at some time."""

    time: Time
    connections: OpenResource
    rooms: int = Field(ge=0, description="Documents in memory.")
    edits: EditsResource
    events: EventsResource
    delivery: DeliveryResource
    memory_bytes: int = Field(ge=0)


class RecentPage(Resource):
    """The service in the last five minutes, the oldest point first."""

    points: list[MomentResource]


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
        "tokens": {
            "missing": 0,
            "expired": 3,
            "invalid": 0,
            "revoked": 0,
            "unchecked": 0,
            "other": 0,
        },
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


RECENT: dict[str, Any] = {"points": [{name: SERVICE[name] for name in MomentResource.model_fields}]}
DEAD_LETTERS: dict[str, Any] = {"dead_letters": [REPLAYED["failed"][0]], "more": False}


@router.get(
    "/status",
    operation_id="getStatus",
    summary="See what the service does",
    response_model=ServiceResource,
    responses=answer("The service now.", SERVICE) | described(401, 403, 503),
)
async def status(_who: Administrator, parts: Parts) -> JSONResponse:
    """Sessions, connections, rates, latencies, queues, memory. For administrators."""
    return JSONResponse(await parts.monitor.status())


@router.get(
    "/status/recent",
    operation_id="getRecentStatus",
    summary="See what the service did of late",
    response_model=RecentPage,
    responses=answer("Every few seconds of the last minutes.", RECENT) | described(401, 403, 503),
)
async def recent(_who: Administrator, parts: Parts) -> JSONResponse:
    """The last five minutes, for charts that do not begin empty. For administrators."""
    return JSONResponse({"points": parts.monitor.recent()})


@router.get(
    "/webhooks/dead",
    operation_id="listDeadLetters",
    summary="See what webhooks did not take",
    response_model=DeadLettersPage,
    responses=answer("The newest.", DEAD_LETTERS) | described(401, 403, 422, 503),
)
async def dead_letters(
    _who: Administrator,
    parts: Parts,
    limit: Annotated[int, Query(ge=1, le=1_000, description="How many are told.")] = 100,
) -> JSONResponse:
    """Events that a webhook did not take in any of its attempts. For administrators."""
    letters = await in_time(parts.monitor.dead_letters())
    return JSONResponse({"dead_letters": letters[:limit], "more": len(letters) > limit})


@router.get(
    "/connections",
    operation_id="listConnections",
    summary="See who is connected",
    response_model=ConnectionsPage,
    responses=answer("A page.", CONNECTIONS) | described(401, 403, 422, 503),
)
async def connections(
    _who: Administrator,
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
    match = _PLACE.fullmatch(after) if after is not None else None
    place = (match[1], int(match[2])) if match is not None else ("", 0)
    told, last = parts.monitor.connections(session, place, limit, document)
    return JSONResponse({"connections": told, "next": f"{last[0]}-{last[1]}" if last else None})


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
