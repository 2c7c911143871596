"""Deleted ranges of clocks, compared as sets."""

from __future__ import annotations

from collections.abc import Iterable

Ranges = dict[int, list[tuple[int, int]]]
"""For each client id its deleted clocks, ``start <= clock < end``, in order and joined."""


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
        any(first <= start and end <= last for first, last in whole.get(client, ()))
        for client, ranges in part.items()
        for start, end in ranges
    )
