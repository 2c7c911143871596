"""The hub of event channels, with sockets that are none: slow readers, bounds, what is shared."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest

from auth.access import Grants, Identity, SessionAccess
from auth.tickets import MemoryTickets
from persistence.memory import MemoryStore
from persistence.store import Store
from sync.core.errors import Draining, Forbidden, Overloaded, UnknownSession
from sync.core.events import MAX_DATA
from sync.core.session import Outline, SessionId, TestCase
from sync.server import event_feed, patience
from sync.server.admission import Admission
from sync.server.event_connection import (
    MOST_IN_FLIGHT,
    MOST_IN_FLIGHT_BYTES,
    Chunk,
    EventConnection,
)
from sync.server.event_hub import CHUNK_BYTES, EventHub
from sync.server.event_socket import EventSocket
from sync.server.hub import open_hub
from sync.server.limits import HubLimits
from sync.server.outbox import MAX_BYTES
from sync.server.sessions import Sessions, open_sessions
from tests.server.parts import DISK_FULL, Tokens, TroubledStore, eventually, identity
from tests.server.raw import PING, TEXT, close_frame, frame, opened
from tests.server.service import running
from tests.server.talk import a_publication, create, member_token
from tests.support.client import PATIENCE

S1 = SessionId("s1")


def somebody(subject: str = "alice", access: SessionAccess = SessionAccess.LEAD) -> Identity:
    return replace(identity(subject), sessions=Grants({"*": access}))


@dataclass
class Box:
    """An outbox of a socket that takes everything at once, unless it is ``slow``."""

    heard: list[dict[str, Any]] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    slow: bool = False
    queued_bytes: int = 0
    largest: int = 0
    finished: bool = False
    on_drained: anyio.Event = field(default_factory=anyio.Event)

    def put(self, text: bytes) -> None:
        if not self.finished:
            self.heard.append(json.loads(text))
            self._queue(len(text))

    def put_events(self, chunk: Chunk) -> None:
        if not self.finished:
            self.chunks.append(chunk)
            self.heard += [json.loads(each.text) for each in chunk.events]
            self._queue(len(chunk.frames))

    def _queue(self, size: int) -> None:
        if self.slow:
            self.queued_bytes += size
            self.largest = max(self.largest, self.queued_bytes)

    def finish(self) -> None:
        self.finished = True

    @property
    def full(self) -> bool:
        return self.queued_bytes > MAX_BYTES

    @property
    def busy(self) -> bool:
        return self.queued_bytes > 0

    async def drained(self) -> None:
        await self.on_drained.wait()

    def drain(self) -> None:
        self.queued_bytes = 0
        self.on_drained.set()
        self.on_drained = anyio.Event()

    @property
    def offsets(self) -> list[int]:
        return [each["offset"] for each in self.heard if each["type"] == "event"]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.heard if each["type"] == kind]


@dataclass
class House:
    """A hub of event channels, and who is there."""

    events: EventHub
    sessions: Sessions
    connections: list[EventConnection] = field(default_factory=list)

    async def enter(
        self, who: Identity | None = None, box: Box | None = None
    ) -> tuple[EventConnection, Box]:
        box = box or Box()
        connection = await self.events.open(S1, who or somebody(), box, lambda: None)
        self.connections.append(connection)
        return connection, box

    async def subscribed(
        self, who: Identity | None = None, box: Box | None = None, **place: Any
    ) -> tuple[EventConnection, Box]:
        connection, box = await self.enter(who, box)
        if (slow := self.say(connection, {"type": "subscribe", **place})) is not None:
            await slow  # the machine was busy: whoever takes long waits for it
        return connection, box

    def say(self, connection: EventConnection, *messages: Any) -> Awaitable[None] | None:
        return self.feed(connection, deque(json.dumps(each).encode() for each in messages))

    def feed(self, connection: EventConnection, frames: deque[bytes]) -> Awaitable[None] | None:
        return self.events.feed(connection, frames)

    async def publish(self, connection: EventConnection, count: int, **more: Any) -> None:
        """Publish so many; return when they are on disk."""
        top = connection.live.top + count
        frames = deque(json.dumps(a_publication(n, **more)).encode() for n in range(count))
        while frames:
            if (wait := self.feed(connection, frames)) is not None:
                await wait
        await eventually(lambda: connection.live.top == top)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@asynccontextmanager
async def a_house(store: Store | None = None, **limits: Any) -> AsyncIterator[House]:
    bounds = replace(HubLimits(message_rate=0), **limits)
    store = store or MemoryStore()
    async with open_hub(store, Tokens(), bounds) as hub, open_sessions(store, hub) as sessions:
        events = EventHub(hub, sessions, Admission(Tokens(), MemoryTickets()))
        outline = Outline("p", "title", (TestCase("a", "a"),))
        await sessions.create(S1, somebody(), outline)
        try:
            yield House(events, sessions)
        finally:
            if isinstance(store, TroubledStore):
                store.failure = None
                store.release()
            events.drain()


# ---------------------------------------------------------------------------------- what is shared


async def test_all_at_the_same_place_get_the_same_bytes() -> None:
    async with a_house() as house:
        author, first = await house.subscribed()
        _, second = await house.subscribed()
        _, behind = await house.subscribed(after=0)
        await house.publish(author, 10)
        assert first.chunks[-1] is second.chunks[-1]
        assert first.chunks[-1].frames is second.chunks[-1].frames
        assert behind.offsets == list(range(1, 12))
        assert behind.chunks[-1] is first.chunks[-1]


async def test_what_is_committed_together_is_sent_together() -> None:
    async with a_house() as house:
        author, box = await house.subscribed()
        await house.publish(author, 100)
        assert box.offsets == list(range(2, 102))
        assert len(box.chunks) < 20
        assert [each["offset"] for each in box.of("published")] == list(range(2, 102))


async def test_large_events_come_in_small_blocks() -> None:
    async with a_house() as house:
        author, box = await house.subscribed()
        await house.publish(author, 40, data={"x": "a" * (MAX_DATA - 100)})
        assert box.offsets == list(range(2, 42))
        largest = max(len(each.frames) for each in box.chunks)
        assert largest < MAX_BYTES + 2 * MAX_DATA  # a page of the log: more does not stay in memory


# ------------------------------------------------------------------------------------ slow readers


async def test_a_slow_reader_costs_no_queue_and_misses_nothing() -> None:
    async with a_house() as house:
        author, _ = await house.subscribed()
        connection, slow = await house.subscribed(box=Box(slow=True))
        for _ in range(20):
            await house.publish(author, 10, data={"x": "a" * 30_000})
        assert slow.largest < MAX_BYTES + CHUNK_BYTES + MAX_DATA
        assert connection.lag > 100
        while slow.queued_bytes:
            assert slow.largest < MAX_BYTES + CHUNK_BYTES + MAX_DATA
            slow.drain()
            house.events.drained(connection)
            await eventually(lambda: connection.reader is None)
        assert slow.offsets == list(range(2, 202))
        assert connection.lag == 0


async def test_a_slow_reader_goes_on_when_the_feed_has_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It reads the log, page by page, and then what came meanwhile."""
    monkeypatch.setattr(event_feed, "MAX_EVENTS", 50)
    async with a_house() as house:
        author, _ = await house.subscribed()
        connection, slow = await house.subscribed(box=Box(slow=True))
        slow.queued_bytes = MAX_BYTES + 1
        await house.publish(author, 3_000)
        assert slow.offsets == []
        while connection.lag:
            slow.drain()
            house.events.drained(connection)
            assert connection.reader is not None
            await house.publish(author, 1) if connection.lag > 1_500 else await asyncio.sleep(0)
            await eventually(lambda: connection.reader is None)
        assert slow.offsets == list(range(2, connection.live.top + 1))


async def test_the_log_is_not_read_for_who_has_not_read_the_last_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_feed, "MAX_EVENTS", 5)
    async with a_house() as house:
        author, _ = await house.subscribed()
        connection, slow = await house.subscribed(box=Box(slow=True))
        slow.queued_bytes = MAX_BYTES + 1
        await house.publish(author, 20)
        slow.queued_bytes = 10
        await house.publish(author, 1)
        assert connection.reader is None
        assert connection.lag == 21
        slow.drain()
        house.events.drained(connection)
        await eventually(lambda: connection.lag == 0)
        assert slow.offsets == list(range(2, 23))


async def test_subscribing_again_ends_the_reading_of_the_log() -> None:
    store = TroubledStore()
    async with a_house(store) as house:
        author, _ = await house.subscribed()
        await house.publish(author, 5)
        house.events.close(author)
        connection, box = await house.enter()
        store.hold()
        house.say(connection, {"type": "subscribe", "after": 0})
        assert connection.reader is not None
        await asyncio.sleep(0)  # it has begun
        house.say(connection, {"type": "subscribe", "after": 4})
        store.release()
        await eventually(lambda: connection.lag == 0)
        assert box.offsets == [5, 6]


async def test_a_log_that_is_cut_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """No gap is passed over: whoever comes again is told."""
    monkeypatch.setattr(event_feed, "MAX_EVENTS", 5)
    store = TroubledStore()
    async with a_house(store) as house:
        author, _ = await house.subscribed()
        await house.publish(author, 20)
        connection, box = await house.enter()
        store.hold()
        house.say(connection, {"type": "subscribe", "after": 3})
        assert isinstance(store.inner, MemoryStore)
        gone = await store.inner.truncate("s1", 2**33)
        house.sessions.truncated("s1", gone)
        store.release()
        await eventually(lambda: connection.verdict is not None)
        assert connection.verdict is not None
        assert connection.verdict.code == 1013
        assert box.offsets == []
        _, box = await house.subscribed(after=3)
        assert box.heard[0]["recovered"] is False
        assert box.heard[0]["truncated_before"] == gone + 1


@pytest.mark.parametrize(("failure", "code"), [(DISK_FULL, 1013), (ZeroDivisionError(), 1011)])
async def test_a_log_that_cannot_be_read(failure: Exception, code: int) -> None:
    store = TroubledStore()
    async with a_house(store) as house:
        author, _ = await house.subscribed()
        await house.publish(author, 5)
        house.events.close(author)
        connection, _ = await house.enter()
        store.failure = failure
        house.say(connection, {"type": "subscribe", "after": 0})
        await eventually(lambda: connection.verdict is not None)
        assert connection.verdict is not None
        assert connection.verdict.code == code
        assert house.events.meters.undelivered == 6


async def test_a_bug_costs_one_connection(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Box):
        def put_events(self, _chunk: Chunk) -> None:
            raise ZeroDivisionError

    async with a_house() as house:
        broken, _ = await house.subscribed(box=Broken())
        author, box = await house.subscribed()
        await house.publish(author, 1)
        assert box.offsets == [2]
        assert broken.verdict is not None
        assert broken.verdict.code == 1011
    assert "ZeroDivisionError" in caplog.text


# ------------------------------------------------------------------------------------------ bounds


async def test_so_many_events_are_on_their_way_and_no_more() -> None:
    store = TroubledStore()
    async with a_house(store) as house:
        connection, box = await house.subscribed()
        store.hold()
        count = 2 * MOST_IN_FLIGHT
        frames = deque(json.dumps(a_publication(n)).encode() for n in range(count))
        wait = house.feed(connection, frames)
        assert wait is not None
        assert connection.in_flight == MOST_IN_FLIGHT == count - len(frames)
        assert connection.statistics().in_flight == MOST_IN_FLIGHT
        store.release()
        while wait is not None:
            await wait
            wait = house.feed(connection, frames)
        await eventually(lambda: connection.in_flight == 0)
        assert [each["offset"] for each in box.of("published")] == list(range(2, count + 2))


async def test_so_many_bytes_are_on_their_way_and_no_more() -> None:
    store = TroubledStore()
    async with a_house(store) as house:
        connection, box = await house.subscribed()
        store.hold()
        large = {"x": "a" * (MAX_DATA - 100)}
        frames = deque(json.dumps(a_publication(data=large)).encode() for _ in range(40))
        wait = house.feed(connection, frames)
        assert wait is not None
        assert connection.in_flight < 20
        assert connection.in_flight_bytes < MOST_IN_FLIGHT_BYTES + MAX_DATA
        store.release()
        while wait is not None:
            await wait
            wait = house.feed(connection, frames)
        await eventually(lambda: len(box.of("published")) == 40)
        assert connection.in_flight_bytes == 0


async def test_a_full_journal_stops_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    store = TroubledStore()
    async with a_house(store) as house:
        connection, box = await house.subscribed()
        store.hold()
        house.say(connection, a_publication())
        monkeypatch.setattr("sync.server.event_journal.FULL_BYTES", 10)
        frames = deque([json.dumps(a_publication()).encode()])
        wait = house.feed(connection, frames)
        assert wait is not None
        assert len(frames) == 1
        store.release()
        await wait
        assert house.feed(connection, frames) is None
        await eventually(lambda: len(box.of("published")) == 2)


async def test_who_does_not_read_is_not_heard() -> None:
    async with a_house() as house:
        connection, box = await house.subscribed(box=Box(slow=True))
        box.queued_bytes = MAX_BYTES + 1
        frames = deque([b"{", b'{"type":"ping"}'])
        wait = house.feed(connection, frames)
        assert wait is not None
        assert len(frames) == 2
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                box.drain()

            tasks.start_soon(read)
            await wait
        assert house.feed(connection, frames) is None
        assert [each["type"] for each in box.heard] == ["subscribed", "error", "pong"]


async def test_who_does_not_read_is_not_pinged(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not answer in time; its socket knows whether it is there."""
    monkeypatch.setattr(patience, "HEARTBEAT_SECONDS", 0.01)
    async with a_house() as house:
        slow, slow_box = await house.subscribed(box=Box(slow=True, queued_bytes=10))
        gone, box = await house.subscribed()
        await eventually(lambda: gone.verdict is not None)
        assert len(box.of("ping")) == 2
        assert slow.verdict is None
        assert slow_box.of("ping") == []
        slow_box.slow = False
        slow_box.drain()
        await eventually(lambda: len(slow_box.of("ping")) > 0)


async def test_pings_come_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_house() as house:
        people = [await house.enter() for _ in range(30)]
        for connection, _ in people[::3]:
            house.events.close(connection)
        now = house.events._now()
        monkeypatch.setattr(house.events, "_now", lambda: now)
        for _ in range(3):
            assert house.events._beat_timer is not None
            house.events._beat_timer.cancel()
            now += patience.HEARTBEAT_SECONDS
            house.events._beat()
        assert all(bool(c.verdict) is bool(n % 3) for n, (c, _) in enumerate(people))
        for number, (connection, box) in enumerate(people):
            assert len(box.of("ping")) == (2 if number % 3 else 0)
            assert connection.reader is None
        assert not house.events._beats


async def test_who_is_pinged_later_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEARTBEAT_SECONDS", 0.05)
    async with a_house() as house:
        _, box = await house.enter()
        await asyncio.sleep(0.02)
        later, _ = await house.enter()
        await eventually(lambda: bool(box.of("ping")))
        timer = house.events._beat_timer
        assert timer is not None
        assert timer.when() == pytest.approx(house.events._beats[later], abs=0.002)


# ------------------------------------------------------------------------------- coming and going


async def test_who_does_not_get_in() -> None:
    async with a_house(connections_per_subject=2) as house:
        with pytest.raises(Forbidden):
            await house.enter(identity("nobody"))
        with pytest.raises(UnknownSession):
            await house.events.open(SessionId("s2"), somebody(), Box(), lambda: None)
        first, _ = await house.enter()
        await house.enter()
        with pytest.raises(Overloaded):
            await house.enter()
        house.events.close(first)
        house.events.close(first)
        await house.enter()
        house.events.drain()
        with pytest.raises(Draining):
            await house.enter()


async def test_a_session_that_cannot_be_read() -> None:
    store = TroubledStore()
    async with a_house(store) as house:
        store.failure = DISK_FULL
        with pytest.raises(Overloaded):
            await house.events.open(SessionId("s2"), somebody(), Box(), lambda: None)


async def test_a_verdict_is_given_once_and_ends_everything() -> None:
    stopped = 0

    def stop() -> None:
        nonlocal stopped
        stopped += 1

    async with a_house() as house:
        box = Box()
        connection = await house.events.open(S1, somebody(), box, stop)
        frames = deque([b"\xff", b'{"type":"ping"}'])
        assert house.feed(connection, frames) is None
        assert connection.verdict is not None
        assert connection.verdict.code == 1007
        assert not frames
        house.events.drain()
        assert connection.verdict.code == 1007
        assert stopped == 1
        assert box.finished
        assert house.events.statistics() == []


async def test_what_a_subscriber_lacks_when_it_goes_was_not_delivered() -> None:
    async with a_house() as house:
        author, _ = await house.subscribed()
        slow, box = await house.subscribed(box=Box(slow=True))
        box.queued_bytes = MAX_BYTES + 1
        await house.publish(author, 7)
        house.events.close(slow)
        meters = house.events.meters
        assert (meters.delivered, meters.undelivered) == (7, 7)
        assert meters.success == 0.5
        assert box.offsets == []


# ------------------------------------------------------------------------------- on a real socket


async def test_nothing_is_left_of_sockets_in_any_state() -> None:
    """That go while they open, wait for the disk, are refused, or at peace."""
    store = TroubledStore()
    before = _sockets()  # of other tests
    async with running(store, transport="picows", message_rate=0) as service:
        await create(service)
        for _ in range(2):
            store.hold()
            for token in (member_token(), member_token("olga", "observe"), "nonsense"):
                path = f"s1/events?token={token}&"
                async with opened(service, path, path="/sessions/") as raw:
                    await raw.send(frame(TEXT, b'{"type":"subscribe","after":0}'))
                    text = json.dumps(a_publication()).encode()
                    await raw.send(frame(TEXT, text), frame(TEXT, b"{", fin=False))
                    await raw.frame()
            store.release()
            async with opened(service, path, path="/sessions/") as raw:
                await raw.send(frame(PING, b"x"), close_frame(1000))
                await raw.until_closed()
        await eventually(lambda: _sockets() <= before)


def _sockets() -> set[int]:
    gc.collect()
    kinds = (EventSocket, EventConnection)
    return {id(each) for each in gc.get_objects() if type(each) in kinds}


@pytest.mark.usefixtures("transport")
async def test_a_socket_that_is_not_read_for_a_while() -> None:
    """Megabytes come; they do not wait here, and come all the same."""
    data = {"x": "a" * 20_000}
    store = MemoryStore()
    async with running(store, message_rate=0) as service:
        await create(service)
        path = f"s1/events?token={member_token()}&"
        async with (
            opened(service, path, narrow=True, path="/sessions/") as slow,
            opened(service, path, path="/sessions/") as author,
        ):
            await slow.send(frame(TEXT, b'{"type":"subscribe"}'))
            await slow.until(lambda each: b"subscribed" in each.payload)
            await author.send(frame(TEXT, b'{"type":"subscribe"}'))
            for number in range(400):
                text = json.dumps(a_publication(number, data=data)).encode()
                await author.send(frame(TEXT, text))
                await author.until(lambda each: b'"published"' in each.payload)
            offsets: list[int] = []
            with anyio.fail_after(PATIENCE):
                while len(offsets) < 400:
                    message = json.loads((await slow.frame()).payload or b'{"type":"none"}')
                    if message["type"] == "event":
                        offsets.append(message["offset"])
            assert offsets == list(range(3, 403))
