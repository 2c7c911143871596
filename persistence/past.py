"""What every store holds to when it reads a document as it was, and the edits of all documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from persistence.store import NOWHERE, Entry, HistoryRemoved, Position, Snapshot

MOST_TAIL = 2**20
"""Bytes of updates after which :meth:`persistence.store.Reader.tail` reads no further entry."""

MOST_PURGED = 2_000
"""Entries that one call of :meth:`persistence.store.Store.purge` removes."""


def earliest(thinned: Position, *kept: Snapshot | None) -> Snapshot | None:
    """Return what history begins with: the first of base and snapshot with nothing missing behind.

    None where nothing was removed, and history begins with the first entry; or where none is left.
    """
    if not thinned:
        return None
    usable = [one for one in kept if one is not None and one.position >= thinned]
    return min(usable, key=lambda one: one.position, default=None)


def check_kept(document: str, asked: int, thinned: Position, begin: Snapshot | None) -> None:
    """Raise HistoryRemoved for a position before what history begins with."""
    first = begin.position if begin else thinned
    if 0 < asked < first:
        raise HistoryRemoved(document, f"position {asked}", first)


def position_before(
    document: str, time: float, thinned: Position, begin: Snapshot | None, known: Sequence[float]
) -> Position:
    """Tell the position at a time that is before all entries that are left.

    ``known`` has when the document's first edit was received, and, where what history begins with
    is its last one, when that was. Raises HistoryRemoved where nobody can tell any more.
    """
    created_at, *updated_at = known
    if not thinned or time < created_at:
        return NOWHERE
    if begin is not None and min([begin.taken_at, *updated_at]) <= time:
        return begin.position
    moment = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
    raise HistoryRemoved(document, moment, begin.position if begin else thinned)


def take_tail(entries: Iterable[Entry], limit: int) -> list[Entry]:
    """Take entries as :meth:`persistence.store.Reader.tail` says, and look at no more."""
    taken: list[Entry] = []
    size = 0
    if limit < 1:
        return taken
    for one in entries:
        taken.append(one)
        size += len(one.edit.update)
        if len(taken) >= limit or size >= MOST_TAIL:
            break
    return taken
