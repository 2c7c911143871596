"""A document's history as people think of it: who sat down when, and what changed by that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from persistence.store import Past, Position
from sync.core.changes import Change, Place, order, same
from sync.core.events import iso
from sync.forms.definition import FormDefinition
from sync.inspection.labels import labelled
from sync.inspection.story import Story, retell

PAUSE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Version:
    """What one author did to a document until they paused."""

    author: str
    first: Position
    last: Position
    began_at: float  # seconds since the Unix epoch, when its first edit was received
    ended_at: float
    edits: int
    connections: tuple[int, ...]  # that brought them, in order; those that are known
    offline: bool  # something of it was made before its connection began
    away_seconds: float | None  # since the previous edit of the same Yjs client, where there is one
    changes: tuple[Change, ...]  # what it changed, ordered by place

    def to_json(self, definition: FormDefinition | None = None) -> dict[str, Any]:
        return {
            "first": self.first,
            "last": self.last,
            "author": self.author,
            "began": iso(self.began_at),
            "ended": iso(self.ended_at),
            "edits": self.edits,
            "connections": list(self.connections),
            "offline": self.offline,
            "away_seconds": self.away_seconds,
            "changes": [labelled(change, definition) for change in self.changes],
        }


def versions(past: Past, pause_seconds: float = PAUSE_SECONDS) -> list[Version]:
    """Group a document's entries by author and pause, ordered by their last positions.

    An author's edits are one version until the next one of theirs comes more than
    ``pause_seconds`` later; what others do meanwhile makes no difference. Clocks may step back:
    the order is that of the positions. What somebody only handed on is its writer's. Call it on a
    deep stack. Raises NativeFailure.
    """
    return retell(past, lambda story: version_page(story, pause_seconds)[0])


def version_page(
    story: Story, pause_seconds: float = PAUSE_SECONDS, after: int | None = None, limit: int = 0
) -> tuple[list[Version], int]:
    """Some of the :func:`versions` of a past that was read, and of how many they are the ones.

    They are the newest; where ``after`` is given, the first of those that end behind that position.
    ``limit`` is how many there are at most; 0: all.
    """
    groups = sorted(_groups(story, pause_seconds), key=lambda group: group[-1])
    if after is not None:
        groups = [group for group in groups if story.entries[group[-1]].position > after]
    shown = groups[:limit] if limit and after is not None else groups[-limit:]
    touched = [_touched(story, group) for group in shown]
    points = [
        (point, place)
        for places in touched
        for place, (first, last) in places.items()
        for point in (story.before(place, first), last)
    ]
    values = story.read(points).values
    made = [
        _version(story, group, _changes(story, places, values))
        for group, places in zip(shown, touched, strict=True)
    ]
    return made, len(groups)


def _groups(story: Story, pause_seconds: float) -> list[list[int]]:
    """The indexes of the entries of each version."""
    last: dict[str, list[int]] = {}
    groups: list[list[int]] = []
    for index, entry in enumerate(story.entries):
        author = _author(story, index)
        group = last.get(author)
        if group is not None:
            before = story.entries[group[-1]].edit.received_at
            if entry.edit.received_at - before <= pause_seconds:
                group.append(index)
                continue
        last[author] = group = [index]
        groups.append(group)
    return groups


def _author(story: Story, index: int) -> str:
    return story.authors.of_entry(index).author or story.entries[index].edit.author


def _touched(story: Story, group: list[int]) -> dict[Place, tuple[int, int]]:
    """The places that a version touched, and the entries that did so first and last."""
    found: dict[Place, tuple[int, int]] = {}
    for index in group:
        for place in story.touches[index]:
            first, _ = found.get(place, (index, index))
            found[place] = first, index
    return found


def _changes(
    story: Story,
    touched: Mapping[Place, tuple[int, int]],
    values: Mapping[tuple[int, Place], object],
) -> tuple[Change, ...]:
    found = (
        Change(place, values[story.before(place, first), place], values[last, place])
        for place, (first, last) in touched.items()
    )
    different = [each for each in found if not same(each.before, each.after)]
    return tuple(sorted(different, key=lambda each: order(each.place)))


def _version(story: Story, group: list[int], changes: tuple[Change, ...]) -> Version:
    entries = [story.entries[index] for index in group]
    first, last = entries[0], entries[-1]
    return Version(
        _author(story, group[0]),
        first.position,
        last.position,
        first.edit.received_at,
        last.edit.received_at,
        len(entries),
        tuple(dict.fromkeys(e.edit.connection for e in entries if e.edit.connection)),
        any(entry.edit.offline for entry in entries),
        story.authors.away(group[0]),
        changes,
    )
