"""Faults 5 and 9 for sessions: statements that fail, processes that die at a statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from persistence.sqlite.reading import FileReader
from persistence.sqlite.writing import FileWriter
from persistence.store import (
    Acknowledgement,
    DeadLetter,
    Record,
    StoredEvent,
    StoredSession,
    StoreUnavailable,
)
from tests.stores.children import CRASHED, NEXT, act_on, child, die_at
from tests.stores.faults import NEVER, Faults
from tests.stores.support import LATER, edits, record, records, stored
from tests.stores.test_sqlite_faults import io_error, opened, statements

ACTS = ["record", "acknowledge", "truncate", "enlist", "advance", "forgive"]
SESSIONS = ("s-1", "s-2", "s-3")
OFFSETS = [4, 2, 5, 1, 2, 3, 4]  # of NEXT

Everything = tuple[
    list[StoredSession], list[list[StoredEvent]], list[tuple[str, int, int]], list[DeadLetter]
]


def fill(database: Path) -> None:
    """Write 3 events of s-1 and 2 of s-2, and what a consumer made of them."""
    with opened(database) as writer:
        writer.enlist("hook")
        writer.record((*records(3), *records(2, "s-2")))
        writer.acknowledge((Acknowledgement("s-1", "bob", 1),))
        writer.advance("hook", "s-2", 2, DeadLetter("hook", "s-2", 1, "404 Not Found", LATER))


def read_all(database: Path) -> Everything:
    with closing(FileReader(database)) as reader:
        return (
            reader.sessions(None, 0, 100),
            [reader.events(name, 0, 1_000, None) for name in SESSIONS],
            reader.behind("hook", 100),
            reader.dead_letters(None),
        )


def done(database: Path, act: str) -> Everything:
    """Return what is there when something was done without a fault."""
    fill(database)
    with opened(database) as writer:
        act_on(writer, act)
    return read_all(database)


def after(act: str) -> list[int]:
    """The offsets of NEXT. What was truncated is not known any more: it is no repeat."""
    return [4, 5, 6, 1, 2, 3, 4] if act == "truncate" else OFFSETS


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("act", ACTS)
def test_whichever_statement_fails_all_is_done_or_nothing_and_can_be_repeated(
    tmp_path: Path, act: str, late: bool
) -> None:
    fill(tmp_path / "count.db")
    total = statements(tmp_path / "count.db", act)
    assert total >= 3
    new = done(tmp_path / "new.db", act)
    for k in range(1, total + 1):
        database = tmp_path / f"{k}.db"
        fill(database)
        old = read_all(database)
        faults = Faults(io_error, late=late)
        with opened(database, faults) as writer:
            faults.arm(k)
            with pytest.raises(StoreUnavailable, match="disk I/O error"):
                act_on(writer, act)
            assert read_all(database) == (new if late and k == total else old)
            act_on(writer, act)
            assert read_all(database) == new
            assert writer.record(NEXT) == after(act)
            assert writer.append(edits(1)) == 1


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_what_raised_and_comes_again_in_another_batch_is_stored_once(
    tmp_path: Path, late: bool
) -> None:
    fill(tmp_path / "count.db")
    total = statements(tmp_path / "count.db", "record")
    for k in range(1, total + 1):
        database = tmp_path / f"{k}.db"
        fill(database)
        faults = Faults(io_error, late=late)
        with opened(database, faults) as writer:
            faults.arm(k)
            with pytest.raises(StoreUnavailable):
                writer.record(NEXT)
            committed = late and k == total
            others = record("other")
            first = writer.record((others, *NEXT))[0]
            assert first == (6 if committed else 4)
            tail = [4, 2, 5, 1, 2, 3, 4] if committed else [5, 2, 6, 1, 2, 3, 5]
            assert writer.record(NEXT) == tail
        [one, two, three] = read_all(database)[1]
        assert sorted(e.event.id for e in one) == ["1", "2", "3", "4", "5", "other"]
        assert [[e.event.id for e in log] for log in (two, three)] == [["1", "2", "3"], ["1", "2"]]


def test_reopening_the_connection_may_fail_too(database: Path) -> None:
    faults = Faults(io_error)
    with opened(database, faults) as writer:
        writer.record(records(1))
        for k in range(1, 45):
            batch = records(2, start=2 * k)
            faults.arm(1)
            with pytest.raises(StoreUnavailable):
                writer.record(batch)
            faults.arm(k)
            assert repeated(writer, batch) == [2 * k, 2 * k + 1]
        assert faults.count < 44, "every statement has had its turn"
    with closing(FileReader(database)) as reader:
        assert reader.events("s-1", 0, 1_000, None) == stored(records(89))


def repeated(writer: FileWriter, batch: Sequence[Record]) -> list[int]:
    try:
        return writer.record(tuple(batch))
    except StoreUnavailable:
        return writer.record(tuple(batch))


def test_events_between_a_batch_in_doubt_and_its_repetition(database: Path) -> None:
    """Edits that may be on disk have to come first among edits; events go on meanwhile."""
    faults = Faults(io_error, late=True)
    with opened(database, faults) as writer:
        writer.append(edits(2))
        faults.arm(1)
        with pytest.raises(StoreUnavailable):
            writer.append(edits(3))
        assert writer.record(records(2)) == [1, 2]
        assert writer.append(edits(3)) == 3
        assert writer.append(edits(1)) == 6


def test_a_refused_batch_costs_no_connection(database: Path) -> None:
    faults = Faults(io_error)
    with opened(database, faults) as writer:
        writer.record(records(1))
        kept = writer._opened
        for bad in (record("1", "s-9"), record("2", time=float("nan"))):
            with pytest.raises(ValueError):
                writer.record((*records(1, "s-8"), bad))
        with pytest.raises(ValueError, match="enlisted"):
            writer.advance("nobody", "s-1", 1, None)
        assert writer._opened is kept
        assert writer.record((*records(1, "s-7"), *records(2))) == [1, 1, 2]
    with closing(FileReader(database)) as reader:
        assert [(one.number, one.session) for one in reader.sessions(None, 0, 9)] == [
            (1, "s-1"),
            (2, "s-7"),
        ]


def test_a_lock_of_another_connection_is_got_over(database: Path) -> None:
    faults = Faults(io_error)  # for its short timeout
    with opened(database, faults) as writer:
        fill_it = records(3)
        with closing(sqlite3.connect(database, isolation_level=None)) as raw:
            raw.execute("BEGIN IMMEDIATE")
            for act in ("enlist", "forgive"):
                with pytest.raises(StoreUnavailable, match="locked by another process"):
                    act_on(writer, act)
            with pytest.raises(StoreUnavailable, match="locked by another process"):
                writer.record(fill_it)
            raw.execute("ROLLBACK")
        assert writer.record(fill_it) == [1, 2, 3]


def test_a_full_database_is_got_over(database: Path) -> None:
    connections: list[sqlite3.Connection] = []

    def connect(path: Path) -> sqlite3.Connection:
        connections.append(sqlite3.connect(path, isolation_level=None))
        return connections[-1]

    writer = FileWriter(database, connect=connect)
    writer.open()
    writer.record(records(1))
    connections[-1].execute("PRAGMA max_page_count = 60")
    with pytest.raises(StoreUnavailable, match="disk is full"):
        writer.record(records(3_000))
    connections[-1].execute("PRAGMA max_page_count = 100000")
    assert writer.record(records(3_000)) == [*range(1, 3_001)]
    assert len(connections) == 1, "a full disk does not cost the connection"
    writer.close()


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("act", ["record", "truncate", "advance"])
def test_a_crash_at_any_statement_leaves_old_or_new(tmp_path: Path, act: str, late: bool) -> None:
    fill(tmp_path / "count.db")
    total = statements(tmp_path / "count.db", act)
    new = done(tmp_path / "new.db", act)
    for k in range(1, total + 1):
        database = tmp_path / f"{k}.db"
        fill(database)
        old = read_all(database)
        with child(die_at, database, k, act, late) as one:
            assert list(one.lines()) == []
            one.process.join()
            assert one.process.exitcode == CRASHED
        assert read_all(database) == (new if late and k == total else old)
        with opened(database) as writer:
            act_on(writer, act)
            assert read_all(database) == new
            assert writer.record(NEXT) == after(act)


def test_what_is_known_by_heart_is_bounded(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persistence.sqlite.register.MOST_KNOWN", 3)
    with opened(database) as writer:
        for start in (1, 3):
            batch = [one for n in range(9) for one in records(2, f"s-{n}", start)]
            assert writer.record(tuple(batch)) == [start, start + 1] * 9
            assert writer.record((record("1", "s-0"), record("2", "s-8"))) == [1, 2]
            assert writer._opened is not None
            assert len(writer._opened.register._known) <= 3
    with closing(FileReader(database)) as reader:
        assert [one.number for one in reader.sessions(None, 0, 99)] == [*range(1, 10)]


def test_counting_statements_reaches_them_all(database: Path) -> None:
    """BEGIN, what is known of new sessions, known ids, events, logs, states, COMMIT."""
    faults = Faults(io_error)
    with opened(database, faults) as writer:
        writer.record(records(3))
        faults.arm(NEVER)
        writer.record(records(2, start=4))
        assert faults.count == 5, "BEGIN, known ids, events, logs, COMMIT"
