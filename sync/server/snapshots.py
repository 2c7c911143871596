"""Snapshots: the whole of a document in one row, so that it loads fast."""

from __future__ import annotations

import asyncio
import time

from anyio.abc import TaskGroup

from persistence.store import Position, Snapshot, Store, StoreError
from sync.core.errors import NativeFailure
from sync.core.snapshot import TakenSnapshot
from sync.server.rehearsal import SMALL, Rehearsal, Unverified
from sync.server.resident import PendingSnapshot, Resident
from sync.server.telemetry import logger

log = logger(__name__)


BUSY = 100
"""A room that is never calm gets its snapshot at so many times the usual tail."""


class Snapshots:
    """Writes snapshots of rooms; verified before they take the place of anything.

    One costs as much as thousands of edits, so it is made when people pause: ``tail`` entries make
    it worth while, and ``calm_seconds`` without an edit are a pause.
    """

    def __init__(
        self,
        store: Store,
        rehearsal: Rehearsal,
        tasks: TaskGroup,
        *,
        tail: int,
        calm_seconds: float,
    ) -> None:
        self._store = store
        self._rehearsal = rehearsal
        self._tasks = tasks
        self._tail = tail
        self._calm_seconds = calm_seconds
        self._loop = asyncio.get_running_loop()

    def committed(self, resident: Resident) -> None:
        """Entries of a room were committed: it may want a snapshot, or one that waits for them."""
        if resident.calm_timer is None and resident.tail >= self._tail:
            self._watch(resident)
        self._write_pending(resident)

    def _watch(self, resident: Resident) -> None:
        resident.calm_timer = self._loop.call_later(
            self._calm_seconds, self._begin_when_calm, resident, resident.room.accepted
        )

    def _begin_when_calm(self, resident: Resident, accepted: int) -> None:
        resident.calm_timer = None
        room = resident.room
        calm = room.accepted == accepted or resident.tail >= BUSY * self._tail
        if room.broken or resident.flush_scheduled or not calm:
            self._watch(resident)
        elif resident.wants_snapshot(self._tail):
            self.begin(resident)
            self._write_pending(resident)

    def _write_pending(self, resident: Resident) -> None:
        """Write the snapshot that waits, when the last entry in it is the last one committed."""
        pending = resident.pending
        if pending is not None and resident.room.saved + resident.commits == pending.ticket:
            resident.pending = None
            self._tasks.start_soon(self.write, resident, pending, resident.position)

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
            if resident.going:
                return
            await self._store.compact(
                Snapshot(resident.document, position, taken.update, taken.state_vector, time.time())
            )
            resident.tail -= tail
            resident.tail_size -= tail_size
            resident.snapshot_size = len(taken.update)
        except (StoreError, Unverified) as error:
            log.warning("no snapshot", document=resident.document, error=str(error))
        except Exception:  # a bug costs the snapshot, not the server
            log.exception("no snapshot", document=resident.document)
        finally:
            resident.writing_snapshot = False

    async def _verify(self, taken: TakenSnapshot) -> bool:
        if len(taken.update) > SMALL:
            return await self._rehearsal.verify(taken)
        return taken.verify()
