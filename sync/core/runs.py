"""What is known of every item of a document, by its clock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Runs(Generic[_T]):
    """A value for every clock of every client; few where neighbours have the same one."""

    __slots__ = ("_ends", "_values")

    def __init__(self) -> None:
        self._ends: dict[int, list[int]] = {}
        self._values: dict[int, list[_T]] = {}

    def add(self, client: int, end: int, value: _T) -> None:
        """The client's next clocks, up to ``end``."""
        ends = self._ends.setdefault(client, [])
        values = self._values.setdefault(client, [])
        if values and values[-1] is value:
            ends[-1] = end
        else:
            ends.append(end)
            values.append(value)

    def end(self, client: int) -> int:
        """The clock behind the client's last one."""
        ends = self._ends.get(client)
        return ends[-1] if ends else 0

    def find(self, clock: tuple[int, int]) -> _T | None:
        """The value of one clock: client id, clock."""
        ends = self._ends.get(clock[0], [])
        index = bisect_right(ends, clock[1])
        return self._values[clock[0]][index] if index < len(ends) else None

    def between(self, client: int, start: int, end: int) -> Iterator[tuple[int, int, _T]]:
        """The values of a range of clocks: start, end and value of each part."""
        ends = self._ends.get(client, [])
        for index in range(bisect_right(ends, start), len(ends)):
            if start >= end:
                return
            stop = min(ends[index], end)
            yield start, stop, self._values[client][index]
            start = stop
