"""A document's past, read entry by entry: the ground of versions and blame."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from persistence.store import Past
from sync.core.changes import Place
from sync.core.chronicle import BASE, Chronicle, Touch
from sync.core.readings import readings
from sync.inspection.authors import Authors
from sync.inspection.state import replayed_past


class Story:
    """What each entry did, and whose it was. Entries are named by their index in the past."""

    def __init__(self, past: Past) -> None:
        """Read all of it, on a deep stack. Raises NativeFailure."""
        self.past = past
        self.entries = past.entries
        self.authors = Authors([entry.edit for entry in past.entries])
        self._base = past.base.update if past.base else None
        self._updates = [entry.edit.update for entry in past.entries]
        replayed = replayed_past(past)
        self.update = replayed.document.encode()
        self.left_out = replayed.left_out
        self.chronicle = Chronicle(self._base)
        self.touches = [self._take(index) for index in range(len(self._updates))]
        self.touched: dict[Place, list[int]] = {}  # by which entries, in order
        for index, touches in enumerate(self.touches):
            for place in touches:
                self.touched.setdefault(place, []).append(index)

    def _take(self, index: int) -> dict[Place, Touch]:
        if index in self.left_out:
            self.chronicle.skip()
            return {}
        return self.chronicle.take(self._updates[index])

    def before(self, place: Place, index: int) -> int:
        """The entry that had touched a place last before another one came; BASE: none had."""
        touched = self.touched.get(place, [])
        earlier = bisect_left(touched, index)
        return touched[earlier - 1] if earlier else BASE

    def values(self, points: Iterable[tuple[int, Place]]) -> dict[tuple[int, Place], object]:
        """What stood in places behind entries. Raises NativeFailure."""
        wanted: dict[int, set[Place]] = {}
        for index, place in points:
            wanted.setdefault(index, set()).add(place)
        kinds = self.chronicle.kinds
        return readings(self._base, self._updates, self.left_out, wanted, kinds)
