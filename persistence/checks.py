"""What every store refuses before it begins: mistakes of the caller, as ValueError.

They are no StoreError, because repeating the same call could never help.
"""

from __future__ import annotations

from collections.abc import Sequence

from persistence.store import ClientRange, Edit, Position, Snapshot

MAX_NAME_BYTES = 255


def check_batch(batch: Sequence[Edit]) -> None:
    """Raise ValueError for an empty batch. What its edits hold is checked one by one."""
    if not batch:
        raise ValueError("an empty batch has no position")


def check_name(document: str) -> None:
    """Raise ValueError unless the name is 1 to 255 bytes of UTF-8."""
    if not 1 <= len(document.encode()) <= MAX_NAME_BYTES:
        raise ValueError(f"a document's name has 1 to {MAX_NAME_BYTES} bytes of UTF-8")


def check_range(brought: ClientRange) -> None:
    """Raise ValueError for a range that ends before it starts, or has a negative number."""
    if not (0 <= brought.start <= brought.end and brought.client >= 0):
        raise ValueError(f"no range of clocks: {brought}")


def check_snapshot(snapshot: Snapshot, head: Position | None, *, is_entry: bool) -> None:
    """Raise ValueError for a snapshot that does not stand on an entry of its document.

    One that stood ahead of the head would hide the entries still to come: load reads only what
    is behind the snapshot. ``head`` is None for a document that was never written.
    """
    if head is None or not is_entry:
        raise ValueError(
            f"a snapshot of {snapshot.document!r} at {snapshot.position}, "
            f"which is no entry of it (its head: {head})"
        )
