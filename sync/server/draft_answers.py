"""Which questions of a form the drafts of a session answer: read gently, and seldom.

Whoever looks at a session must not be felt by those who work in it. No room is loaded for it; what
is small is read here, what is not in a worker process; a draft that did not change is not read
again, and one that is slow to read only now and then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import anyio

from persistence.store import Head, Reader, StoreError, lost_entries
from sync.core.content import maps_and_texts
from sync.core.errors import NativeFailure
from sync.core.replay import Replay, replay, replay_in_steps
from sync.forms.definition import FormDefinition
from sync.forms.progress import Answers, answers, roots
from sync.server.deep_stack import run_deep
from sync.server.loader import interleaved
from sync.server.rehearsal import MANY_CLIENTS
from sync.server.resident import Resident
from sync.server.telemetry import logger
from sync.server.workers import run_in_worker

log = logger(__name__)

INLINE = 32 * 2**10
"""Bytes of a draft up to which it is read here: that takes some 3 ms."""

MOST_INLINE = 300
"""Entries behind the snapshot of such a draft."""

ENCODED = 2**20
"""Bytes of a room from which it is not encoded for this: the draft is read as it is on disk."""

HUGE = 4 * 2**20
"""Bytes from which a draft is not read at all."""

MOST_ENTRIES = 20_000

WORKER_SECONDS = 10.0

SLOW_SECONDS, SLOW_FACTOR = 0.02, 50
"""A draft that takes longer is read again after so many times as long, at the soonest."""

MOST_KEPT = 10_000
"""Drafts of which it is kept what they answer."""

_Stamp = tuple[bool, int]  # in memory, and the version of the room; or on disk, and the position
_NEVER: _Stamp = (False, -1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a draft answers; ``note`` says what is wrong with that, and None of ``answers`` why."""

    answers: Answers | None
    note: str | None = None
    current: bool = True  # it has not changed since, and reading it again would tell nothing else


@dataclass(frozen=True, slots=True)
class _Kept:
    form: FormDefinition
    stamp: _Stamp
    reading: Reading
    not_before: float  # of the loop's clock


class _Unreadable(Exception):
    """A draft cannot be read; the text says why, for people."""


class DraftAnswers:
    """Reads drafts, and keeps what they answer."""

    def __init__(self, store: Reader) -> None:
        self._store = store
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._one_at_a_time = anyio.CapacityLimiter(1)

    def known(self, form: FormDefinition, head: Head | None, room: Resident | None) -> bool:
        """:meth:`read` would answer at once."""
        document = room.document if room else head.document if head else ""
        kept = self._kept.get(document)
        return kept is not None and self._good(kept, form, _stamp(head, room))

    def _good(self, kept: _Kept, form: FormDefinition, stamp: _Stamp) -> bool:
        current = kept.stamp == stamp or anyio.current_time() < kept.not_before
        return kept.form is form and current

    async def read(self, form: FormDefinition, head: Head | None, room: Resident | None) -> Reading:
        """What a draft answers, by its room where it is in memory, else by what the store has.

        ``head``: None for one that was never written. Never raises for what is wrong with a draft.
        """
        document = room.document if room else head.document if head else ""
        stamp = _stamp(head, room)
        kept = self._kept.get(document)
        if kept is not None and self._good(kept, form, stamp):
            self._kept.move_to_end(document)
            known = kept.reading
            return known if kept.stamp == stamp else replace(known, current=False)
        began = anyio.current_time()
        reading = await self._read(document, form, room)
        kept = _Kept(form, stamp if reading.current else _NEVER, reading, _next_time(began))
        self._keep(document, kept)
        return reading

    def _keep(self, document: str, kept: _Kept) -> None:
        self._kept[document] = kept
        self._kept.move_to_end(document)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    async def _read(self, document: str, form: FormDefinition, room: Resident | None) -> Reading:
        try:
            if room is not None and not room.room.broken and room.room.size <= ENCODED:
                return await self._read_update(room.room.encode(), form)
            return await self._read_stored(document, form)
        except _Unreadable as error:
            return Reading(None, str(error))
        except StoreError as error:
            log.warning("a draft cannot be read", document=document, error=str(error))
            return Reading(None, "it cannot be read from the disk now", current=False)
        except (NativeFailure, RecursionError) as failure:
            log.warning("a draft cannot be read", document=document, error=str(failure))
            return Reading(None, "it is damaged, and cannot be read")

    async def _read_update(self, update: bytes, form: FormDefinition) -> Reading:
        if is_small(update):
            return Reading(_answers(update, form))
        found, _ = await self._in_worker(update, (), form)
        return Reading(found)

    async def _read_stored(self, document: str, form: FormDefinition) -> Reading:
        stored = await self._store.load(document)
        updates = [entry.edit.update for entry in stored.entries[:MOST_ENTRIES]]
        snapshot = stored.snapshot.update if stored.snapshot else None
        size = len(snapshot or b"") + sum(map(len, updates))
        if size > HUGE or len(stored.entries) > MOST_ENTRIES:
            raise _Unreadable("it is too large to be looked into here")
        small = size <= INLINE and len(updates) <= MOST_INLINE
        if small and is_small(snapshot or b"\x00"):
            parts = [] if snapshot is None else [snapshot]
            replayed = await interleaved(replay_in_steps(parts, updates))
            found, left_out = _answers(replayed.document.encode(), form), len(replayed.left_out)
        else:
            found, left_out = await self._in_worker(snapshot, updates, form)
        damaged = left_out + len(lost_entries(stored.damaged))
        note = f"{damaged} of its edits are damaged, and left out" if damaged else None
        return Reading(found, note)

    async def _in_worker(
        self, snapshot: bytes | None, updates: Sequence[bytes], form: FormDefinition
    ) -> tuple[Answers, int]:
        work = partial(_read_elsewhere, snapshot, updates, form)
        try:
            async with self._one_at_a_time:
                with anyio.fail_after(WORKER_SECONDS):
                    return await run_in_worker(work)
        except TimeoutError:
            raise _Unreadable("it takes too long to be read") from None
        except (anyio.BrokenWorkerProcess, OSError):
            raise _Unreadable("reading it failed") from None


def _stamp(head: Head | None, room: Resident | None) -> _Stamp:
    """Changes with the content. A room that is settled is what is on disk."""
    if room is None:
        return False, head.head if head else 0
    settled = room.room.settled and not room.flush_scheduled
    return (False, room.position) if settled else (True, room.room.version)


def _next_time(began: float) -> float:
    now = anyio.current_time()
    spent = now - began
    return now + SLOW_FACTOR * spent if spent > SLOW_SECONDS else now


def is_small(update: bytes) -> bool:
    """Few bytes, of few clients (it begins with their count): many can cost the library seconds."""
    return len(update) <= INLINE and update[0] <= MANY_CLIENTS


def _answers(update: bytes, form: FormDefinition) -> Answers:
    return answers(form, maps_and_texts(update, *roots(form)))


def _read_elsewhere(
    snapshot: bytes | None, updates: Sequence[bytes], form: FormDefinition
) -> tuple[Answers, int]:
    """In the worker: the answers, and how many entries were left out."""

    def read() -> tuple[Answers, int]:
        if not updates and snapshot is not None:
            return _answers(snapshot, form), 0
        replayed: Replay = replay(snapshot, updates)
        return _answers(replayed.document.encode(), form), len(replayed.left_out)

    return run_deep(read)
