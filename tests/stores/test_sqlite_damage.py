"""Fault 7: one flipped bit, wherever it falls, is detected, and the rest loads."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from persistence.sqlite.reading import FileReader
from persistence.sqlite.writing import FileWriter
from persistence.store import (
    Damage,
    Deletion,
    Edit,
    Head,
    Position,
    StoredDocument,
    StoreError,
    StoreUnavailable,
)
from tests.stores.support import LATER, NOON, edit, snapshot

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
    return edit(name, b"update %d" % number, f"author {number}", received_at=NOON + number / 8)


def load_all(path: Path, names: Iterable[str] = DOCUMENTS) -> dict[str, StoredDocument]:
    with closing(FileReader(path)) as reader:
        return {name: reader.load(name) for name in names}


def flipped(value: object, random_: random.Random) -> object:
    """Return the value with one of its bits flipped."""
    match value:
        case int():
            return value ^ (1 << random_.randrange(63))
        case bytes():
            place = random_.randrange(8 * len(value))
            whole = bytearray(value)
            whole[place // 8] ^= 1 << place % 8
            return bytes(whole)
    raise AssertionError(f"a column holds {value!r}")


KEYS = {
    "entries": ("document", "position"),
    "tallies": ("document",),
    "snapshots": ("document",),
    "names": ("id",),
    "ids": ("kind", "name"),
    "session_states": ("session",),
    "session_logs": ("id",),
    "session_events": ("session", "offset"),
    "acknowledgements": ("session", "subject"),
    "cursors": ("consumer", "session"),
    "dead_letters": ("consumer", "session", "offset"),
    "bases": ("document",),
    "deletions": ("document",),
    "revocations": ("kind", "value"),
}

TEXTS = {
    "names": {"name"},
    "ids": {"name"},
    "session_states": {"id", "epoch", "state", "body"},
    "session_logs": {"id"},
    "session_events": {"id", "kind", "actor", "data"},
    "acknowledgements": {"subject"},
    "cursors": {"consumer"},
    "dead_letters": {"consumer", "reason"},
    "deletions": {"document", "by"},
    "revocations": {"kind", "value", "by"},
}
"""The columns that hold text: as bytes it could not be written back."""


@dataclass(frozen=True)
class Row:
    """One row of a table, found by the columns of its key."""

    table: str
    key: tuple[object, ...]

    @property
    def where(self) -> str:
        return " AND ".join(f"{one} = {_place(self.table, one)}" for one in KEYS[self.table])

    def moved(self, column: str, value: object) -> Row:
        """The same row when a column has another value."""
        names = KEYS[self.table]
        key = tuple(value if n == column else k for n, k in zip(names, self.key, strict=True))
        return Row(self.table, key)


def _place(table: str, column: str) -> str:
    return "CAST(? AS TEXT)" if column in TEXTS.get(table, ()) else "?"


def rows(raw: sqlite3.Connection, table: str) -> list[Row]:
    keys = ", ".join(KEYS[table])
    return [Row(table, key) for key in raw.execute(f"SELECT {keys} FROM {table} ORDER BY {keys}")]


@contextmanager
def flip(raw: sqlite3.Connection, row: Row, column: str, random_: random.Random) -> Iterator[None]:
    """Flip one bit of one column of one row, and put it right again at the end."""
    value, bad = flip_for_good(raw, row, column, random_)
    try:
        yield
    finally:
        there = row.moved(column, bad)
        assert raw.execute(_write(row, column), (value, *there.key)).rowcount == 1


def flip_for_good(
    raw: sqlite3.Connection, row: Row, column: str, random_: random.Random
) -> tuple[object, object]:
    """Flip one bit of one column of one row; return what was there, and what is."""
    read = f'SELECT "{column}" FROM {row.table} WHERE {row.where}'
    [(value,)] = raw.execute(read, row.key)
    return value, _write_flipped(raw, _write(row, column), value, row, random_)


def _write(row: Row, column: str) -> str:
    return f'UPDATE {row.table} SET "{column}" = {_place(row.table, column)} WHERE {row.where}'


def _write_flipped(
    raw: sqlite3.Connection, write: str, value: object, row: Row, random_: random.Random
) -> object:
    for _ in range(64):
        bad = flipped(value, random_)
        try:
            raw.execute(write, (bad, *row.key))
        except sqlite3.IntegrityError:  # the key is taken
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
        "document",
        "position",
        "step",
        "author",
        "received_at",
        "clients",
        "checksum",
        "origin",
        "update",
    ],
)
def test_a_bit_of_an_entry(database: Path, column: str) -> None:
    make(database)
    random_ = random.Random(f"{SEED} {column}")
    sound = load_all(database)
    detected = 0
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        for row in rows(raw, "entries"):
            _, position = row.key
            assert isinstance(position, int)
            name = DOCUMENTS[(position - 1) % len(DOCUMENTS)]
            with flip(raw, row, column, random_):
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
        raw.execute(f"UPDATE entries SET document = {_id(raw, 'drafts/2')} WHERE position = 2")
    stored = load_all(database)
    assert stored["drafts/1"].damaged == (Damage(Position(2), "entry", "its row is missing"),)
    assert stored["drafts/2"].damaged == (
        Damage(Position(2), "entry", "its checksum does not fit"),
    )
    assert len(stored["drafts/1"].entries) == 19
    assert len(stored["drafts/2"].entries) == 20


def _id(raw: sqlite3.Connection, name: str, kind: int = 1) -> int:
    [(found,)] = raw.execute("SELECT id FROM names WHERE kind = ? AND name = ?", (kind, name))
    return int(found)


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
        for name in DOCUMENTS:
            with flip(raw, Row("snapshots", (_id(raw, name),)), column, random_):
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
        "thinned",
        "checksum",
    ],
)
def test_a_bit_of_a_document_loses_nothing(database: Path, column: str) -> None:
    make(database, snapshots=True)
    random_ = random.Random(f"{SEED} {column}")
    sound = load_all(database)
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        listed = reader.heads("")
        for name in DOCUMENTS:
            with flip(raw, Row("tallies", (_id(raw, name),)), column, random_):
                stored = reader.load(name)
                assert reader.heads("") == listed, "the list is added up from the entries"
                begin_so = [one for one in listed if one.document.startswith(name)]
                assert reader.heads(name) == begin_so
            [damage] = stored.damaged
            assert (damage.position, damage.what) == (sound[name].head, "document")
            assert stored.entries == sound[name].entries
            assert stored.snapshot == sound[name].snapshot
            assert stored.head == sound[name].head


@pytest.mark.parametrize("table", ["ids", "names"])
def test_a_document_is_listed_by_either_copy_of_its_name(database: Path, table: str) -> None:
    make(database)
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        listed = reader.heads("drafts/")
        assert [one.document for one in listed] == sorted(DOCUMENTS)
        raw.execute(f"UPDATE {table} SET name = 'x' || name WHERE name = 'drafts/1'")
        raw.execute(f"UPDATE {table} SET checksum = x'00' WHERE name = 'drafts/2'")
        assert reader.heads("drafts/") == reader.heads("") == listed
        assert reader.heads("xdrafts/") == []


def test_the_next_append_makes_a_damaged_document_row_anew(database: Path) -> None:
    make(database)
    with raw_connection(database) as raw:
        one, two = _id(raw, "drafts/1"), _id(raw, "drafts/2")
        raw.execute(f"UPDATE tallies SET size = size + 1, head = 3 WHERE document = {one}")
        raw.execute(f"DELETE FROM tallies WHERE document = {two}")
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


@pytest.mark.parametrize("table", ["entries", "tallies", "snapshots"])
def test_a_row_that_went_missing_is_missed(database: Path, table: str) -> None:
    make(database, snapshots=True)
    with raw_connection(database) as raw:
        last = rows(raw, table)[-1]
        raw.execute(f"DELETE FROM {table} WHERE {last.where}", last.key)
    stored = load_all(database)
    assert sum(len(one.damaged) for one in stored.values()) == 1


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (table, column)
        for table in ("names", "ids")
        for column in ("id", "kind", "name", "checksum")
    ],
)
def test_a_bit_of_a_name_is_found_and_loses_nothing(
    database: Path, table: str, column: str
) -> None:
    make(database, rows=100)
    random_ = random.Random(f"{SEED} {table} {column}")
    sound = load_all(database)
    with raw_connection(database) as raw:
        for row in rows(raw, table):
            whose = _whose(raw, row)
            with flip(raw, row, column, random_):
                stored = load_all(database, whose)
            for name in whose:
                assert {one.what for one in stored[name].damaged} == {"name"}, f"silent: {row}"
                assert stored[name].entries == sound[name].entries
    assert load_all(database) == sound


def thin(path: Path, name: str) -> int:
    """Remove all history of a document that a snapshot contains; return how many entries went."""
    writer = FileWriter(path)
    writer.open()
    try:
        return writer.thin(name, LATER)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "column", ["document", "position", "update", "state_vector", "taken_at", "checksum"]
)
def test_a_damaged_snapshot_never_costs_an_entry(database: Path, column: str) -> None:
    make(database, snapshots=True)
    random_ = random.Random(f"{SEED} thin {column}")
    with raw_connection(database) as raw:
        for name in DOCUMENTS:
            with flip(raw, Row("snapshots", (_id(raw, name),)), column, random_):
                assert thin(database, name) == 0
    assert thin(database, DOCUMENTS[0]) == ROWS // len(DOCUMENTS) // 2 + 1


def test_thinned_is_not_lost_and_lost_is_not_thinned(database: Path) -> None:
    make(database, snapshots=True)
    sound = load_all(database)
    thinned = {name: thin(database, name) for name in DOCUMENTS[:10]}
    assert set(thinned.values()) == {11}
    stored = load_all(database)
    for name in DOCUMENTS:
        assert stored[name].damaged == ()
        assert stored[name].entries == sound[name].entries
        assert stored[name].snapshot == sound[name].snapshot
    with raw_connection(database) as raw:
        one, two = _id(raw, DOCUMENTS[0]), _id(raw, DOCUMENTS[1])
        raw.execute("DELETE FROM snapshots WHERE document IN (?, ?)", (one, two))
        raw.execute("DELETE FROM entries WHERE position = ?", (sound[DOCUMENTS[1]].head - 50,))
    stored = load_all(database)
    covered = Position(thinned_up_to := 1 + 25 * 10)
    reason = f"its row is missing, and the entries up to {thinned_up_to} that it stood for were "
    assert stored[DOCUMENTS[0]].damaged == (Damage(covered, "snapshot", reason + "thinned"),)
    [snapshot_, lost] = stored[DOCUMENTS[1]].damaged
    assert (snapshot_.what, lost.what) == ("snapshot", "entry")
    assert lost.position == sound[DOCUMENTS[1]].head - 50


@pytest.mark.parametrize("everything", [False, True])
def test_a_damaged_tally_is_made_again_of_what_was_left(database: Path, everything: bool) -> None:
    make(database, snapshots=not everything)
    if everything:
        with closing(FileReader(database)) as reader:
            head = reader.load("drafts/1").head
        writer = FileWriter(database)
        writer.open()
        writer.compact(snapshot(head, "drafts/1"))
        writer.close()
    thin(database, "drafts/1")
    sound = load_all(database)
    with raw_connection(database) as raw:
        raw.execute(f"UPDATE tallies SET thinned = 0 WHERE document = {_id(raw, 'drafts/1')}")
    assert [one.what for one in load_all(database)["drafts/1"].damaged] == ["document"]
    writer = FileWriter(database)
    writer.open()
    assert writer.append((edit("drafts/1"),)) == ROWS + 1
    writer.close()
    stored = load_all(database)["drafts/1"]
    assert (stored.damaged, stored.thinned) == ((), sound["drafts/1"].thinned)
    assert stored.entries[:-1] == sound["drafts/1"].entries


def _whose(raw: sqlite3.Connection, row: Row) -> set[str]:
    """Return the documents that need a name: its own, or those its author edited."""
    read = f"SELECT kind, name FROM {row.table} WHERE {row.where}"
    [(kind, name)] = raw.execute(read, row.key)
    if kind == 1:
        return {name.decode()}
    author = _id(raw, name.decode(), kind)
    found = raw.execute(
        "SELECT names.name FROM entries JOIN names ON names.id = document WHERE author = ?",
        (author,),
    )
    return {document.decode() for (document,) in found}


def test_the_next_append_makes_damaged_names_anew(database: Path) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("UPDATE names SET name = 'x' WHERE name = 'drafts/1'")
        raw.execute("DELETE FROM ids WHERE name = 'author 3'")
    assert [one.what for one in load_all(database)["drafts/1"].damaged] == ["name"]
    assert [one.what for one in load_all(database)["drafts/3"].damaged] == ["name"]
    writer = FileWriter(database)
    writer.open()
    writer.append((edit("drafts/1", author="author 3"),))
    writer.close()
    assert [one.damaged for one in load_all(database).values()] == [()] * len(DOCUMENTS)


def test_what_a_damaged_key_hides_is_found_all_the_same(database: Path) -> None:
    """Rows are in the order of their keys; one that is out of order ends a search early."""
    make(database)
    sound = load_all(database)["drafts/3"]
    lost = sound.entries[12]
    with raw_connection(database) as raw:
        key = bytes([_id(raw, "drafts/3")]) + lost.position.to_bytes(2, "big")
    whole = database.read_bytes()
    assert whole.count(key) == 1
    database.write_bytes(whole.replace(key, b"\x7f" + key[1:]))  # an id that is far behind
    with closing(FileReader(database)) as reader:
        stored = reader.load("drafts/3")
    assert stored.entries == tuple(entry for entry in sound.entries if entry != lost)
    assert {damage.position for damage in stored.damaged} == {lost.position}


def test_positions_are_never_given_twice_though_rows_are_deleted(database: Path) -> None:
    make(database)
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM entries WHERE position > 100")
    assert _next_position(database) == ROWS + 1


def test_pages_of_the_list_miss_and_repeat_nothing_where_copies_of_names_are_damaged(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.sqlite.queries._FEW", 1)
    with closing(FileWriter(database)) as writer:
        writer.open()
        writer.append(tuple(edit(name) for name in "abcdefghijklm"))
        for purged in "bc":
            writer.delete(Deletion(purged, "root", NOON))
            while writer.purge(purged):
                pass
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        listed = reader.heads("")
        raw.execute("DELETE FROM ids WHERE name IN ('b', 'c', 'd', 'i')")
        raw.execute("DELETE FROM names WHERE name IN ('e', 'f', 'g', 'm')")
        raw.execute("UPDATE ids SET checksum = x'00' WHERE name IN ('j', 'k', 'l')")
        for limit in (1, 2, 3, 5):
            found: list[Head] = []
            while page := reader.heads("", found[-1].document if found else "", limit):
                found += page
            assert found == listed


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
        raw.execute("UPDATE entries SET position = ? WHERE position = 2", (stray,))
    assert _next_position(database) == following


def test_a_row_that_strays_while_the_writer_is_open_costs_one_try(database: Path) -> None:
    make(database)
    writer = FileWriter(database)
    writer.open()
    assert writer.append((edit(),)) == ROWS + 1
    with raw_connection(database) as raw:
        raw.execute("UPDATE entries SET position = ? WHERE position = 2", (ROWS + 2,))
    with pytest.raises(StoreUnavailable):
        writer.append((edit(),))
    assert writer.append((edit(),)) == ROWS + 3
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
