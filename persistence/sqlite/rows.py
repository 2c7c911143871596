"""Rows and the values they hold, with the checksum that binds all columns of a row together.

A checksum is BLAKE2b of 8 bytes over the numbers, the lengths of the texts and blobs, and these
themselves, in the order of the columns; the table's name is mixed in. It finds every flipped bit
of a row, its position and its document's name included, and costs 2 µs for a keystroke, as CRC-32
does here.

Connections read text as bytes (``text_factory``): a flipped bit may leave no UTF-8, and must not
make the other rows unreadable. The functions that open a row take whatever SQLite gave, of any
type, and return None where the checksum does not fit.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

from persistence.store import ClientRange, Edit, Entry, Head, Position, Snapshot

Row: TypeAlias = tuple[Any, ...]

_ENTRY = struct.Struct("<qqdIIII")
_DOCUMENT = struct.Struct("<qqqddqII")
_SNAPSHOT = struct.Struct("<qdIII")
_META = struct.Struct("<II")

ENTRY_COLUMNS = 'position, document, previous, "update", author, clients, received_at, checksum'
DOCUMENT_COLUMNS = (
    "document, head, edits, size, last_author, created_at, updated_at, snapshot, checksum"
)
SNAPSHOT_COLUMNS = 'document, position, "update", state_vector, taken_at, checksum'


def _seal(table: bytes, head: bytes, *parts: bytes) -> bytes:
    return blake2b(head + b"".join(parts), digest_size=8, person=table).digest()


def _fits(checksum: object, expected: bytes) -> bool:
    return isinstance(checksum, bytes) and checksum == expected


# Entries


def entry_row(position: int, previous: int, edit: Edit) -> Row:
    """Return the columns of an entry, in the order of ENTRY_COLUMNS."""
    clients = _clients_text(edit.clients)
    received_at = edit.received_at + 0.0  # SQLite keeps no -0.0
    seal = _seal_entry(
        position,
        previous,
        edit.document.encode(),
        edit.update,
        edit.author.encode(),
        clients.encode(),
        received_at,
    )
    return (
        position, edit.document, previous, edit.update, edit.author, clients, received_at, seal,
    )  # fmt: skip


def _seal_entry(
    position: int,
    previous: int,
    document: bytes,
    update: bytes,
    author: bytes,
    clients: bytes,
    received_at: float,
) -> bytes:
    head = _ENTRY.pack(
        position, previous, received_at, len(document), len(update), len(author), len(clients)
    )
    return _seal(b"entries", head, document, update, author, clients)


class Link(NamedTuple):
    """An entry and the position of the one before it in its document."""

    entry: Entry
    previous: int


def open_entry(row: Row, document: str) -> Link | None:
    """Return an entry of ``document`` from the columns of ENTRY_COLUMNS, or None if damaged."""
    position, name, previous, update, author, clients, received_at, checksum = row
    try:
        seal = _seal_entry(position, previous, name, update, author, clients, received_at)
        if not _fits(checksum, seal) or name.decode() != document:
            return None
        edit = Edit(document, update, author.decode(), _clients(clients), received_at)
    except (TypeError, ValueError, AttributeError, struct.error):
        return None
    return Link(Entry(Position(position), edit), previous)


def _clients_text(clients: tuple[ClientRange, ...]) -> str:
    # By hand: json.dumps would cost more than all the rest of a keystroke's row.
    ranges = (
        f"[{one.client},{one.start},{one.end}{',1' if one.introduced else ''}]" for one in clients
    )
    return f"[{','.join(ranges)}]"


def _clients(text: bytes) -> tuple[ClientRange, ...]:
    return tuple(
        ClientRange(client, start, end, bool(introduced))
        for client, start, end, *introduced in json.loads(text)
    )


# Documents


@dataclass(slots=True)
class Tally:
    """A row of ``documents``: what its entries add up to. The writer counts on in it."""

    document: str
    head: int
    edits: int
    size: int
    last_author: str
    created_at: float
    updated_at: float
    snapshot: int = 0

    def add(self, position: int, edit: Edit) -> None:
        self.head = position
        self.edits += 1
        self.size += len(edit.update)
        self.last_author = edit.author
        self.updated_at = edit.received_at + 0.0

    def as_head(self) -> Head:
        return Head(
            self.document, Position(self.head), self.edits, self.size, self.last_author,
            self.created_at, self.updated_at, Position(self.snapshot),
        )  # fmt: skip


def document_row(tally: Tally) -> Row:
    """Return the columns of a document, in the order of DOCUMENT_COLUMNS."""
    columns = (
        tally.document, tally.head, tally.edits, tally.size, tally.last_author,
        tally.created_at, tally.updated_at, tally.snapshot,
    )  # fmt: skip
    return (*columns, _seal_document(tally))


def _seal_document(tally: Tally) -> bytes:
    document, author = tally.document.encode(), tally.last_author.encode()
    head = _DOCUMENT.pack(
        tally.head, tally.edits, tally.size, tally.created_at, tally.updated_at, tally.snapshot,
        len(document), len(author),
    )  # fmt: skip
    return _seal(b"documents", head, document, author)


def open_document(row: Row) -> Tally | None:
    """Return a document's tally from the columns of DOCUMENT_COLUMNS, or None if damaged."""
    document, head, edits, size, author, created_at, updated_at, snapshot, checksum = row
    try:
        tally = Tally(
            document.decode(), head, edits, size, author.decode(), created_at, updated_at, snapshot
        )
        return tally if _fits(checksum, _seal_document(tally)) else None
    except (TypeError, ValueError, AttributeError, struct.error):
        return None


# Snapshots


def snapshot_row(snapshot: Snapshot) -> Row:
    """Return the columns of a snapshot, in the order of SNAPSHOT_COLUMNS."""
    taken_at = snapshot.taken_at + 0.0
    seal = _seal_snapshot(
        snapshot.document.encode(),
        snapshot.position,
        snapshot.update,
        snapshot.state_vector,
        taken_at,
    )
    return (
        snapshot.document, snapshot.position, snapshot.update, snapshot.state_vector, taken_at,
        seal,
    )  # fmt: skip


def _seal_snapshot(
    document: bytes, position: int, update: bytes, state_vector: bytes, taken_at: float
) -> bytes:
    head = _SNAPSHOT.pack(position, taken_at, len(document), len(update), len(state_vector))
    return _seal(b"snapshots", head, document, update, state_vector)


def open_snapshot(row: Row, document: str) -> Snapshot | None:
    """Return the snapshot of ``document`` from the columns of SNAPSHOT_COLUMNS, or None."""
    name, position, update, state_vector, taken_at, checksum = row
    try:
        seal = _seal_snapshot(name, position, update, state_vector, taken_at)
        if not _fits(checksum, seal) or name.decode() != document:
            return None
    except (TypeError, ValueError, AttributeError, struct.error):
        return None
    return Snapshot(document, Position(position), update, state_vector, taken_at)


# Meta


def seal_meta(key: str, value: str) -> bytes:
    one, other = key.encode(), value.encode()
    return _seal(b"meta", _META.pack(len(one), len(other)), one, other)


def open_meta(key: str, value: object, checksum: object) -> str | None:
    """Return what ``meta`` says of ``key``, or None if damaged."""
    try:
        text = value.decode() if isinstance(value, bytes) else ""
        return text if _fits(checksum, seal_meta(key, text)) else None
    except ValueError:
        return None
