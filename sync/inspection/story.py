"""A document's past, read entry by entry: the ground of versions and blame."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from persistence.store import Past
from sync.core.changes import Place
from sync.core.chronicle import BASE, Chronicle, Touch
from sync.core.errors import MalformedMessage, NativeFailure
from sync.core.footprint import Footprint
from sync.core.items import read_items
from sync.core.readings import Readings, readings
from sync.core.replay import objection
from sync.inspection.authors import Authors
from sync.inspection.state import damages, replayed_past

_T = TypeVar("_T")


def retell(past: Past, tell: Callable[[Story], _T]) -> _T:
    """Tell something of a past. To be called on a deep stack. Raises NativeFailure.

    Where the library fails on an entry, it is found out on which, and told without.
    """
    try:
        return tell(Story(past, {}))
    except NativeFailure:
        return tell(Story(past, replayed_past(past).left_out))


class Story:
    """What each entry did, and whose it was. Entries are named by their index in the past."""

    def __init__(self, past: Past, left_out: Mapping[int, str]) -> None:
        """Read all of it. ``left_out``: entries that cannot be applied, and why; more are found."""
        self.past = past
        self.entries = past.entries
        self.authors = Authors([entry.edit for entry in past.entries])
        self._base = past.base.update if past.base else None
        self._left_out = dict(left_out)
        self._applied: list[tuple[int, bytes, Footprint]] = []
        self.chronicle = _chronicle(self._base)
        self.touches = [
            self._take(index, entry.edit.update) for index, entry in enumerate(past.entries)
        ]
        self.touched: dict[Place, list[int]] = {}  # by which entries, in order
        for index, touches in enumerate(self.touches):
            for place in touches:
                self.touched.setdefault(place, []).append(index)

    def _take(self, index: int, update: bytes) -> dict[Place, Touch]:
        if index not in self._left_out:
            try:
                items = read_items(update)
                reason = objection(items.footprint, self.chronicle.clocks)
            except MalformedMessage as error:
                reason = error.reason
            if reason is None:
                self._applied.append((index, update, items.footprint))
                return self.chronicle.take(items)
            self._left_out[index] = reason
        self.chronicle.skip()
        return {}

    @property
    def damaged(self) -> tuple[str, ...]:
        """What could not be read, in words."""
        return damages(self.past, self._left_out)

    def before(self, place: Place, index: int) -> int:
        """The entry that had touched a place last before another one came; BASE: none had."""
        touched = self.touched.get(place, [])
        earlier = bisect_left(touched, index)
        return touched[earlier - 1] if earlier else BASE

    def read(self, points: Iterable[tuple[int, Place]]) -> Readings:
        """What stood in places behind entries, and the document in the end. Raises NativeFailure.

        ``points``: where an entry touched a place, or BASE.
        """
        wanted: dict[int, set[Place]] = {}
        for index, place in points:
            wanted.setdefault(index, set()).add(place)
        return readings(self._base, self._applied, wanted, self.chronicle.kinds)


def _chronicle(base: bytes | None) -> Chronicle:
    try:
        return Chronicle(base)
    except MalformedMessage as error:
        raise NativeFailure(f"its base cannot be read: {error.reason}") from error
