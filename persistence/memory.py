"""A store without a disk, for tests and ``--database :memory:``."""

from __future__ import annotations

import secrets
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import islice, takewhile

from persistence.checks import (
    check_advance,
    check_batch,
    check_connection,
    check_epoch,
    check_first,
    check_name,
    check_range,
    check_records,
    check_revocation,
    check_snapshot,
    check_text,
    not_deleted,
    unknown_consumer,
)
from persistence.events import MOST_TRUNCATED, read_some
from persistence.history import read_page
from persistence.memory_document import Document, by_position
from persistence.past import MOST_PURGED, take_tail
from persistence.store import (
    NOWHERE,
    Acknowledgement,
    DeadLetter,
    Deletion,
    Edit,
    Entry,
    Event,
    Head,
    History,
    Past,
    Position,
    Record,
    Revocation,
    SessionState,
    Snapshot,
    StoredDocument,
    StoredEvent,
    StoredSession,
    StoreError,
    to_milliseconds,
)


@dataclass(slots=True)
class _Session:
    number: int
    name: str
    current: SessionState
    created_at: float
    updated_at: float
    events: list[Event] = field(default_factory=list)  # the first has the offset truncated + 1
    offsets: dict[str, int] = field(default_factory=dict)  # by id
    truncated: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)

    @property
    def top(self) -> int:
        return self.truncated + len(self.events)

    def take(self, event: Event, change: SessionState | None) -> None:
        self.events.append(event)
        self.offsets[event.id] = self.top
        self.updated_at = event.time
        self.current = change or self.current

    def behind(self, offset: int) -> Iterator[StoredEvent]:
        start = max(offset, self.truncated)
        left = self.events[start - self.truncated :]
        return (StoredEvent(place, event) for place, event in enumerate(left, start + 1))

    def remove(self, count: int) -> None:
        """Remove the first events."""
        for event in self.events[:count]:
            del self.offsets[event.id]
        del self.events[:count]
        self.truncated += count

    def as_stored(self) -> StoredSession:
        return StoredSession(
            self.number, self.name, self.current, self.created_at, self.updated_at,
            self.top, self.truncated, dict(self.acknowledged),
        )  # fmt: skip


class MemoryStore:
    """The contract of :class:`persistence.store.Store`, kept for as long as the process lives."""

    def __init__(self) -> None:
        self._epoch, self._holder = secrets.token_hex(16), secrets.token_hex(16)
        self._documents: dict[str, Document] = {}
        self._deleted: dict[str, Deletion] = {}
        self._revoked: dict[tuple[str, str], Revocation] = {}
        self._last = NOWHERE
        self._sessions: dict[str, _Session] = {}  # in the order of their numbers
        self._cursors: dict[str, dict[str, int]] = {}  # of consumers, by session
        self._dead: dict[tuple[str, str, int], DeadLetter] = {}
        self._closed = False

    @property
    def epoch(self) -> str:
        return self._epoch

    @property
    def holder(self) -> str:
        return self._holder

    # Documents

    async def append(self, batch: Sequence[Edit]) -> Position:
        self._check_open()
        check_batch(batch)
        kept = [_checked(edit) for edit in batch]
        first = Position(self._last + 1)
        for edit in kept:
            self._last = Position(self._last + 1)
            document = self._documents.setdefault(edit.document, Document(edit.document, edit))
            document.take(Entry(self._last, edit))
        return first

    async def load(self, document: str) -> StoredDocument:
        self._check_open()
        found, deleted = self._find(document)
        return found.load(deleted) if found else _nothing(document, deleted)

    async def heads(
        self, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[Head]:
        self._check_open()
        listed = sorted(name for name in self._documents if name.startswith(prefix))
        found = (self._find(name) for name in listed[bisect_right(listed, after) :])
        return list(islice((one.summed_up(by) for one, by in found if one), limit))

    async def head(self, document: str) -> Head | None:
        self._check_open()
        found, deleted = self._find(document)
        return found.summed_up(deleted) if found else None

    async def history(self, document: str, after: int = 0, limit: int = 1_000) -> History:
        self._check_open()
        found, _ = self._find(document)
        if found is None:
            return History(document, (), (), NOWHERE, None)
        return read_page(document, found.behind(after), limit, found.thinned)

    async def past(self, document: str, position: int | None = None) -> Past:
        self._check_open()
        found, deleted = self._find(document)
        if found is None:
            return Past(document, None, (), NOWHERE, NOWHERE, deleted=deleted)
        return found.past(position, deleted)

    async def position_at(self, document: str, time: float) -> Position:
        self._check_open()
        moment = _rounded(time)
        found, _ = self._find(document)
        return found.position_at(moment) if found else NOWHERE

    async def tail(self, after: int, prefix: str = "", limit: int = 1_000) -> list[Entry]:
        self._check_open()
        found = (self._find(name)[0] for name in self._documents if name.startswith(prefix))
        behind = [one.behind(after) for one in found if one]
        return take_tail(merge(*behind, key=by_position), limit)

    async def last_position(self) -> Position:
        self._check_open()
        return self._last

    async def compact(self, snapshot: Snapshot) -> None:
        self._check_open()
        found = self._checked(snapshot)
        if found.snapshot is None or found.snapshot.position < snapshot.position:
            found.compact(_kept(snapshot))

    async def thin(self, document: str, before: float, *, until: int | None = None) -> int:
        self._check_open()
        horizon = _rounded(before)
        found = self._documents.get(document)
        return found.thin(horizon, until) if found else 0

    async def rebase(self, base: Snapshot) -> None:
        self._check_open()
        found = self._checked(base)
        if found.base is None or found.base.position < base.position:
            found.base = _kept(base)

    def _checked(self, snapshot: Snapshot) -> Document:
        found = self._documents.get(snapshot.document)
        is_entry = found is not None and found.is_entry(snapshot.position)
        check_snapshot(snapshot, found.head if found else None, is_entry=is_entry)
        assert found is not None  # noqa: S101 -- check_snapshot refused it; this is for mypy
        return found

    def _find(self, name: str) -> tuple[Document | None, Deletion | None]:
        """Return a document, unless it is purged, and whether it is deleted."""
        deleted = self._deleted.get(name)
        found = self._documents.get(name)
        return (None if deleted and deleted.purged else found), deleted

    # Deleting

    async def deletions(self) -> list[Deletion]:
        self._check_open()
        return [self._deleted[name] for name in sorted(self._deleted)]

    async def delete(self, deletion: Deletion) -> bool:
        self._check_open()
        check_name(deletion.document)
        deletion.by.encode()  # UnicodeEncodeError is a ValueError
        if deletion.document in self._deleted:
            return False
        kept = replace(deletion, at=_rounded(deletion.at), purged=False)
        self._deleted[deletion.document] = kept
        return True

    async def undelete(self, document: str) -> bool:
        self._check_open()
        deleted = self._deleted.pop(document, None)
        if deleted is not None and deleted.purged:
            self._documents.pop(document, None)
        return deleted is not None

    async def purge(self, document: str) -> int:
        self._check_open()
        deleted = self._deleted.get(document)
        if deleted is None:
            raise not_deleted(document)
        self._deleted[document] = replace(deleted, purged=True)
        found = self._documents.get(document)
        if found is None:
            return 0
        if found.entries:
            return found.remove_first(MOST_PURGED)
        del self._documents[document]
        return 1

    # Revoking

    async def revocations(self) -> list[Revocation]:
        self._check_open()
        return [self._revoked[key] for key in sorted(self._revoked)]

    async def revoke(self, revocation: Revocation) -> None:
        self._check_open()
        check_revocation(revocation)
        kept = revocation._replace(at=_rounded(revocation.at), until=_rounded(revocation.until))
        self._revoked = {k: v for k, v in self._revoked.items() if v.until >= kept.at}
        self._revoked[kept.kind, kept.value] = kept

    # Sessions

    async def session(self, session: str) -> StoredSession | None:
        self._check_open()
        found = self._sessions.get(session)
        return found.as_stored() if found else None

    async def sessions(
        self, state: str | None = None, after: int = 0, limit: int = 100
    ) -> list[StoredSession]:
        self._check_open()
        found = [
            one.as_stored()
            for one in self._sessions.values()
            if one.number > after and state in (None, one.current.state)
        ]
        return found[: max(limit, 0)]

    async def events(
        self, session: str, after: int = 0, limit: int = 1_000, kind: str | None = None
    ) -> list[StoredEvent]:
        self._check_open()
        found = self._sessions.get(session)
        return read_some(found.behind(after), limit, kind) if found else []

    async def event(self, session: str, event_id: str) -> StoredEvent | None:
        self._check_open()
        found = self._sessions.get(session)
        offset = found.offsets.get(event_id) if found else None
        return next(found.behind(offset - 1)) if found and offset else None

    async def record(self, batch: Sequence[Record]) -> list[int]:
        self._check_open()
        check_records(batch)
        for session, event, change in self._news(batch):
            known = self._sessions.get(session)
            if known is None and change is not None:
                number = len(self._sessions) + 1
                known = _Session(number, session, change, event.time, event.time)
                self._sessions[session] = known
            assert known is not None  # noqa: S101 -- _news refused it; this is for mypy
            known.take(event, change)
        return [self._sessions[one.session].offsets[one.event.id] for one in batch]

    def _news(self, batch: Sequence[Record]) -> list[Record]:
        """Return those that are no repeats, as they are kept. Raises ValueError."""
        news: dict[tuple[str, str], Record] = {}
        epochs: dict[str, str] = {}
        for one in batch:
            known = self._sessions.get(one.session)
            if known:
                epochs[one.session] = known.current.epoch
            key = (one.session, one.event.id)
            if key not in news and not (known and one.event.id in known.offsets):
                if one.session not in epochs:
                    epochs[one.session] = check_first(one).epoch
                check_epoch(one, epochs[one.session])
                news[key] = one._replace(event=one.event._replace(time=_rounded(one.event.time)))
        return list(news.values())

    async def acknowledge(self, batch: Sequence[Acknowledgement]) -> None:
        self._check_open()
        for _, subject, _ in batch:
            subject.encode()  # UnicodeEncodeError is a ValueError
        for session, subject, offset in batch:
            found = self._sessions.get(session)
            if found and found.acknowledged.get(subject, 0) < offset <= found.top:
                found.acknowledged[subject] = offset

    async def truncate(self, session: str, before: float) -> int:
        self._check_open()
        horizon = _rounded(before)
        found = self._sessions.get(session)
        if found is None:
            return 0
        old = takewhile(lambda event: event.time < horizon, found.events[:-1][:MOST_TRUNCATED])
        found.remove(removed := len(list(old)))
        return removed

    # Consumers

    async def consumers(self) -> list[str]:
        self._check_open()
        return sorted(self._cursors)

    async def behind(self, consumer: str, limit: int = 100) -> list[tuple[str, int, int]]:
        self._check_open()
        cursors = self._cursors_of(consumer)
        waiting = [one for one in self._sessions.values() if one.top > cursors.get(one.name, 0)]
        waiting.sort(key=lambda one: one.updated_at)
        return [(one.name, cursors.get(one.name, 0), one.top) for one in waiting[: max(limit, 0)]]

    async def enlist(self, consumer: str) -> None:
        self._check_open()
        check_text("a consumer's name", consumer)
        if consumer not in self._cursors:
            self._cursors[consumer] = {one.name: one.top for one in self._sessions.values()}

    async def advance(
        self, consumer: str, session: str, offset: int, dead: DeadLetter | None = None
    ) -> None:
        self._check_open()
        cursors = self._cursors_of(consumer)
        found = self._sessions.get(session)
        check_advance(consumer, session, offset, found.top if found else None, dead)
        if dead is not None:
            self._dead[_key(dead)] = replace(dead, time=_rounded(dead.time))
        cursors[session] = offset

    def _cursors_of(self, consumer: str) -> dict[str, int]:
        if consumer not in self._cursors:
            raise unknown_consumer(consumer)
        return self._cursors[consumer]

    async def dead_letters(self, consumer: str | None = None) -> list[DeadLetter]:
        self._check_open()
        found = [dead for dead in self._dead.values() if consumer in (None, dead.consumer)]
        return sorted(found, key=lambda dead: (dead.time, _key(dead)))

    async def forgive(self, letters: Sequence[DeadLetter]) -> None:
        self._check_open()
        for dead in letters:
            self._dead.pop(_key(dead), None)

    # The whole

    async def reclaim(self) -> int:
        self._check_open()
        return 0

    async def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


def _key(dead: DeadLetter) -> tuple[str, str, int]:
    return dead.consumer, dead.session, dead.offset


def _checked(edit: Edit) -> Edit:
    """Return an edit as it is kept. Raises ValueError."""
    check_name(edit.document)
    edit.author.encode()  # UnicodeEncodeError is a ValueError
    check_connection(edit.connection)
    for one in edit.clients:
        check_range(one)
    return edit._replace(received_at=_rounded(edit.received_at))


def _rounded(time: float) -> float:
    return to_milliseconds(time) / 1_000


def _kept(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, taken_at=_rounded(snapshot.taken_at))


def _nothing(document: str, deleted: Deletion | None) -> StoredDocument:
    return StoredDocument(document, None, (), NOWHERE, deleted=deleted)
