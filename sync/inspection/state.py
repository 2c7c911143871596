"""What a document was at a point of its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from persistence.store import Past, Position
from sync.core.content import content
from sync.core.replay import Replay, replay


@dataclass(frozen=True, slots=True)
class State:
    """A document as it was when ``position`` was its last entry."""

    document: str
    position: Position
    head: Position  # of the document's last entry
    content: dict[str, object]  # a JSON value for each root
    update: bytes  # the whole of it, as one Yjs v1 update
    state_vector: bytes  # encoded
    damaged: tuple[str, ...]  # what could not be read, in words

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.document,
            "position": self.position,
            "head": self.head,
            "size": len(self.update),
            "content": self.content,
            "damaged": list(self.damaged),
        }


def state(past: Past) -> State:
    """Replay a document. Call it on a deep stack. Raises NativeFailure."""
    replayed = replayed_past(past)
    update = replayed.document.encode()
    return State(
        past.document,
        past.position,
        past.head,
        content(update),
        update,
        replayed.document.state_vector(),
        damages(past, replayed.left_out),
    )


def replayed_past(past: Past) -> Replay:
    """Raises NativeFailure."""
    base = past.base.update if past.base else None
    return replay(base, [entry.edit.update for entry in past.entries])


def damages(past: Past, left_out: dict[int, str]) -> tuple[str, ...]:
    """Say in words what could not be read: rows of the store, and entries by their index."""
    rows = [f"{each.what} {each.position}: {each.reason}" for each in past.damaged]
    entries = [
        f"entry {past.entries[index].position}: {reason}"
        for index, reason in sorted(left_out.items())
    ]
    return (*rows, *entries)
