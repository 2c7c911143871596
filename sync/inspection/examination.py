"""Replaying a stored document, to see whether it says what its snapshot says.

The same law as :func:`sync.core.replay.replay`, one entry in memory at a time. CPU work; plain
functions. To be called on a deep stack, as everything that walks nested types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from persistence.store import NOWHERE, Entry, Snapshot
from sync.core.content import filled
from sync.core.deletions import contains
from sync.core.document import Document
from sync.core.errors import MalformedMessage, NativeFailure
from sync.core.replay import apply_entry
from sync.core.snapshot import TakenSnapshot
from sync.core.yprotocol import decode_state_vector

Entries = Callable[[], Iterable[Entry]]
"""Gives the sound entries of a document in order, from the beginning at each call."""


@dataclass(slots=True)
class Examination:
    """What came of replaying a document. Positions map to why."""

    pending: dict[int, str] = field(default_factory=dict)
    """Entries that cannot be applied to the document as it is served: they stand on others."""
    unread: dict[int, str] = field(default_factory=dict)
    """Entries that cannot be applied in history; the snapshot has what they say."""
    snapshot: str | None = None
    """Why the snapshot is wrong, None where it is right or there is none."""
    unusable: bool = False
    """The snapshot cannot even be loaded."""
    lacking: bool = False
    """The snapshot has edits that neither history nor what is known to be lost accounts for."""
    base: str | None = None
    """Why the base of its history is wrong."""
    compared: bool = False
    """The snapshot was compared with all entries that it stands for."""


def examine(
    snapshot: Snapshot | None, base: Snapshot | None, thinned: int, *, whole: bool, entries: Entries
) -> Examination:
    """Replay a document and compare it with its snapshot.

    ``thinned``: the position up to which entries were removed; ``whole``: all behind it are there.
    """
    found = Examination()
    loaded = _load(snapshot) if snapshot is not None else None
    if isinstance(loaded, str):
        found.snapshot, found.unusable = loaded, True
    if base is not None and isinstance(wrong := _load(base), str):
        found.base = wrong
    start = base if base is not None and found.base is None and base.position >= thinned else None
    if thinned and start is None:
        start = snapshot if found.snapshot is None else None
    until = snapshot.position if snapshot is not None and found.snapshot is None else None
    replayed = _replay(start, entries, found.unread, until)
    if until is None or snapshot is None:
        found.pending, found.unread = found.unread, {}
        return found
    if whole and not found.unread and (start is not snapshot):
        found.compared = True
        found.snapshot = _difference(replayed, snapshot)
        if found.snapshot is not None and _has_all_of(replayed, snapshot):
            found.snapshot, found.lacking = None, True
    _replay(snapshot, entries, found.pending, None)
    return found


def remade(
    snapshot: Snapshot | None, base: Snapshot | None, thinned: int, entries: Entries
) -> tuple[int, bytes, bytes] | None:
    """Make a snapshot again from a base and the entries: its position, update and state vector.

    Where there is a ``snapshot`` that is wrong, it is merged with the entries: nothing that is in
    either is lost. None where it cannot be made, or not be verified, or something would be missing
    in it.
    """
    if snapshot is None and thinned and (base is None or base.position < thinned):
        return None
    start = replace(snapshot, position=NOWHERE) if snapshot is not None else base
    unread: dict[int, str] = {}
    try:
        replayed = _replay(start, entries, unread, None)
        taken = TakenSnapshot.of(replayed)
    except NativeFailure:
        return None
    last = max((entry.position for entry in entries()), default=0)
    if unread or not last or not taken.verify():
        return None
    return last, taken.update, taken.state_vector


def _load(snapshot: Snapshot) -> Document | str:
    """Load a snapshot, or tell why it cannot be."""
    try:
        document = Document(snapshot.update)
        if dict(document.clocks) != dict(decode_state_vector(snapshot.state_vector)):
            return "it has other edits than its state vector tells"
    except NativeFailure as failure:
        return f"it cannot be loaded: {failure}"
    except MalformedMessage as failure:
        return f"it cannot be read: {failure.reason}"
    return document


def _replay(
    start: Snapshot | None, entries: Entries, left_out: dict[int, str], until: int | None
) -> Document:
    """Apply what may be applied of the entries behind ``start``, up to the position ``until``."""
    while True:
        document = Document(start.update if start is not None else None)
        behind = start.position if start is not None else 0
        if _apply_all(document, entries, left_out, behind, until):
            return document


def _apply_all(
    document: Document, entries: Entries, left_out: dict[int, str], behind: int, until: int | None
) -> bool:
    """Tells whether it was done; False where an update, now left out, broke the document."""
    for position, edit in entries():
        if until is not None and position > until:
            break
        if position <= behind or position in left_out:
            continue
        try:
            reason = apply_entry(document, edit.update)
        except NativeFailure as failure:
            left_out[position] = str(failure)
            return False
        if reason is not None:
            left_out[position] = reason
    return True


def _difference(replayed: Document, snapshot: Snapshot) -> str | None:
    """Why a snapshot is not what its entries make; None where it is."""
    ours = replayed.encode()
    if ours == snapshot.update:
        return None
    theirs = Document(snapshot.update)
    if dict(theirs.clocks) != dict(replayed.clocks):
        return "it has other edits than the entries that it stands for"
    if theirs.deletions() != replayed.deletions():
        return "it has other deletions than the entries that it stands for"
    if filled(ours) != filled(snapshot.update):
        return "it has other content than the entries that it stands for"
    return None


def _has_all_of(replayed: Document, snapshot: Snapshot) -> bool:
    """Whether a snapshot has everything that its entries make, and more."""
    theirs = Document(snapshot.update)
    clocks = theirs.clocks
    return all(clocks.get(client, 0) >= end for client, end in replayed.clocks.items()) and (
        contains(theirs.deletions(), replayed.deletions())
        and (dict(clocks), theirs.deletions()) != (dict(replayed.clocks), replayed.deletions())
    )
