"""What differs between two contents of a document, place by place.

A *content* is what :func:`sync.core.content.content` makes of a document: a JSON value for each of
its roots. A *place* is where people look for one answer: a key of a root that is a map, or a whole
root that is something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple


class Absence(Enum):
    """The type of :data:`ABSENT`."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absence.ABSENT
"""In the place of a value: nothing is there. ``None`` is a value, JSON's null."""


class Place(NamedTuple):
    """Where a value stands."""

    root: str
    key: str | None = None  # None: the whole root

    def __str__(self) -> str:
        return self.root if self.key is None else f"{self.root}.{self.key}"


@dataclass(frozen=True, slots=True)
class Change:
    """What a place held before, and what it holds after. The two differ."""

    place: Place
    before: object  # a JSON value, or ABSENT
    after: object

    def to_json(self) -> dict[str, Any]:
        """As the HTTP API has it: ``before`` and ``after`` are left out where nothing is there."""
        told: dict[str, Any] = {
            "field": str(self.place),
            "root": self.place.root,
            "key": self.place.key,
        }
        if self.before is not ABSENT:
            told["before"] = self.before
        if self.after is not ABSENT:
            told["after"] = self.after
        return told


def places(content: Mapping[str, object]) -> dict[Place, object]:
    """The values of a content by their places. A root that is empty holds nothing."""
    found: dict[Place, object] = {}
    for root, value in content.items():
        if isinstance(value, Mapping):
            found.update({Place(root, key): item for key, item in value.items()})
        elif value not in ("", []):
            found[Place(root)] = value
    return found


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[Change, ...]:
    """The changes that make ``before`` into ``after``, ordered by place."""
    old, new = places(before), places(after)
    return tuple(
        Change(place, old.get(place, ABSENT), new.get(place, ABSENT))
        for place in sorted(old.keys() | new.keys(), key=order)
        if not same(old.get(place, ABSENT), new.get(place, ABSENT))
    )


def patched(content: Mapping[str, object], changes: Iterable[Change]) -> dict[str, object]:
    """What a content is after changes: ``patched(a, difference(a, b))`` is what ``b`` holds."""
    values = places(content)
    for change in changes:
        if change.after is ABSENT:
            values.pop(change.place, None)
        else:
            values[change.place] = change.after
    made: dict[str, object] = {}
    for place in sorted(values, key=order):
        if place.key is None:
            made.setdefault(place.root, values[place])
        else:
            root = made.get(place.root)
            if not isinstance(root, dict):
                made[place.root] = root = {}
            root[place.key] = values[place]
    return made


def same(one: object, other: object) -> bool:
    """Tell whether two JSON values are the same; Python takes ``True`` for 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def order(place: Place) -> tuple[str, str]:
    """To sort by: a root comes before its keys."""
    return place.root, "" if place.key is None else f" {place.key}"
