"""People who type at a steady pace, and notice how long the others' edits take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import anyio

from tests.bench.client import Client, Pulse, Room
from tests.bench.dialects import Dialect, saved
from tests.bench.edits import Stream
from tests.bench.frames import frame
from tests.bench.updates import Span

BARRIER_EVERY = 10
"""Edits of one person between two SAVED barriers, where the server knows them."""


class Arrival(NamedTuple):
    """One edit at one receiver: when it was sent, and how many seconds it took."""

    sent: float
    took: float


class Evaluator(Client):
    """Types ``stream``, one edit after the other, and notes the arrival of everybody else's."""

    def __init__(self, room: Room, stream: Stream) -> None:
        super().__init__(room, room.dialect.greeting(room.name, b"\0"))
        self.stream = stream
        self.others: tuple[Evaluator, ...] = ()
        self.arrivals: list[Arrival] = []
        self.sent_at: list[float] = []
        self._seen: dict[int, int] = {}

    def type(self, *, saves: bool) -> None:
        """Send the next edit, now."""
        room, number = self.room, len(self.sent_at)
        block = frame(room.dialect.update(room.name, self.stream.updates[number]))
        if saves and (number + 1) % BARRIER_EVERY == 0:
            block += frame(saved(number + 1))
        self.sent_at.append(time.perf_counter())
        self.write(block)

    def receive(self, brought: tuple[Span, ...]) -> None:
        super().receive(brought)
        now = time.perf_counter()
        for other in self.others:
            client = other.stream.client
            before = self._seen.get(client, 0)
            after = other.stream.edits_at(self.progress.clock(client))
            if after > before:
                self._seen[client] = after
                self.arrivals += (Arrival(at, now - at) for at in other.sent_at[before:after])

    @property
    def lacks(self) -> int:
        """How many edits of others were sent and have not come."""
        return sum(
            len(other.sent_at) - self._seen.get(other.stream.client, 0) for other in self.others
        )


def company(
    room: str, dialect: Dialect, pulse: Pulse, streams: Sequence[Stream]
) -> list[Evaluator]:
    """One room, with a person for each stream."""
    shared = Room(room, dialect, pulse)
    for stream in streams:
        shared.expect(stream.updates)
    people = [Evaluator(shared, stream) for stream in streams]
    for each in people:
        each.others = tuple(other for other in people if other is not each)
    return people


async def type_steadily(
    people: Sequence[Evaluator], edits: int, period: float, *, saves: bool
) -> None:
    """Each makes ``edits`` edits, one in a period, at moments spread evenly over it."""
    began = time.perf_counter()
    for number in range(edits):
        for place, each in enumerate(people):
            due = began + (number + place / len(people)) * period
            if (early := due - time.perf_counter()) > 0:
                await anyio.sleep(early)
            each.type(saves=saves)


async def received(people: Sequence[Evaluator], pulse: Pulse, *, saves: bool) -> None:
    """Return when every edit has reached everybody and is on disk, where the server says so."""
    if saves:
        for each in people:
            each.send(saved(len(each.sent_at)))
    await pulse.until(
        lambda: (
            not any(each.lacks for each in people)
            and not (saves and any(each.saved < len(each.sent_at) for each in people))
        ),
        lambda: f"{sum(each.lacks for each in people)} deliveries or their commits are missing",
    )
