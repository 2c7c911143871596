"""A store without a disk, for tests and ``--database :memory:``."""

from __future__ import annotations

import secrets
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from persistence.checks import check_batch, check_name, check_range, check_snapshot
from persistence.store import (
    NOWHERE,
    Edit,
    Entry,
    Head,
    Position,
    Snapshot,
    StoredDocument,
    StoreError,
    to_milliseconds,
)


@dataclass(slots=True)
class _Document:
    first: Edit
    last: Edit
    head: Position = NOWHERE
    entries: list[Entry] = field(default_factory=list)  # in the order of their positions
    snapshot: Snapshot | None = None
    thinned: Position = NOWHERE

    def is_entry(self, position: Position) -> bool:
        """Whether there is, or was, an entry of the document at a position, as far as is known."""
        return 0 < position <= self.thinned or any(e.position == position for e in self.entries)

    def behind(self, position: Position) -> list[Entry]:
        return self.entries[bisect_right(self.entries, position, key=_position) :]


class MemoryStore:
    """The contract of :class:`persistence.store.Store`, kept for as long as the process lives."""

    def __init__(self) -> None:
        self._epoch = secrets.token_hex(16)
        self._documents: dict[str, _Document] = {}
        self._last = NOWHERE
        self._closed = False

    @property
    def epoch(self) -> str:
        return self._epoch

    async def append(self, batch: Sequence[Edit]) -> Position:
        self._check_open()
        check_batch(batch)
        kept = [_checked(edit) for edit in batch]
        first = Position(self._last + 1)
        for edit in kept:
            self._last = Position(self._last + 1)
            document = self._documents.setdefault(edit.document, _Document(edit, edit))
            document.entries.append(Entry(self._last, edit))
            document.last, document.head = edit, self._last
        return first

    async def load(self, document: str) -> StoredDocument:
        self._check_open()
        found = self._documents.get(document)
        if found is None:
            return StoredDocument(document, None, (), NOWHERE)
        behind = found.behind(found.snapshot.position if found.snapshot else NOWHERE)
        return StoredDocument(
            document, found.snapshot, tuple(behind), found.head, thinned=found.thinned
        )

    async def heads(self, prefix: str = "") -> list[Head]:
        self._check_open()
        return [
            _head(name, self._documents[name])
            for name in sorted(self._documents)
            if name.startswith(prefix)
        ]

    async def compact(self, snapshot: Snapshot) -> None:
        self._check_open()
        document = self._documents.get(snapshot.document)
        is_entry = document is not None and document.is_entry(snapshot.position)
        check_snapshot(snapshot, document.head if document else None, is_entry=is_entry)
        assert document is not None  # noqa: S101 -- check_snapshot refused it; this is for mypy
        if document.snapshot is None or document.snapshot.position < snapshot.position:
            document.snapshot = replace(snapshot, taken_at=_rounded(snapshot.taken_at))

    async def thin(self, document: str, before: float) -> int:
        self._check_open()
        horizon = _rounded(before)
        found = self._documents.get(document)
        if found is None or found.snapshot is None:
            return 0
        covered = found.snapshot.position
        old = list(
            takewhile(
                lambda entry: entry.position <= covered and entry.edit.received_at < horizon,
                found.entries,
            )
        )
        if old:
            found.thinned = old[-1].position
            found.entries = found.behind(found.thinned)
        return len(old)

    async def reclaim(self) -> int:
        self._check_open()
        return 0

    async def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


def _position(entry: Entry) -> Position:
    return entry.position


def _checked(edit: Edit) -> Edit:
    """Return an edit as it is kept. Raises ValueError."""
    check_name(edit.document)
    edit.author.encode()  # UnicodeEncodeError is a ValueError
    for one in edit.clients:
        check_range(one)
    return edit._replace(received_at=_rounded(edit.received_at))


def _rounded(time: float) -> float:
    return to_milliseconds(time) / 1_000


def _head(name: str, document: _Document) -> Head:
    return Head(
        document=name,
        head=document.head,
        edits=len(document.entries),
        size=sum(len(entry.edit.update) for entry in document.entries),
        last_author=document.last.author,
        created_at=document.first.received_at,
        updated_at=document.last.received_at,
        snapshot=document.snapshot.position if document.snapshot else NOWHERE,
        thinned=document.thinned,
    )
