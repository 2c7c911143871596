"""Looking into what documents were, beside those who work on them, and without being felt.

Nothing here reads a room: what is given was read from the store. What is small is looked into at
once; everything else in a worker process, one after another, each with a deadline. A history of
20,000 edits costs the event loop some short moments in which it is packed for the worker, and the
bytes of the answer.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
from anyio.lowlevel import RunVar

from persistence.store import ClientRange, Edit, Entry, Past, Position
from sync.core.errors import NativeFailure
from sync.server.deep_stack import run_deep
from sync.server.draft_answers import is_small
from sync.server.telemetry import logger
from sync.server.workers import run_in_worker

log = logger(__name__)

WORKER_SECONDS = 30.0
"""How long a worker may take, its turn not included."""

TURN_SECONDS = 30.0
"""How long one waits for it."""

INLINE, MOST_INLINE = 4 * 2**10, 16
"""Bytes and entries of a past up to which it is looked into here: that takes some 5 ms."""

PACKED = 500
"""Entries that are packed before others have their turn."""

R = TypeVar("R")

Turns = RunVar[anyio.CapacityLimiter]

_turns = Turns("inspections")


class Unreadable(Exception):
    """A document cannot be read; the text says why, for people."""


async def inspected(work: Callable[..., bytes], pasts: Sequence[Past], *given: object) -> bytes:
    """Return ``work(*pasts, *given)``: a function of a module, of values that can be pickled.

    Raises Unreadable, where it cannot be done, or takes too long.
    """
    try:
        if all(is_short(past, INLINE, MOST_INLINE) for past in pasts):
            return work(*pasts, *given)
        packed = [await _packed(past) for past in pasts]
        return await in_worker(partial(_worked, work, packed, given), _turns)
    except (NativeFailure, RecursionError) as failure:
        raise damaged(pasts[0].document, failure) from None


def damaged(document: str, failure: Exception) -> Unreadable:
    """What is told of a document that the library fails on."""
    log.warning("a document cannot be read", document=document, error=str(failure))
    return Unreadable("it is damaged: whoever runs the service finds why in its log")


def is_short(past: Past, size: int, entries: int) -> bool:
    """Few entries, few bytes, and none that costs the library much for its size."""
    if len(past.entries) > entries:
        return False
    updates = [entry.edit.update for entry in past.entries]
    updates += [past.base.update] if past.base else []
    return sum(map(len, updates)) <= size and all(map(is_small, updates))


async def in_worker(work: Callable[[], R], turns: Turns) -> R:
    """Call a picklable function in a worker process, on a deep stack, when it is its turn.

    Raises Unreadable, and what the function raises.
    """
    limiter = _limiter(turns)
    try:
        with anyio.fail_after(TURN_SECONDS):
            await limiter.acquire()
    except TimeoutError:
        raise Unreadable("others are being read: try again in a moment") from None
    try:
        with anyio.fail_after(WORKER_SECONDS):
            return await run_in_worker(run_deep, work)
    except TimeoutError:
        raise Unreadable("it takes too long to be read") from None
    except (anyio.BrokenWorkerProcess, OSError) as error:
        log.warning("a document cannot be read", error=repr(error))
        raise Unreadable("reading it failed: try again in a moment") from None
    finally:
        limiter.release()


def _limiter(turns: Turns) -> anyio.CapacityLimiter:
    try:
        return turns.get()
    except LookupError:
        turns.set(limiter := anyio.CapacityLimiter(1))  # a worker takes a core
        return limiter


# -- what is sent to the worker

_Packed = tuple[Past, list[bytes]]  # a past without entries, and these


async def _packed(past: Past) -> _Packed:
    """To pickle 20,000 entries as they are would hold the event loop for 150 ms."""
    packed = []
    for start in range(0, len(past.entries), PACKED):
        packed.append(pickle.dumps([_plain(each) for each in past.entries[start : start + PACKED]]))
        await anyio.lowlevel.checkpoint()
    return replace(past, entries=()), packed


def _plain(entry: Entry) -> tuple[Any, ...]:
    document_left_out: tuple[Any, ...] = entry.edit[1:]
    update, author, clients, *more = document_left_out
    return entry.position, update, author, tuple(map(tuple, clients)), *more


def _unpacked(packed: _Packed) -> Past:
    past, parts = packed
    entries = tuple(_entry(past.document, each) for part in parts for each in pickle.loads(part))  # noqa: S301 - packed by us
    return replace(past, entries=entries)


def _entry(document: str, plain: tuple[Any, ...]) -> Entry:
    position, update, author, clients, *more = plain
    ranges = tuple(ClientRange(*each) for each in clients)
    return Entry(Position(position), Edit(document, update, author, ranges, *more))


def _worked(
    work: Callable[..., bytes], packed: Sequence[_Packed], given: Sequence[object]
) -> bytes:
    """In the worker."""
    return work(*map(_unpacked, packed), *given)
