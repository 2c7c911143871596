"""From the store to a room."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import anyio.lowlevel

from persistence.store import Store, StoredDocument, StoreError
from sync.core.errors import Deleted, NativeFailure, Overloaded
from sync.core.names import DocumentName
from sync.core.replay import Replay, replay_in_steps
from sync.core.room import Room, RoomLimits
from sync.server.rehearsal import SPLIT, Rehearsal
from sync.server.resident import Resident
from sync.server.telemetry import logger

log = logger(__name__)


STEP_SECONDS = 0.005
"""How long a document that is loaded holds the event loop at a time."""


class Loader:
    """Makes rooms of stored documents."""

    def __init__(self, store: Store, limits: RoomLimits, rehearsal: Rehearsal) -> None:
        self._store = store
        self._limits = limits
        self._rehearsal = rehearsal

    async def load(self, document: DocumentName) -> Resident:
        """Load a document into a room of its own.

        Raises Deleted, and Overloaded when it cannot be loaded now; never gives an empty room in
        its place.
        """
        stored = await self._read(document)
        if stored.deleted is not None:
            raise Deleted
        replayed = await self._replay(stored)
        room = Room(replayed.document, replayed.size, self._limits)
        return Resident(
            document,
            room,
            sound=all(each.aside for each in stored.damaged) and not replayed.left_out,
            position=stored.head,
            tail=len(stored.entries),
            tail_size=sum(len(entry.edit.update) for entry in stored.entries),
            snapshot_size=len(stored.snapshot.update) if stored.snapshot else 0,
        )

    async def replay(self, document: DocumentName) -> Replay:
        """Make a document's replica again. Raises Overloaded."""
        return await self._replay(await self._read(document))

    async def _read(self, document: DocumentName) -> StoredDocument:
        try:
            return await self._store.load(document)
        except StoreError as error:
            log.error("a document cannot be read", document=document, error=str(error))
            raise Overloaded("the document cannot be loaded now: come back later") from error

    async def _replay(self, stored: StoredDocument) -> Replay:
        for damage in stored.damaged:
            log.error(
                "a damaged row was left out",
                document=stored.document,
                position=damage.position,
                what=damage.what,
                reason=damage.reason,
            )
        updates = [entry.edit.update for entry in stored.entries]
        try:
            replayed = await self._replay_in_parts(stored, updates)
        except NativeFailure as failure:
            log.error("a snapshot cannot be loaded", document=stored.document, failure=str(failure))
            raise Overloaded("the document cannot be loaded now: come back later") from failure
        for index, reason in replayed.left_out.items():
            position = stored.entries[index].position
            log.error(
                "an entry cannot be applied and was left out",
                document=stored.document,
                position=position,
                reason=reason,
            )
        return replayed

    async def _replay_in_parts(self, stored: StoredDocument, updates: list[bytes]) -> Replay:
        """What is large at its beginning is taken in parts; whole it would hold the loop.

        That is its snapshot; or the first edit, of who brought a document of megabytes at once.
        """
        if stored.snapshot is not None:
            parts = await self._rehearsal.split(stored.snapshot.update)
            return await interleaved(replay_in_steps(parts, updates))
        if _is_whole(stored) and len(updates[0]) > SPLIT:
            parts = await self._rehearsal.split(updates[0])
            with suppress(NativeFailure):  # then as it is, and left out if that fails, too
                replayed = await interleaved(replay_in_steps(parts, updates[1:]))
                left_out = {index + 1: reason for index, reason in replayed.left_out.items()}
                return replace(replayed, left_out=left_out)
        return await interleaved(replay_in_steps([], updates))


def _is_whole(stored: StoredDocument) -> bool:
    """The first entry of a document is there, and loaded: it stands on nothing."""
    whole = not stored.damaged and not stored.thinned
    return stored.snapshot is None and whole and bool(stored.entries)


async def interleaved(steps: Iterator[Replay | None]) -> Replay:
    """Take all steps, and let others have their turn now and then."""
    began = time.perf_counter()
    for replayed in steps:
        if replayed is not None:
            return replayed
        if time.perf_counter() - began > STEP_SECONDS:
            await anyio.lowlevel.checkpoint()
            began = time.perf_counter()
    raise AssertionError("unreachable: the last step is the replay")
