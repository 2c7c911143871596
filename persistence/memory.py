"""A store without a disk, for tests and ``--database :memory:``."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from persistence.checks import check_batch, check_snapshot
from persistence.store import (
    NOWHERE,
    Edit,
    Entry,
    Head,
    Position,
    Snapshot,
    StoredDocument,
    StoreError,
)


@dataclass(slots=True)
class _Document:
    entries: list[Entry] = field(default_factory=list)  # in the order of their positions
    size: int = 0
    snapshot: Snapshot | None = None

    @property
    def head(self) -> Position:
        return self.entries[-1].position


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
        first = Position(self._last + 1)
        for position, edit in enumerate(batch, first):
            document = self._documents.setdefault(edit.document, _Document())
            document.entries.append(Entry(Position(position), edit))
            document.size += len(edit.update)
        self._last = Position(self._last + len(batch))
        return first

    async def load(self, document: str) -> StoredDocument:
        self._check_open()
        found = self._documents.get(document)
        if found is None:
            return StoredDocument(document, None, (), NOWHERE)
        start = found.snapshot.position if found.snapshot else NOWHERE
        behind = tuple(entry for entry in found.entries if entry.position > start)
        return StoredDocument(document, found.snapshot, behind, found.head)

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
        positions = {entry.position for entry in document.entries} if document else set()
        check_snapshot(
            snapshot, document.head if document else None, is_entry=snapshot.position in positions
        )
        assert document is not None  # noqa: S101 -- check_snapshot refused it; this is for mypy
        if document.snapshot is None or document.snapshot.position < snapshot.position:
            document.snapshot = snapshot

    async def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


def _head(name: str, document: _Document) -> Head:
    first, last = document.entries[0].edit, document.entries[-1].edit
    return Head(
        document=name,
        head=document.head,
        edits=len(document.entries),
        size=document.size,
        last_author=last.author,
        created_at=first.received_at,
        updated_at=last.received_at,
        snapshot=document.snapshot.position if document.snapshot else NOWHERE,
    )
