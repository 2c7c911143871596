"""What became of a document, as JSON: its versions, who set what, what differs.

Plain functions of values that can be pickled, for :func:`sync.server.inspecting.inspected`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from persistence.store import Past, Position
from sync.core.changes import difference
from sync.forms.definition import FormDefinition, InvalidForm, form_definition
from sync.inspection.blame import blames
from sync.inspection.labels import labelled
from sync.inspection.state import State, state
from sync.inspection.story import Story, retell
from sync.inspection.versions import Version, version_page

MOST_BYTES = 4 * 2**20
"""Of JSON in a page of versions; one that is larger stands alone in its page."""

Form = Mapping[str, Any]


def versions_text(past: Past, form: Form | None, after: int, limit: int) -> bytes:
    """A page of a document's versions, behind the one whose last entry is ``after``.

    Raises NativeFailure.
    """

    def read(story: Story) -> tuple[list[Version], int, Sequence[str]]:
        return *version_page(story, after=after, limit=limit), story.damaged

    found, waiting, damaged = retell(past, read)
    told, last = _page(found, _definition(form))
    head = {"name": past.document, "earliest": _earliest(past)}
    more = {"next": last if len(told) < waiting else None, "damaged": damaged}
    return _joined(head, "versions", told, more)


def _page(
    found: Iterable[Version], definition: FormDefinition | None
) -> tuple[list[str], Position | None]:
    """Those that a page has room for, as JSON, and the position of the last one."""
    told: list[str] = []
    last: Position | None = None
    size = 0
    for each in found:
        text = _json(each.to_json(definition))
        size += len(text)
        if told and size > MOST_BYTES:
            break
        told.append(text)
        last = each.last
    return told, last


def _earliest(past: Past) -> Position | None:
    """The first position that the document can be read at."""
    if past.base is not None:
        return past.base.position
    return past.entries[0].position if past.entries else None


def blame_text(past: Past, form: Form | None) -> bytes:
    """Who set what a document holds. Raises NativeFailure."""
    definition = _definition(form)
    found, damaged = retell(past, lambda story: (blames(story), story.damaged))
    fields = [_json(each.to_json(definition)) for each in found]
    head = {"name": past.document, "position": past.position}
    return _joined(head, "fields", fields, {"damaged": damaged})


def diff_text(one: Past, other: Past, form: Form | None) -> bytes:
    """What makes the one the other. Raises NativeFailure."""
    definition = _definition(form)
    before, after = state(one), state(other)
    changes = difference(before.content, after.content)
    head = {"from": _point(before), "to": _point(after)}
    told = [_json(labelled(each, definition)) for each in changes]
    damaged = dict.fromkeys((*before.damaged, *after.damaged))
    return _joined(head, "changes", told, {"damaged": list(damaged)})


def _point(of: State) -> dict[str, object]:
    return {"name": of.document, "position": of.position}


def _definition(form: Form | None) -> FormDefinition | None:
    """None for a form that cannot be read: places have names of their own."""
    try:
        return form_definition(form) if form is not None else None
    except InvalidForm:
        return None


def _joined(
    head: Mapping[str, object], name: str, items: Iterable[str], more: Mapping[str, object]
) -> bytes:
    return (f'{_json(head)[:-1]},"{name}":[{",".join(items)}],{_json(more)[1:]}').encode()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
