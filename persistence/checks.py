"""What every store refuses before it begins: mistakes of the caller, as ValueError.

They are no StoreError, because repeating the same call could never help.
"""

from __future__ import annotations

from collections.abc import Sequence

from persistence.store import (
    ClientRange,
    DeadLetter,
    Edit,
    Position,
    Record,
    Revocation,
    SessionState,
    Snapshot,
)

MAX_NAME_BYTES = 255

MAX_REVOKED_BYTES = 1_024

MAX_CONNECTION = 2**53 - 1


def check_batch(batch: Sequence[Edit]) -> None:
    """Raise ValueError for an empty batch. What its edits hold is checked one by one."""
    if not batch:
        raise ValueError("an empty batch has no position")


def check_name(document: str) -> None:
    """Raise ValueError unless the name is 1 to 255 bytes of UTF-8."""
    check_text("a document's name", document)


def check_text(what: str, text: str) -> None:
    """Raise ValueError unless the text is 1 to 255 bytes of UTF-8."""
    if not 1 <= len(text.encode()) <= MAX_NAME_BYTES:
        raise ValueError(f"{what} has 1 to {MAX_NAME_BYTES} bytes of UTF-8")


def check_range(brought: ClientRange) -> None:
    """Raise ValueError for a range that ends before it starts, or has a negative number."""
    if not (0 <= brought.start <= brought.end and brought.client >= 0):
        raise ValueError(f"no range of clocks: {brought}")


def check_connection(number: int) -> None:
    """Raise ValueError unless the number of a connection is one that JavaScript can tell, too."""
    if not 0 <= number <= MAX_CONNECTION:
        raise ValueError(f"no number of a connection: {number}")


def check_revocation(revocation: Revocation) -> None:
    """Raise ValueError for a kind that is none, or a value of not 1 to 1,024 bytes of UTF-8."""
    if revocation.kind not in ("jti", "sub"):
        raise ValueError(f"a token is revoked by its jti or its sub, not by {revocation.kind!r}")
    if not 1 <= len(revocation.value.encode()) <= MAX_REVOKED_BYTES:
        raise ValueError(f"what is revoked has 1 to {MAX_REVOKED_BYTES} bytes of UTF-8")
    revocation.by.encode()  # UnicodeEncodeError is a ValueError


def not_deleted(document: str) -> ValueError:
    """What is raised for a document that is to be purged, and was not deleted before."""
    return ValueError(f"{document!r} is not deleted: only what was deleted can be purged")


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


def check_records(batch: Sequence[Record]) -> None:
    """Raise ValueError for an empty batch, and for texts that are too long or no Unicode."""
    if not batch:
        raise ValueError("an empty batch has no offsets")
    for session, event, change in batch:
        check_text("a session's name", session)
        check_text("an event's id", event.id)
        check_text("an event's kind", event.kind)
        for text in (event.actor, event.data, *(change or ())):
            text.encode()  # UnicodeEncodeError is a ValueError


def check_first(record: Record) -> SessionState:
    """Return what the first record of a session makes it. Raises ValueError if it has no change."""
    if record.change is None:
        raise ValueError(f"the first record of the session {record.session!r} has no change")
    return record.change


def check_epoch(record: Record, epoch: str | None) -> None:
    """Raise ValueError for a change of the session's epoch; None: nobody knows it any more."""
    if record.change is not None and epoch not in (None, record.change.epoch):
        raise ValueError(f"the epoch of the session {record.session!r} cannot be changed")


def check_advance(
    consumer: str, session: str, offset: int, top: int | None, dead: DeadLetter | None
) -> None:
    """Raise ValueError for a place that is not in the session's log, or another's dead letter.

    ``top`` is None where there is no such session.
    """
    if top is None or not 0 <= offset <= top:
        raise ValueError(f"no offset of the session {session!r}: {offset} (its top: {top})")
    if dead is None:
        return
    dead.reason.encode()  # UnicodeEncodeError is a ValueError
    if (dead.consumer, dead.session) != (consumer, session) or not 0 < dead.offset <= offset:
        raise ValueError(f"this dead letter is of something else: {dead}")


def unknown_consumer(consumer: str) -> ValueError:
    """What is raised for a consumer that was never enlisted."""
    return ValueError(f"no consumer {consumer!r} was enlisted")
