"""A document's history as people think of it: who sat down when, and what changed by that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from persistence.store import Entry, Past, Position
from sync.core.changes import Change, difference
from sync.core.content import content
from sync.core.document import Document
from sync.core.events import iso
from sync.core.guard import inspect
from sync.forms.definition import FormDefinition
from sync.inspection.labels import labelled
from sync.inspection.state import replayed_past

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
    ``pause_seconds`` later; what others do meanwhile makes no difference. Call it on a deep stack.
    Raises NativeFailure.
    """
    left_out = replayed_past(past).left_out
    contents = _contents(past, left_out)
    groups = _groups(past.entries, pause_seconds)
    made = []
    for group in groups:
        entries = [past.entries[index] for index in group]
        changes = difference(contents[group[0]], contents[group[-1] + 1])
        made.append(
            Version(
                entries[0].edit.author,
                entries[0].position,
                entries[-1].position,
                entries[0].edit.received_at,
                entries[-1].edit.received_at,
                len(entries),
                tuple(dict.fromkeys(e.edit.connection for e in entries if e.edit.connection)),
                any(entry.edit.offline for entry in entries),
                None,
                changes,
            )
        )
    return sorted(made, key=lambda version: version.last)


def _groups(entries: tuple[Entry, ...], pause_seconds: float) -> list[list[int]]:
    open_groups: dict[str, list[int]] = {}
    groups: list[list[int]] = []
    for index, entry in enumerate(entries):
        group = open_groups.get(entry.edit.author)
        if group is not None:
            before = entries[group[-1]].edit.received_at
            if entry.edit.received_at - before <= pause_seconds:
                group.append(index)
                continue
        open_groups[entry.edit.author] = group = [index]
        groups.append(group)
    return groups


def _contents(past: Past, left_out: dict[int, str]) -> list[dict[str, object]]:
    """What the document held before each entry, and behind the last."""
    document = Document(past.base.update if past.base else None)
    contents = [content(document.encode())]
    for index, entry in enumerate(past.entries):
        if index not in left_out:
            document.apply(entry.edit.update, inspect(entry.edit.update, 2**31))
        contents.append(content(document.encode()))
    return contents
