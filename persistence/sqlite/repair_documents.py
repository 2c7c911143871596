"""Mending documents: what can be made again is, and what cannot be read is put aside.

Each document is one transaction; a crash between two leaves a database that can be repaired again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

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
from persistence.sqlite.names import Authors
from persistence.sqlite.repair_mend import mended
from persistence.sqlite.repair_quarantine import PutAside, note, put_aside, quarantined
from persistence.sqlite.rows import (
    BASES,
    ENTRY_COLUMNS,
    SNAPSHOT_COLUMNS,
    SNAPSHOTS,
    TALLY_COLUMNS,
    Author,
    Document,
    Link,
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

UNFIT = "its checksum did not fit"

_ENTRY = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE document = ? AND position = ?"  # noqa: S608

put_entry = Insert("entries", ENTRY_COLUMNS, "INSERT OR IGNORE")
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


def is_there(connection: sqlite3.Connection, row: Row) -> bool:
    """Whether there is an entry with the key of a row."""
    return connection.execute(_ENTRY, row[:2]).fetchone() is not None


def number(value: object) -> int:
    """A column that is to be a number, 0 where it is none."""
    return value if isinstance(value, int) else 0


def mend_document(
    connection: sqlite3.Connection,
    authors: Authors,
    document: Document,
    remake: Remake | None,
    found: Collection[str] = (),
) -> Done:
    """Let a document be whole; the caller gives the transaction. Raises CannotRemove.

    ``found`` has the codes of what a checkup found that looked deeper: that its snapshot, sound by
    its checksum, is not what its entries make (``snapshot.wrong``) or cannot even be loaded
    (``snapshot.unusable``), nor the base of its history (``base.wrong``); that it has edits that no
    entry tells of (``entry.lacking``).
    """
    mending = _Mending(connection, authors, document, remake, found)
    mending.run()
    return mending.done


@dataclass(slots=True)
class _Mending:
    """A document while it is made whole."""

    connection: sqlite3.Connection
    authors: Authors
    document: Document
    remake: Remake | None
    found: Collection[str]
    done: Done = field(default_factory=Done)
    thinned: int = 0  # position of the last entry that retention removed

    def run(self) -> None:
        reading = self._read()
        gone = self._mend_entries(reading)
        self._mend_base()
        reading = self._read()
        tally = reading.tally or self._mended_tally()
        self.thinned = max(tally.thinned if tally is not None else reading.thinned, 0)
        self._note_missing(set(reading.missing.first) - gone)
        self._rechain()
        snapshot = reading.snapshot
        if "snapshot.wrong" in self.found and snapshot is not None:
            snapshot = self._merged(reading, snapshot)
        elif "snapshot.unusable" in self.found or (
            snapshot is None and self._had_snapshot(reading)
        ):
            snapshot = self._remade_snapshot(reading)
            if snapshot is None and self.thinned:
                self._give_up()
                return
        self._sum_up(tally, snapshot)

    def _read(self) -> Reading:
        return read(self.connection, self.authors, self.document, 0, moment=False)

    def _put_aside(self, table: str, columns: str, row: Row, reason: str) -> None:
        """Take a note of a row with its bytes; it is still where it was."""
        position = number(row[1]) if table != "tallies" else 0
        what = PutAside(table, columns, row, self.document.name, position)
        put_aside(self.connection, what, reason)

    def _remove_entry(self, row: Row, reason: str) -> None:
        self._put_aside("entries", ENTRY_COLUMNS, row, reason)
        remove(self.connection, "entries", "document = ? AND position = ?", row[:2])
        self.done.put_aside += 1

    # Entries

    def _mend_entries(self, reading: Reading) -> set[int]:
        """Put right, or aside, what is not sound; return the positions that were put aside."""
        gone: set[int] = set()
        if not reading.unfit and not reading.stale:
            return gone
        rows = self.connection.execute(ENTRIES, (self.document.id,))
        for row in [row for row in rows if not self._fits(row) or row[1] <= reading.thinned]:
            if self._fits(row):
                self._remove_entry(row, "retention had removed it")
            elif not self._put_right(row):
                self._remove_entry(row, UNFIT)
                gone.add(number(row[1]))
        return gone

    def _put_right(self, row: Row) -> bool:
        found = mended(row, self._fits, (0,))
        if found is None or (found[:2] != row[:2] and is_there(self.connection, found)):
            return False
        remove(self.connection, "entries", "document = ? AND position = ?", row[:2])
        put_entry(self.connection, found)
        self.done.mended += 1
        return True

    def _fits(self, row: Row) -> bool:
        return open_entry(row, self.document, self.authors) is not None

    def _note_missing(self, positions: Collection[int]) -> None:
        name = self.document.name
        for position in positions:
            note(self.connection, name, position, "it went missing, with its bytes")
            self.done.noted += 1
        if "entry.lacking" in self.found and not quarantined(self.connection, name):
            note(self.connection, name, 0, "entries that the snapshot has went missing", 0)
            self.done.noted += 1

    def _rechain(self) -> None:
        """Let each entry point at the one before it that is there."""
        last = self.thinned
        broken: list[tuple[int, int]] = []
        for link in self._sound():
            if link.previous != last:
                broken.append((link.entry.position, last))
            last = link.entry.position
        for position, previous in broken:
            key = (self.document.id, position)
            row = self.connection.execute(_ENTRY, key).fetchone()
            link_ = open_entry(row, self.document, self.authors)
            assert link_ is not None  # noqa: S101 -- it was sound a moment ago
            author = Author(link_.author, link_.entry.edit.author.encode())
            again = entry_row(self.document, position, previous, author, link_.entry.edit)
            remove(self.connection, "entries", "document = ? AND position = ?", key)
            put_entry(self.connection, again)

    def _sound(self) -> Iterator[Link]:
        return sound_entries(self.connection, self.authors, self.document)

    # What stands for them

    def _mend_base(self) -> None:
        spoilt = "base.wrong" in self.found
        for row in self.connection.execute(BASE, (self.document.id,)).fetchall():
            if spoilt or open_snapshot(row, self.document, BASES) is None:
                self._mend_or_drop(row, BASES, spoilt=spoilt)

    def _mend_or_drop(self, row: Row, table: bytes, *, spoilt: bool) -> Snapshot | None:
        """Put a snapshot's or a base's row right where one byte is wrong, else aside.

        ``spoilt``: its checksum fits, and it is of no use all the same.
        """

        def fits(tried: Row) -> bool:
            return open_snapshot(tried, self.document, table) is not None

        put = _put_snapshot if table == SNAPSHOTS else _put_base
        if not spoilt and (found := mended(row, fits, (0,))) is not None:
            put(self.connection, found)
            self.done.mended += 1
            return open_snapshot(found, self.document, table)
        self._put_aside(table.decode(), SNAPSHOT_COLUMNS, row, "it was damaged")
        remove(self.connection, table.decode(), "document = ?", (self.document.id,))
        self.done.remade = True
        return None

    def _had_snapshot(self, reading: Reading) -> bool:
        there = self.connection.execute(SNAPSHOT, (self.document.id,)).fetchone() is not None
        expected = reading.tally is not None and reading.tally.snapshot > 0
        return there or expected or reading.thinned > 0

    def _merged(self, reading: Reading, snapshot: Snapshot) -> Snapshot:
        """Put a snapshot merged with the entries in its place; without that, it stays."""
        made = self._make(reading, snapshot)
        if made is None:
            return snapshot
        for row in self.connection.execute(SNAPSHOT, (self.document.id,)).fetchall():
            self._put_aside("snapshots", SNAPSHOT_COLUMNS, row, "it was not what its entries make")
        return self._keep(made)

    def _remade_snapshot(self, reading: Reading) -> Snapshot | None:
        spoilt = "snapshot.unusable" in self.found
        for row in self.connection.execute(SNAPSHOT, (self.document.id,)).fetchall():
            snapshot = self._mend_or_drop(row, SNAPSHOTS, spoilt=spoilt)
            if snapshot is not None:
                return snapshot
        made = self._make(reading, None)
        if made is None and reading.base is not None and reading.base.position >= self.thinned:
            made = reading.base  # and the entries behind it, as far as they can be applied
        return self._keep(made) if made is not None else None

    def _make(self, reading: Reading, snapshot: Snapshot | None) -> Snapshot | None:
        if self.remake is None:
            return None

        def entries() -> Iterator[Entry]:
            return (link.entry for link in self._sound())

        name = self.document.name
        whole = not quarantined(self.connection, name)
        return self.remake(Opened(name, snapshot, self.thinned, whole, entries, reading.base))

    def _keep(self, made: Snapshot) -> Snapshot:
        _put_snapshot(self.connection, snapshot_row(self.document, made))
        self.done.remade = True
        return made

    # What sums them up

    def _mended_tally(self) -> Tally | None:
        """The tally as it was before a byte of it changed."""
        for row in self.connection.execute(TALLY, (self.document.id,)):
            found = mended(row, lambda r: open_tally(r, self.document) is not None, (0,))
            if found is not None:
                self.done.mended += 1
                return open_tally(found, self.document)
        return None

    def _sum_up(self, old: Tally | None, snapshot: Snapshot | None) -> None:
        """Write what the entries add up to now, where the row does not say just that."""
        tally, reached = self._added_up(snapshot.position if snapshot else NOWHERE)
        if tally is None:
            if snapshot is None:
                self._forget()
                return
            taken_at = to_milliseconds(snapshot.taken_at)
            tally = old or Tally.empty(self.document, 0, taken_at)
            tally = replace(tally, head=0, edits=0, size=0)
        tally.snapshot, tally.thinned = NOWHERE, self.thinned
        tally.created_at = old.created_at if old is not None else tally.created_at
        if snapshot is not None:
            tally.snapshot = self._stand(snapshot, reached, tally)
            tally.head = max(tally.head, tally.snapshot)
        row = tally_row(tally)
        if self.connection.execute(TALLY, (self.document.id,)).fetchall() != [row]:
            _put_tally(self.connection, row)
            self.done.remade = True

    def _added_up(self, covered: Position) -> tuple[Tally | None, int]:
        """Add up the entries; and tell the last of those that a snapshot at ``covered`` has."""
        tally: Tally | None = None
        reached = 0
        for link in self._sound():
            position, edit = link.entry
            received_at = to_milliseconds(edit.received_at)
            if tally is None:
                tally = Tally.empty(self.document, link.author, received_at)
            tally.count(position, link.author, received_at, len(edit.update))
            if position <= covered:
                reached = position
        return tally, reached

    def _stand(self, snapshot: Snapshot, reached: int, tally: Tally) -> int:
        """Let a snapshot stand at an entry that is there, and tell at which.

        It holds more than that entry; no matter.
        """
        if reached == snapshot.position or snapshot.position == tally.thinned:
            return snapshot.position
        at = reached or tally.thinned
        if not at:  # no entry that it stands for is left
            tally.thinned = snapshot.position
            return snapshot.position
        moved = replace(snapshot, position=Position(at))
        _put_snapshot(self.connection, snapshot_row(self.document, moved))
        return at

    def _forget(self) -> None:
        """Nothing is left of a document but its name. (A purged one has an empty tally.)"""
        for row in self.connection.execute(TALLY, (self.document.id,)).fetchall():
            tally = open_tally(row, self.document)
            if tally is None or tally.head:
                self._put_aside("tallies", TALLY_COLUMNS, row, "nothing is left of what it sums up")
                remove(self.connection, "tallies", "document = ?", (self.document.id,))
                self.done.remade = True

    def _give_up(self) -> None:
        """Put all of a document aside: what it begins with is lost."""
        for row in self.connection.execute(ENTRIES, (self.document.id,)).fetchall():
            self._remove_entry(row, "the snapshot that it stands on is lost")
        self._forget()
        self.done.given_up = True
