"""A session's log as subscribers read it: from memory, from the store, and across both."""

from __future__ import annotations

import json
import random

import anyio
import pytest

from persistence.memory import MemoryStore
from persistence.store import Event, Record, SessionState, StoredEvent
from sync.core.events import iso
from sync.server import event_feed
from sync.server.event_feed import EventFeed, Told
from tests.server.parts import DISK_FULL, TroubledStore


class Log:
    """A store with one session, and its feed."""

    def __init__(self, events: int = 0) -> None:
        self.store = TroubledStore(MemoryStore())
        self.top = events
        self.reads = 0
        self._real, self.store.events = self.store.events, self._counted  # type: ignore[method-assign]

    async def _counted(
        self, session: str, after: int = 0, limit: int = 1_000, kind: str | None = None
    ) -> list[StoredEvent]:
        self.reads += 1
        return await self._real(session, after, limit, kind)

    async def feed(self) -> EventFeed:
        """The feed of a session that was just loaded."""
        change = SessionState("epoch", "running", "{}")
        for offset in range(1, self.top + 1):
            await self.store.record([Record("s1", an_event(offset), change)])
        return EventFeed(self.store, "s1", self.top)

    async def happens(self, feed: EventFeed, count: int = 1, data: str = "{}") -> None:
        """The next events are committed."""
        for _ in range(count):
            self.top += 1
            event = an_event(self.top, data)
            await self.store.record([Record("s1", event, SessionState("epoch", "running", "{}"))])
            feed.add(Told("s1", StoredEvent(self.top, event), 1.0))


def an_event(offset: int, data: str = "{}") -> Event:
    return Event(f"e{offset}", "note", "alice", float(offset), data)


async def offsets(feed: EventFeed, after: int, limit: int = 1_000) -> list[int]:
    return [each.offset for each in await feed.after(after, limit)]


# ---------------------------------------------------------------------------------------- one event


@pytest.mark.parametrize("size", [0, 1, 20, 200, 65_000, 65_400, 65_536, 70_000])
def test_an_event_is_one_frame_and_its_text(size: int) -> None:
    data = json.dumps({"x": "ä" * (size // 2)}, ensure_ascii=False)
    told = Told("s1", StoredEvent(7, Event("id", "note", "alice", 1.5, data)), 3.0)
    assert json.loads(told.text) == {
        "type": "event", "offset": 7, "id": "id", "kind": "note", "actor": "alice",
        "time": "1970-01-01T00:00:01.500Z", "data": json.loads(data),
    }  # fmt: skip
    assert unframed(told.frame) == told.text
    assert told.text is told.text  # made once
    assert told.frame is told.frame
    assert (told.time, told.committed_at, told.session) == (iso(1.5), 3.0, "s1")


def unframed(frame: bytes) -> bytes:
    """The payload of a server's final text frame (RFC 6455 section 5.2), its length checked."""
    assert frame[0] == 0x81
    length, start = frame[1], 2
    if length == 126:
        length, start = int.from_bytes(frame[2:4], "big"), 4
        assert length > 125
    elif length == 127:
        length, start = int.from_bytes(frame[2:10], "big"), 10
        assert length > 65_535
    assert len(frame) == start + length
    return frame[start:]


@pytest.mark.parametrize("length", [125, 126, 65_535, 65_536])
def test_the_bounds_of_a_frames_length(length: int) -> None:
    told = Told("s1", StoredEvent(1, an_event(1)))
    told.__dict__["text"] = b"x" * length
    assert unframed(told.frame) == b"x" * length


# ------------------------------------------------------------------------------------------ reading


async def test_what_is_not_in_memory_is_read_from_the_store() -> None:
    log = Log(events=10)
    feed = await log.feed()
    feed.subscribe()
    assert await offsets(feed, 0) == list(range(1, 11))
    assert await offsets(feed, 7) == [8, 9, 10]
    assert await offsets(feed, 2, limit=3) == [3, 4, 5]
    assert log.reads == 3
    (told,) = await feed.after(9)
    assert (told.event, told.committed_at) == (an_event(10), 0.0)


async def test_what_just_happened_is_read_from_memory() -> None:
    log = Log(events=3)
    feed = await log.feed()
    feed.subscribe()
    await log.happens(feed, 5)
    for after in range(3, 9):
        assert await offsets(feed, after) == list(range(after + 1, 9))
    assert await offsets(feed, 4, limit=2) == [5, 6]
    assert await offsets(feed, 3, limit=0) == []
    assert log.reads == 0
    first, again = await feed.after(3), await feed.after(3)
    assert [a is b for a, b in zip(first, again, strict=True)] == [True] * 5  # encoded once


async def test_there_is_nothing_behind_the_last_event() -> None:
    log = Log(events=3)
    feed = await log.feed()
    for after in (3, 4, 1_000):
        assert await offsets(feed, after) == []
    feed.subscribe()
    await log.happens(feed)
    for after in (4, 5, 1_000):
        assert await offsets(feed, after) == []
    assert log.reads == 0


async def test_a_reader_from_long_ago_goes_from_the_store_into_memory() -> None:
    log = Log(events=10)
    feed = await log.feed()
    feed.subscribe()
    await log.happens(feed, 10)
    read, after = list[int](), 0
    while got := await offsets(feed, after, limit=4):
        read += got
        after = got[-1]
    assert read == list(range(1, 21))
    assert log.reads == 3  # 1-4, 5-8, 9-12; then from memory


async def test_without_a_subscriber_nothing_is_kept() -> None:
    log = Log()
    feed = await log.feed()
    await log.happens(feed, 3)
    assert await offsets(feed, 0) == [1, 2, 3]
    assert log.reads == 1


async def test_what_is_kept_goes_with_the_last_subscriber() -> None:
    log = Log()
    feed = await log.feed()
    feed.subscribe()
    feed.subscribe()
    await log.happens(feed, 3)
    feed.unsubscribe()
    assert await offsets(feed, 0) == [1, 2, 3]
    assert (log.reads, feed.subscribers) == (0, 1)
    feed.unsubscribe()
    assert await offsets(feed, 0) == [1, 2, 3]
    assert (log.reads, feed.subscribers) == (1, 0)
    await log.happens(feed, 2)  # in nobody's sight
    feed.subscribe()
    await log.happens(feed, 1)
    assert await offsets(feed, 2) == [3, 4, 5, 6]
    assert await offsets(feed, 5) == [6]
    assert log.reads == 2


async def test_events_have_a_bound_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "MAX_EVENTS", 4)
    log = Log()
    feed = await log.feed()
    feed.subscribe()
    for top in range(1, 15):
        await log.happens(feed)
        for after in range(top):
            log.reads = 0
            assert await offsets(feed, after) == list(range(after + 1, top + 1))
            assert log.reads == (0 if after >= top - 4 else 1)


async def test_bytes_have_a_bound_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "MAX_BYTES", 10_000)
    log = Log()
    feed = await log.feed()
    feed.subscribe()
    await log.happens(feed, 3, data='"' + "x" * 2_000 + '"')  # 4,504 bytes each, as it counts
    assert (await offsets(feed, 1), log.reads) == ([2, 3], 0)
    assert (await offsets(feed, 0), log.reads) == ([1, 2, 3], 1)
    await log.happens(feed, 1, data='"' + "x" * 9_000 + '"')  # more than all that may be kept
    assert (await offsets(feed, 3), log.reads) == ([4], 2)
    await log.happens(feed, 2)
    assert (await offsets(feed, 4), log.reads) == ([5, 6], 2)
    feed.unsubscribe()
    feed.subscribe()
    await log.happens(feed, 2, data='"' + "x" * 2_000 + '"')
    assert (await offsets(feed, 6), log.reads) == ([7, 8], 2)


async def test_a_store_that_cannot_be_read_costs_the_one_read() -> None:
    log = Log(events=5)
    feed = await log.feed()
    feed.subscribe()
    await log.happens(feed)
    log.store.failure = DISK_FULL
    with pytest.raises(type(DISK_FULL)):
        await feed.after(0)
    assert await offsets(feed, 5) == [6]  # what is in memory can be read
    log.store.failure = None
    assert await offsets(feed, 0) == [1, 2, 3, 4, 5, 6]


async def test_the_store_may_know_more_than_was_told() -> None:
    """A commit is on disk a moment before it is heard of here: that is no event twice, or never."""
    log = Log(events=2)
    feed = await log.feed()
    feed.subscribe()
    event = an_event(3)
    await log.store.record([Record("s1", event)])
    assert await offsets(feed, 0) == [1, 2, 3]
    assert await offsets(feed, 3) == []
    woken: list[int] = []

    async def wait() -> None:
        await feed.news(3)
        woken.append(feed.top)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        feed.add(Told("s1", StoredEvent(3, event)))
        log.top = 3
        await anyio.wait_all_tasks_blocked()
        assert await offsets(feed, 3) == []
        assert await offsets(feed, 2) == [3]
        await log.happens(feed)
    assert woken == [4]


# --------------------------------------------------------------------------------------------- news


async def test_news_wakes_all_who_wait_and_nobody_else() -> None:
    log = Log(events=3)
    feed = await log.feed()
    woken: list[int] = []

    async def wait(offset: int) -> None:
        await feed.news(offset)
        woken.append(offset)

    async with anyio.create_task_group() as tasks:
        for offset in (0, 2, 3, 3, 4, 5):
            tasks.start_soon(wait, offset)
        await anyio.wait_all_tasks_blocked()
        assert sorted(woken) == [0, 2]
        await log.happens(feed)
        await anyio.wait_all_tasks_blocked()
        assert sorted(woken) == [0, 2, 3, 3]
        await log.happens(feed, 2)
    assert sorted(woken) == [0, 2, 3, 3, 4, 5]


@pytest.mark.parametrize("seed", range(10))
async def test_readers_of_every_pace_read_the_whole_log(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MAX_EVENTS", 7)
    chance = random.Random(seed)
    log = Log(events=chance.randrange(20))
    feed = await log.feed()
    last = log.top + 150
    read: dict[int, list[int]] = {}

    async def subscribe(number: int) -> None:
        after = chance.randrange(log.top + 1)
        read[number] = list(range(1, after + 1))
        while after < last:
            feed.subscribe()
            for _ in range(chance.randrange(1, 20)):  # then it goes, and comes back
                await feed.news(after)
                got = await offsets(feed, after, limit=chance.randrange(1, 6))
                read[number] += got
                after = got[-1]
                for _ in range(chance.randrange(4)):
                    await anyio.lowlevel.checkpoint()
                if after == last:
                    break
            feed.unsubscribe()

    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(subscribe, number)
        for _ in range(150):
            await log.happens(feed)
            for _ in range(chance.randrange(5)):
                await anyio.lowlevel.checkpoint()
    assert read == {number: list(range(1, last + 1)) for number in range(6)}
    assert feed.subscribers == 0
