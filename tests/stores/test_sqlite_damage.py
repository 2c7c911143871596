"""Fault 7: one flipped bit, wherever it falls, is detected, and the rest loads."""

from __future__ import annotations

import random
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from persistence.sqlite.reading import FileReader
from persistence.sqlite.writing import FileWriter
from persistence.store import Damage, Edit, Position, StoredDocument, StoreError, StoreUnavailable
from tests.stores.support import NOON, edit, snapshot

SEED = 20_261_122
DOCUMENTS = [f"drafts/{number}" for number in range(25)]
ROWS = 500


def make(path: Path, rows: int = ROWS, snapshots: bool = False) -> None:
    """Write ``rows`` entries over all DOCUMENTS, in batches, and close the database."""
    batch = [_edit(number) for number in range(rows)]
    writer = FileWriter(path)
    writer.open()
    for start in range(0, rows, 40):
        writer.append(tuple(batch[start : start + 40]))
    if snapshots:
        for number, name in enumerate(DOCUMENTS):
            position = 1 + number + len(DOCUMENTS) * (rows // len(DOCUMENTS) // 2)
            writer.compact(snapshot(position, name, b"all of " + name.encode()))
    writer.close()


def _edit(number: int) -> Edit:
    name = DOCUMENTS[number % len(DOCUMENTS)]
    return edit(name, b"update %d" % number, f"author {number}", received_at=NOON + number / 7)


def load_all(path: Path) -> dict[str, StoredDocument]:
    with closing(FileReader(path)) as reader:
        return {name: reader.load(name) for name in DOCUMENTS}


def flipped(value: object, random_: random.Random) -> object:
    """Return the value with one of its bits flipped."""
    match value:
        case int():
            return value ^ (1 << random_.randrange(63))
        case float():
            [bits] = struct.unpack("<q", struct.pack("<d", value))
            return struct.unpack("<d", struct.pack("<q", bits ^ (1 << random_.randrange(62))))[0]
        case bytes():
            place = random_.randrange(8 * len(value))
            whole = bytearray(value)
            whole[place // 8] ^= 1 << place % 8
            return bytes(whole)
    raise AssertionError(f"a column holds {value!r}")


@contextmanager
def flip(
    raw: sqlite3.Connection, table: str, rowid: int, column: str, random_: random.Random
) -> Iterator[None]:
    """Flip one bit of one column of one row, and put it right again at the end."""
    read = f'SELECT "{column}", typeof("{column}") FROM {table} WHERE rowid = ?'
    value, kind = raw.execute(read, (rowid,)).fetchone()
    place = "CAST(? AS TEXT)" if kind == b"text" else "?"
    write = f'UPDATE {table} SET "{column}" = {place} WHERE rowid = ?'
    bad = _write_flipped(raw, write, value, rowid, random_)
    there = bad if column == "position" and table == "entries" else rowid
    try:
        yield
    finally:
        assert raw.execute(write, (value, there)).rowcount == 1


def _write_flipped(
    raw: sqlite3.Connection, write: str, value: object, rowid: int, random_: random.Random
) -> object:
    for _ in range(64):
        bad = flipped(value, random_)
        try:
            raw.execute(write, (bad, rowid))
        except sqlite3.IntegrityError:  # the position is taken, or a NaN, which is NULL
            continue
        return bad
    raise AssertionError(f"no bit of {value!r} can be flipped")


@contextmanager
def raw_connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.text_factory = bytes
        raw.execute("PRAGMA synchronous = OFF")
        yield raw


@pytest.mark.parametrize(
    "column",
    [
        "position",
        "document",
        "previous",
        "update",
        "author",
        "clients",
        "received_at",
        "checksum",
    ],
)
def test_a_bit_of_an_entry(database: Path, column: str) -> None:
    make(database)
    random_ = random.Random(f"{SEED} {column}")
    sound = load_all(database)
    detected = 0
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        for position in range(1, ROWS + 1):
            name = DOCUMENTS[(position - 1) % len(DOCUMENTS)]
            with flip(raw, "entries", position, column, random_):
                stored = reader.load(name)
            assert position in {one.position for one in stored.damaged} or (
                column == "position" and stored.damaged
            ), f"silent: {column} of {position}"
            assert stored.entries == tuple(
                entry for entry in sound[name].entries if entry.position != position
            )
            assert stored.head == sound[name].head
            detected += 1
    assert detected == ROWS
    assert load_all(database) == sound


def test_an_entry_filed_under_another_document_is_missed_here_and_refused_there(
    database: Path,
) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("UPDATE entries SET document = 'drafts/2' WHERE position = 2")
    stored = load_all(database)
    assert stored["drafts/1"].damaged == (Damage(Position(2), "entry", "its row is missing"),)
    assert stored["drafts/2"].damaged == (
        Damage(Position(2), "entry", "its checksum does not fit"),
    )
    assert len(stored["drafts/1"].entries) == 19
    assert len(stored["drafts/2"].entries) == 20


@pytest.mark.parametrize(
    "column", ["document", "position", "update", "state_vector", "taken_at", "checksum"]
)
def test_a_bit_of_a_snapshot_brings_back_all_entries(database: Path, column: str) -> None:
    make(database)
    everything = load_all(database)
    database.unlink()
    make(database, snapshots=True)
    random_ = random.Random(f"{SEED} {column}")
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        for rowid, name in enumerate(DOCUMENTS, 1):
            with flip(raw, "snapshots", rowid, column, random_):
                stored = reader.load(name)
            [damage] = stored.damaged
            assert damage.what == "snapshot"
            assert stored.snapshot is None
            assert stored.entries == everything[name].entries


@pytest.mark.parametrize(
    "column",
    [
        "document",
        "head",
        "edits",
        "size",
        "last_author",
        "created_at",
        "updated_at",
        "snapshot",
        "checksum",
    ],
)
def test_a_bit_of_a_document_loses_nothing(database: Path, column: str) -> None:
    make(database, snapshots=True)
    random_ = random.Random(f"{SEED} {column}")
    sound = load_all(database)
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        listed = reader.heads("")
        for rowid, name in enumerate(DOCUMENTS, 1):
            with flip(raw, "documents", rowid, column, random_):
                stored = reader.load(name)
                assert reader.heads("") == listed, "the list is added up from the entries"
            [damage] = stored.damaged
            assert (damage.position, damage.what) == (sound[name].head, "document")
            assert stored.entries == sound[name].entries
            assert stored.snapshot == sound[name].snapshot
            assert stored.head == sound[name].head


def test_the_next_append_makes_a_damaged_document_row_anew(database: Path) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("UPDATE documents SET size = size + 1, head = 3 WHERE document = 'drafts/1'")
        raw.execute("DELETE FROM documents WHERE document = 'drafts/2'")
    writer = FileWriter(database)
    writer.open()
    writer.append((edit("drafts/1"), edit("drafts/2")))
    writer.close()
    stored = load_all(database)
    for name in ("drafts/1", "drafts/2"):
        assert stored[name].damaged == ()
        assert len(stored[name].entries) == 21
    with closing(FileReader(database)) as reader:
        assert {(head.edits) for head in reader.heads("")} == {20, 21}


@pytest.mark.parametrize("table", ["entries", "documents", "snapshots"])
def test_a_row_that_went_missing_is_missed(database: Path, table: str) -> None:
    make(database, snapshots=True)
    with raw_connection(database) as raw:
        raw.execute(f"DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})")
    stored = load_all(database)
    assert sum(len(one.damaged) for one in stored.values()) == 1


def test_positions_are_never_given_twice_though_rows_are_deleted(database: Path) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM entries WHERE position > 100")
    assert _next_position(database) == ROWS + 1


@pytest.mark.parametrize("key", ["last_position"])
def test_a_damaged_counter_is_found_again_from_the_heads(database: Path, key: str) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("UPDATE meta SET value = '17' WHERE key = ?", (key,))
        raw.execute("DELETE FROM entries WHERE position = ?", (ROWS,))
    assert _next_position(database) == ROWS + 1


@pytest.mark.parametrize(("stray", "following"), [(ROWS + 3, ROWS + 4), (2**62, ROWS + 1)])
def test_a_row_that_strayed_ahead_is_stepped_over(
    database: Path, stray: int, following: int
) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("UPDATE entries SET position = ? WHERE position = 9", (stray,))
    assert _next_position(database) == following


def test_a_row_that_strays_while_the_writer_is_open_costs_one_try(database: Path) -> None:
    make(database)
    writer = FileWriter(database)
    writer.open()
    with raw_connection(database) as raw:
        raw.execute("UPDATE entries SET position = ? WHERE position = 9", (ROWS + 1,))
    with pytest.raises(StoreUnavailable):
        writer.append((edit(),))
    assert writer.append((edit(),)) == ROWS + 2
    writer.close()


def _next_position(database: Path) -> int:
    writer = FileWriter(database)
    writer.open()
    try:
        return writer.append((edit(),))
    finally:
        writer.close()


def test_a_damaged_epoch_is_not_handed_out(database: Path) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("UPDATE meta SET value = 'f' || value WHERE key = 'epoch'")
    with closing(FileReader(database)) as reader, pytest.raises(StoreError, match="epoch"):
        reader.epoch()


def test_a_bit_anywhere_in_the_file_is_never_silent(database: Path) -> None:
    make(database, rows=200, snapshots=True)
    sound, whole = load_all(database), database.read_bytes()
    random_ = random.Random(SEED)
    outcomes = {"harmless": 0, "reported": 0, "refused": 0}
    for _ in range(500):
        place = random_.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        database.write_bytes(damaged)
        with closing(FileReader(database)) as reader:
            for name in DOCUMENTS:
                outcomes[_outcome(reader, sound[name], f"bit {place}")] += 1
    assert min(outcomes.values()) > 0, outcomes


def _outcome(reader: FileReader, sound: StoredDocument, where: str) -> str:
    try:
        stored = reader.load(sound.document)
    except StoreError:
        return "refused"
    if stored.damaged:
        kept = set(stored.entries) <= set(sound.entries) or stored.snapshot is None
        assert kept, f"{where}: {sound.document} has entries that were never written"
        return "reported"
    assert stored == sound, f"silent: {where} of {sound.document}"
    return "harmless"
