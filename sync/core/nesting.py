"""How deep shared types nest.

Types inside types are walked by recursion in every Yjs: deleting the outermost of some 5,000 ends a
browser's stack (measured with yjs 13.6 in Node 20), of 26,000 a thread's of 8 MiB. No editor nests
a hundredth of that, so the depth is bounded. The wire does not tell it: an item with a neighbour
says only that it stands beside it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from sync.core.errors import MalformedMessage
from sync.core.guard import Inspection

MAX_NESTING = 256

BYTES_OF_A_TYPE = 7
"""The fewest bytes that an update has for one nested type."""

_Clock = tuple[int, int]  # client, clock
_Items = dict[int, list[tuple[int, int, _Clock | None, int]]]
"""By client: first clock, end, the item that tells the depth (None: a root), and levels below."""


class Nesting:
    """For the items of one document, how many types each stands in (a root type counts 0)."""

    __slots__ = ("_runs",)

    def __init__(self, document: bytes) -> None:
        """Read a whole document."""
        self._runs: dict[int, tuple[list[int], list[int]]] = {}  # client -> first clocks, depths
        self.add(document, {})

    def check(self, update: bytes, clocks: Mapping[int, int]) -> None:
        """Raises MalformedMessage for an update that nests types too deep."""
        deepest = max((depth for *_, depth in self._resolve(update, clocks)), default=0)
        if deepest > MAX_NESTING:
            raise MalformedMessage(
                f"this Yjs update was refused: it nests shared types deeper than {MAX_NESTING}"
            )

    def add(self, update: bytes, clocks: Mapping[int, int]) -> None:
        """Take in what a document at state vector ``clocks`` did not have of an update."""
        for client, start, depth in sorted(self._resolve(update, clocks)):
            starts, depths = self._runs.setdefault(client, ([], []))
            if not depths or depths[-1] != depth:
                starts.append(start)
                depths.append(depth)

    def _resolve(self, update: bytes, clocks: Mapping[int, int]) -> list[tuple[int, int, int]]:
        """Client, first clock and depth of every new item of an update."""
        reading = _Reading(update)
        reading.run(max_clients=2**31)
        known: dict[tuple[int, int], int] = {}  # client, index -> depth
        for client, items in reading.items.items():
            for index in range(len(items)):
                self._follow(reading.items, (client, index), known)
        return [
            (client, reading.items[client][index][0], depth)
            for (client, index), depth in known.items()
            if reading.items[client][index][1] > clocks.get(client, 0)
        ]

    def _follow(
        self, items: _Items, item: tuple[int, int], known: dict[tuple[int, int], int]
    ) -> None:
        """Go from item to item, without recursion, until one's depth is known."""
        passed: list[tuple[int, int]] = []
        while item not in known:
            client, index = item
            passed.append(item)
            known[item] = 0  # for a circle
            *_, above, _levels = items[client][index]
            found = None if above is None else _find(items, above)
            if above is None or found is None:
                base = 0 if above is None else self._stored(above)
                break
            item = found
        else:
            base = known[item]
        for client, index in reversed(passed):
            base += items[client][index][3]
            known[client, index] = base

    def _stored(self, clock: _Clock) -> int:
        starts, depths = self._runs.get(clock[0], ([], []))
        index = bisect_right(starts, clock[1]) - 1
        return depths[index] if index >= 0 else 0


def _find(items: _Items, clock: _Clock) -> tuple[int, int] | None:
    """The item of an update that has a clock."""
    listed = items.get(clock[0], [])
    index = bisect_right(listed, clock[1], key=lambda item: item[0]) - 1
    return (clock[0], index) if index >= 0 and clock[1] < listed[index][1] else None


class _Reading(Inspection):
    __slots__ = ("items",)

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.items: _Items = {}

    def _item(self, info: int) -> int:
        length = super()._item(info)
        above, levels = self.origin or self.right, 0  # it stands in the same type as its neighbour
        if isinstance(self.parent, tuple):
            above, levels = self.parent, 1  # it stands inside that one
        here = self.items.setdefault(self.client, [])
        here.append((self.clock, self.clock + length, above, levels))
        return length
