"""Edits and events to store, and assertions of our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from persistence.store import (
    ClientRange,
    Edit,
    Entry,
    Event,
    Position,
    Reader,
    Record,
    SessionState,
    Snapshot,
    Store,
    StoredEvent,
)

NOON = 1_780_000_000.0
LATER = NOON + 86_400.0


@dataclass(frozen=True)
class Opening:
    """How to open a kind of store."""

    open: Callable[[], AbstractAsyncContextManager[Store]]


def edit(
    document: str = "drafts/1",
    update: bytes = b"update",
    author: str = "alice",
    *,
    clients: tuple[ClientRange, ...] = (ClientRange(7, 0, 1),),
    received_at: float = NOON,
    connection: int = 0,
    offline: bool = False,
) -> Edit:
    return Edit(document, update, author, clients, received_at, connection, offline)


def edits(count: int, document: str = "drafts/1", start: int = 0) -> tuple[Edit, ...]:
    """Return edits that can be told apart."""
    return tuple(edit(document, b"update %d" % number) for number in range(start, start + count))


def snapshot(position: int, document: str = "drafts/1", update: bytes = b"all") -> Snapshot:
    return Snapshot(document, Position(position), update, b"state vector", NOON)


def entries(first: int, batch: Sequence[Edit]) -> tuple[Entry, ...]:
    """Return what a batch becomes when its first edit is given the position ``first``."""
    return tuple(Entry(Position(position), one) for position, one in enumerate(batch, first))


async def assert_holds(
    reader: Reader, expected: Sequence[Entry], document: str = "drafts/1"
) -> None:
    """Assert that a document without a snapshot has these entries, sound and in this order."""
    stored = await reader.load(document)
    assert stored.damaged == ()
    assert stored.snapshot is None
    assert stored.entries == tuple(expected)
    assert stored.head == (expected[-1].position if expected else 0)


CREATED = SessionState("epoch", "created", '{"title": "Refunds"}')
RUNNING = SessionState("epoch", "running", '{"title": "Refunds, week 48"}')


def event(id_: str = "1", kind: str = "review.note", *, time: float = NOON) -> Event:
    return Event(id_, kind, "alice", time, f'{{"text": "{id_}"}}')


def record(
    id_: str = "1",
    session: str = "s-1",
    change: SessionState | None = None,
    *,
    kind: str = "review.note",
    time: float = NOON,
) -> Record:
    return Record(session, event(id_, kind, time=time), change)


def records(count: int, session: str = "s-1", start: int = 1) -> tuple[Record, ...]:
    """Return events that can be told apart, named by their offsets; the first makes the session."""
    return tuple(
        record(str(number), session, CREATED if number == 1 else None)
        for number in range(start, start + count)
    )


def stored(batch: Sequence[Record], first: int = 1) -> list[StoredEvent]:
    """Return what new events of one session become when the first has the offset ``first``."""
    return [StoredEvent(offset, one.event) for offset, one in enumerate(batch, first)]
