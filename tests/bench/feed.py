"""One author's edits on their way to everybody else in the room."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.client import PATIENCE, Client
from tests.bench.dialects import saved
from tests.bench.edits import Stream
from tests.bench.frames import frame

BARRIER_EVERY = 256
"""Edits between two SAVED barriers, where the server knows them."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A stretch of the stream that everybody has, and that is on disk where the server says so."""

    edits: int
    seconds: float


class Feed:
    """Sends ``stream`` as fast as it is received, and never more than ``window`` edits ahead.

    Ahead of the slowest reader, or, ``by_saved``, of the last barrier that came back. Everything
    is made into frames at once, here; :meth:`run` may be called again and again for the next
    stretch.
    """

    def __init__(
        self,
        writer: Client,
        readers: Sequence[Client],
        stream: Stream,
        *,
        window: int,
        saves: bool,
        barrier_every: int = BARRIER_EVERY,
        by_saved: bool = False,
    ) -> None:
        self.writer = writer
        self.stream = stream
        self.sent = 0
        self._readers = readers
        self._window = window
        self._saves = saves
        self._floor: Callable[[], int] = self._saved if by_saved else self._delivered
        self._stop = 0
        self._deadline = 0.0
        room = writer.room
        room.expect(stream.updates)
        self._blocks = [frame(room.dialect.update(room.name, each)) for each in stream.updates]
        if saves:
            for number in range(barrier_every, len(stream) + 1, barrier_every):
                self._blocks[number - 1] += frame(saved(number))

    async def run(self, edits: int, seconds: float = PATIENCE, patience: float = PATIENCE) -> Sent:
        """Send up to ``edits`` more, for up to ``seconds``; return when all that was sent is there.

        Failed, saying who lacks what, when that is not so ``patience`` seconds later.
        """
        began, before = time.perf_counter(), self.sent
        self._stop = min(before + edits, len(self.stream))
        self._deadline = began + seconds
        pulse = self.writer.room.pulse
        pulse.listeners.append(self._pump)
        try:
            self._pump()
            await pulse.until(self._finished, self._missing, seconds + patience)
        finally:
            pulse.listeners.remove(self._pump)
        return Sent(self.sent - before, time.perf_counter() - began)

    def _pump(self) -> None:
        """Send what the window allows; at the end, the barrier that closes the stretch."""
        if self.sent == self._stop:
            return
        if time.perf_counter() > self._deadline:
            self._stop = self.sent
        upto = min(self._floor() + self._window, self._stop)
        if upto > self.sent:
            self.writer.write(b"".join(self._blocks[self.sent : upto]))
            self.sent = upto
        if self.sent == self._stop and self._saves:
            self.writer.write(frame(saved(self.sent)))

    def _finished(self) -> bool:
        return (
            self.sent == self._stop
            and self._delivered() >= self.sent
            and (not self._saves or self.writer.saved >= self.sent)
        )

    def _delivered(self) -> int:
        """How many edits even the slowest reader has; where nobody reads, all."""
        if not self._readers:
            return self.sent
        client = self.stream.client
        return self.stream.edits_at(min(each.progress.clock(client) for each in self._readers))

    def _saved(self) -> int:
        return self.writer.saved

    def _missing(self) -> str:
        name = self.writer.room.name
        if self._delivered() < self.sent:
            client = self.stream.client
            counts = [self.stream.edits_at(each.progress.clock(client)) for each in self._readers]
            lacking = sum(count < self.sent for count in counts)
            return (
                f"{lacking} of {len(counts)} readers of {name} lack edits: "
                f"the last has {min(counts)} of {self.sent}"
            )
        return f"{self.writer.saved} of {self.sent} edits of {name} are known to be on disk"
