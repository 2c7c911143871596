"""What the service asks of a store, and the values that pass between them.

Errors::

    StoreError
    ├── StoreUnavailable   the disk is full, locked or failing: the same call may be tried again
    ├── StoreInUse         another process holds the writer's lock on this database
    └── StoreTooNew        the database was written by a newer draftsync

Positions number the entries of one database: the first is 1, each next one more, without gaps,
given by the store in the order of :meth:`Store.append`. They order everything; clocks order
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, NewType, Protocol

Position = NewType("Position", int)

NOWHERE = Position(0)
"""The position before the first entry."""

_LAST_TIME = 2**53 / 1_000  # seconds: beyond, a float tells no milliseconds


class StoreError(Exception):
    """A store could not do what it was asked; nothing was changed."""


class StoreUnavailable(StoreError):
    """The disk cannot take or give data now. Nothing was changed; the same call may be repeated."""


class StoreInUse(StoreError):
    """Another process has this database open for writing."""


class StoreTooNew(StoreError):
    """The database has migrations that this version does not know."""


class ClientRange(NamedTuple):
    """The clocks ``start <= clock < end`` of one Yjs client id that an edit brought; none negative.

    ``introduced`` tells that the edit's author handed them on for somebody else, and did not
    write them.
    """

    client: int
    start: int
    end: int
    introduced: bool = False


class Edit(NamedTuple):
    """One accepted update on its way to disk."""

    document: str
    update: bytes  # a Yjs v1 update whose dependencies are all in earlier edits of the document
    author: str  # the subject whose connection brought it
    clients: tuple[ClientRange, ...]  # empty for an update that only deletes
    received_at: float  # seconds since the Unix epoch, by the server's clock; see to_milliseconds


def to_milliseconds(seconds: float) -> int:
    """Round a time as every store keeps it: to the millisecond. Times order nothing.

    Raises ValueError for what is no time: NaN, or further than 285,000 years from 1970.
    """
    if not -_LAST_TIME < seconds < _LAST_TIME:
        raise ValueError(f"not a time: {seconds!r}")
    return round(seconds * 1_000)


class Entry(NamedTuple):
    """An edit on disk; its time is rounded to the millisecond."""

    position: Position
    edit: Edit


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole of a document as one Yjs v1 update: every entry up to ``position`` merged."""

    document: str
    position: Position  # of the last entry of the document that is contained
    update: bytes
    state_vector: bytes
    taken_at: float


@dataclass(frozen=True, slots=True)
class Damage:
    """A row that failed its checksum, or is missing though another row points at it.

    It was left where it is, and out of what was loaded. A damaged "document" is the row that sums
    up the entries, a damaged "name" one of the two copies of a document's or an author's name:
    nothing of the content is lost, and writing to the document makes them anew.
    """

    position: Position  # of the entry, of the snapshot, or the document's head
    what: Literal["entry", "snapshot", "document", "name"]
    reason: str


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What is on disk of one document: a snapshot and the entries behind it, in order.

    ``snapshot`` is None where none was written or the one there is damaged; ``entries`` are then
    all of the document's that retention left. A document that was never written has
    ``head == NOWHERE``.
    """

    document: str
    snapshot: Snapshot | None
    entries: tuple[Entry, ...]
    head: Position  # of the document's last entry, damaged ones included
    damaged: tuple[Damage, ...] = ()
    thinned: Position = NOWHERE  # of the last entry that retention removed


@dataclass(frozen=True, slots=True)
class Head:
    """One line of the list of documents."""

    document: str
    head: Position
    edits: int  # in the log; not those that retention removed
    size: int  # bytes of their updates
    last_author: str
    created_at: float  # when its first edit was received, though it be removed
    updated_at: float
    snapshot: Position  # NOWHERE when there is none
    thinned: Position = NOWHERE  # of the last entry that retention removed


class Reader(Protocol):
    """What can be asked of a database with the service up or down."""

    @property
    def epoch(self) -> str:
        """A random name given to the database when it was created.

        Positions mean something only together with it: a database that was wiped and made again
        starts at 1 under another epoch.
        """

    async def load(self, document: str) -> StoredDocument:
        """Read one document: every committed entry that no snapshot covers.

        Rows that fail their checksum are reported in ``damaged`` and left out.
        Raises StoreUnavailable.
        """

    async def heads(self, prefix: str = "") -> list[Head]:
        """List the documents whose name starts with ``prefix``, ordered by name.

        The prefix is literal and case-sensitive. Where the row of a document is damaged, its line
        is added up from the entries that are left.
        Raises StoreUnavailable.
        """


class Store(Reader, Protocol):
    """The one writer of a database."""

    async def append(self, batch: Sequence[Edit]) -> Position:
        """Commit a batch, whole or not at all, and return the position of its first edit.

        The others follow it without a gap, in the order given. When the call returns, the batch
        is as durable as the store was opened to make it. A call that raised StoreUnavailable has
        committed nothing, or has committed the whole batch and will recognise the same batch when
        it is repeated (it must be repeated, before any other).
        ValueError, with nothing committed: an empty batch, a document's name of not 1 to 255 bytes
        of UTF-8, text that is no Unicode, a range that ends before it starts or has a negative
        clock, no time (:func:`to_milliseconds`), or another batch where one is to be repeated.
        """

    async def compact(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, in the place of the document's earlier one.

        The caller has verified that it can be imported again. The entries behind it stay: they are
        the history. A snapshot that is not newer than the sound one that is there is ignored.
        Raises StoreUnavailable, and ValueError where ``position`` is no entry of the document:
        standing ahead of its head, it would hide the entries still to come; among those that
        retention removed, it would stand for them without having them.
        """

    async def thin(self, document: str, before: float) -> int:
        """Remove the beginning of a document's history: a bounded part of it, as one transaction.

        Removed are its first entries up to the first that was received at ``before`` or later, or
        that its snapshot does not contain. Returns how many; 0 when none is left to remove. The
        current state stays: without a snapshot that is sound in this very transaction, nothing is
        removed. Appends go first between two calls, so call until 0.
        Raises StoreUnavailable; the same call may be repeated.
        """

    async def reclaim(self) -> int:
        """Give a bounded part of the space that ``thin`` and ``compact`` freed back to the disk.

        Returns how many bytes; 0 when no more can be given back. Raises StoreUnavailable.
        """

    async def close(self) -> None:
        """Finish what was begun, release the files and the writer's lock."""
