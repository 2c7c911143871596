"""Server-sent events (HTML standard, section 9.2): a session's log for ``EventSource``.

A stream is an offset and reads on from there when the client has taken what was sent before: a slow
client costs no queue. Every message has its offset as its id, the first one too, so that whoever
comes back misses nothing.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from auth.access import Identity, TokenRevoked
from persistence.store import StoreError
from sync.core.errors import Draining
from sync.core.event_channel import Code, EventChannel, Subscribe, error_text, subscribed_text
from sync.server import patience
from sync.server.event_feed import EventFeed, Told
from sync.server.hub import Hub
from sync.server.meters import ChannelStatistics
from sync.server.session_view import session_json, truncated_before
from sync.server.sessions import LiveSession, Sessions
from sync.server.telemetry import logger

log = logger(__name__)

HEARTBEAT_SECONDS = 15.0

BATCH = 100
"""Events that are sent at once, and encoded before."""

_RETRY_MILLISECONDS = 1_000, 4_000
"""A client comes back after some time between these: not all of them at once."""

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nor may a proxy keep it back

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    """A stream that is open."""

    session: str
    who: Identity
    telling: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    opened_at: float = field(default_factory=time.time)  # seconds since the Unix epoch
    since: float = field(default_factory=time.perf_counter)


class Streams:
    """All streams that are open."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._open: dict[int, _Open] = {}
        hub.revoking.listeners.append(self._end_revoked)
        self.ending = anyio.Event()
        """Set when the service stops."""

    def __len__(self) -> int:
        return len(self._open)

    def statistics(self, session: str | None = None) -> list[ChannelStatistics]:
        """Those of one session, or all, as connections that only listen."""
        return [
            ChannelStatistics.of_stream(
                number, each.session, each.who.subject, each.who.name, each.opened_at, each.since
            )
            for number, each in self._open.items()
            if session in (None, each.session)
        ]

    @contextmanager
    def opened(self, who: Identity, session: str) -> Iterator[anyio.CancelScope]:
        """While a stream of somebody's is open. Raises Draining, Overloaded, TokenRevoked.

        What is told to them belongs into the scope: it is cancelled when their token is revoked.
        """
        if self.ending.is_set():
            raise Draining("the server is restarting: connect again")
        number, opened = next(_numbers), _Open(session, who)
        with self._hub.counted(who):
            self._open[number] = opened
            try:
                yield opened.telling
            finally:
                del self._open[number]

    def _end_revoked(self) -> None:
        for each in self._open.values():
            if self._hub.revocations.covers(each.who):
                each.telling.cancel()


class EventStream(Response):
    """The answer to who wants to be sent the events of a session."""

    media_type = "text/event-stream"
    charset = "utf-8"

    def __init__(
        self,
        sessions: Sessions,
        streams: Streams,
        session: str,
        who: Identity,
        start: Subscribe,
        kind: str | None,
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._sessions = sessions
        self._streams = streams
        self._session = session
        self._who = who
        self._start = start
        self._kind = kind
        self._pause: anyio.CancelScope | None = None

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Draining, Overloaded, TokenRevoked, StoreError before anything is sent."""
        live = await self._sessions.get(self._session)
        with self._streams.opened(self._who, live.id) as telling, _subscribed(live.feed):
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
                tasks.start_soon(self._until_stop)
                await self._serve(live, send, telling)
                tasks.cancel_scope.cancel()

    async def _until_stop(self) -> None:
        await self._streams.ending.wait()
        if self._pause is not None:
            self._pause.cancel()

    async def _serve(self, live: LiveSession, send: Send, telling: anyio.CancelScope) -> None:
        end = _error(Code.TOKEN_EXPIRED, "get a new token, or a ticket, and come back")
        with telling, anyio.move_on_after(self._who.expires_at - time.time()):
            end = await self._tell(live, _Wire(send))
        if telling.cancelled_caught:
            end = _error(Code.UNAUTHORIZED, TokenRevoked().reason)
        with anyio.move_on_after(patience.LAST_WORDS_SECONDS):
            await send({"type": "http.response.body", "body": end, "more_body": False})

    async def _tell(self, live: LiveSession, wire: _Wire) -> bytes:
        """Send what there is, and what comes; return the last words."""
        await wire.send(b"retry: %d\n\n" % random.randint(*_RETRY_MILLISECONDS))
        offset = await _begin(live, self._start, wire)
        while True:
            try:
                batch = await live.feed.after(offset, BATCH)
            except StoreError as error:
                log.warning("an event stream ends", session=live.id, error=str(error))
                return _error(Code.UNAVAILABLE, "the log cannot be read now: come back")
            if live.top > offset and (not batch or batch[0].offset != offset + 1):
                # Retention was faster than the client.
                offset = await _begin(live, _GAP, wire)
            elif batch:
                await wire.send(b"".join(self._frames(batch)))
                offset = batch[-1].offset
            elif self._streams.ending.is_set():
                return _error(Code.UNAVAILABLE, "the server is restarting: come back")
            else:
                await self._news(live, offset, wire)

    async def _news(self, live: LiveSession, offset: int, wire: _Wire) -> None:
        """Wait for the next event, or the end; say something now and then."""
        with anyio.move_on_after(HEARTBEAT_SECONDS) as self._pause:
            await live.feed.news(offset)
        self._pause = None
        if live.feed.top <= offset:
            await wire.send(b": heartbeat\n\n")

    def _frames(self, batch: Iterable[Told]) -> Iterator[bytes]:
        for told in batch:
            if self._kind is None or _matches(told.event.kind, self._kind):
                yield _message(told.offset, told.text)


class _Wire:
    """The body of the answer."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def send(self, body: bytes) -> None:
        """Returns when the client has taken about everything."""
        if body:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


@contextmanager
def _subscribed(feed: EventFeed) -> Iterator[None]:
    feed.subscribe()
    try:
        yield
    finally:
        feed.unsubscribe()


_GAP = Subscribe(epoch="")  # a place in no log


async def _begin(live: LiveSession, place: Subscribe, wire: _Wire) -> int:
    """Say where the client stands; return the offset to read on from."""
    channel, epoch = EventChannel(), live.current.epoch
    recovered = channel.subscribe(place, epoch=epoch, top=live.top, truncated=live.truncated)
    text = subscribed_text(
        epoch,
        live.top,
        session_json(live),
        recovered=recovered,
        truncated_before=truncated_before(live),
    )
    assert channel.offset is not None  # noqa: S101 - it has subscribed
    await wire.send(b"event: subscribed\n" + _message(channel.offset, text))
    return channel.offset


def _error(code: Code, reason: str) -> bytes:
    return b"event: error\ndata: %b\n\n" % error_text(code, reason)


def _message(offset: int, text: bytes) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (offset, _one_line(text))


_LINE_ENDS = {each.encode(): b"\\u%04x" % ord(each) for each in "\x85\u2028\u2029"}


def _one_line(text: bytes) -> bytes:
    """JSON without what some clients in Python take for the end of a line, though it is none."""
    for character, escaped in _LINE_ENDS.items():
        text = text.replace(character, escaped)
    return text


def _matches(kind: str, wanted: str) -> bool:
    return kind.startswith(wanted[:-1]) if wanted.endswith("*") else kind == wanted
