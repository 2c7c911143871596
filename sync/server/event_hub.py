"""The connections of the event channel; the way of every event to them.

Nothing here waits in a task of its own, but for what is read from the log. What was committed in
one turn of the event loop is sent at the end of it, as one block of frames that all subscribers
share who stand at the same place. A subscriber whose socket takes no more stays where it is; when
the socket has drained it reads on from there, from memory or from the log.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from auth.access import AuthError, Identity
from persistence.store import StoreError, StoreUnavailable
from sync.core.errors import (
    Draining,
    Forbidden,
    IllegalStep,
    InternalError,
    MessageTooLarge,
    Overloaded,
    ProtocolError,
)
from sync.core.event_channel import (
    PONG_TEXT,
    Acknowledge,
    ClientMessage,
    Code,
    Ping,
    Pong,
    Publish,
    Refused,
    RenewToken,
    Subscribe,
    error_text,
    ping_text,
    published_text,
    subscribed_text,
    token_text,
)
from sync.core.events import NewEvent
from sync.core.session import SessionId
from sync.server import patience, revoking
from sync.server.admission import Admission
from sync.server.connection import EXPIRED, Pace, Verdict, Wait
from sync.server.event_connection import Chunk, EventConnection, EventOutbox
from sync.server.event_feed import EventFeed, Told
from sync.server.event_status import Watches
from sync.server.hub import Hub
from sync.server.meters import ChannelStatistics, Meters
from sync.server.session_view import session_json, truncated_before
from sync.server.sessions import LiveSession, Sessions, actor_in
from sync.server.telemetry import logger

log = logger(__name__)

CHUNK_BYTES = 2**17
"""Of events that are given to a socket at once; a single one may be larger."""

_INVALID_TEXT = 1007  # close code: RFC 6455 section 7.4.1
_GONE = 1001  # close code: clients come back after it, if they are there


class EventHub:
    """All connections of the event channel of one process."""

    def __init__(self, hub: Hub, sessions: Sessions, admission: Admission) -> None:
        self.meters = Meters()
        self.watches = Watches(self._watchers)
        """Tell those who ask for it what goes on in their session."""
        self._hub = hub
        self._sessions = sessions
        self._admission = admission
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._connections: dict[int, EventConnection] = {}
        self._by_session: dict[str, dict[int, EventConnection]] = {}
        self._meters_by_session: dict[str, Meters] = {}
        self._news: dict[str, LiveSession] = {}  # that is to be told at the end of this turn
        self._last_chunk: tuple[EventFeed, int, int, Chunk] | None = None
        self._beats: OrderedDict[EventConnection, float] = OrderedDict()
        """When each is pinged, the next one first."""
        self._beat_timer: asyncio.TimerHandle | None = None
        self._draining = False
        sessions.listeners.append(self._on_event)
        hub.revoking.listeners.append(self._end_revoked)

    def statistics(self, session: str | None = None) -> list[ChannelStatistics]:
        """The connections of one session now, or all."""
        found = self._connections if session is None else self._by_session.get(session, {})
        return [each.statistics() for each in found.values()]

    def meters_of(self, session: str) -> Meters | None:
        """The delivery of a session's events, while anybody is connected."""
        return self._meters_by_session.get(session)

    # -- connections

    async def open(
        self,
        session: SessionId,
        identity: Identity,
        outbox: EventOutbox,
        stop_reading: Callable[[], None],
    ) -> EventConnection:
        """Open the channel of a session for a client: see :meth:`sync.server.hub.Hub.open`.

        Raises Forbidden, UnknownSession, Draining, Overloaded, TokenRevoked.
        """
        try:
            actor = actor_in(session, identity)
            live = await self._live(session)
            if self._draining:
                raise Draining("the server is restarting: connect again")
            self._hub.count_in(identity)
        except (ProtocolError, AuthError) as error:
            self.meters.refused[error.close_code] += 1
            raise
        limits = self._hub.limits
        pace = Pace(limits.message_rate, limits.message_burst)
        connection = EventConnection(live, identity, actor, pace, outbox, stop_reading)
        self._watch_expiry(connection)
        self._admit(connection)
        return connection

    async def _live(self, session: SessionId) -> LiveSession:
        try:
            return await self._sessions.get(session)
        except StoreUnavailable as error:
            raise Overloaded("the session cannot be read now: connect again later") from error
        except StoreError as error:
            log.error("a session cannot be read", session=session, error=str(error))
            raise Overloaded("the session cannot be read: tell who runs the service") from error

    def _admit(self, connection: EventConnection) -> None:
        live = connection.live
        self.meters.opened += 1
        self._connections[connection.id] = connection
        self._by_session.setdefault(live.id, {})[connection.id] = connection
        self._meters_by_session.setdefault(live.id, Meters())
        live.feed.subscribe()
        self._beat_later(connection)
        log.info(
            "event channel opened",
            connection=connection.id,
            session=live.id,
            subject=connection.identity.subject,
        )

    def close(self, connection: EventConnection) -> None:
        """The client has gone, or is to go. To be called once more is no harm."""
        if self._connections.pop(connection.id, None) is None:
            return
        live = connection.live
        ours = self._by_session[live.id]
        del ours[connection.id]
        if not ours:
            del self._by_session[live.id]
            del self._meters_by_session[live.id]
        else:
            self._meters_by_session[live.id].undelivered += connection.lag
        live.feed.unsubscribe()
        self._hub.count_out(connection.identity.subject)
        self._beats.pop(connection, None)
        for pending in (connection.expiry, connection.reader):
            if pending is not None:
                pending.cancel()
        connection.outbox.finish()
        self.meters.closed += 1
        self.meters.endings[connection.verdict.code if connection.verdict else 0] += 1
        self.meters.undelivered += connection.lag
        log.info(
            "event channel closed",
            connection=connection.id,
            session=live.id,
            received=connection.received,
            sent=connection.sent,
            **({"code": v.code, "reason": v.reason} if (v := connection.verdict) else {}),
        )

    def end(self, connection: EventConnection, verdict: Verdict) -> None:
        """Close a connection for a reason; what is queued for it is still sent."""
        if connection.verdict is None:
            connection.verdict = verdict
            connection.outbox.finish()
            connection.stop_reading()
        self.close(connection)

    def drain(self) -> None:
        """Close all connections with 1012: whatever was said to be published is on disk."""
        self._draining = True
        verdict = Verdict.of(Draining("the server is restarting: connect again"))
        for connection in list(self._connections.values()):
            self.end(connection, verdict)
        self.watches.end()
        if self._beat_timer is not None:
            self._beat_timer.cancel()

    # -- messages

    def feed(self, connection: EventConnection, frames: deque[bytes]) -> Awaitable[None] | None:
        """Take messages of a connection, in order, and out of ``frames``.

        What is returned must be awaited before the rest is fed; with None, there is no rest.
        """
        began, before = time.perf_counter(), connection.received
        connection.heard_at = began
        wait: Awaitable[None] | None = None
        while frames and wait is None:
            wait = self._obstacle(connection) or self._take(connection, frames.popleft())
            if connection.verdict is not None:
                frames.clear()
        toll = connection.pace.toll(self._now(), began, connection.received - before)
        if wait is None or toll is None:
            return wait or toll
        return _both(wait, toll)

    def _obstacle(self, connection: EventConnection) -> Awaitable[None] | None:
        """What the next message waits for."""
        if self._sessions.journal.full:
            return self._sessions.journal.room()
        if connection.outbox.full:  # every message may have an answer
            return connection.outbox.drained()
        return None

    def _take(self, connection: EventConnection, text: bytes) -> Awaitable[None] | None:
        connection.received += 1
        most = self._hub.limits.message
        if len(text) > most:
            self.end(connection, Verdict.of(MessageTooLarge(f"a message is at most {most} bytes")))
            return None
        try:
            return self._obey(connection, connection.channel.receive(text))
        except Refused as refused:
            connection.say(refused.text)
        except UnicodeDecodeError:
            self.end(connection, Verdict(_INVALID_TEXT, "a text message is UTF-8"))
        return None

    def _obey(self, connection: EventConnection, message: ClientMessage) -> Awaitable[None] | None:
        match message:
            case Publish(event):
                return self._publish(connection, event)
            case Acknowledge(offset):
                self._acknowledge(connection, offset)
            case Subscribe():
                self._subscribe(connection, message)
            case Pong():
                took = connection.channel.answered(self._now())
                if took is not None:
                    self.meters.round_trips.observe(took)
            case Ping():
                connection.say(PONG_TEXT)
            case RenewToken(token):
                return self._renew_token(connection, token)
        return None

    # -- publishing

    def _publish(self, connection: EventConnection, event: NewEvent) -> Awaitable[None] | None:
        try:
            offset = self._sessions.begin_publishing(connection.live, connection.actor, event)
        except Draining:
            return Wait(math.inf)  # until the connection is closed
        except (Forbidden, IllegalStep):
            return self._publish_once_more(connection, event)
        connection.in_flight += 1
        connection.in_flight_bytes += len(event.data)
        offset.add_done_callback(partial(self._published, connection, event))
        return self._until_relieved(connection) if connection.crowded else None

    def _published(
        self, connection: EventConnection, event: NewEvent, offset: asyncio.Future[int]
    ) -> None:
        connection.in_flight -= 1
        connection.in_flight_bytes -= len(event.data)
        if connection.relief is not None and not connection.crowded:
            connection.relief.set()
        if offset.cancelled() or offset.exception() is not None:
            reason = "the event could not be saved: something failed on the server"
            connection.say(error_text(Code.INTERNAL, reason, event.id))
        else:
            connection.say(published_text(event.id, offset.result()))

    async def _until_relieved(self, connection: EventConnection) -> None:
        while connection.crowded:
            connection.relief = asyncio.Event()
            await connection.relief.wait()

    async def _publish_once_more(self, connection: EventConnection, event: NewEvent) -> None:
        """Who may publish no more may still ask what came of an event that was on its way."""
        try:
            offset = await self._sessions.publish(connection.live.id, connection.identity, event)
        except Draining:
            await Wait(math.inf)
        except ProtocolError as error:
            connection.say(Refused.because(error, event.id).text)
        except StoreError:
            reason = "the log cannot be read now: try again"
            connection.say(error_text(Code.UNAVAILABLE, reason, event.id))
        else:
            connection.say(published_text(event.id, offset))

    # -- subscribing

    def _subscribe(self, connection: EventConnection, message: Subscribe) -> None:
        live, channel = connection.live, connection.channel
        if connection.reader is not None:
            connection.reader.cancel()
            connection.reader = None
        recovered = channel.subscribe(
            message, epoch=live.current.epoch, top=live.top, truncated=live.truncated
        )
        self.meters.resumed += message.after is not None
        self.meters.unrecovered += not recovered
        connection.say(
            subscribed_text(
                live.current.epoch,
                live.top,
                session_json(live),
                recovered=recovered,
                truncated_before=truncated_before(live),
            )
        )
        if channel.status:
            self.watches.begin(connection)
        self._send_due(connection)

    def _watchers(self, session: str) -> list[EventConnection]:
        """Those who want to know what goes on in a session."""
        here = self._by_session.get(session, {})
        return [each for each in here.values() if each.channel.status]

    def _acknowledge(self, connection: EventConnection, offset: int) -> None:
        live, subject = connection.live, connection.actor.subject
        if self._sessions.acknowledge(live, subject, offset):
            return
        if offset > live.top:
            raise Refused(
                Code.INVALID_OFFSET, f"the last event has the offset {live.top}, not {offset}"
            )
        raise Refused(Code.FORBIDDEN, "only members acknowledge events: join the session first")

    def _on_event(self, live: LiveSession, _told: Told) -> None:
        """An event is on disk; subscribers hear of all those of this turn together."""
        self.meters.published += 1
        if live.id in self._by_session:
            if not self._news:
                self._loop.call_soon(self._tell)
            self._news[live.id] = live

    def _tell(self) -> None:
        news, self._news = self._news, {}
        for session in news:
            for connection in list(self._by_session.get(session, {}).values()):
                with self._caring_for(connection):
                    self._send_due(connection)
        self._last_chunk = None

    def _send_due(self, connection: EventConnection) -> None:
        """Send what a subscriber lacks, as far as its socket takes it."""
        channel, feed = connection.channel, connection.live.feed
        if channel.offset is None or connection.reader is not None:
            return
        while channel.offset < feed.top and not connection.outbox.full:
            chunk = self._chunk(feed, channel.offset)
            if chunk is None:
                if not connection.outbox.busy and connection.verdict is None:
                    connection.reader = self._loop.create_task(self._read_log(connection))
                return
            self._send(connection, chunk, self._now() - chunk.events[0].committed_at)

    def _send(self, connection: EventConnection, chunk: Chunk, waited: float | None) -> None:
        connection.outbox.put_events(chunk)
        connection.sent += len(chunk.events)
        connection.channel.offset = chunk.events[-1].offset
        self.meters.deliver(len(chunk.events), waited)
        if (meters := self._meters_by_session.get(connection.live.id)) is not None:
            meters.deliver(len(chunk.events), waited)

    def _chunk(self, feed: EventFeed, offset: int) -> Chunk | None:
        """What follows an offset; None where it is not in memory any more."""
        match self._last_chunk:
            case (known, place, top, chunk) if known is feed and (place, top) == (offset, feed.top):
                return chunk
        events = feed.recent(offset)
        if events is None:
            return None
        chunk = Chunk(_first_bytes(events, CHUNK_BYTES))
        self._last_chunk = feed, offset, feed.top, chunk
        return chunk

    async def _read_log(self, connection: EventConnection) -> None:
        """Send the next page of the log; what follows is sent when the socket has taken it."""
        offset = connection.channel.offset
        assert offset is not None  # noqa: S101 - it has subscribed
        try:
            events = await connection.live.feed.after(offset)
        except StoreUnavailable:
            self._fail(connection, Overloaded("the log cannot be read now: connect again later"))
        except Exception:  # the log is damaged, or a bug: it costs this connection
            log.exception("a log cannot be read", session=connection.live.id)
            self._fail(connection, InternalError("the log cannot be read: connect again later"))
        else:
            connection.reader = None
            if events and events[0].offset == offset + 1:
                self._send(connection, Chunk(events), None)
                self._send_due(connection)
            else:  # it was truncated meanwhile; whoever subscribes again is told so
                self._fail(connection, Overloaded("events were removed: connect again"))

    @contextmanager
    def _caring_for(self, connection: EventConnection) -> Iterator[None]:
        """A bug costs this connection, not the others."""
        try:
            yield
        except Exception:
            log.exception("a connection failed")
            self._fail(connection, InternalError("something failed: connect again"))

    def _fail(self, connection: EventConnection, error: ProtocolError) -> None:
        connection.reader = None
        self.end(connection, Verdict.of(error))

    def drained(self, connection: EventConnection) -> None:
        """Everything in the connection's outbox was sent: what it missed meanwhile is due."""
        if connection.id in self._connections:
            self._send_due(connection)

    # -- rights

    def _watch_expiry(self, connection: EventConnection) -> None:
        if connection.expiry is not None:
            connection.expiry.cancel()
        seconds = connection.identity.expires_at - time.time()
        expired = Verdict(4401, f"{EXPIRED}: get a new token and connect again")
        connection.expiry = self._loop.call_later(max(0.0, seconds), self.end, connection, expired)

    def _end_revoked(self) -> None:
        """Tokens were revoked: those who are here with one of them are not, any more."""
        for connection in list(self._connections.values()):
            if self._hub.revocations.covers(connection.identity):
                self.end(connection, revoking.verdict())

    async def _renew_token(self, connection: EventConnection, token: str) -> None:
        try:
            identity = await self._admission.verify(token)
            if identity.subject != connection.identity.subject:
                raise Forbidden("the new token is another subject's")
            actor = actor_in(connection.live.id, identity)
        except (AuthError, ProtocolError) as error:
            self.end(connection, Verdict.of(error))
            return
        if connection.verdict is None:
            connection.identity, connection.actor = identity, actor
            self._watch_expiry(connection)
            connection.say(token_text(identity.expires_at))

    # -- the heartbeat

    def _beat_later(self, connection: EventConnection) -> None:
        """One timer for all: who comes last is pinged last."""
        self._beats[connection] = due = self._now() + patience.HEARTBEAT_SECONDS
        if self._beat_timer is None:
            self._beat_timer = self._loop.call_at(due, self._beat)

    def _beat(self) -> None:
        now = self._now()
        while self._beats and (due := next(iter(self._beats.values()))) <= now:
            connection, _ = self._beats.popitem(last=False)
            with self._caring_for(connection):
                self._ping(connection, now)
        self._beat_timer = self._loop.call_at(due, self._beat) if self._beats else None

    def _ping(self, connection: EventConnection, now: float) -> None:
        """Who has not read what was sent cannot answer; its socket knows whether it is there."""
        if connection.outbox.busy:
            self._beat_later(connection)
        elif connection.channel.beat(now):
            connection.say(ping_text(connection.live.top, time.time()))
            self._beat_later(connection)
        else:
            self.end(connection, Verdict(_GONE, "two pings were not answered: connect again"))


async def _both(first: Awaitable[None], then: Awaitable[None]) -> None:
    await first
    await then


def _first_bytes(events: Sequence[Told], most: int) -> Sequence[Told]:
    """The first of some events, one at least, and not much more than so many bytes."""
    size = 0
    for number, each in enumerate(events, 1):
        size += each.size
        if size >= most:
            return events[:number]
    return events
