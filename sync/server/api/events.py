"""The events of a session: its history, what comes next, and publishing."""

from __future__ import annotations

import json
import re
import uuid
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from auth.access import Identity
from persistence.store import StoredEvent
from sync.core.event_channel import Subscribe
from sync.core.events import NewEvent, event_text, new_event, repeatable_id
from sync.server.api.context import Asker, Context, Key, Parts, body_of, in_time, takes
from sync.server.api.event_stream import EventStream
from sync.server.api.problems import Refusal, described
from sync.server.api.requests import PUBLICATION, Publication
from sync.server.api.resources import EVENT, EVENTS, EventsPage, Published, answer
from sync.server.api.sessions import LAST_OFFSET, SessionPath, observed
from sync.server.session_view import truncated_before
from sync.server.sessions import LiveSession

router = APIRouter(prefix="/api/v1", tags=["events"])

MAX_EVENTS = 1_000
"""In a page; about a megabyte of data is the other bound."""

KIND = r"^(\*|[a-z][a-z0-9_.-]*\*?)$"

_LAST_EVENT_ID = re.compile(r"(?:([0-9A-Za-z_-]+):)?([0-9]{1,15})")

_STREAM_EXAMPLE = (
    'event: subscribed\nid: 7\ndata: {"type":"subscribed","epoch":"9b1c5f0e6a7d4c32","top":7,'
    '"recovered":true,"session":{}}\n\n'
    f"id: 8\ndata: {json.dumps({'type': 'event'} | EVENT, separators=(',', ':'))}\n\n"
    ": heartbeat\n\n"
)

Kind = Annotated[
    str | None,
    Query(
        max_length=64,
        pattern=KIND,
        description="Only this kind; with a `*` at its end, all that begin so.",
        examples=["session.*"],
    ),
]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="For streams: the last offset that was seen, or `{epoch}:{offset}`. "
        "`EventSource` sends it by itself. It counts more than `after`.",
        examples=["7", "9b1c5f0e6a7d4c32:7"],
    ),
]


@router.get(
    "/sessions/{session}/events",
    operation_id="listEvents",
    summary="Read events, or have them sent as they come",
    response_model=EventsPage,
    responses={
        200: {
            "description": "A page of events; or the stream, which ends when the token expires, "
            "and when the service stops.",
            "content": {
                "application/json": {"example": EVENTS},
                "text/event-stream": {"schema": {"type": "string"}, "example": _STREAM_EXAMPLE},
            },
        },
        **described(401, 403, 404, 422, 503),
    },
)
async def list_events(
    request: Request,
    session: SessionPath,
    who: Asker,
    parts: Parts,
    after: Annotated[
        int | None,
        Query(ge=0, le=LAST_OFFSET, description="Only events behind this offset."),
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_EVENTS, description="Events in a page; not for streams.")
    ] = 100,
    kind: Kind = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Read the log from its beginning, or behind `after`.

    With `Accept: text/event-stream` it is a stream for `EventSource`. First comes an event
    `subscribed`, with the session and `recovered`: false says that what was asked for is not there
    any more, and that the session is to be started from. Then every event is a message whose data
    is what the WebSocket channel sends, and whose id is its offset. Without `after` and
    `Last-Event-ID` only what comes next is sent. A comment comes every 15 s. An event `error` tells
    why a stream ends. Browsers authorise with `?ticket=`, and need another ticket to come back.
    """
    live = await observed(parts, session, who)
    if "text/event-stream" in request.headers.get("accept", "").lower():
        start = _start(after, last_event_id)
        return EventStream(parts.sessions, parts.streams, live.id, who, start, kind)
    return await _page(parts, live, after or 0, limit, kind)


def _start(after: int | None, last_event_id: str | None) -> Subscribe:
    if not last_event_id:
        return Subscribe(None, after)
    match = _LAST_EVENT_ID.fullmatch(last_event_id.strip())
    if match is None:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "Last-Event-ID must be an offset, such as 7, or an epoch and an offset, such as e:7",
        )
    return Subscribe(match[1], int(match[2]))


async def _page(
    parts: Context, live: LiveSession, after: int, limit: int, kind: str | None
) -> Response:
    events = await parts.sessions.store.events(live.id, after, limit, kind)
    last = events[-1].offset if events else 0
    top = max(live.top, last)
    told = {
        "epoch": live.current.epoch,
        "top": top,
        "truncated_before": truncated_before(live),
        "next": last if 0 < last < top else None,
    }
    content = f'{json.dumps(told)[:-1]}, "events": [{", ".join(map(_text, events))}]}}'
    return Response(content, media_type="application/json")


def _text(stored: StoredEvent) -> str:
    """An event as JSON; its data is JSON already, and is not read again."""
    offset, (event_id, kind, actor, seconds, data) = stored
    text = event_text(offset, event_id, kind, actor, seconds, data)
    return "{" + text.removeprefix('{"type":"event",')


@router.post(
    "/sessions/{session}/events",
    operation_id="publishEvent",
    summary="Publish an event",
    status_code=201,
    response_model=Published,
    responses={
        **answer(
            "It is on disk. The same id again has the same answer.",
            {"id": PUBLICATION["id"], "offset": 8},
            201,
        ),
        **described(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra=takes(Publication, PUBLICATION),
)
async def publish_event(
    session: SessionPath,
    asked: Annotated[Publication, Depends(body_of(Publication))],
    who: Asker,
    parts: Parts,
    key: Key = None,
) -> JSONResponse:
    """Publish an event. Members may, until the session is stopped."""
    live = await observed(parts, session, who)
    event = _event(live, who, asked, key)
    top = live.top
    offset = await in_time(parts.sessions.publish(session, who, event))
    if offset <= top and asked.id is None:
        await _check_repeat(parts, live, event)
    return JSONResponse({"id": event.id, "offset": offset}, 201)


def _event(live: LiveSession, who: Identity, asked: Publication, key: str | None) -> NewEvent:
    made = asked.id or str(uuid.uuid4())
    if asked.id is None and key is not None:
        made = repeatable_id(live.current.epoch, who.subject, "publish", key)
    return new_event(made, asked.kind, asked.data)


async def _check_repeat(parts: Context, live: LiveSession, event: NewEvent) -> None:
    """Refuse another event under a key that was used."""
    known = await parts.sessions.store.event(live.id, event.id)
    if known is not None and (known.event.kind, known.event.data) != (event.kind, event.data):
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "this Idempotency-Key was used for another event: take a new key",
        )
