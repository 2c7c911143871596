"""What every store refuses before it begins: mistakes of the caller, as ValueError.

They are no StoreError, because repeating the same call could never help.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from persistence.store import NOWHERE, Edit, Position, Snapshot

MAX_NAME_BYTES = 255


def check_batch(batch: Sequence[Edit]) -> None:
    """Raise ValueError for an empty batch, a bad name, text that is no Unicode, a time of NaN."""
    if not batch:
        raise ValueError("an empty batch has no position")
    for name in {edit.document for edit in batch}:
        check_name(name)
    for edit in batch:
        edit.author.encode()  # UnicodeEncodeError is a ValueError
        if not isfinite(edit.received_at):
            raise ValueError(f"received_at is no time: {edit.received_at!r}")


def check_name(document: str) -> None:
    """Raise ValueError unless the name is 1 to 255 bytes of UTF-8."""
    if not 1 <= len(document.encode()) <= MAX_NAME_BYTES:
        raise ValueError(f"a document's name has 1 to {MAX_NAME_BYTES} bytes of UTF-8")


def check_snapshot(snapshot: Snapshot, head: Position | None, *, is_entry: bool) -> None:
    """Raise ValueError for a snapshot that does not stand on an entry of its document.

    One that stood ahead of the head would hide the entries still to come: load reads only what
    is behind the snapshot. ``head`` is None for a document that was never written.
    """
    if not isfinite(snapshot.taken_at):
        raise ValueError(f"taken_at is no time: {snapshot.taken_at!r}")
    if head is None or not NOWHERE < snapshot.position <= head or not is_entry:
        raise ValueError(
            f"a snapshot of {snapshot.document!r} at {snapshot.position}, "
            f"which is no entry of it (its head: {head})"
        )
