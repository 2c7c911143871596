"""Old history goes, in steps between which edits come first."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from pycrdt import Doc, Text

from persistence.memory import MemoryStore
from persistence.past import MOST_PURGED
from persistence.sqlite import SqliteStore, open_sqlite
from persistence.store import (
    Deletion,
    Edit,
    Event,
    Past,
    Position,
    Record,
    SessionState,
    Snapshot,
    Store,
)
from sync.core.content import content
from sync.core.replay import replay
from sync.core.snapshot import TakenSnapshot
from sync.server import retention
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


def typed(count: int) -> list[bytes]:
    """Return the updates of somebody who types that many letters, one by one."""
    doc: Doc[Any] = Doc(client_id=7)
    doc["text"] = text = Text()
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    for number in range(count):
        text += chr(ord("a") + number % 26)
    return updates


def text_of(past: Past) -> str:
    base = past.base.update if past.base else None
    replayed = replay(base, [entry.edit.update for entry in past.entries])
    assert not replayed.left_out
    return str(content(replayed.document.encode()).get("text", ""))


def whole(document: str, position: int, updates: list[bytes]) -> Snapshot:
    taken = TakenSnapshot.of(replay(None, updates).document)
    return Snapshot(document, Position(position), taken.update, taken.state_vector, time.time())


async def retained(store: Store) -> None:
    """Sweep once."""
    await Retention(store, Keep(HOUR))._sweep(time.time())


@pytest.mark.parametrize(
    ("count", "steps"),
    [(6, {}), (60, {}), (12, {"MOST_ENTRIES": 4}), (7, {"MOST_BYTES": 1})],
    ids=["here", "in a worker", "four at a time", "one at a time"],
)
async def test_what_is_left_of_a_history_is_what_it_was(
    tmp_path: Path, count: int, steps: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in steps.items():
        monkeypatch.setattr(retention, name, most)
    updates = typed(count)
    old, covered = count // 2, count - 1
    for store in (MemoryStore(), await opened(tmp_path)):
        batch = [
            edit("a", 2 * HOUR if number < old else 0)._replace(update=update)
            for number, update in enumerate(updates)
        ]
        await store.append(batch)
        await store.compact(whole("a", covered, updates[:covered]))
        before = [text_of(await store.past("a", position)) for position in range(count + 1)]
        assert len(set(before)) == count + 1
        await retained(store)
        head = await store.head("a")
        assert head is not None
        assert (head.thinned, head.edits) == (old, count - old)
        for position in range(old, count + 1):
            past = await store.past("a", position)
            assert (text_of(past), past.position) == (before[position], position)
        moment = batch[old - 1].received_at
        assert await store.position_at("a", moment) == old
        await store.compact(whole("a", count, updates))
        await retained(store)
        assert text_of(await store.past("a", old)) == before[old]
        await store.close()


async def test_a_long_history_is_not_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_ENTRIES", 4)
    store, updates = Reading(), typed(12)
    await store.append([edit("a", 2 * HOUR)._replace(update=update) for update in updates])
    await store.compact(whole("a", 12, updates))
    await retained(store)
    assert await edits_left(store) == {"a": 0}
    assert store.read == [4, 4]


class Reading(MemoryStore):
    """It notes how many entries of pasts were read at once."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    async def past(self, document: str, position: int | None = None) -> Past:
        past = await super().past(document, position)
        self.read.append(len(past.entries))
        return past


async def opened(folder: Path) -> SqliteStore:
    store = SqliteStore(folder / "drafts.db", "full")
    await store.open()
    return store


async def test_a_later_sweep_begins_with_the_base_of_the_one_before(tmp_path: Path) -> None:
    updates = typed(6)
    for store in (MemoryStore(), await opened(tmp_path)):
        now = time.time()
        await store.append(
            [
                edit("a", 0)._replace(update=each, received_at=now + n)
                for n, each in enumerate(updates)
            ]
        )
        await store.compact(whole("a", 5, updates[:5]))
        for old in (2, 4):
            await Retention(store, Keep(HOUR))._sweep(now + HOUR + old - 0.5)
            past = await store.past("a", 6)
            assert past.base is not None
            assert (past.base.position, past.base.taken_at) == (old, round(now + old - 1, 3))
            assert text_of(past) == "abcdef"
            assert text_of(await store.past("a", old)) == "abcdef"[:old]
        await Retention(store, Keep(HOUR))._sweep(now + 2 * HOUR)
        past = await store.past("a")
        assert past.base is not None
        assert past.base.position == 5
        assert text_of(past) == "abcdef"
        await store.close()


@pytest.mark.parametrize("covered", [2, 4])  # what goes ends with the snapshot, or before
async def test_a_snapshot_written_meanwhile_does_not_take_history_along(covered: int) -> None:
    """Between finding where history is to begin, and removing what is before."""
    updates = typed(6)

    class Busy(MemoryStore):
        async def thin(self, document: str, before: float, *, until: int | None = None) -> int:
            await self.compact(whole("a", 6, updates))
            return await super().thin(document, before, until=until)

    store = Busy()
    ages = [2 * HOUR] * 2 + [0.0] * 4
    await store.append(
        [edit("a", age)._replace(update=each) for age, each in zip(ages, updates, strict=True)]
    )
    await store.compact(whole("a", covered, updates[:covered]))
    await retained(store)
    for position in range(2, 7):
        assert text_of(await store.past("a", position)) == "abcdef"[:position]


async def test_a_history_whose_beginning_cannot_be_made_is_kept(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, updates = MemoryStore(), typed(4)
    ages = (3 * HOUR, 2 * HOUR, 0, 0)
    await store.append(
        [edit("some", age)._replace(update=each) for age, each in zip(ages, updates, strict=True)]
    )
    await store.compact(whole("some", 4, updates))
    monkeypatch.setattr(TakenSnapshot, "verify", lambda _: False)
    await retained(store)
    assert await edits_left(store) == {"some": 4}
    assert "history is kept for now" in caplog.text


async def test_a_purge_that_was_interrupted_is_finished() -> None:
    store = MemoryStore()
    await fill(store, "a", [0.0] * (MOST_PURGED + 1), covered=0)
    await fill(store, "b", [0.0], covered=0)
    for name in "ab":
        await store.delete(Deletion(name, "root", time.time()))
    await store.purge("a")
    await retained(store)
    assert await store.purge("a") == 0
    assert len((await store.load("b")).entries) == 1


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
    assert (await anyio.Path(path).stat()).st_size < 130_000
