"""What the service asks of a store, and the values that pass between them.

Errors::

    StoreError
    ├── StoreUnavailable   the disk is full, locked or failing: the same call may be tried again
    ├── StoreInUse         another process holds the writer's lock on this database
    ├── StoreTooNew        the database was written by a newer draftsync
    └── HistoryRemoved     what is asked for is of a time whose history retention removed

Positions number the entries of one database: the first is 1, each next one more, without gaps,
given by the store in the order of :meth:`Store.append`. They order everything; clocks order
nothing. Offsets number the events of one session in the same way, from 1 on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """Another process has this database open for writing.

    ``holder`` is what it is called there (:attr:`Store.holder`), where it says so.
    """

    def __init__(self, text: str, holder: str | None = None) -> None:
        super().__init__(text)
        self.holder = holder


class StoreTooNew(StoreError):
    """The database has migrations that this version does not know."""


class HistoryRemoved(StoreError):
    """A document cannot be read as it was then: that part of its history was removed.

    ``earliest`` is the first position that it can be read at.
    """

    def __init__(self, document: str, asked: str, earliest: int) -> None:
        """``asked`` is a moment, for people: "position 17", or a time."""
        super().__init__(
            f"{document!r} cannot be read as it was at {asked}: its history up to position "
            f"{earliest} was removed by retention; ask for position {earliest} or later"
        )
        self.earliest = Position(earliest)


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
    connection: int = 0  # that brought it, below 2^53 and unique in the database; 0: none, unknown
    offline: bool = False  # made before its connection began, and brought when it did


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
    aside: bool = False  # it was found and put into quarantine: what is left is all there will be


def lost_entries(damaged: Iterable[Damage]) -> list[Position]:
    """The positions of entries among what is damaged: what they say is not known any more."""
    return [each.position for each in damaged if each.what == "entry"]


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
    deleted: Deletion | None = None  # it is not to be served; its entries may still be there


@dataclass(frozen=True, slots=True)
class Deletion:
    """Somebody deleted a document: it can be brought back until it is purged."""

    document: str
    by: str  # the subject
    at: float  # seconds since the Unix epoch
    purged: bool = False  # nothing of it is left but its name, so that nobody brings it back


@dataclass(frozen=True, slots=True)
class Past:
    """What is on disk of one document up to a position: to be read, not to be served.

    ``base`` holds everything up to its own position, and ``entries`` all behind it, up to
    ``position``; without a base they begin with the document's first one. Of a document that was
    never written, or of a position before its first entry, nothing is there.
    """

    document: str
    base: Snapshot | None
    entries: tuple[Entry, ...]
    position: Position  # of the last entry that is contained, damaged ones included
    head: Position  # of the document's last entry
    damaged: tuple[Damage, ...] = ()
    deleted: Deletion | None = None


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
    deleted: Deletion | None = None


class EntryInfo(NamedTuple):
    """What is known of an edit on disk, but for its update."""

    position: Position
    author: str
    received_at: float
    size: int  # bytes of the update
    connection: int = 0  # see Edit
    offline: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """A page of a document's history: who edited it when, in the order of the positions."""

    document: str
    entries: tuple[EntryInfo, ...]
    damaged: tuple[Damage, ...]  # what was left out of this page, or is not known for certain
    thinned: Position  # of the last entry that retention removed
    next: Position | None  # behind which the next page begins; None: this is the last one


class Event(NamedTuple):
    """Something that happened in a session, on its way to disk."""

    id: str  # 1 to 255 bytes of UTF-8, unique in its session: by it repeats are recognised
    kind: str  # such as session.started
    actor: str  # the subject who did it
    time: float  # seconds since the Unix epoch, by the server's clock; see to_milliseconds
    data: str  # JSON


class StoredEvent(NamedTuple):
    """An event on disk; its time is rounded to the millisecond."""

    offset: int  # the first of a session is 1, each next one more
    event: Event


class SessionState(NamedTuple):
    """What a session is from some event on. All of it is replaced together."""

    epoch: str  # a random name given to the session when it was created
    state: str  # one word; sessions can be listed by it
    body: str  # JSON: everything else, for who writes it


class Record(NamedTuple):
    """An event, and the state that it brings about: both are committed, or neither."""

    session: str
    event: Event
    change: SessionState | None = None  # None: the session stays as it is


class Acknowledgement(NamedTuple):
    """A member of a session has received every event up to an offset."""

    session: str
    subject: str
    offset: int


@dataclass(frozen=True, slots=True)
class StoredSession:
    """What is on disk of one session, but for its events."""

    number: int  # the first session of the database is 1; gaps are possible
    session: str
    current: SessionState
    created_at: float  # of its first event, though that be removed
    updated_at: float  # of its last event
    top: int  # offset of its last event
    truncated: int  # offset of the last event that retention removed, 0 when all are there
    acknowledged: Mapping[str, int]  # highest offset by subject


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a consumer could not be given, and why."""

    consumer: str
    session: str
    offset: int
    reason: str
    time: float


class Revocation(NamedTuple):
    """Tokens that are not taken any more: one, by its id, or all of a subject so far."""

    kind: Literal["jti", "sub"]
    value: str
    at: float  # seconds since the Unix epoch: of a subject, tokens issued until then
    until: float  # when the last of these tokens has expired anyway
    by: str  # the subject who revoked them


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

    async def heads(
        self, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[Head]:
        """List the documents whose name starts with ``prefix``, ordered by name (by code point).

        Deleted ones too, unless they are purged. Only those behind the name ``after``, and at most
        ``limit``: fewer are the end of the list. A page takes a time that does not grow with the
        database.

        The prefix is literal and case-sensitive. Where the row of a document is damaged, its line
        is added up from the entries that are left.
        Raises StoreUnavailable.
        """

    async def head(self, document: str) -> Head | None:
        """Read one line of that list, in a time that does not grow with the database.

        None where the document was never written, or was purged. Raises StoreUnavailable.
        """

    async def past(self, document: str, position: int | None = None) -> Past:
        """Read a document as it was when the entry at ``position`` was its last (None: the newest).

        A position between two of its entries is the earlier one's. Read from the earliest base
        that there is, so that ``entries`` are as many as possible: they are its history.
        Raises HistoryRemoved, StoreUnavailable.
        """

    async def position_at(self, document: str, time: float) -> Position:
        """Tell the position of a document's last entry received at a time or before.

        NOWHERE where all are later. Raises HistoryRemoved where it may be one of those that
        retention removed, StoreUnavailable.
        """

    async def tail(self, after: int, prefix: str = "", limit: int = 1_000) -> list[Entry]:
        """Read the entries of all documents behind a position, in the order of the positions.

        Only of documents whose name starts with ``prefix``, at most ``limit``, and no more bytes
        of updates than about a megabyte, but at least one where there is one. Those that fail
        their checksum are left out (:meth:`load` of their document tells them).
        Raises StoreUnavailable.
        """

    async def last_position(self) -> Position:
        """Tell the highest position that was given to any entry, NOWHERE where none was.

        Raises StoreUnavailable.
        """

    async def deletions(self) -> list[Deletion]:
        """List what was deleted, purged or not, ordered by name. Raises StoreUnavailable."""

    async def revocations(self) -> list[Revocation]:
        """List what was revoked. A row that fails its checksum is taken as it stands.

        Raises StoreUnavailable.
        """

    async def history(self, document: str, after: int = 0, limit: int = 1_000) -> History:
        """Read a page of a document's history, behind the position ``after``.

        Snapshots make no difference: all entries that retention left are in the history. A page
        has at most ``limit`` rows (or one, where it is less), and fewer where updates are large;
        each is checked, and those that fail their checksum or are missing are told in ``damaged``.
        Raises StoreUnavailable.
        """

    async def session(self, session: str) -> StoredSession | None:
        """Read one session; None where there is none. Raises StoreUnavailable.

        StoreError when its row fails its checksum.
        """

    async def sessions(
        self, state: str | None = None, after: int = 0, limit: int = 100
    ) -> list[StoredSession]:
        """List sessions in the order of their numbers, behind the number ``after``.

        ``state`` picks those in that state. Rows that fail their checksum are left out.
        Raises StoreUnavailable.
        """

    async def events(
        self, session: str, after: int = 0, limit: int = 1_000, kind: str | None = None
    ) -> list[StoredEvent]:
        """Read events of a session in the order of their offsets, behind the offset ``after``.

        At most ``limit``, and no more bytes of data than about a megabyte, but at least one where
        there is one. ``kind`` picks one kind, or with a ``*`` at its end all that begin so. Of an
        unknown session there are none. Raises StoreUnavailable; StoreError where an event fails
        its checksum or is missing between others: what is delivered is the whole log, or nothing.
        """

    async def event(self, session: str, event_id: str) -> StoredEvent | None:
        """Find an event by its id. Raises StoreUnavailable; StoreError if it is damaged.

        One whose id itself is damaged is not found; :meth:`events` misses it.
        """

    async def consumers(self) -> list[str]:
        """List the consumers that were enlisted, by name. Raises StoreUnavailable."""

    async def behind(self, consumer: str, limit: int = 100) -> list[tuple[str, int, int]]:
        """Tell which sessions have events that a consumer was not given yet.

        Each with the offset up to which it was, and its top; those that wait longest (by the time
        of their last event) first. Where it is damaged how far a consumer was given a session, all
        is given once more; a session that is damaged itself is left out.
        Raises StoreUnavailable, ValueError for one never enlisted.
        """

    async def dead_letters(self, consumer: str | None = None) -> list[DeadLetter]:
        """List what could not be delivered, to one consumer or to any, oldest first.

        A row that fails its checksum is listed with that as its reason. Raises StoreUnavailable.
        """


class Store(Reader, Protocol):
    """The one writer of a database."""

    @property
    def holder(self) -> str:
        """A random name of who has the database open for writing: made when it was opened.

        Whoever else wants to is told of it, and so can tell which service it is.
        """

    async def append(self, batch: Sequence[Edit]) -> Position:
        """Commit a batch, whole or not at all, and return the position of its first edit.

        The others follow it without a gap, in the order given. When the call returns, the batch
        is as durable as the store was opened to make it. A call that raised StoreUnavailable has
        committed nothing, or has committed the whole batch and will recognise the same batch when
        it is repeated (it must be repeated, before any other).
        ValueError, with nothing committed: an empty batch, a document's name of not 1 to 255 bytes
        of UTF-8, text that is no Unicode, a range that ends before it starts or has a negative
        clock, no time (:func:`to_milliseconds`), a connection's number of 2^53 or more, or another
        batch where one is to be repeated.
        """

    async def record(self, batch: Sequence[Record]) -> list[int]:
        """Commit events and what they change, whole or not at all; return their offsets.

        They get the next offsets of their sessions, in the order given. An event whose id is known
        in its session, or comes earlier in the batch, is a repeat: it gets the offset of the first
        one, and nothing of it is stored, nor its change. So a call that raised may be repeated,
        alone or in another batch. What was truncated is not known any more. A session comes into
        being with its first record, which has a change. When the call returns, the batch is as
        durable as the store was opened to make it.
        Raises StoreUnavailable; StoreError, with nothing committed, where so much of a session is
        damaged that its next offset is not known. ValueError, with nothing committed: an empty
        batch, a first record of a session without a change, a change of the epoch, a session's
        name, an id or a kind of not 1 to 255 bytes of UTF-8, text that is no Unicode, or no time
        (:func:`to_milliseconds`).
        """

    async def acknowledge(self, batch: Sequence[Acknowledgement]) -> None:
        """Keep what members have received; a lower offset than the one kept is ignored.

        Of unknown sessions, and above a session's top, nothing is kept. Raises StoreUnavailable.
        """

    async def truncate(self, session: str, before: float) -> int:
        """Remove the first events of a session, up to the first that is of ``before`` or later.

        The last event stays. A bounded part, as one transaction: call until 0. Returns how many.
        Raises StoreUnavailable.
        """

    async def enlist(self, consumer: str) -> None:
        """Make a consumer known, who is given what happens from now on. A known one: nothing.

        Raises StoreUnavailable; ValueError for a name of not 1 to 255 bytes of UTF-8.
        """

    async def advance(
        self, consumer: str, session: str, offset: int, dead: DeadLetter | None = None
    ) -> None:
        """A consumer was given all events of a session up to an offset, but for ``dead``.

        The offset may be lower than before: then they are given once more. A dead letter takes
        the place of one of the same event.
        Raises StoreUnavailable; ValueError for a consumer never enlisted, an offset that is not in
        the session's log (0 to its top), or a dead letter of something else.
        """

    async def forgive(self, letters: Sequence[DeadLetter]) -> None:
        """Remove dead letters: they were given after all, or will never be.

        They are known by consumer, session and offset. Raises StoreUnavailable.
        """

    async def compact(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, in the place of the document's earlier one.

        The caller has verified that it can be imported again. The entries behind it stay: they are
        the history. A snapshot that is not newer than the sound one that is there is ignored.
        Raises StoreUnavailable, and ValueError where ``position`` is no entry of the document:
        standing ahead of its head, it would hide the entries still to come; among those that
        retention removed, it would stand for them without having them.
        """

    async def thin(self, document: str, before: float, *, until: int | None = None) -> int:
        """Remove the beginning of a document's history: a bounded part of it, as one transaction.

        Removed are its first entries up to the first that was received at ``before`` or later, or
        that its snapshot does not contain. Returns how many; 0 when none is left to remove. The
        current state stays: without a snapshot that is sound in this very transaction, nothing is
        removed. Appends go first between two calls, so call until 0.
        With ``until``, none behind that position, and none at all unless the document's base or
        its snapshot stands right there: so history begins where it was chosen to, whatever was
        written since.
        Raises StoreUnavailable; the same call may be repeated.
        """

    async def rebase(self, base: Snapshot) -> None:
        """Keep what a document was at a position, in the place of an earlier base.

        It is what history begins with once the entries up to there are thinned; call it before
        :meth:`thin` (``until`` there), with a snapshot at the last entry that thin will remove,
        taken (``taken_at``) when that was received. One that is not newer than the sound base that
        is there is ignored. The caller has verified that it can be imported again. Where thin
        leaves nothing between a base and the snapshot, or removes entries behind the base, the base
        goes; and a snapshot that history begins with becomes the base when another takes its place.
        Raises StoreUnavailable; ValueError as :meth:`compact` does.
        """

    async def delete(self, deletion: Deletion) -> bool:
        """Mark a document as deleted; False where it is already. Its entries stay.

        One that was never written can be deleted, too: it cannot come into being then.
        Raises StoreUnavailable; ValueError for a name of not 1 to 255 bytes of UTF-8.
        """

    async def undelete(self, document: str) -> bool:
        """Bring a deleted document back, or, where it was purged, allow it to begin anew.

        False where it is not deleted. Raises StoreUnavailable.
        """

    async def purge(self, document: str) -> int:
        """Remove a bounded part of a deleted document for ever; call until 0.

        Returns how many entries went, and 1 for the rest of it. Its deletion stays, ``purged`` from
        the first call on: what a crash left of it is hidden, and goes with the next calls.
        Raises StoreUnavailable; ValueError where it is not deleted.
        """

    async def revoke(self, revocation: Revocation) -> None:
        """Keep a revocation, in the place of an earlier one of the same.

        Others that expired (``until``) before it (``at``) are dropped.
        Raises StoreUnavailable; ValueError for a value of not 1 to 1,024 bytes of UTF-8.
        """

    async def reclaim(self) -> int:
        """Give a bounded part of the space that ``thin`` and ``compact`` freed back to the disk.

        Returns how many bytes; 0 when no more can be given back. Raises StoreUnavailable.
        """

    async def close(self) -> None:
        """Finish what was begun, release the files and the writer's lock."""
