"""Deleted ranges of clocks, compared as sets."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter

Ranges = dict[int, list[tuple[int, int]]]
"""For each client id its deleted clocks, ``start <= clock < end``, in order and joined."""

_START, _END = itemgetter(0), itemgetter(1)


def joined(deleted: Iterable[tuple[int, int, int]]) -> Ranges:
    """Join ``(client, start, end)`` ranges that overlap or touch."""
    ranges: Ranges = {}
    for client, start, end in sorted(deleted):
        known = ranges.setdefault(client, [])
        if known and start <= known[-1][1]:
            known[-1] = (known[-1][0], max(end, known[-1][1]))
        else:
            known.append((start, end))
    return ranges


def contains(whole: Ranges, part: Ranges) -> bool:
    """Every clock of ``part`` is in ``whole``."""
    return all(
        covers(whole.get(client, ()), start, end)
        for client, ranges in part.items()
        for start, end in ranges
    )


def covers(ranges: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    """Every clock ``start <= clock < end`` is in one of the ranges, which are in order, joined."""
    index = bisect_right(ranges, start, key=_START) - 1
    return index >= 0 and end <= ranges[index][1]


class Deletions:
    """Deleted clocks that become more."""

    __slots__ = ("_ranges",)

    def __init__(self) -> None:
        self._ranges: Ranges = {}

    def __contains__(self, clock: tuple[int, int]) -> bool:
        return self.holds(clock[0], clock[1], clock[1] + 1)

    def holds(self, client: int, start: int, end: int) -> bool:
        """All of a range is deleted."""
        return covers(self._ranges.get(client, ()), start, end)

    def add(self, client: int, start: int, end: int) -> list[tuple[int, int]]:
        """Delete a range; tell which parts of it were not deleted yet."""
        ranges = self._ranges.setdefault(client, [])
        if not ranges or ranges[-1][1] < start:
            ranges.append((start, end))
            return [(start, end)]
        low, high = bisect_left(ranges, start, key=_END), bisect_right(ranges, end, key=_START)
        news, at = [], start
        for first, last in ranges[low:high]:
            if at < first:
                news.append((at, first))
            at = max(at, last)
        if at < end:
            news.append((at, end))
        if low < high:
            start, end = min(start, ranges[low][0]), max(end, ranges[high - 1][1])
        ranges[low:high] = [(start, end)]
        return news
