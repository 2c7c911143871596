"""Places of a document in the words of its form."""

from __future__ import annotations

from typing import Any

from sync.core.changes import Change, Place
from sync.forms.definition import FormDefinition, Text
from sync.forms.progress import COMMENT, FIELDS, RATINGS, TAGS


def label(place: Place, definition: FormDefinition | None) -> str:
    """Name a place for people: by its question's label, and whose answer it is.

    What the form does not ask, and every place where there is no form, is named by its own text.
    """
    if definition is None:
        return str(place)
    root, key = place
    if root == RATINGS and key is not None:
        subject, _, name = key.rpartition("/")
        question = definition.question(name)
        return f"{question.label} · {subject}" if question and subject else str(place)
    if root == FIELDS and key is not None:
        question = definition.question(key)
        return question.label if question else str(place)
    if root.startswith(TAGS):
        question = definition.question(root.removeprefix(TAGS))
        named = question.label if question else ""
        return (named if key is None else f"{named}: {key}") if named else str(place)
    if root.startswith(COMMENT) and key is None:
        question = definition.question(root.removeprefix(COMMENT))
        if question is not None:
            return question.label if isinstance(question.kind, Text) else f"{question.label}, note"
    return str(place)


def labelled(change: Change, definition: FormDefinition | None = None) -> dict[str, Any]:
    """A change as the HTTP API has it, with its label."""
    return change.to_json() | {"label": label(change.place, definition)}
