"""Who has received what. An edit counts as delivered when its receiver lacks nothing before it."""

from __future__ import annotations

from collections.abc import Iterable

from tests.bench.edits import Stream
from tests.bench.updates import Span


class Failed(Exception):
    """A run that does not count: something was lost, refused or never came. The text says what."""


class Progress:
    """How far one receiver has come: a clock for each author, with no gap below it.

    Servers merge edits as they like, repeat them and bring them late; what arrives before its
    turn is kept aside until the gap has closed.
    """

    __slots__ = ("_ahead", "_clocks")

    def __init__(self) -> None:
        self._clocks: dict[int, int] = {}
        self._ahead: list[Span] = []

    def receive(self, spans: Iterable[Span]) -> None:
        """Take note of what a frame brought."""
        clocks = self._clocks
        for span in spans:
            client, start, end = span
            clock = clocks.get(client, 0)
            if start > clock:
                self._ahead.append(span)
            elif end > clock:
                clocks[client] = end
        if self._ahead:
            self._close_gaps()

    def clock(self, client: int) -> int:
        """The clock up to which everything of ``client`` is here."""
        return self._clocks.get(client, 0)

    def covers(self, wanted: dict[int, int]) -> bool:
        """Whether everything is here up to the given clocks."""
        return all(self.clock(client) >= clock for client, clock in wanted.items())

    def _close_gaps(self) -> None:
        """Each round takes what fits now; one that takes nothing is the last."""
        waiting = len(self._ahead) + 1
        while len(self._ahead) < waiting:
            waiting = len(self._ahead)
            ahead, self._ahead = self._ahead, []
            for client, start, end in ahead:
                if start > (clock := self.clock(client)):
                    self._ahead.append(Span(client, start, end))
                else:
                    self._clocks[client] = max(clock, end)


def count_delivered(receivers: Iterable[Progress], streams: Iterable[Stream]) -> int:
    """How many edits of ``streams`` have been delivered, over all receivers."""
    streams = tuple(streams)
    return sum(
        stream.edits_at(receiver.clock(stream.client))
        for receiver in receivers
        for stream in streams
    )
