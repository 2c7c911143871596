"""The one way of events to disk: order, group commit, a store that cannot, and one that refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from persistence.store import Event, Record, SessionState, StoreError
from sync.server import event_journal as journal_module
from sync.server.event_journal import EventJournal
from tests.server.parts import DISK_FULL, TroubledStore, eventually

CREATION = SessionState("epoch", "created", "{}")
BAD = "\ud800"  # cannot be written as UTF-8


class CountingStore(TroubledStore):
    """Notes the ids of every batch that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []

    async def record(self, batch: Sequence[Record]) -> list[int]:
        self.batches.append([each.event.id for each in batch])
        return await super().record(batch)


@asynccontextmanager
async def running(store: TroubledStore) -> AsyncIterator[EventJournal]:
    async with anyio.create_task_group() as tasks:
        journal = EventJournal(store)
        tasks.start_soon(journal.run)
        yield journal
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def with_session(store: TroubledStore) -> AsyncIterator[EventJournal]:
    """A journal on a store that has the session s1 with one event."""
    async with running(store) as journal:
        await journal.submit(a_record("creation", change=CREATION), ignore)
        yield journal


def a_record(
    event_id: str, session: str = "s1", change: SessionState | None = None, data: str = "{}"
) -> Record:
    return Record(session, Event(event_id, "note", "alice", 1.0, data), change)


def ignore(_offset: int) -> None:
    pass


def noted(heard: list[tuple[str, int]], event_id: str) -> Callable[[int], None]:
    def note(offset: int) -> None:
        heard.append((event_id, offset))

    return note


@pytest.fixture
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_RETRY_SECONDS", (0.001,))


async def test_who_submits_has_the_offset_when_the_event_is_on_disk() -> None:
    store, heard = TroubledStore(), list[tuple[str, int]]()
    async with running(store) as journal:
        store.hold()
        offset = journal.submit(a_record("a", change=CREATION), noted(heard, "a"))
        await anyio.wait_all_tasks_blocked()
        assert (offset.done(), heard, journal.depth) == (False, [], 1)
        store.release()
        assert (await offset, heard, journal.depth) == (1, [("a", 1)], 0)


async def test_what_gathers_during_a_commit_is_the_next_commit() -> None:
    store, heard = CountingStore(), list[tuple[str, int]]()
    async with with_session(store) as journal:
        store.hold()
        journal.submit(a_record("first"), ignore)
        await anyio.wait_all_tasks_blocked()
        ids = [str(n) for n in range(100)]
        offsets = [journal.submit(a_record(each), noted(heard, each)) for each in ids]
        store.release()
        await journal.settle()
        assert [await each for each in offsets] == list(range(3, 103))
    assert store.batches == [["creation"], ["first"], ids]
    assert heard == list(zip(ids, range(3, 103), strict=True))


async def test_who_publishes_alone_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "APART_SECONDS", 3_600.0)
    async with with_session(TroubledStore()) as journal:
        for number in range(20):
            with anyio.fail_after(5):
                assert await journal.submit(a_record(str(number)), ignore) == number + 2


async def test_a_crowd_shares_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "APART_SECONDS", 0.05)
    store = CountingStore()

    async def publish(who: str) -> None:
        for number in range(4):
            await journal.submit(a_record(f"{who}-{number}"), ignore)

    async with with_session(store) as journal, anyio.create_task_group() as tasks:
        for who in "abcde":
            tasks.start_soon(publish, who)
    assert [len(batch) for batch in store.batches] == [1, 5, 5, 5, 5]


async def test_a_batch_has_a_bound_and_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_BATCH", 10)
    store = CountingStore()
    async with with_session(store) as journal:
        for number in range(25):
            journal.submit(a_record(str(number)), ignore)
        await journal.settle()
    assert [len(batch) for batch in store.batches] == [1, 10, 10, 5]
    stored = await store.events("s1")
    assert [each.event.id for each in stored] == ["creation", *map(str, range(25))]


async def test_a_repeat_has_the_offset_of_the_first() -> None:
    heard: list[tuple[str, int]] = []
    async with with_session(TroubledStore()) as journal:
        together = [journal.submit(a_record("a"), noted(heard, "a")) for _ in range(3)]
        assert [await each for each in together] == [2, 2, 2]
        assert await journal.submit(a_record("a"), noted(heard, "a")) == 2
        assert await journal.submit(a_record("b"), noted(heard, "b")) == 3
    assert heard == [("a", 2)] * 4 + [("b", 3)]


# ------------------------------------------------------------------------ a store that has troubles


@pytest.mark.usefixtures("fast_retries")
async def test_nothing_is_announced_while_the_disk_fails(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    store, heard = CountingStore(), list[tuple[str, int]]()
    async with with_session(store) as journal:
        store.failure = DISK_FULL
        first = journal.submit(a_record("a"), noted(heard, "a"))
        await eventually(lambda: len(store.batches) > 4)
        second = journal.submit(a_record("b"), noted(heard, "b"))
        assert (journal.failing, journal.depth, heard) == ("the disk is full", 2, [])
        store.failure = None
        assert (await first, await second) == (2, 3)
        assert (journal.failing, journal.depth) == (None, 0)
    assert heard == [("a", 2), ("b", 3)]
    assert caplog.text.count("events cannot be saved") == 1
    assert caplog.text.count("events are being saved again") == 1


@pytest.mark.usefixtures("fast_retries")
async def test_a_commit_that_failed_after_it_succeeded_is_no_second_event() -> None:
    """The store's word: a call that raised may have committed, and knows the batch again."""

    class Forgetful(CountingStore):
        async def record(self, batch: Sequence[Record]) -> list[int]:
            offsets = await super().record(batch)
            if len(self.batches) == 2:
                raise DISK_FULL
            return offsets

    store = Forgetful()
    async with with_session(store) as journal:
        assert await journal.submit(a_record("a"), ignore) == 2
    assert [each.event.id for each in await store.events("s1")] == ["creation", "a"]
    assert store.batches == [["creation"], ["a"], ["a"]]


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_record_that_is_refused_does_not_take_its_neighbours_down(place: int) -> None:
    heard: list[tuple[str, int]] = []
    ids = ["a", "b"]
    ids.insert(place, "bad")
    async with with_session(TroubledStore()) as journal:
        offsets = {
            each: journal.submit(
                a_record(each, data=BAD if each == "bad" else "{}"), noted(heard, each)
            )
            for each in ids
        }
        with pytest.raises(ValueError, match="surrogates"):
            await offsets["bad"]
        assert (await offsets["a"], await offsets["b"]) == (2, 3)
        assert await journal.submit(a_record("c"), noted(heard, "c")) == 4
        assert (journal.depth, journal.failing) == (0, None)
    assert heard == [("a", 2), ("b", 3), ("c", 4)]


@pytest.mark.usefixtures("fast_retries")
async def test_a_record_that_is_refused_when_the_disk_is_back_leaves_nothing_failing() -> None:
    store = TroubledStore()
    async with with_session(store) as journal:
        store.failure = DISK_FULL
        offset = journal.submit(a_record("bad", data=BAD), ignore)
        await eventually(lambda: journal.failing is not None)
        store.failure = None
        with pytest.raises(ValueError, match="surrogates"):
            await offset
        assert journal.failing is None


async def test_a_store_that_is_broken_tells_everybody(caplog: pytest.LogCaptureFixture) -> None:
    store = TroubledStore()
    async with with_session(store) as journal:
        store.failure = StoreError("the file is gone")
        offsets = [journal.submit(a_record(each), ignore) for each in "ab"]
        for offset in offsets:
            with pytest.raises(StoreError, match="the file is gone"):
                await offset
        await journal.settle()
        store.failure = None
        assert await journal.submit(a_record("c"), ignore) == 2
    assert caplog.text.count("an event was refused by the store") == 2


async def test_whoever_gives_up_waiting_stops_nothing() -> None:
    store, heard = TroubledStore(), list[tuple[str, int]]()
    async with with_session(store) as journal:
        store.hold()
        offsets = [journal.submit(a_record(each), noted(heard, each)) for each in "abc"]
        offsets.append(journal.submit(a_record("bad", data=BAD), noted(heard, "bad")))
        offsets[1].cancel()
        offsets[3].cancel()
        store.release()
        assert (await offsets[0], await offsets[2]) == (2, 3 + 1)
        await journal.settle()
    assert heard == [("a", 2), ("b", 3), ("c", 4)]


async def test_an_error_that_nobody_waits_for_is_no_complaint() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: complaints.append(told))
    async with with_session(TroubledStore()) as journal:
        journal.submit(a_record("bad", data=BAD), ignore)
        await journal.settle()
        await anyio.wait_all_tasks_blocked()
    assert not complaints


# ------------------------------------------------------------------------------------------ waiting


async def test_everybody_who_waits_for_all_of_it_is_told() -> None:
    store, settled = TroubledStore(), list[int]()

    async def settle(number: int) -> None:
        await journal.settle()
        settled.append(number)

    async with with_session(store) as journal, anyio.create_task_group() as tasks:
        store.hold()
        journal.submit(a_record("a"), ignore)
        for number in range(3):
            tasks.start_soon(settle, number)
            await anyio.wait_all_tasks_blocked()
        journal.submit(a_record("b"), ignore)
        assert settled == []
        store.release()
    assert sorted(settled) == [0, 1, 2]
    assert [each.event.id for each in await store.events("s1")] == ["creation", "a", "b"]


async def test_a_journal_with_nothing_to_do_is_settled() -> None:
    async with running(TroubledStore()) as journal:
        with anyio.fail_after(1):
            await journal.settle()
            await journal.room()


async def test_a_journal_that_is_full_makes_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "FULL_BYTES", 10_000)
    store, entered = TroubledStore(), list[str]()

    async def enter() -> None:
        await journal.room()
        entered.append("one")

    async with with_session(store) as journal, anyio.create_task_group() as tasks:
        store.hold()
        journal.submit(a_record("a", data=" " * 9_000), ignore)
        assert not journal.full
        journal.submit(a_record("b", change=CREATION._replace(body=" " * 1_000)), ignore)
        assert journal.full
        tasks.start_soon(enter)
        await anyio.wait_all_tasks_blocked()
        assert entered == []
        store.release()
        await journal.settle()
        assert not journal.full
    assert entered == ["one"]
