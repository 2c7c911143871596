"""What a document holds, as JSON: read from the disk, beside those who work on it.

No room is loaded for it, and none is looked into: what is not saved yet is not told. What is small
is read here, everything else in a worker process, where it is also written as JSON: a document of
some megabytes costs the event loop no more than the bytes of the answer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
from anyio import to_process
from anyio.lowlevel import RunVar

from persistence.store import StoredDocument
from sync.core.content import content
from sync.core.errors import NativeFailure
from sync.core.replay import Replay, replay, replay_in_steps
from sync.forms.definition import InvalidForm, form_definition
from sync.forms.draft import view
from sync.server.deep_stack import run_deep
from sync.server.draft_answers import INLINE, MOST_INLINE, is_small
from sync.server.loader import interleaved
from sync.server.telemetry import logger

log = logger(__name__)

WORKER_SECONDS = 30.0
"""How long a document may take to be read, its turn not included."""

Form = Mapping[str, Any]

_turns = RunVar[anyio.CapacityLimiter]("documents")  # one at a time: a worker takes a core


class Unreadable(Exception):
    """A document cannot be read; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Written:
    """A document as JSON texts: its roots, and its view by a form (``null`` without one)."""

    content: str
    form: str
    notes: tuple[str, ...]  # what is wrong with it


async def write_document(stored: StoredDocument, form: Form | None) -> Written:
    """Make JSON of a stored document, and of what its session's form makes of it.

    Raises Unreadable, where it cannot be read, or takes too long.
    """
    snapshot = stored.snapshot.update if stored.snapshot else None
    updates = [entry.edit.update for entry in stored.entries]
    try:
        if _small(snapshot, updates):
            parts = [] if snapshot is None else [snapshot]
            replayed = await interleaved(replay_in_steps(parts, updates))
            written = _written(replayed, form)
        else:
            written = await _in_worker(snapshot, updates, form)
    except (NativeFailure, RecursionError) as failure:
        log.warning("a document cannot be read", document=stored.document, error=str(failure))
        raise Unreadable("it is damaged: whoever runs the service finds why in its log") from None
    lost = len([each for each in stored.damaged if each.what == "entry"])
    return Written(written.content, written.form, (*_lost(lost), *written.notes))


def _small(snapshot: bytes | None, updates: Sequence[bytes]) -> bool:
    size = len(snapshot or b"") + sum(map(len, updates))
    few = size <= INLINE and len(updates) <= MOST_INLINE
    return few and (snapshot is None or is_small(snapshot)) and all(map(is_small, updates))


async def _in_worker(
    snapshot: bytes | None, updates: Sequence[bytes], form: Form | None
) -> Written:
    work = partial(_written_elsewhere, snapshot, updates, form)
    try:
        async with _limiter():
            with anyio.fail_after(WORKER_SECONDS):
                return await to_process.run_sync(work, cancellable=True)
    except TimeoutError:
        raise Unreadable("it takes too long to be read") from None
    except (anyio.BrokenWorkerProcess, OSError) as error:
        log.warning("a document cannot be read", error=repr(error))
        raise Unreadable("reading it failed: try again in a moment") from None


def _limiter() -> anyio.CapacityLimiter:
    try:
        return _turns.get()
    except LookupError:
        _turns.set(limiter := anyio.CapacityLimiter(1))
        return limiter


def _written_elsewhere(
    snapshot: bytes | None, updates: Sequence[bytes], form: Form | None
) -> Written:
    """In the worker."""
    os.setpriority(os.PRIO_PROCESS, 0, 10)  # whoever shares the core with it goes first
    return run_deep(lambda: _written(replay(snapshot, updates), form))


def _written(replayed: Replay, form: Form | None) -> Written:
    roots = content(replayed.document.encode())
    shown, notes = _by_form(roots, form)
    return Written(_json(roots), _json(shown), (*_lost(len(replayed.left_out)), *notes))


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
