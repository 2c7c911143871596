"""What every store holds to when it reads and removes events."""

from __future__ import annotations

from collections.abc import Iterable

from persistence.store import StoredEvent

MOST_DATA = 2**20
"""Bytes of data after which no further event is read by one call."""

MOST_TRUNCATED = 1_000
"""Events that one call removes."""


def is_of_kind(kind: str, wanted: str | None) -> bool:
    """Whether a kind is the one wanted, or begins as wanted where that ends with a ``*``."""
    if wanted is None:
        return True
    return kind.startswith(wanted[:-1]) if wanted.endswith("*") else kind == wanted


def read_some(events: Iterable[StoredEvent], limit: int, kind: str | None) -> list[StoredEvent]:
    """Take events as :meth:`persistence.store.Reader.events` says, and look at no more."""
    taken: list[StoredEvent] = []
    size = 0
    if limit < 1:
        return taken
    for one in events:
        if is_of_kind(one.event.kind, kind):
            taken.append(one)
            size += len(one.event.data.encode())
            if len(taken) >= limit or size >= MOST_DATA:
                break
    return taken
