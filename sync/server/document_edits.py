"""Edits by who does not have the document open: over HTTP.

They take the way of all edits, as those of a connection that listens to nothing and ends when its
edit is on disk. So the room, its guard and its limits, sealing and rights hold for them, and live
clients get them as they get each other's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import anyio

from auth.access import Access, Identity
from persistence.store import NOWHERE, Past, Position, lost_entries
from sync.core.changes import difference
from sync.core.content import content
from sync.core.errors import Forbidden, NativeFailure
from sync.core.names import DocumentName
from sync.core.replay import replay
from sync.core.restoring import restoration
from sync.core.yprotocol import EMPTY_UPDATE, saved_frame, step2_frame
from sync.server.connection import Connection, Verdict
from sync.server.draft_answers import INLINE, MOST_INLINE, is_small
from sync.server.hub import Hub
from sync.server.inspecting import Turns, damaged, in_worker, is_short

_turns = Turns("edits")

R = TypeVar("R")

_BARRIER = saved_frame(b"")

# The first step2 of a connection is what was made before it began (see sync.core.actions.Persist).
# Of who has no connection nobody knows that: let the first one be nothing.
_NOTHING_BEFORE = step2_frame(EMPTY_UPDATE)


class Incomplete(Exception):
    """An update stands on edits that are not here. Nothing of it was taken.

    ``state_vector`` tells what is here, as Yjs encodes it.
    """

    def __init__(self, state_vector: bytes) -> None:
        super().__init__("the update stands on edits that this document does not have")
        self.state_vector = state_vector


class Ended(Exception):
    """The room ended the connection that brought an edit."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class _Receipt:
    """An outbox that keeps nothing, and notes that a barrier came: all before it is on disk."""

    full = False
    queued_bytes = 0

    def __init__(self) -> None:
        self.saved = anyio.Event()

    def put(self, frame: bytes) -> None:
        if frame == _BARRIER:
            self.saved.set()

    def finish(self) -> None:
        """Nothing is queued."""

    async def drained(self) -> None:
        """Nothing is queued."""


class Editor:
    """Somebody who edits one document. Made by :func:`open_editor`."""

    def __init__(
        self, hub: Hub, connection: Connection, receipt: _Receipt, reading: anyio.CancelScope
    ) -> None:
        self._hub = hub
        self._connection = connection
        self._receipt = receipt
        self._reading = reading

    def current(self) -> bytes:
        """The whole document as one update: also what is not on disk yet. Raises NativeFailure."""
        return self._connection.resident.room.encode()

    async def submit(self, update: bytes) -> Position:
        """Take an update; return where it stands once it is on disk. To be called once.

        For one that brings nothing new: where the document stands. Raises Incomplete and Ended.
        """
        with self._reading:
            await self._feed(_NOTHING_BEFORE, step2_frame(update))
            self._check_whole()
            await self._feed(_BARRIER)
            await self._receipt.saved.wait()
        if not self._receipt.saved.is_set() and self._connection.verdict is not None:
            raise Ended(self._connection.verdict)
        resident = self._connection.resident
        return resident.places[self._connection.id] or resident.position

    async def _feed(self, *frames: bytes) -> None:
        left = deque(frames)
        while left:
            wait = self._hub.feed(self._connection, left)
            if wait is not None:
                await wait

    def _check_whole(self) -> None:
        """Nobody is there to send what is missing: the room is not to wait for it."""
        room = self._connection.resident.room
        if self._connection.verdict is None and room.lacks(self._connection.id):
            raise Incomplete(room.state_vector())


@asynccontextmanager
async def open_editor(hub: Hub, document: DocumentName, who: Identity) -> AsyncIterator[Editor]:
    """Open a document for one edit of somebody's. Raises as :meth:`Hub.open` does."""
    if who.document_access(document) is not Access.WRITE:
        raise Forbidden(f"this token gives no right to write to the document {document!r}")
    receipt, reading = _Receipt(), anyio.CancelScope()
    connection = await hub.open(document, who, receipt, reading.cancel)
    places = connection.resident.places
    places[connection.id] = NOWHERE
    try:
        yield Editor(hub, connection, receipt, reading)
    finally:
        del places[connection.id]
        hub.close(connection)


async def edit(hub: Hub, document: DocumentName, who: Identity, update: bytes) -> Position:
    """Take an update as the edit of somebody; return where it stands once it is on disk.

    Raises Forbidden and whatever else :meth:`Hub.open` does, Incomplete, Ended.
    """
    async with open_editor(hub, document, who) as editor:
        return await editor.submit(update)


async def restore(
    hub: Hub, document: DocumentName, who: Identity, past: Past
) -> tuple[Position, int]:
    """Make a document what it was, by an edit of somebody's.

    Who has it open gets that edit as any other, and what they write meanwhile stays. Returns where
    the edit stands once it is on disk, and how many places differed; of none, where the document
    stands. Raises what :func:`edit` does, and Unreadable.
    """
    async with open_editor(hub, document, who) as editor:
        current = editor.current()
        work = partial(_reverted, current, *_parts(past))
        update, changes = await _done(past, work, small=is_small(current))
        return await editor.submit(update or EMPTY_UPDATE), changes


async def update_of(past: Past, state_vector: bytes | None) -> tuple[bytes, int]:
    """A document as it was, as one update, and how many edits were damaged and are left out.

    ``state_vector`` (None: of who has nothing) is as Yjs encodes it: what it tells is left out,
    but for deletions. Raises Unreadable.
    """
    work = partial(_since, state_vector, *_parts(past))
    update, left_out = await _done(past, work)
    return update, left_out + len(lost_entries(past.damaged))


def _parts(past: Past) -> tuple[bytes | None, list[bytes]]:
    return past.base.update if past.base else None, [each.edit.update for each in past.entries]


async def _done(past: Past, work: Callable[[], R], *, small: bool = True) -> R:
    """Do some work on a past: here, where it is small, and else in a worker process."""
    try:
        if small and is_short(past, INLINE, MOST_INLINE):
            return work()
        return await in_worker(work, _turns)
    except (NativeFailure, RecursionError) as failure:
        raise damaged(past.document, failure) from None


def _reverted(
    current: bytes, base: bytes | None, updates: Sequence[bytes]
) -> tuple[bytes | None, int]:
    """The update that makes a document what it was, and how many places of it differ.

    None where there is nothing to change.
    """
    wanted = replay(base, updates).document.encode()
    update = restoration(current, wanted)
    if update is None:
        return None, 0
    return update, len(difference(content(current), content(wanted)))


def _since(
    state_vector: bytes | None, base: bytes | None, updates: Sequence[bytes]
) -> tuple[bytes, int]:
    replayed = replay(base, updates)
    document = replayed.document
    update = document.encode() if state_vector is None else document.diff(state_vector)
    return update, len(replayed.left_out)
