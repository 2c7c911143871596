"""What every store holds to when it reads a document's history."""

from __future__ import annotations

from collections.abc import Iterable

from persistence.store import Edit, Entry, EntryInfo, History, Position

MOST_BYTES = 16 * 2**20
"""Of updates after which no further entry is read by one call: each one's checksum is tried."""


def read_page(document: str, entries: Iterable[Entry], limit: int, thinned: Position) -> History:
    """A page of sound entries, as :meth:`persistence.store.Reader.history` says."""
    taken: list[EntryInfo] = []
    size = 0
    for position, edit in entries:
        if len(taken) >= max(limit, 1) or size >= MOST_BYTES:
            return History(document, tuple(taken), (), thinned, taken[-1].position)
        taken.append(entry_info(position, edit))
        size += len(edit.update)
    return History(document, tuple(taken), (), thinned, None)


def entry_info(position: Position, edit: Edit) -> EntryInfo:
    """Say of an entry what is known but for its update."""
    return EntryInfo(
        position, edit.author, edit.received_at, len(edit.update), edit.connection, edit.offline
    )
