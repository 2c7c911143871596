"""The order of items that stand in one row: a text, an array, or the values of a map's key.

Source: github.com/yjs/yjs, ``src/structs/Item.js``, ``integrate`` (the YATA algorithm). All
replicas come to the same row, in whatever order concurrent items reach them. The last item of a
map's key is its value; the others lost against it, or were replaced by it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from sync.core.items import Clock, Item


@dataclass(slots=True, eq=False)
class Unit:
    """An item in its row, or a part of one. ``skipped``: clocks of the item before this part."""

    item: Item
    clock: int
    end: int
    origin: Clock | None
    skipped: int = 0
    next: Unit | None = None

    @property
    def last(self) -> Clock:
        """The id of its last clock: whoever stands behind it names that as its origin."""
        return self.item.client, self.end - 1


class Sequence:
    """One row of items. Those of one client come in the order of their clocks."""

    __slots__ = ("_first", "_starts", "_units", "last")

    def __init__(self) -> None:
        self._first: Unit | None = None
        self.last: Unit | None = None
        self._starts: dict[int, list[int]] = {}
        self._units: dict[int, list[Unit]] = {}

    def __iter__(self) -> Iterator[Unit]:
        unit = self._first
        while unit is not None:
            yield unit
            unit = unit.next

    def integrate(self, item: Item) -> Unit:
        """Put an item where it belongs. What it names in this row is there already."""
        unit = Unit(item, item.clock, item.end, item.origin)
        left = None if item.origin is None else self._ending(item.origin)
        right = None if item.right is None else self._starting(item.right)
        behind = self._first if left is None else left.next
        if behind is not right:
            left = self._settle(unit, left, behind, right)
        self._insert(unit, left)
        return unit

    def find(self, clock: Clock) -> Unit | None:
        """The unit that has a clock."""
        starts = self._starts.get(clock[0], [])
        index = bisect_right(starts, clock[1]) - 1
        if index < 0:
            return None
        unit = self._units[clock[0]][index]
        return unit if clock[1] < unit.end else None

    def _settle(
        self, unit: Unit, left: Unit | None, other: Unit | None, right: Unit | None
    ) -> Unit | None:
        """Where others stand in the same gap: the unit that this one comes behind."""
        passed: set[Unit] = set()
        rivals: set[Unit] = set()
        while other is not None and other is not right:
            passed.add(other)
            rivals.add(other)
            origin = None if other.origin is None else self.find(other.origin)
            if other.origin == unit.origin:
                if other.item.client < unit.item.client:
                    left = other
                    rivals.clear()
                elif other.item.right == unit.item.right:
                    break
            elif origin is not None and origin in passed:
                if origin not in rivals:
                    left = other
                    rivals.clear()
            else:
                break
            other = other.next
        return left

    def _insert(self, unit: Unit, left: Unit | None) -> None:
        if left is None:
            unit.next, self._first = self._first, unit
        else:
            unit.next, left.next = left.next, unit
        if unit.next is None:
            self.last = unit
        client = unit.item.client
        starts = self._starts.setdefault(client, [])
        index = bisect_right(starts, unit.clock)
        starts.insert(index, unit.clock)
        self._units.setdefault(client, []).insert(index, unit)

    def _ending(self, clock: Clock) -> Unit | None:
        """The unit that ends with a clock, parted from what follows."""
        unit = self.find(clock)
        if unit is not None and clock[1] + 1 < unit.end:
            self._part(unit, clock[1] + 1)
        return unit

    def _starting(self, clock: Clock) -> Unit | None:
        """The unit that starts with a clock, parted from what is before."""
        unit = self.find(clock)
        return unit if unit is None or clock[1] == unit.clock else self._part(unit, clock[1])

    def _part(self, unit: Unit, at: int) -> Unit:
        """Cut a unit in two; return the second."""
        second = Unit(
            unit.item, at, unit.end, (unit.item.client, at - 1), unit.skipped + at - unit.clock
        )
        unit.end = at
        self._insert(second, unit)
        return second
