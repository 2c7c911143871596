"""Snapshots: the whole of a document in one row, so that it loads fast."""

from __future__ import annotations

import time

from persistence.store import Position, Snapshot, Store, StoreError
from sync.core.errors import NativeFailure
from sync.core.snapshot import TakenSnapshot
from sync.server.rehearsal import SMALL, Rehearsal
from sync.server.resident import PendingSnapshot, Resident
from sync.server.telemetry import logger

log = logger(__name__)


class Snapshots:
    """Writes snapshots of rooms; verified before they take the place of anything."""

    def __init__(self, store: Store, rehearsal: Rehearsal) -> None:
        self._store = store
        self._rehearsal = rehearsal

    def begin(self, resident: Resident) -> None:
        """Encode a room right after a flush: it holds what was persisted so far, and no more.

        It is written (:meth:`write`) when the last of that is committed.
        """
        room = resident.room
        try:
            resident.pending = PendingSnapshot(room.accepted, room.snapshot())
        except NativeFailure as failure:
            log.error("no snapshot", document=resident.document, failure=str(failure))

    async def write(self, resident: Resident, pending: PendingSnapshot, position: Position) -> None:
        """Verify a snapshot and give it to the store. Failing costs nothing: the log is whole."""
        resident.writing_snapshot = True
        tail, tail_size = resident.tail, resident.tail_size
        taken = pending.taken
        try:
            if not await self._verify(taken):
                log.error("a snapshot failed its verification", document=resident.document)
                return
            await self._store.compact(
                Snapshot(resident.document, position, taken.update, taken.state_vector, time.time())
            )
            resident.tail -= tail
            resident.tail_size -= tail_size
            resident.snapshot_size = len(taken.update)
        except StoreError as error:
            log.warning("no snapshot", document=resident.document, error=str(error))
        except Exception:  # a bug costs the snapshot, not the server
            log.exception("no snapshot", document=resident.document)
        finally:
            resident.writing_snapshot = False

    async def _verify(self, taken: TakenSnapshot) -> bool:
        if len(taken.update) > SMALL:
            return await self._rehearsal.verify(taken)
        return taken.verify()
