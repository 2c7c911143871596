"""Fault 7 for sessions: one flipped bit, wherever it falls, is detected; recording goes on."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from persistence.sqlite.reading import FileReader
from persistence.store import (
    Acknowledgement,
    DeadLetter,
    StoredEvent,
    StoreError,
    StoreUnavailable,
)
from tests.stores.support import CREATED, LATER, NOON, RUNNING, record, records, stored
from tests.stores.test_sqlite_damage import Row, flip, flip_for_good, raw_connection, rows
from tests.stores.test_sqlite_faults import opened

SEED = 20_261_123
SESSIONS = [f"s-{number}" for number in range(5)]
EVENTS = 40


def make(path: Path) -> None:
    """Write EVENTS events into each of SESSIONS, and something of everything else."""
    with opened(path) as writer:
        writer.enlist("hook")
        for start in range(1, EVENTS, 10):
            writer.record(tuple(one for name in SESSIONS for one in records(10, name, start)))
        for name in SESSIONS:
            writer.acknowledge((Acknowledgement(name, "bob", 7), Acknowledgement(name, "eve", 8)))
            writer.advance("hook", name, 9, DeadLetter("hook", name, 3, "410 Gone", NOON))


def read(reader: FileReader, name: str) -> list[StoredEvent]:
    return reader.events(name, 0, 1_000, None)


def number_of(row: Row) -> int:
    """Of a row whose key begins with a session's number."""
    number = row.key[0]
    assert isinstance(number, int)
    return number


@pytest.mark.parametrize(
    "column", ["session", "offset", "id", "kind", "actor", "time", "checksum", "data"]
)
def test_a_bit_of_an_event_refuses_its_session_and_no_other(database: Path, column: str) -> None:
    make(database)
    random_ = random.Random(f"{SEED} {column}")
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        for row in rows(raw, "session_events"):
            name, offset = SESSIONS[number_of(row) - 1], row.key[1]
            assert isinstance(offset, int)
            with flip(raw, row, column, random_):
                with pytest.raises(StoreError, match="damaged or missing"):
                    read(reader, name)
                with pytest.raises(StoreError, match="damaged or missing"):
                    reader.events(name, 0, 1_000, "nothing")
                before = reader.events(name, 0, max(offset - 1, 0), None)
                assert before == stored(records(offset - 1, name)), "what is before it is sound"
                assert len(reader.events(name, offset, 99, None)) == EVENTS - offset
                other = SESSIONS[number_of(row) % len(SESSIONS)]
                assert reader.session(name) is not None
                if column != "session":
                    assert read(reader, other) == stored(records(EVENTS, other))
        for name in SESSIONS:
            assert read(reader, name) == stored(records(EVENTS, name))


@pytest.mark.parametrize("column", ["kind", "actor", "time", "checksum", "data"])
def test_a_damaged_event_is_not_found(database: Path, column: str) -> None:
    make(database)
    random_ = random.Random(f"{SEED} {column}")
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        for row in rows(raw, "session_events"):
            name = SESSIONS[number_of(row) - 1]
            with flip(raw, row, column, random_), pytest.raises(StoreError):
                reader.event(name, str(row.key[1]))


@pytest.mark.parametrize("offset", [1, 20, EVENTS])
def test_an_event_that_went_missing_is_missed(database: Path, offset: int) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM session_events WHERE session = 2 AND offset = ?", (offset,))
    with closing(FileReader(database)) as reader:
        for kind in (None, "review.note", "other"):
            with pytest.raises(StoreError, match=f"the event {offset} of"):
                reader.events("s-1", 0, 1_000, kind)
        assert len(reader.events("s-1", offset, 1_000, None)) == EVENTS - offset


@pytest.mark.parametrize("table", ["session_states", "session_logs"])
def test_a_bit_of_a_session_is_never_silent(database: Path, table: str) -> None:
    make(database)
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        columns = [name.decode() for _, name, *_ in raw.execute(f"PRAGMA table_info({table})")]
        assert len(columns) > 5
        everything = reader.sessions(None, 0, 99)
        sound = {name: reader.session(name) for name in SESSIONS}
        for column in columns:
            random_ = random.Random(f"{SEED} {table} {column}")
            for row in rows(raw, table) * 4:
                name = name_of(raw, row)
                with flip(raw, row, column, random_):
                    with pytest.raises(StoreError, match="is damaged"):
                        reader.session(name)
                    assert reader.sessions(None, 0, 99) == [
                        one for one in everything if one.session != name
                    ]
                    assert all(reader.session(n) == one for n, one in sound.items() if n != name)
                    if table == "session_logs":
                        with pytest.raises(StoreError, match="is damaged"):
                            read(reader, name)
                        assert name not in [one[0] for one in reader.behind("hook", 99)]


def name_of(raw: sqlite3.Connection, row: Row) -> str:
    [(name,)] = raw.execute(f"SELECT id FROM {row.table} WHERE {row.where}", row.key)
    return str(name.decode())


def test_a_session_whose_row_went_missing_is_missed(database: Path) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM session_states WHERE id = 's-1'")
        raw.execute("DELETE FROM session_logs WHERE id = 's-2'")
    with closing(FileReader(database)) as reader:
        for name in ("s-1", "s-2"):
            with pytest.raises(StoreError, match="is damaged"):
                reader.session(name)
        with pytest.raises(StoreError, match="is damaged"):
            read(reader, "s-2")
        assert read(reader, "s-1") == stored(records(EVENTS, "s-1")), "the log is whole"


# Recording goes on


@pytest.mark.parametrize("column", ["id", "session", "created_at", "updated_at", "top", "truncated", "checksum"])  # fmt: skip # noqa: E501
def test_the_next_event_makes_a_damaged_log_row_anew(database: Path, column: str) -> None:
    make(database)
    with closing(FileReader(database)) as reader:
        before = reader.session("s-1")
    with raw_connection(database) as raw:
        _flip_for_good(raw, Row("session_logs", (b"s-1",)), column)
    with opened(database) as writer:
        assert writer.record((record("7", "s-1"), record("41", "s-1"))) == [7, 41]
    assert before is not None
    with closing(FileReader(database)) as reader:
        after = reader.session("s-1")
        assert after is not None
        assert (after.number, after.created_at, after.top, after.truncated) == (2, NOON, 41, 0)
        assert after.acknowledged == before.acknowledged
        assert read(reader, "s-1") == stored(records(41, "s-1"))


def test_a_log_row_is_made_anew_of_a_truncated_log(database: Path) -> None:
    make(database)
    with opened(database) as writer:
        assert writer.truncate("s-1", LATER) == EVENTS - 1
    with raw_connection(database) as raw:
        _flip_for_good(raw, Row("session_logs", (b"s-1",)), "truncated")
    with opened(database) as writer:
        assert writer.record((record("41", "s-1"),)) == [41]
    with closing(FileReader(database)) as reader:
        after = reader.session("s-1")
        assert after is not None
        assert (after.top, after.truncated) == (41, 39)
        assert read(reader, "s-1") == stored(records(2, start=40), 40)


@pytest.mark.parametrize("column", ["session", "id", "epoch", "state", "body", "checksum"])
def test_the_next_change_makes_a_damaged_state_anew(database: Path, column: str) -> None:
    make(database)
    with raw_connection(database) as raw:
        _flip_for_good(raw, Row("session_states", (2,)), column)
    with opened(database) as writer:
        assert writer.record((record("41", "s-1"),)) == [41], "events need no state"
        with closing(FileReader(database)) as reader, pytest.raises(StoreError):
            reader.session("s-1")
        assert writer.record((record("42", "s-1", RUNNING),)) == [42]
        with pytest.raises(ValueError, match="epoch"):
            writer.record((record("43", "s-1", RUNNING._replace(epoch="other")),))
    with closing(FileReader(database)) as reader:
        after = reader.session("s-1")
        assert after is not None
        assert (after.number, after.current, after.top) == (2, RUNNING, 42)
        assert len(read(reader, "s-1")) == 42


def test_where_both_rows_are_damaged_nothing_is_made_up(database: Path) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("UPDATE session_logs SET top = 3 WHERE id = 's-1'")
        raw.execute("UPDATE session_states SET state = 'x' WHERE id = 's-1'")
    with opened(database) as writer:
        with pytest.raises(StoreError, match="is damaged") as raised:
            writer.record((record("1", "s-2"), record("41", "s-1")))
        assert not isinstance(raised.value, StoreUnavailable), "repeating does not help"
        assert writer.record((record("41", "s-2"),)) == [41], "the others go on"


def _flip_for_good(raw: sqlite3.Connection, row: Row, column: str) -> None:
    flip_for_good(raw, row, column, random.Random(f"{SEED} {column}"))


@pytest.mark.parametrize("stray", [EVENTS + 1, EVENTS + 2, 2**40])
def test_a_damaged_event_where_the_next_belongs_is_put_aside(database: Path, stray: int) -> None:
    make(database)
    with opened(database) as writer:
        assert writer.record((record("41", "s-2"), record("40", "s-1"))) == [41, 40]
        with raw_connection(database) as raw:
            raw.execute(
                "UPDATE session_events SET offset = ? WHERE session = 2 AND offset = 5", (stray,)
            )
        batch = (record("41", "s-1"), record("42", "s-1"), record("42", "s-2"))
        if stray < 100:
            with pytest.raises(StoreUnavailable):
                writer.record(batch)
        assert writer.record(batch) == [41, 42, 42]
    with closing(FileReader(database)) as reader:
        assert reader.events("s-1", 5, 99, None) == stored(records(42, "s-1"))[5:]
        with pytest.raises(StoreError, match="the event 5 of"):
            read(reader, "s-1")
    with opened(database) as writer:
        assert writer.truncate("s-1", LATER) == 40, "one is missing"
        assert writer.record((record("43", "s-1"),)) == [43]
    with closing(FileReader(database)) as reader:
        assert read(reader, "s-1") == stored(records(2, start=42), 42)


def test_a_log_row_older_than_the_events_is_not_believed(database: Path) -> None:
    make(database)
    with raw_connection(database) as raw:
        [old] = raw.execute("SELECT * FROM session_logs WHERE id = 's-1'").fetchall()
    with opened(database) as writer:
        writer.record((record("41", "s-1"),))
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM session_logs WHERE id = 's-1'")
        row = (old[0].decode(), *old[1:])
        raw.execute("INSERT INTO session_logs VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    with opened(database) as writer, pytest.raises(StoreError, match="is damaged"):
        writer.record((record("42", "s-1"),))


def test_the_number_of_a_session_is_never_given_twice(database: Path) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM session_states WHERE id = 's-4'")
        raw.execute("DELETE FROM session_logs WHERE id = 's-4'")
        raw.execute(f"UPDATE session_states SET session = {2**40} WHERE id = 's-3'")
    with opened(database) as writer:
        writer.record((record("1", "new", CREATED),))
    with closing(FileReader(database)) as reader:
        found = reader.session("new")
    assert found is not None
    assert found.number == 6


# What is beside the log


@pytest.mark.parametrize("column", ["session", "subject", "offset", "checksum"])
def test_a_damaged_acknowledgement_is_none_and_is_made_anew(database: Path, column: str) -> None:
    make(database)
    random_ = random.Random(f"{SEED} {column}")
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        for row in rows(raw, "acknowledgements"):
            name = SESSIONS[number_of(row) - 1]
            with flip(raw, row, column, random_):
                session = reader.session(name)
            assert session is not None
            assert session.acknowledged == ({"bob": 7} if row.key[1] == b"eve" else {"eve": 8})
    with raw_connection(database) as raw:
        _flip_for_good(raw, Row("acknowledgements", (2, b"bob")), column)
    with opened(database) as writer:
        writer.acknowledge((Acknowledgement("s-1", "bob", 5), Acknowledgement("s-1", "eve", 5)))
    with closing(FileReader(database)) as reader:
        session = reader.session("s-1")
    assert session is not None
    assert session.acknowledged == {"bob": 5, "eve": 8}


@pytest.mark.parametrize("column", ["consumer", "session", "offset", "checksum"])
def test_where_a_cursor_is_damaged_all_is_given_again(database: Path, column: str) -> None:
    make(database)
    random_ = random.Random(f"{SEED} {column}")
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        sound = [(name, 9, EVENTS) for name in SESSIONS]
        for row in rows(raw, "cursors"):
            number = row.key[1]
            assert isinstance(number, int)
            if number == 0:
                continue
            with flip(raw, row, column, random_):
                found = reader.behind("hook", 99)
            expected = list(sound)
            expected[number - 1] = (SESSIONS[number - 1], 0, EVENTS)
            assert found == expected
        assert reader.behind("hook", 99) == sound


def test_a_consumer_stays_known_though_one_row_is_lost(database: Path) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM cursors WHERE session = 0")
    with opened(database) as writer:
        writer.enlist("hook")
    with closing(FileReader(database)) as reader:
        assert reader.behind("hook", 99) == [(name, 9, EVENTS) for name in SESSIONS]


@pytest.mark.parametrize("column", ["consumer", "session", "offset", "time", "reason", "checksum"])
def test_a_damaged_dead_letter_says_so(database: Path, column: str) -> None:
    make(database)
    random_ = random.Random(f"{SEED} {column}")
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        for row in rows(raw, "dead_letters"):
            with flip(raw, row, column, random_):
                found = reader.dead_letters(None)
            assert len(found) == len(SESSIONS)
            assert sum("damaged" in one.reason for one in found) == 1


def test_a_bit_anywhere_in_the_file_is_never_silent(database: Path) -> None:
    make(database)
    whole = database.read_bytes()
    sound = {name: stored(records(EVENTS, name)) for name in SESSIONS}
    random_ = random.Random(SEED)
    outcomes = {"harmless": 0, "refused": 0}
    for _ in range(500):
        place = random_.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        database.write_bytes(damaged)
        for name in SESSIONS:
            with closing(FileReader(database)) as reader:
                try:
                    found = read(reader, name)
                except StoreError:
                    outcomes["refused"] += 1
                else:
                    assert found == sound[name], f"silent: bit {place}"
                    outcomes["harmless"] += 1
    assert min(outcomes.values()) > 0, outcomes
