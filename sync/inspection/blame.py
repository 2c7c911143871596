"""Who set the values that a document holds, when, and from what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from persistence.store import Past, Position
from sync.core.changes import ABSENT, Place
from sync.core.events import iso
from sync.forms.definition import FormDefinition
from sync.inspection.labels import label
from sync.inspection.versions import versions


@dataclass(frozen=True, slots=True)
class Overruled:
    """A value that somebody set at the same time as another one was set that stands."""

    author: str | None
    position: Position
    time: float
    offline: bool
    value: object  # ABSENT: it was lost before the service got it

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "author": self.author,
            "position": self.position,
            "time": iso(self.time),
            "offline": self.offline,
        }
        return told if self.value is ABSENT else told | {"value": self.value}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text, and who wrote it; None: not known."""

    author: str | None
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"author": self.author, "text": self.text}


@dataclass(frozen=True, slots=True)
class Blame:
    """Who last changed what stands in a place, or took it away.

    Where the kept history does not tell, because the change is older, ``author``, ``position`` and
    ``time`` are None.
    """

    place: Place
    value: object  # ABSENT: it was deleted
    before: object  # what stood there before, or ABSENT
    author: str | None
    position: Position | None
    time: float | None  # seconds since the Unix epoch, when it was received
    offline: bool  # it was made before its connection began
    away_seconds: float | None  # since the previous edit of the same Yjs client, where there is one
    introduced_by: str | None  # who brought it, where that is not its author
    overruled: tuple[Overruled, ...]
    spans: tuple[Span, ...]  # of a text

    def to_json(self, definition: FormDefinition | None = None) -> dict[str, Any]:
        told: dict[str, Any] = {
            "field": str(self.place),
            "root": self.place.root,
            "key": self.place.key,
            "label": label(self.place, definition),
        }
        if self.value is not ABSENT:
            told["value"] = self.value
        if self.before is not ABSENT:
            told["before"] = self.before
        return told | {
            "author": self.author,
            "position": self.position,
            "time": None if self.time is None else iso(self.time),
            "offline": self.offline,
            "away_seconds": self.away_seconds,
            "introduced_by": self.introduced_by,
            "overruled": [each.to_json() for each in self.overruled],
            "spans": [each.to_json() for each in self.spans],
        }


def blame(past: Past) -> list[Blame]:
    """For each place who last changed it, ordered by place; those that were emptied too.

    Call it on a deep stack. Raises NativeFailure.
    """
    made: dict[Place, Blame] = {}
    for version in versions(past, -1.0):
        for change in version.changes:
            made[change.place] = Blame(
                change.place, change.after, change.before, version.author, version.last,
                version.ended_at, version.offline, None, None, (), (),
            )  # fmt: skip
    return [made[place] for place in sorted(made, key=str)]
