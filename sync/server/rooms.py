"""The rooms in memory: loaded once, rebuilt when broken, let go when nobody needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from persistence.store import Store
from sync.core.actions import Action
from sync.core.errors import InternalError, ProtocolError
from sync.core.names import DocumentName
from sync.core.room import RoomLimits
from sync.core.session import session_of
from sync.server.journal import Journal
from sync.server.loader import Loader
from sync.server.rehearsal import Rehearsal
from sync.server.resident import Resident
from sync.server.snapshots import Snapshots
from sync.server.telemetry import logger

log = logger(__name__)

Perform = Callable[[Resident, Iterable[Action]], None]


@dataclass(slots=True, eq=False)
class _Loading:
    """A document on its way into memory, and those who wait for it."""

    done: anyio.Event = field(default_factory=anyio.Event)
    error: ProtocolError | None = None


class Rooms:
    """All rooms of one process. ``perform`` does what a room wants done."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        snapshots: Snapshots,
        tasks: TaskGroup,
        perform: Perform,
        *,
        limits: RoomLimits,
        unload_seconds: float,
        rehearsal: Rehearsal,
    ) -> None:
        self._journal = journal
        self._snapshots = snapshots
        self._tasks = tasks
        self._perform = perform
        self._unload_seconds = unload_seconds
        self._loader = Loader(store, limits, rehearsal)
        self._loop = asyncio.get_running_loop()
        self._residents: dict[DocumentName, Resident] = {}
        self._drafts: dict[str, dict[DocumentName, Resident]] = {}  # the same, by session
        self._loading: dict[DocumentName, _Loading] = {}

    def __len__(self) -> int:
        return len(self._residents)

    def __getitem__(self, document: DocumentName) -> Resident:
        """A room that is in memory. Raises KeyError."""
        return self._residents[document]

    def everyone(self) -> list[Resident]:
        """All rooms in memory."""
        return list(self._residents.values())

    def drafts(self, session: str) -> list[Resident]:
        """The drafts of a session that are in memory."""
        return list(self._drafts.get(session, {}).values())

    async def at_hand(self, document: DocumentName) -> Resident | None:
        """The room of a document that is in memory, or on its way there."""
        while (loading := self._loading.get(document)) is not None:
            await loading.done.wait()
        return self._residents.get(document)

    async def open(self, document: DocumentName) -> Resident:
        """The room of a document: loaded once, however many ask at once. Raises ProtocolError."""
        while True:
            resident = self._residents.get(document)
            if resident is not None:
                if not resident.room.broken:
                    return resident
                await resident.renewed.wait()
            elif (loading := self._loading.get(document)) is not None:
                await loading.done.wait()
                if loading.error is not None:
                    raise loading.error
            else:
                self._loading[document] = _Loading()
                self._tasks.start_soon(self._load, document)

    async def _load(self, document: DocumentName) -> None:
        loading = self._loading[document]
        try:
            resident = await self._loader.load(document)
            self._keep(resident)
            self.unload_later(resident)
        except ProtocolError as error:
            loading.error = error
        except Exception:  # a bug costs this join, not the server
            log.exception("a document cannot be loaded", document=document)
            loading.error = InternalError("the document cannot be loaded: connect again")
        finally:
            del self._loading[document]
            loading.done.set()

    def _keep(self, resident: Resident) -> None:
        self._residents[resident.document] = resident
        if (session := session_of(resident.document)) is not None:
            self._drafts.setdefault(session, {})[resident.document] = resident

    def rebuild_later(self, resident: Resident) -> None:
        """A room broke. Who sends from now on waits for it to be renewed."""
        resident.renewed = anyio.Event()
        if not resident.rebuilding:
            resident.rebuilding = True
            self._tasks.start_soon(self._rebuild, resident)

    async def _rebuild(self, resident: Resident) -> None:
        """Make a broken room's replica again from everything that was accepted.

        One of these per room: a replica loaded before another was put in place lacks what was
        accepted since. What the room held may break it anew, and then it is made once more.
        """
        while resident.room.broken:
            self._perform(resident, resident.room.flush())
            await self._journal.settle()
            try:
                replayed = await self._loader.replay(resident.document)
            except ProtocolError:
                await anyio.sleep(0.5)
                continue
            renewed = resident.renewed
            self._perform(resident, resident.room.renew(replayed.document, replayed.size))
            renewed.set()
        resident.rebuilding = False

    def unload_later(self, resident: Resident) -> None:
        if resident.unload_timer is not None:
            resident.unload_timer.cancel()
        resident.unload_timer = self._loop.call_later(self._unload_seconds, self.unload, resident)

    def unload(self, resident: Resident) -> None:
        """Let a room go once nobody is in it and everything is committed and in a snapshot."""
        resident.unload_timer = None
        room = resident.room
        if room.members:
            return
        if room.broken or room.dirty or not room.settled or resident.writing_snapshot:
            self.unload_later(resident)
        elif resident.tail and resident.sound:  # or a snapshot would hide what is damaged
            self._tasks.start_soon(self._snapshot_and_unload, resident)
        else:
            self._forget(resident)

    async def _snapshot_and_unload(self, resident: Resident) -> None:
        if resident.room.broken or not resident.room.settled:
            self.unload_later(resident)  # somebody came meanwhile, and edited
            return
        self._snapshots.begin(resident)
        if (pending := resident.pending) is not None:
            resident.pending = None
            await self._snapshots.write(resident, pending, resident.position)
        if not resident.room.members and resident.room.settled:
            self._forget(resident)

    def let_go(self, resident: Resident) -> None:
        """Let a room go at once: nobody is in it, and everything is on disk."""
        self._forget(resident)

    def _forget(self, resident: Resident) -> None:
        for timer in (resident.timer, resident.unload_timer, resident.calm_timer):
            if timer is not None:
                timer.cancel()
        if self._residents.get(resident.document) is resident:
            del self._residents[resident.document]
            if (session := session_of(resident.document)) is not None:
                self._forget_draft(session, resident.document)

    def _forget_draft(self, session: str, document: DocumentName) -> None:
        drafts = self._drafts[session]
        del drafts[document]
        if not drafts:
            del self._drafts[session]

    async def unload_all(self) -> None:
        """Let all rooms go; those with entries behind their snapshot leave a new one."""
        for resident in self.everyone():
            room = resident.room
            if resident.tail and resident.sound and room.settled and not room.broken:
                await self._snapshot_and_unload(resident)
            self._forget(resident)
