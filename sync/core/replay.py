"""Making a document again from what was stored, by the same law as live edits."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sync.core.document import Document
from sync.core.errors import MalformedMessage, NativeFailure
from sync.core.footprint import Footprint, missing
from sync.core.guard import inspect

_ANY_NUMBER = 2**31  # a log entry may merge the edits of any number of clients


@dataclass(frozen=True, slots=True)
class Replay:
    """A document made from a log.

    ``left_out`` names the entries, by index, that could not be applied, and why: they are damaged,
    or stand on one that is. ``size`` is the bytes of all that was applied.
    """

    document: Document
    size: int
    left_out: dict[int, str]


def replay(snapshot: bytes | None, updates: Sequence[bytes]) -> Replay:
    """Apply a snapshot and the updates after it, in order.

    An entry that the library fails on is left out and everything is begun again without it, so one
    bad row never costs a document. The snapshot was verified when it was written; raises
    NativeFailure when it cannot be loaded all the same.
    """
    steps = replay_in_steps([snapshot] if snapshot is not None else [], updates)
    return next(replayed for replayed in steps if replayed is not None)


def replay_in_steps(snapshot: Sequence[bytes], updates: Sequence[bytes]) -> Iterator[Replay | None]:
    """:func:`replay` for whoever has other work too: None after each short step, then the replay.

    ``snapshot``: its parts, in order.
    """
    left_out: dict[int, str] = {}
    while True:
        document = Document()
        for part in snapshot:
            document.load(part)
            yield None
        if (yield from _apply_all(document, updates, left_out)):
            break
    size = sum(map(len, snapshot)) + sum(
        len(update) for index, update in enumerate(updates) if index not in left_out
    )
    yield Replay(document, size, left_out)


def _apply_all(
    document: Document, updates: Sequence[bytes], left_out: dict[int, str]
) -> Generator[None, None, bool]:
    """Apply what may be applied. False: an update broke the document, and is left out now."""
    for index, update in enumerate(updates):
        if index in left_out:
            continue
        yield
        try:
            reason = apply_entry(document, update)
        except NativeFailure as failure:
            left_out[index] = str(failure)
            return False
        if reason is not None:
            left_out[index] = reason
    return True


def apply_entry(document: Document, update: bytes) -> str | None:
    """Apply the next entry of a log; or leave it out, and tell why. Raises NativeFailure."""
    try:
        footprint = inspect(update, _ANY_NUMBER)
    except MalformedMessage as error:
        return error.reason
    reason = objection(footprint, document.clocks)
    if reason is None:
        document.merge(update, footprint)
    return reason


def objection(footprint: Footprint, clocks: Mapping[int, int]) -> str | None:
    """Why an update cannot be applied to a document at a state vector; None where it can."""
    lacking = missing(footprint, clocks)
    return f"it stands on edits that are not there, of clients {[*lacking]}" if lacking else None
