"""Old history goes, in steps between which edits come first."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from persistence.memory import MemoryStore
from persistence.sqlite import open_sqlite
from persistence.store import Edit, Event, Position, Record, SessionState, Snapshot, Store
from sync.server.retention import Keep, Retention
from tests.server.parts import DISK_FULL, TroubledStore, eventually

HOUR = 3_600.0


def edit(document: str, age: float) -> Edit:
    return Edit(document, b"update", "alice", (), time.time() - age)


async def fill(store: Store, document: str, ages: list[float], covered: int) -> None:
    """Append edits of these ages, and a snapshot of the first ``covered`` of them."""
    first = await store.append([edit(document, age) for age in ages])
    if covered:
        position = Position(first + covered - 1)
        await store.compact(Snapshot(document, position, b"all", b"vector", time.time()))


@asynccontextmanager
async def sweeping(store: Store, keep_seconds: float | None) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Retention(store, Keep(keep_seconds), interval=0.005).run)
        yield
        tasks.cancel_scope.cancel()


async def edits_left(store: Store) -> dict[str, int]:
    return {head.document: head.edits for head in await store.heads()}


async def until_left(store: Store, expected: dict[str, int]) -> None:
    with anyio.fail_after(5):
        while await edits_left(store) != expected:  # noqa: ASYNC110 - nobody announces it
            await anyio.sleep(0.001)


async def test_what_is_old_and_in_a_snapshot_goes() -> None:
    store = MemoryStore()
    await fill(store, "old", [2 * HOUR] * 5, covered=4)
    await fill(store, "new", [HOUR / 2] * 5, covered=5)
    await fill(store, "some", [3 * HOUR, 2 * HOUR, 0, 0], covered=4)
    await fill(store, "bare", [2 * HOUR] * 5, covered=0)
    async with sweeping(store, HOUR):
        await until_left(store, {"bare": 5, "new": 5, "old": 1, "some": 2})


async def test_it_sweeps_again() -> None:
    store = MemoryStore()
    async with sweeping(store, 0.0):
        for number in range(3):
            await fill(store, f"drafts/{number}", [1.0] * 3, covered=3)
            await until_left(store, {f"drafts/{n}": 0 for n in range(number + 1)})


async def test_everything_is_kept_by_default() -> None:
    with anyio.fail_after(1):
        await Retention(MemoryStore(), Keep()).run()


async def test_a_failing_disk_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    store = TroubledStore()
    await fill(store, "drafts/1", [1.0] * 3, covered=3)
    store.failure = DISK_FULL
    async with sweeping(store, 0.0):
        await eventually(lambda: caplog.text.count("history is kept for now") > 1)
        assert {getattr(record, "error", "") for record in caplog.records} == {"the disk is full"}
        store.failure = None
        await until_left(store, {"drafts/1": 0})


async def test_a_bug_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    await fill(store, "drafts/1", [1.0], covered=1)
    async with sweeping(store, math.nan):
        await eventually(lambda: caplog.text.count("not a time") > 1)


async def test_old_events_go_but_the_last_one() -> None:
    store, now = MemoryStore(), time.time()
    for session, ages in {"old": [3.0, 2.0, 2.0], "some": [2.0, 0.0, 0.0]}.items():
        for number, age in enumerate(ages):
            event = Event(f"e{number}", "note", "alice", now - age * HOUR, "{}")
            change = SessionState("epoch", "running", "{}") if not number else None
            await store.record([Record(session, event, change)])
    told: Counter[str] = Counter()

    def truncated(session: str, events: int) -> None:
        told[session] += events

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Retention(store, Keep(events=HOUR), truncated, interval=0.005).run)
        await eventually(lambda: told == {"old": 2, "some": 1})
        tasks.cancel_scope.cancel()
    assert [each.offset for each in await store.events("old", after=2)] == [3]
    assert [each.offset for each in await store.events("some", after=1)] == [2, 3]


async def test_the_file_shrinks_while_edits_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "drafts.db"
    async with open_sqlite(path) as store:
        for _ in range(5):
            await fill(store, "drafts/1", [1.0] * 4_000, covered=4_000)
        async with sweeping(store, 0.0):
            for number in range(50):
                assert await store.append([edit("drafts/2", 0.0)]) == 20_001 + number
            await eventually(lambda: "old history was removed" in caplog.text)
        assert await edits_left(store) == {"drafts/1": 0, "drafts/2": 50}
    assert (await anyio.Path(path).stat()).st_size < 100_000
