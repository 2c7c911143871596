"""What a document holds, as JSON: read from the disk, beside those who work on it.

No room is loaded for it, and none is looked into: what is not saved yet is not told. What is small
is read here, everything else in a worker process, where it is also written as JSON: a document of
some megabytes costs the event loop no more than the bytes of the answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from persistence.store import Past, lost_entries
from sync.core.content import content
from sync.core.errors import NativeFailure
from sync.core.replay import Replay, replay, replay_in_steps
from sync.forms.definition import InvalidForm, form_definition
from sync.forms.draft import view
from sync.server.draft_answers import INLINE, MOST_INLINE
from sync.server.inspecting import Turns, damaged, in_worker, is_short
from sync.server.loader import interleaved

Form = Mapping[str, Any]

_turns = Turns("documents")  # those who look into histories do not stand in their way


@dataclass(frozen=True, slots=True)
class Written:
    """A document as JSON texts: its roots, and its view by a form (``null`` without one)."""

    content: str
    form: str
    notes: tuple[str, ...]  # what is wrong with it


async def write_document(past: Past, form: Form | None) -> Written:
    """Make JSON of a document as it was, and of what its session's form makes of it.

    Raises Unreadable, where it cannot be read, or takes too long.
    """
    lost = len(lost_entries(past.damaged))
    base = past.base.update if past.base else None
    updates = [entry.edit.update for entry in past.entries]
    try:
        if is_short(past, INLINE, MOST_INLINE):
            parts = [] if base is None else [base]
            return _written(await interleaved(replay_in_steps(parts, updates)), form, lost)
        return await in_worker(partial(_replayed, base, updates, form, lost), _turns)
    except (NativeFailure, RecursionError) as failure:
        raise damaged(past.document, failure) from None


def _replayed(
    base: bytes | None, updates: Sequence[bytes], form: Form | None, lost: int
) -> Written:
    """In the worker."""
    return _written(replay(base, updates), form, lost)


def _written(replayed: Replay, form: Form | None, lost: int) -> Written:
    roots = content(replayed.document.encode())
    shown, notes = _by_form(roots, form)
    return Written(_json(roots), _json(shown), (*_lost(lost + len(replayed.left_out)), *notes))


def _by_form(roots: Mapping[str, object], form: Form | None) -> tuple[object, list[str]]:
    if form is None:
        return None, []
    try:
        return view(form_definition(form), roots).to_json(), []
    except InvalidForm as error:
        return None, [f"the session's form cannot be read: {error}"]


def _lost(count: int) -> list[str]:
    return [f"{count} of its edits are damaged, and left out"] if count else []


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
