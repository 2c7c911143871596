"""Rows and the values they hold.

Connections read text as bytes (``text_factory``): a flipped bit may leave no UTF-8, and must not
make the other rows unreadable. The functions that open a row take whatever SQLite gave, of any
type, and return None where the checksum does not fit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

from persistence.checks import check_connection
from persistence.sqlite import clients
from persistence.sqlite.seals import MISFITS, seal
from persistence.store import Deletion, Edit, Entry, Head, Position, Snapshot, to_milliseconds

Row: TypeAlias = tuple[Any, ...]

ENTRY_COLUMNS = 'document, position, step, author, received_at, clients, checksum, origin, "update"'
TALLY_COLUMNS = (
    "document, head, edits, size, last_author, created_at, updated_at, snapshot, thinned, checksum"
)
SNAPSHOT_COLUMNS = 'document, position, taken_at, checksum, state_vector, "update"'

_DOCUMENT = struct.Struct("<qI")
_ENTRY = struct.Struct("<qqqqIII")
_ENTRY_OF_ORIGIN = struct.Struct("<qqqqqIII")
_TALLY = struct.Struct("<qqqqqqqqqI")
_SNAPSHOT = struct.Struct("<qqqIII")
_NAME = struct.Struct("<qqI")
_META = struct.Struct("<II")


class Document(NamedTuple):
    """A document, and the id that its rows have in the place of its name."""

    id: int
    name: str
    entries: blake2b  # what the checksums of all its entries begin with

    @classmethod
    def of(cls, id_: int, name: str) -> Document:
        encoded = name.encode()
        begun = blake2b(_DOCUMENT.pack(id_, len(encoded)), digest_size=8, person=b"entries")
        begun.update(encoded)
        return cls(id_, name, begun)


class Author(NamedTuple):
    """An author, and the id that entries have in the place of the name."""

    id: int
    name: bytes  # UTF-8


# Entries


def entry_row(document: Document, position: int, previous: int, author: Author, edit: Edit) -> Row:
    """Return the columns of an entry, in the order of ENTRY_COLUMNS.

    Raises ValueError for a time or ranges that are none.
    """
    step, received_at = position - previous, to_milliseconds(edit.received_at)
    packed = clients.pack(edit.clients, edit.update)
    check_connection(edit.connection)
    origin = edit.connection << 1 | edit.offline
    numbers = (position, step, received_at, author.id, origin)
    checksum = _seal_entry(document, numbers, author, packed, edit.update)
    return (
        document.id, position, step, author.id, received_at, packed, checksum, origin, edit.update,
    )  # fmt: skip


def _seal_entry(
    document: Document, numbers: Row, author: Author, packed: bytes, update: bytes
) -> bytes:
    """``numbers`` end with the origin, which entries have that were written since schema m003."""
    whole = document.entries.copy()
    shape = _ENTRY if numbers[-1] is None else _ENTRY_OF_ORIGIN
    known = numbers[:-1] if numbers[-1] is None else numbers
    head = shape.pack(*known, len(author.name), len(packed), len(update))
    whole.update(head + author.name + packed + update)
    return whole.digest()


class Link(NamedTuple):
    """An entry, and the position of the one before it in its document."""

    entry: Entry
    previous: int
    author: int


def open_entry(
    row: Row, document: Document, author_of: Callable[[int], Author | None]
) -> Link | None:
    """Return an entry of ``document`` from the columns of ENTRY_COLUMNS, or None if damaged."""
    id_, position, step, author_id, received_at, packed, checksum, origin, update = row
    try:
        author = author_of(author_id)
        if author is None or id_ != document.id:
            return None
        numbers = (position, step, received_at, author_id, origin)
        if checksum != _seal_entry(document, numbers, author, packed, update):
            return None
        brought = clients.unpack(packed, update)
        edit = Edit(
            document.name, update, author.name.decode(), brought, received_at / 1_000,
            (origin or 0) >> 1, bool((origin or 0) & 1),
        )  # fmt: skip
    except MISFITS:
        return None
    return Link(Entry(Position(position), edit), position - step, author_id)


# Tallies


@dataclass(slots=True)
class Tally:
    """What the entries of a document add up to, as one row. Times are in milliseconds."""

    document: Document
    head: int
    edits: int
    size: int
    last_author: int
    created_at: int
    updated_at: int
    snapshot: int = 0
    thinned: int = 0

    @classmethod
    def empty(cls, document: Document, author: int, time: int) -> Tally:
        """A document without entries, to count its first one into."""
        return cls(document, 0, 0, 0, author, time, time)

    def count(self, position: int, author: int, received_at: int, size: int) -> None:
        """Add an entry behind the head."""
        if not self.head:  # it was purged, and begins anew
            self.created_at = received_at
        self.head = position
        self.edits += 1
        self.size += size
        self.last_author = author
        self.updated_at = received_at

    def as_head(self, last_author: str, deleted: Deletion | None = None) -> Head:
        return Head(
            self.document.name, Position(self.head), self.edits, self.size, last_author,
            self.created_at / 1_000, self.updated_at / 1_000,
            Position(self.snapshot), Position(self.thinned), deleted,
        )  # fmt: skip


def tally_row(tally: Tally) -> Row:
    """Return the columns of a tally, in the order of TALLY_COLUMNS."""
    numbers = (
        tally.document.id, tally.head, tally.edits, tally.size, tally.last_author,
        tally.created_at, tally.updated_at, tally.snapshot, tally.thinned,
    )  # fmt: skip
    return (*numbers, _seal_tally(numbers, tally.document))


def _seal_tally(numbers: Row, document: Document) -> bytes:
    name = document.name.encode()
    return seal(b"tallies", _TALLY.pack(*numbers, len(name)), name)


def open_tally(row: Row, document: Document) -> Tally | None:
    """Return a document's tally from the columns of TALLY_COLUMNS, or None if damaged."""
    *numbers, checksum = row
    try:
        fits = row[0] == document.id and checksum == _seal_tally(tuple(numbers), document)
    except MISFITS:
        return None
    return Tally(document, *numbers[1:]) if fits else None


# Snapshots

SNAPSHOTS, BASES = b"snapshots", b"bases"  # the tables that hold them


def snapshot_row(document: Document, snapshot: Snapshot, table: bytes = SNAPSHOTS) -> Row:
    """Return the columns of a snapshot in a table, in the order of SNAPSHOT_COLUMNS."""
    taken_at = to_milliseconds(snapshot.taken_at)
    checksum = _seal_snapshot(
        table, document, (snapshot.position, taken_at), snapshot.state_vector, snapshot.update
    )
    return (
        document.id, snapshot.position, taken_at, checksum, snapshot.state_vector, snapshot.update,
    )  # fmt: skip


def _seal_snapshot(
    table: bytes, document: Document, numbers: Row, state_vector: bytes, update: bytes
) -> bytes:
    name = document.name.encode()
    sizes = len(name), len(state_vector), len(update)
    head = _SNAPSHOT.pack(document.id, *numbers, *sizes)
    return seal(table, head, name, state_vector, update)


def open_snapshot(row: Row, document: Document, table: bytes = SNAPSHOTS) -> Snapshot | None:
    """Return the snapshot of ``document`` from the columns of SNAPSHOT_COLUMNS, or None."""
    id_, position, taken_at, checksum, state_vector, update = row
    try:
        numbers = (position, taken_at)
        expected = _seal_snapshot(table, document, numbers, state_vector, update)
        if id_ != document.id or checksum != expected:
            return None
    except MISFITS:
        return None
    return Snapshot(document.name, Position(position), update, state_vector, taken_at / 1_000)


# Names and meta


def seal_name(kind: int, id_: int, name: bytes) -> bytes:
    """Return the checksum of a name, the same in both tables that it is kept in."""
    return seal(b"names", _NAME.pack(kind, id_, len(name)), name)


def seal_meta(key: str, value: str) -> bytes:
    one, other = key.encode(), value.encode()
    return seal(b"meta", _META.pack(len(one), len(other)), one, other)


def open_meta(key: str, value: object, checksum: object) -> str | None:
    """Return what ``meta`` says of ``key``, or None if damaged."""
    try:
        text = value.decode() if isinstance(value, bytes) else ""
        return text if checksum == seal_meta(key, text) else None
    except ValueError:
        return None
