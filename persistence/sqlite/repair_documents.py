"""Mending documents: what can be made again is, and what cannot be read is put aside.

Each document is one transaction; a crash between two leaves a database that can be repaired again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from persistence.sqlite import names
from persistence.sqlite.checkup_documents import (
    BASE,
    ENTRIES,
    SNAPSHOT,
    TALLY,
    Opened,
    Reading,
    read,
    sound_entries,
)
from persistence.sqlite.checkup_names import nameless
from persistence.sqlite.names import Authors, Kind
from persistence.sqlite.repair_mend import mended, numbers_near
from persistence.sqlite.repair_quarantine import PutAside, note, put_aside, quarantined
from persistence.sqlite.rows import (
    BASES,
    ENTRY_COLUMNS,
    SNAPSHOT_COLUMNS,
    TALLY_COLUMNS,
    Author,
    Document,
    Row,
    Tally,
    entry_row,
    open_entry,
    open_snapshot,
    open_tally,
    snapshot_row,
    tally_row,
)
from persistence.sqlite.statements import Insert
from persistence.store import NOWHERE, Entry, Position, Snapshot, to_milliseconds

Remake = Callable[[Opened], Snapshot | None]
"""Makes a document's snapshot again from its base and entries, None where it cannot be."""

_UNFIT = "its checksum did not fit"

_put_entry = Insert("entries", ENTRY_COLUMNS, "INSERT OR IGNORE")
_put_tally = Insert("tallies", TALLY_COLUMNS, "INSERT OR REPLACE")
_put_snapshot = Insert("snapshots", SNAPSHOT_COLUMNS, "INSERT OR REPLACE")
_put_base = Insert("bases", SNAPSHOT_COLUMNS, "INSERT OR REPLACE")


class CannotRemove(Exception):
    """A row is there, and not found by its key: the file has to be made anew."""


@dataclass(slots=True)
class Done:
    """What was done to a document."""

    mended: int = 0  # rows that were put right
    put_aside: int = 0  # entries
    noted: int = 0  # entries that are gone without their bytes
    remade: bool = False  # its snapshot or the row that sums it up
    given_up: bool = False  # all of it was put aside

    @property
    def anything(self) -> bool:
        return self != Done()


def remove(connection: sqlite3.Connection, table: str, where: str, key: Row) -> None:
    """Remove a row by its key. Raises CannotRemove."""
    removed = connection.execute(f"DELETE FROM {table} WHERE {where}", key).rowcount  # noqa: S608
    if removed < 1:
        raise CannotRemove(table)


# Names


def mend_names(connection: sqlite3.Connection) -> tuple[int, int]:
    """Write both copies of every name that is sound in one place, and put the others aside.

    Returns how many were made again, and how many rows were put aside.
    """
    made = aside = 0
    for table in ("names", "ids"):
        for row in _all_names(connection, table):
            if names._is_sound(row):
                made += _write_name(connection, row)
                continue
            if (found := mended(row, names._is_sound)) is not None:
                made += _write_name(connection, found)
                if found[:3] == row[:3]:
                    continue  # it was written in the same place
            put_aside(connection, PutAside(table, names.NAME_COLUMNS, row), _UNFIT)
            _remove_name(connection, table, row)
            aside += 1
    return made, aside


def _all_names(connection: sqlite3.Connection, table: str) -> list[Row]:
    sql = f"SELECT {names.NAME_COLUMNS} FROM {table} NOT INDEXED"  # noqa: S608 -- our own names
    unsound = [row for row in connection.execute(sql) if not names._is_sound(row)]
    sound = [
        row
        for row in connection.execute(sql)
        if names._is_sound(row) and not names.find(connection, Kind(row[1]), row[2].decode()).whole
    ]
    return [*sound, *unsound]


def _write_name(connection: sqlite3.Connection, row: Row) -> int:
    id_, kind, name, _ = row
    if names.find(connection, Kind(kind), name.decode()).whole:
        known = connection.execute("SELECT 1 FROM names WHERE id = ?", (id_,)).fetchone()
        if known is not None:
            return 0
    names.write(connection, [*names.row(Kind(kind), id_, name.decode())])
    return 1


def _remove_name(connection: sqlite3.Connection, table: str, row: Row) -> None:
    id_, kind, name, checksum = row
    where = "id = ? AND kind = ? AND name = CAST(? AS TEXT) AND checksum = ?"
    key = (id_, kind, name, checksum)
    connection.execute(f"DELETE FROM {table} WHERE {where}", key)  # noqa: S608
    left = connection.execute(f"SELECT 1 FROM {table} WHERE {where}", key).fetchone()  # noqa: S608
    if left is not None:
        raise CannotRemove(table)


# One document


def mend_document(
    connection: sqlite3.Connection,
    authors: Authors,
    document: Document,
    remake: Remake | None,
    *,
    doubted: bool = False,
    unusable: bool = False,
    spoilt: bool = False,
    lacking: bool = False,
) -> Done:
    """Let a document be whole; the caller gives the transaction. Raises CannotRemove.

    ``doubted``: its snapshot is sound by its checksum, and yet not what its entries make;
    ``unusable``: it cannot even be loaded. ``spoilt``: the base of its history cannot.
    ``lacking``: it has edits that no entry tells of.
    """
    done = Done()
    reading = read_here(connection, authors, document)
    gone = _mend_entries(connection, authors, reading, done)
    _mend_base(connection, document, done, spoilt=spoilt)
    reading = read_here(connection, authors, document)
    tally = reading.tally or _mended_tally(connection, document, done)
    thinned = max(tally.thinned if tally is not None else reading.thinned, 0)
    for position in set(reading.missing.first) - gone:
        note(connection, document.name, position, "it went missing, with its bytes")
        done.noted += 1
    if lacking and not quarantined(connection, document.name):
        note(connection, document.name, 0, "entries that the snapshot has went missing", 0)
        done.noted += 1
    _rechain(connection, authors, document, thinned)
    snapshot = reading.snapshot
    if doubted and snapshot is not None:
        snapshot = _replaced(connection, authors, reading, remake, thinned, done)
    elif unusable or (snapshot is None and _has_snapshot(connection, reading)):
        snapshot = _remake_snapshot(
            connection, authors, reading, remake, thinned, done, unusable=unusable
        )
        if snapshot is None and thinned:
            _give_up(connection, document, done)
            return done
    _sum_up(connection, authors, document, tally, snapshot, thinned, done)
    return done


def read_here(connection: sqlite3.Connection, authors: Authors, document: Document) -> Reading:
    """Read a document within a transaction."""
    return read(connection, authors, document, 0, moment=False)


def _mend_entries(
    connection: sqlite3.Connection, authors: Authors, reading: Reading, done: Done
) -> set[int]:
    """Put right, or aside, what is not sound; return the positions that were put aside."""
    document = reading.document
    gone: set[int] = set()
    if not reading.unfit and not reading.stale:
        return gone
    for row in connection.execute(ENTRIES, (document.id,)).fetchall():
        whole = open_entry(row, document, authors) is not None
        if whole and row[1] > reading.thinned:
            continue
        found = None if whole else mended(row, lambda r: _fits(r, document, authors), (0,))
        reason = _UNFIT if not whole else "retention had removed it"
        if not _replace_entry(connection, document, row, found, reason, done):
            gone.add(_number(row[1]))
    return gone


def _replace_entry(
    connection: sqlite3.Connection,
    document: Document,
    row: Row,
    found: Row | None,
    reason: str,
    done: Done,
) -> bool:
    """Tells whether it was put right; else it was put aside."""
    remove(connection, "entries", "document = ? AND position = ?", row[:2])
    if found is not None and not _is_there(connection, found):
        _put_entry(connection, found)
        done.mended += 1
        return True
    what = PutAside("entries", ENTRY_COLUMNS, row, document.name, _number(row[1]))
    put_aside(connection, what, reason)
    done.put_aside += 1
    return False


def _is_there(connection: sqlite3.Connection, row: Row) -> bool:
    sql = "SELECT 1 FROM entries WHERE document = ? AND position = ?"
    return connection.execute(sql, row[:2]).fetchone() is not None


def _fits(row: Row, document: Document, authors: Authors) -> bool:
    return open_entry(row, document, authors) is not None


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _rechain(
    connection: sqlite3.Connection, authors: Authors, document: Document, thinned: int
) -> None:
    """Let each entry point at the one before it that is there."""
    last = thinned
    broken: list[tuple[int, int]] = []
    for link in sound_entries(connection, authors, document):
        if link.previous != last:
            broken.append((link.entry.position, last))
        last = link.entry.position
    for position, previous in broken:
        sql = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE document = ? AND position = ?"  # noqa: S608
        row = connection.execute(sql, (document.id, position)).fetchone()
        link_ = open_entry(row, document, authors)
        assert link_ is not None  # noqa: S101 -- it was sound a moment ago
        author = Author(link_.author, link_.entry.edit.author.encode())
        again = entry_row(document, position, previous, author, link_.entry.edit)
        remove(connection, "entries", "document = ? AND position = ?", (document.id, position))
        _put_entry(connection, again)


# What sums them up


def _has_snapshot(connection: sqlite3.Connection, reading: Reading) -> bool:
    there = connection.execute(SNAPSHOT, (reading.document.id,)).fetchone() is not None
    expected = reading.tally is not None and reading.tally.snapshot > 0
    return there or expected or reading.thinned > 0


def _mend_base(
    connection: sqlite3.Connection, document: Document, done: Done, *, spoilt: bool
) -> None:
    for row in connection.execute(BASE, (document.id,)).fetchall():
        if not spoilt and open_snapshot(row, document, BASES) is not None:
            continue
        found = mended(row, lambda r: open_snapshot(r, document, BASES) is not None, (0,))
        if found is not None and not spoilt:
            _put_base(connection, found)
            done.mended += 1
            continue
        what = PutAside("bases", SNAPSHOT_COLUMNS, row, document.name, _number(row[1]))
        put_aside(connection, what, "it was damaged")
        remove(connection, "bases", "document = ?", (document.id,))
        done.remade = True


def _replaced(
    connection: sqlite3.Connection,
    authors: Authors,
    reading: Reading,
    remake: Remake | None,
    thinned: int,
    done: Done,
) -> Snapshot | None:
    """Put what the entries make in the place of a snapshot; without that, it stays."""
    document = reading.document
    opened = _opened(connection, authors, reading, thinned)
    made = remake(replace(opened, snapshot=reading.snapshot)) if remake else None
    if made is None:
        return reading.snapshot
    for row in connection.execute(SNAPSHOT, (document.id,)).fetchall():
        what = PutAside("snapshots", SNAPSHOT_COLUMNS, row, document.name, _number(row[1]))
        put_aside(connection, what, "it was not what its entries make")
    _put_snapshot(connection, snapshot_row(document, made))
    done.remade = True
    return made


def _remake_snapshot(
    connection: sqlite3.Connection,
    authors: Authors,
    reading: Reading,
    remake: Remake | None,
    thinned: int,
    done: Done,
    *,
    unusable: bool,
) -> Snapshot | None:
    document = reading.document
    for row in connection.execute(SNAPSHOT, (document.id,)).fetchall():
        found = None
        if not unusable:
            found = mended(row, lambda r: open_snapshot(r, document) is not None, (0,))
        if found is not None and (snapshot := open_snapshot(found, document)) is not None:
            _put_snapshot(connection, found)
            done.mended += 1
            return snapshot
        what = PutAside("snapshots", SNAPSHOT_COLUMNS, row, document.name, _number(row[1]))
        put_aside(connection, what, "it was damaged")
        remove(connection, "snapshots", "document = ?", (document.id,))
        done.remade = True
    made = remake(_opened(connection, authors, reading, thinned)) if remake else None
    if made is None and reading.base is not None and reading.base.position >= thinned:
        made = reading.base  # and the entries behind it, as far as they can be applied
    if made is not None:
        _put_snapshot(connection, snapshot_row(document, made))
        done.remade = True
    return made


def _opened(
    connection: sqlite3.Connection, authors: Authors, reading: Reading, thinned: int
) -> Opened:
    document = reading.document

    def entries() -> Iterator[Entry]:
        for link in sound_entries(connection, authors, document):
            yield link.entry

    whole = not quarantined(connection, document.name)
    return Opened(document.name, None, thinned, whole, entries, reading.base)


def _mended_tally(connection: sqlite3.Connection, document: Document, done: Done) -> Tally | None:
    """The tally of a document as it was before a byte of it changed."""
    for row in connection.execute(TALLY, (document.id,)):
        found = mended(row, lambda r: open_tally(r, document) is not None, (0,))
        if found is not None:
            done.mended += 1
            return open_tally(found, document)
    return None


def _sum_up(
    connection: sqlite3.Connection,
    authors: Authors,
    document: Document,
    old: Tally | None,
    snapshot: Snapshot | None,
    thinned: int,
    done: Done,
) -> None:
    """Write what the entries add up to now, where the row does not say just that."""
    tally: Tally | None = None
    reached = NOWHERE  # the last entry that the snapshot stands for
    for link in sound_entries(connection, authors, document):
        received_at = to_milliseconds(link.entry.edit.received_at)
        if tally is None:
            tally = Tally.empty(document, link.author, received_at)
        tally.count(link.entry.position, link.author, received_at, len(link.entry.edit.update))
        if snapshot is not None and link.entry.position <= snapshot.position:
            reached = link.entry.position
    if tally is None:
        if snapshot is None:
            _forget(connection, document, done)
            return
        tally = Tally.empty(document, 0, to_milliseconds(snapshot.taken_at))
    tally.thinned = thinned
    tally.created_at = old.created_at if old is not None else tally.created_at
    if snapshot is not None:
        snapshot = _moved(connection, document, snapshot, reached, tally)
        tally.snapshot = snapshot.position
        tally.head = max(tally.head, snapshot.position)
    row = tally_row(tally)
    if connection.execute(TALLY, (document.id,)).fetchall() != [row]:
        _put_tally(connection, row)
        done.remade = True


def _moved(
    connection: sqlite3.Connection,
    document: Document,
    snapshot: Snapshot,
    reached: int,
    tally: Tally,
) -> Snapshot:
    """Let a snapshot stand at an entry that is there. It holds more than that entry; no matter."""
    if reached == snapshot.position or snapshot.position == tally.thinned:
        return snapshot
    at = reached or tally.thinned
    if not at:  # no entry that it stands for is left
        tally.thinned = snapshot.position
        return snapshot
    snapshot = replace(snapshot, position=Position(at))
    _put_snapshot(connection, snapshot_row(document, snapshot))
    return snapshot


def _forget(connection: sqlite3.Connection, document: Document, done: Done) -> None:
    """Nothing is left of a document but its name. (A purged one has an empty tally.)"""
    for row in connection.execute(TALLY, (document.id,)).fetchall():
        tally = open_tally(row, document)
        if tally is not None and not tally.head:
            continue
        what = PutAside("tallies", TALLY_COLUMNS, row, document.name)
        put_aside(connection, what, "nothing is left of what it sums up")
        remove(connection, "tallies", "document = ?", (document.id,))
        done.remade = True


def _give_up(connection: sqlite3.Connection, document: Document, done: Done) -> None:
    """Put all of a document aside: what it begins with is lost."""
    reason = "the snapshot that it stands on is lost"
    for row in connection.execute(ENTRIES, (document.id,)).fetchall():
        what = PutAside("entries", ENTRY_COLUMNS, row, document.name, _number(row[1]))
        put_aside(connection, what, reason)
        remove(connection, "entries", "document = ? AND position = ?", row[:2])
        done.put_aside += 1
    _forget(connection, document, done)
    done.given_up = True


# Rows without a document


def put_nameless_aside(
    connection: sqlite3.Connection, known: dict[int, Document], authors: Authors
) -> Done:
    """Put aside what stands under ids without a name, unless it is another document's."""
    done = Done()
    for id_ in list(nameless(connection, known)):
        near = [known[other] for other in numbers_near(id_) if other in known]
        for row in connection.execute(ENTRIES, (id_,)).fetchall():
            remove(connection, "entries", "document = ? AND position = ?", row[:2])
            home = _home(row, near, authors)
            if home is not None and not _is_there(connection, home):
                _put_entry(connection, home)
                done.mended += 1
                continue
            what = PutAside("entries", ENTRY_COLUMNS, row, position=_number(row[1]))
            put_aside(connection, what, "the name of its document is lost")
            done.put_aside += 1
        for table, columns in (
            ("tallies", TALLY_COLUMNS),
            ("snapshots", SNAPSHOT_COLUMNS),
            ("bases", SNAPSHOT_COLUMNS),
        ):
            sql = f"SELECT {columns} FROM {table} WHERE document = ?"  # noqa: S608
            for row in connection.execute(sql, (id_,)).fetchall():
                what = PutAside(table, columns, row)
                put_aside(connection, what, "the name of its document is lost")
                remove(connection, table, "document = ?", (id_,))
    return done


def _home(row: Row, near: Sequence[Document], authors: Authors) -> Row | None:
    """The row under the document that its checksum says it belongs to."""
    for document in near:
        moved = (document.id, *row[1:])
        if open_entry(moved, document, authors) is not None:
            return moved
    return None
