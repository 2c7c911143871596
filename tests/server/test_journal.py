"""The one writer: order, group commit, and a store that cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from persistence.memory import MemoryStore
from persistence.store import Edit, Position
from sync.server import journal as journal_module
from sync.server.journal import CROWD_SECONDS, FULL_BYTES, MANY_DOCUMENTS, Journal
from tests.server.parts import DISK_FULL, TroubledStore, an_edit, eventually
from tests.support.client import PATIENCE


@asynccontextmanager
async def running(store: TroubledStore) -> AsyncIterator[Journal]:
    async with anyio.create_task_group() as tasks:
        journal = Journal(store)
        tasks.start_soon(journal.run)
        yield journal
        tasks.cancel_scope.cancel()


def noted(heard: list[int]) -> Callable[[Position], None]:
    """A callback that notes the positions it is told."""

    def note(position: Position) -> None:
        heard.append(position)

    return note


@pytest.fixture
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_RETRY_SECONDS", (0.001,))


async def test_submissions_are_told_the_position_of_their_last_edit() -> None:
    heard: list[int] = []
    async with running(TroubledStore()) as journal:
        for size in (1, 3, 2):
            journal.submit([an_edit()] * size, noted(heard))
        await journal.settle()
    assert heard == [1, 4, 6]


async def test_progress_comes_after_what_a_commit_left_for_later_in_its_turn() -> None:
    """Whoever begins to wait in between hears of it, though nothing else is ever committed."""
    loop, heard, waited = asyncio.get_running_loop(), list[int](), anyio.Event()
    async with running(TroubledStore()) as journal, anyio.create_task_group() as tasks:

        async def wait() -> None:
            while not heard:
                await journal.progress()
            waited.set()

        def committed(position: Position) -> None:
            tasks.start_soon(wait)
            loop.call_soon(heard.append, position)  # as the hub tells its rooms

        journal.submit([an_edit()], committed)
        with anyio.fail_after(PATIENCE):
            await waited.wait()


async def test_what_gathers_during_a_commit_is_the_next_commit() -> None:
    store, heard = TroubledStore(), list[int]()
    async with running(store) as journal:
        store.hold()
        journal.submit([an_edit()], noted(heard))
        await anyio.wait_all_tasks_blocked()
        for _ in range(1_000):
            journal.submit([an_edit()], noted(heard))
        store.release()
        await journal.settle()
    assert store.appends == 2
    assert heard == list(range(1, 1_002))


async def test_a_batch_has_a_bound_and_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_BATCH", 10)
    store, heard = TroubledStore(), list[int]()
    async with running(store) as journal:
        for _ in range(9):
            journal.submit([an_edit()] * 4, noted(heard))
        journal.submit([an_edit()] * 25, noted(heard))  # more than a batch, and still whole
        await journal.settle()
    assert heard == [*range(4, 37, 4), 61]
    assert store.appends == 6  # 8, 8, 8, 8, 4 and 25


@pytest.mark.usefixtures("fast_retries")
@pytest.mark.parametrize("failure", [DISK_FULL, ValueError("a bug in the store")])
async def test_nothing_is_announced_while_the_store_fails(failure: Exception) -> None:
    store, heard = TroubledStore(), list[int]()
    store.failure = failure
    async with running(store) as journal:
        journal.submit([an_edit()], noted(heard))
        await eventually(lambda: store.appends >= 20)
        assert (heard, journal.settled, journal.failing) == ([], False, str(failure))
        assert journal.unsaved_bytes > 0
        store.failure = None
        await journal.settle()
        assert (heard, journal.failing, journal.unsaved_bytes) == ([1], None, 0)


async def test_it_tries_again_soon_at_first_and_every_second_at_last() -> None:
    """Recovery within 5 s of the disk's own is the promise; the longest pause is a second."""
    pauses = journal_module._RETRY_SECONDS
    assert list(pauses) == sorted(pauses)
    assert pauses[-1] <= 1.0


async def test_failing_says_so_even_where_the_error_says_nothing() -> None:
    store = TroubledStore()
    store.failure = ValueError()
    async with running(store) as journal:
        journal.submit([an_edit()], noted([]))
        while journal.failing is None:
            await anyio.lowlevel.checkpoint()
        assert journal.failing == "ValueError"


async def test_full_is_a_matter_of_bytes() -> None:
    store = TroubledStore()
    big = Edit("drafts/1", bytes(FULL_BYTES), "alice", (), 1.0)
    async with running(store) as journal:
        store.hold()
        journal.submit([big], noted([]))
        assert not journal.full
        journal.submit([an_edit()], noted([]))
        assert journal.full
        store.release()
        await journal.progress()
        assert not journal.full


async def test_all_waiters_hear_of_one_commit() -> None:
    store, woken = TroubledStore(), list[int]()
    async with anyio.create_task_group() as tasks, running(store) as journal:

        async def wait(number: int) -> None:
            await journal.settle()
            woken.append(number)

        store.hold()
        journal.submit([an_edit()], noted([]))
        for number in range(100):
            tasks.start_soon(wait, number)
        await anyio.wait_all_tasks_blocked()
        assert woken == []
        store.release()
        await journal.settle()
    assert sorted(woken) == list(range(100))


async def test_a_settled_journal_does_not_wait() -> None:
    journal = Journal(MemoryStore())
    with anyio.fail_after(1):
        await journal.settle()


async def test_in_a_crowd_commits_keep_their_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sync to disk serves what many rooms send within some milliseconds."""
    monkeypatch.setattr(journal_module, "APART_SECONDS", CROWD_SECONDS + 0.2)
    store, now = TroubledStore(), 1_000.0
    async with running(store) as journal:
        monkeypatch.setattr(journal, "_now", lambda: now)
        for number in range(MANY_DOCUMENTS):
            journal.submit([an_edit(f"drafts/{number}")], noted([]))
            await journal.settle()
        assert store.appends == MANY_DOCUMENTS
        now += CROWD_SECONDS
        for number in range(10):
            journal.submit([an_edit(f"drafts/{number}")], noted([]))
            for _ in range(5):  # as many turns as a commit takes
                await anyio.lowlevel.checkpoint()
        await journal.settle()
    assert store.appends == MANY_DOCUMENTS + 1


async def test_who_edits_alone_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "APART_SECONDS", 3_600)
    async with running(TroubledStore()) as journal:
        for _ in range(50):
            journal.submit([an_edit()], noted([]))
            await journal.settle()
