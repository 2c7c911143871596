"""Faults 5 and 9: statements that fail, processes that die at a statement, locks, full disks."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from persistence.sqlite.reading import FileReader
from persistence.sqlite.writing import FileWriter
from persistence.store import NOWHERE, StoredDocument, StoreUnavailable
from tests.stores.children import CRASHED, act_on, child, die_at, fill_the_disk, prepare
from tests.stores.faults import NEVER, Faults
from tests.stores.support import edit, edits, entries, snapshot

DOCUMENTS = ("drafts/1", "drafts/2")
BATCH = (*edits(3), *edits(2, "drafts/2"))


def io_error() -> None:
    raise sqlite3.OperationalError("disk I/O error")


@contextmanager
def opened(database: Path, faults: Faults | None = None) -> Iterator[FileWriter]:
    writer = FileWriter(database, connect=faults.connect if faults else None)
    writer.open()
    try:
        yield writer
    finally:
        writer.close()


def load_all(database: Path) -> list[StoredDocument]:
    with closing(FileReader(database)) as reader:
        return [reader.load(name) for name in DOCUMENTS]


def fill(database: Path, act: str = "append") -> Path:
    """Write positions 1 to 5, and a snapshot of drafts/1 at 2; make pages free to reclaim."""
    with opened(database) as writer:
        writer.append(BATCH)
        writer.compact(snapshot(2))
        if act == "reclaim":
            writer.compact(snapshot(3, update=bytes(100_000)))
            writer.append(edits(1))
            writer.compact(snapshot(6))
    return database


def copied(database: Path, name: str) -> Path:
    """A database that was closed, under another name: to copy one is faster than to make one."""
    return Path(shutil.copy(database, database.with_name(f"{name}.db")))


def statements(database: Path, act: str) -> int:
    faults = Faults(io_error)
    with opened(database, faults) as writer:
        prepare(writer, act)
        faults.arm(NEVER)
        act_on(writer, act)
        return faults.count


# Fault 5


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_whichever_statement_of_an_append_fails_the_repeated_batch_commits_once(
    tmp_path: Path, late: bool
) -> None:
    first = fill(tmp_path / "first.db")
    total = statements(copied(first, "count"), "append")
    assert total >= 5
    for k in range(1, total + 1):
        database = copied(first, str(k))
        before = load_all(database)
        faults = Faults(io_error, late=late)
        with opened(database, faults) as writer:
            faults.arm(k)
            with pytest.raises(StoreUnavailable, match="disk I/O error"):
                writer.append(BATCH)
            committed = late and k == total
            assert (load_all(database) == before) is not committed
            assert writer.append(BATCH) == 6
            assert writer.append(edits(1)) == 11, "the store goes on"
        assert load_all(database)[1].entries == (
            *entries(4, BATCH[3:]),
            *entries(9, BATCH[3:]),
        )


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_whichever_statement_of_a_compaction_fails_it_can_be_repeated(
    tmp_path: Path, late: bool
) -> None:
    first = fill(tmp_path / "first.db")
    total = statements(copied(first, "count"), "compact")
    assert total >= 6
    for k in range(1, total + 1):
        database = copied(first, str(k))
        faults = Faults(io_error, late=late)
        with opened(database, faults) as writer:
            faults.arm(k)
            with pytest.raises(StoreUnavailable):
                writer.compact(snapshot(3, update=b"new"))
            committed = late and k == total
            assert load_all(database)[0].snapshot == (
                snapshot(3, update=b"new") if committed else snapshot(2)
            )
            writer.compact(snapshot(3, update=b"new"))
        assert load_all(database)[0].snapshot == snapshot(3, update=b"new")


def test_reopening_the_connection_may_fail_too(database: Path) -> None:
    faults = Faults(io_error)
    with opened(database, faults) as writer:
        writer.append(BATCH)
        for k in range(1, 40):
            faults.arm(1)
            with pytest.raises(StoreUnavailable):
                writer.append(BATCH)
            faults.arm(k)
            try:
                first = writer.append(BATCH)
            except StoreUnavailable:
                first = writer.append(BATCH)
            assert first == 5 * k + 1
        assert faults.count < 39, "every statement has had its turn"


def test_opening_fails_at_any_statement_and_leaves_no_lock(database: Path) -> None:
    for k in range(1, NEVER):
        faults = Faults(io_error)
        faults.arm(k)
        writer = FileWriter(database, connect=faults.connect)
        try:
            writer.open()
        except StoreUnavailable:
            writer.close()
            continue
        assert writer.append(edits(1)) == 1
        writer.close()
        break
    assert k > 10


def test_a_batch_in_doubt_has_to_come_first(database: Path) -> None:
    faults = Faults(io_error, late=True)
    with opened(database, faults) as writer:
        faults.arm(statements(database.with_name("count.db"), "append"))
        with pytest.raises(StoreUnavailable):
            writer.append(BATCH)
        with pytest.raises(ValueError, match="repeated first"):
            writer.append(edits(1))
        assert writer.append(BATCH) == 1
        assert writer.append(BATCH) == 6, "it was recognised once"


def test_a_lock_of_another_connection_is_reported_and_got_over(database: Path) -> None:
    faults = Faults(io_error)  # for its short timeout
    with opened(database, faults) as writer, closing(_raw(database)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="locked by another process"):
                writer.append(BATCH)
            with pytest.raises(StoreUnavailable, match="locked by another process"):
                writer.compact(snapshot(1))
        raw.execute("ROLLBACK")
        assert writer.append(BATCH) == 1


def _raw(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(database, isolation_level=None)


def test_a_full_database_is_reported_and_got_over(database: Path) -> None:
    connections: list[sqlite3.Connection] = []

    def connect(path: Path) -> sqlite3.Connection:
        connections.append(_raw(path))
        return connections[-1]

    writer = FileWriter(database, connect=connect)
    writer.open()
    big = tuple(edit(update=bytes(100_000)) for _ in range(5))
    connections[-1].execute("PRAGMA max_page_count = 40")
    with pytest.raises(StoreUnavailable, match="disk is full"):
        writer.append(big)
    assert load_all(database)[0].head == 0
    connections[-1].execute("PRAGMA max_page_count = 100000")
    assert writer.append(big) == 1
    assert len(connections) == 1, "a full disk does not cost the connection"
    writer.close()


@pytest.mark.parametrize("limit", [120_000, 131_072, 400_000])
def test_a_disk_that_takes_no_more_bytes(database: Path, limit: int) -> None:
    with child(fill_the_disk, database, limit) as one:
        said = list(one.lines())
    positions = [number for number in said if number > 0]
    assert said.count(-1) == 3
    assert positions == [*range(1, 100 * len(positions), 100)], "every batch committed once"
    assert load_all(database)[0].entries == entries(1, edits(100 * len(positions)))


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("act", ["thin", "reclaim", "tidy", "checkpoint"])
def test_whichever_statement_of_the_upkeep_fails_nothing_is_lost(
    tmp_path: Path, act: str, late: bool
) -> None:
    first = fill(tmp_path / "first.db", act)
    total = statements(copied(first, "count"), act)
    assert total >= 2
    for k in range(1, total + 1):
        database = copied(first, str(k))
        faults = Faults(io_error, late=late)
        with opened(database, faults) as writer:
            prepare(writer, act)
            before = load_all(database)
            faults.arm(k)
            with suppress(StoreUnavailable):  # what is done behind the edits tells nobody
                act_on(writer, act)
            assert current(load_all(database)) == current(before)
            act_on(writer, act)
            assert current(load_all(database)) == current(before)
            assert writer.append(edits(1)) == max(one.head for one in before) + 1
        assert load_all(database)[0].damaged == ()


def current(stored: list[StoredDocument]) -> list[StoredDocument]:
    """What was stored, however far its history was thinned."""
    return [replace(one, thinned=NOWHERE) for one in stored]


@pytest.mark.parametrize("act", ["append new", "append many"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_whichever_statement_of_a_long_or_new_batch_fails_it_commits_once(
    tmp_path: Path, act: str, late: bool
) -> None:
    batch = (*edits(2, "new"), edit("new", author="new"))
    if act == "append many":
        batch = edits(3_000)
    first = fill(tmp_path / "first.db")
    total = statements(copied(first, "count"), act)
    for k in range(1, total + 1):
        database = copied(first, str(k))
        faults = Faults(io_error, late=late)
        with opened(database, faults) as writer:
            faults.arm(k)
            with pytest.raises(StoreUnavailable):
                writer.append(batch)
            assert writer.append(batch) == 6
        with closing(FileReader(database)) as reader:
            assert sum(head.edits for head in reader.heads("")) == 5 + len(batch)
            assert [reader.load(name).damaged for name in (*DOCUMENTS, "new")] == [(), (), ()]


# Fault 9


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("act", ["append", "compact", "thin", "reclaim", "tidy", "checkpoint"])
def test_a_crash_at_any_statement_leaves_old_or_new(tmp_path: Path, act: str, late: bool) -> None:
    first = fill(tmp_path / "first.db", act)
    total = statements(copied(first, "count"), act)
    old = _prepared(copied(first, "twin"), act)
    for k in range(1, total + 1):
        database = copied(first, str(k))
        with child(die_at, database, k, act, late) as one:
            assert list(one.lines()) == []
            one.process.join()
            assert one.process.exitcode == CRASHED
        after = load_all(database)
        if act in ("append", "compact"):
            assert (after != old) is (late and k == total)
        else:
            assert current(after) == current(old)
        head = max(one.head for one in after)
        assert _after(database, act) == head + 1
        assert [one.damaged for one in load_all(database)] == [(), ()]


def _prepared(database: Path, act: str) -> list[StoredDocument]:
    with opened(database) as writer:
        prepare(writer, act)
        return load_all(database)


def _after(database: Path, act: str) -> int:
    """Do again what was interrupted, as after a restart; return the next position."""
    with opened(database) as writer:
        if act != "append":
            act_on(writer, act)
        return writer.append(BATCH)
