"""A room in memory, and what only the shell knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from persistence.store import NOWHERE, Edit, Position
from sync.core.names import DocumentName
from sync.core.room import Room
from sync.core.snapshot import TakenSnapshot
from sync.server.connection import Connection


@dataclass(frozen=True, slots=True)
class PendingSnapshot:
    """A snapshot of the room when it had given ``ticket`` Persist actions: none before those."""

    ticket: int
    taken: TakenSnapshot


LastEdit = tuple[DocumentName, Position, float]
"""The last edit of somebody that is on disk: of which document, where, and when it was received."""


@dataclass(slots=True, eq=False)
class Resident:
    """One document in memory."""

    document: DocumentName
    room: Room
    sound: bool = True  # nothing stored of it was damaged or left out when it was loaded
    position: Position = NOWHERE  # of its last committed entry
    last: tuple[str, float] | None = None  # who wrote that, and when; None: before it was loaded
    last_edits: dict[str, LastEdit] = field(default_factory=dict)  # by subject, of its session
    tail: int = 0  # entries behind the snapshot
    snapshot_size: int = 0  # bytes
    tail_size: int = 0  # bytes
    connections: dict[int, Connection] = field(default_factory=dict)
    slow: set[int] = field(default_factory=set)  # connections whose outbox filled up in this turn
    flush_scheduled: bool = False
    commits: int = 0  # committed since the room was last told
    timer: asyncio.TimerHandle | None = None  # of the room's deadline
    timer_due: float = 0.0  # of the loop's clock; uvloop's handles do not always tell
    unload_timer: asyncio.TimerHandle | None = None
    calm_timer: asyncio.TimerHandle | None = None  # its tail wants a snapshot
    pending: PendingSnapshot | None = None  # waits for its last entry to be committed
    writing_snapshot: bool = False
    rebuilding: bool = False
    going: bool = False  # it is being deleted: nothing is taken any more
    places: dict[int, Position] = field(default_factory=dict)
    """Of connections that want to know it, where their last edit on disk stands; 0: nowhere."""
    renewed: anyio.Event = field(default_factory=anyio.Event)  # the broken room is whole again

    def note_committed(self, edits: Sequence[Edit], position: Position) -> None:
        """Edits are on disk, the last of them at a position."""
        last = edits[-1]
        self.position = position
        self.tail += len(edits)
        self.last = last.author, last.received_at
        self.last_edits[last.author] = self.document, position, last.received_at
        if len(edits) == 1:
            self.tail_size += len(last.update)
        else:
            self.tail_size += sum([len(edit.update) for edit in edits])
            self._note_others(edits, Position(position - len(edits) + 1))
        if self.places:
            for place, edit in enumerate(edits, position - len(edits) + 1):
                if edit.connection in self.places:
                    self.places[edit.connection] = Position(place)

    def _note_others(self, edits: Sequence[Edit], first: Position) -> None:
        places = {edit.author: place for place, edit in enumerate(edits)}
        if len(places) > 1:
            for author, place in places.items():
                at = edits[place].received_at
                self.last_edits[author] = self.document, Position(first + place), at

    def wants_snapshot(self, min_tail: int) -> bool:
        """Its tail has grown: many entries, and bytes in proportion to what a snapshot costs."""
        return (
            self.sound
            and self.tail >= min_tail
            and self.tail_size * 4 >= self.snapshot_size
            and self.pending is None
            and not self.writing_snapshot
        )
