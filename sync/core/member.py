"""One connection as its room sees it: what it sent that waits, and what it waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sync.core.actions import ClientClocks
from sync.core.footprint import Footprint

BARRIER_OVERHEAD = 64
"""What a waiting barrier counts beyond its payload, in bytes."""


class Edit(NamedTuple):
    """An update that passed the guard."""

    update: bytes
    footprint: Footprint
    live: bool = False  # sent as it happened; a step2 may bring anybody's edits
    offline: bool = False  # made before the connection began


class Echo(NamedTuple):
    """What a member wrote in one turn, or all of such a turn, to be sent when that is on disk."""

    ticket: int
    updates: Sequence[bytes]
    brought: Sequence[ClientClocks]
    own: int = 0  # how many of the turn's edits the member wrote


@dataclass(slots=True)
class Member:
    """One connection in a room."""

    id: int
    subject: str
    writable: bool
    synced: bool = False  # it has brought what was made before it came: its first step2
    sealed: bool = False  # it might write, were the document not sealed
    has_presence: bool = False

    # What it sent and the causal gate holds.
    held: deque[Edit] = field(default_factory=deque)
    held_bytes: int = 0
    held_since: float = 0.0
    asks: int = 0  # step1s of ours that wait for the client's step2
    adrift: bool = False  # held too much: its updates are ignored until its step2
    owner_asked: int | None = None  # asked for the client id that the first held update extends

    # What it waits for from the disk. A ticket is the count of Persist actions up to one.
    wrote_at: int = 0  # the ticket of the last update it sent, or need not send
    echoes: list[Echo] = field(default_factory=list)
    whole_until: int = 0  # the ticket of its last echo that holds a whole turn
    barriers: deque[tuple[int | None, bytes]] = field(default_factory=deque)  # None: behind held
    barrier_bytes: int = 0

    # What it missed because it reads too slowly.
    behind: bytes | None = None  # the state vector of what it was last sent
    drained: bool = False

    @property
    def waiting(self) -> bool:
        """Something that it sent is neither accepted nor refused."""
        return bool(self.held) or self.adrift

    def hold(self, edit: Edit, now: float) -> None:
        if not self.waiting:
            self.held_since = now
        self.held.append(edit)
        self.held_bytes += len(edit.update)

    def release(self) -> Edit:
        """Take the first of the held updates."""
        edit = self.held.popleft()
        self.held_bytes -= len(edit.update)
        self.owner_asked = None
        return edit

    def vouches(self, client: int, end: int) -> bool:
        """It has itself sent edits of this client id up to ``end``, though they still wait."""
        return any(edit.footprint.writes.get(client, (0, 0))[1] >= end for edit in self.held)

    def forget_held(self) -> None:
        """Drop what is held; nothing more is taken until the client sends everything again."""
        self.held.clear()
        self.held_bytes = 0
        self.owner_asked = None
        self.adrift = True

    def answered(self) -> None:
        """A step2 came. The one that answers our last step1 was made after all that was ignored."""
        self.asks = max(0, self.asks - 1)
        if self.asks == 0:
            self.adrift = False

    def await_saved(self, payload: bytes) -> None:
        """A barrier: echo it when all that was sent before it is on disk."""
        self.barriers.append((None if self.waiting else self.wrote_at, payload))
        self.barrier_bytes += len(payload) + BARRIER_OVERHEAD

    def settle_barriers(self) -> None:
        """Nothing is held any more: the barriers behind it know now what they wait for."""
        if not self.waiting and any(ticket is None for ticket, _ in self.barriers):
            self.barriers = deque(
                (self.wrote_at if ticket is None else ticket, payload)
                for ticket, payload in self.barriers
            )

    def barriers_due(self, saved: int) -> list[bytes]:
        """Take the barriers that ``saved`` tickets on disk release."""
        due: list[bytes] = []
        while self.barriers:
            ticket, payload = self.barriers[0]
            if ticket is None or ticket > saved:
                break
            self.barriers.popleft()
            self.barrier_bytes -= len(payload) + BARRIER_OVERHEAD
            due.append(payload)
        return due

    def echoes_due(self, saved: int) -> list[Echo]:
        """Take its own updates that are on disk now."""
        due = [echo for echo in self.echoes if echo.ticket <= saved]
        del self.echoes[: len(due)]
        return due
