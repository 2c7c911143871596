"""The rooms of this process and their lives; the way of every message.

:mod:`sync.server.intake` takes what comes in. From a frame to the actions of its room nothing
awaits, so a room needs no lock. What gathered in one turn of the event loop is flushed at its end,
once per room: to the :mod:`journal <sync.server.journal>`, and to the outboxes of connections.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from auth.access import Access, AuthError, Identity, Verifier
from auth.revocation import Revocations
from persistence.store import ClientRange, Edit, Position, Store
from sync.core.actions import Action, Close, Persist, Rebuild, Send
from sync.core.errors import Draining, Forbidden, Overloaded, ProtocolError
from sync.core.names import DocumentName
from sync.core.session import session_of
from sync.core.yprotocol import renewed_frame
from sync.server import revoking
from sync.server.connection import EXPIRED, Connection, Pace, Verdict
from sync.server.deleting import Deleting
from sync.server.intake import Intake
from sync.server.journal import Journal
from sync.server.last_edits import LastEdits
from sync.server.limits import HubLimits
from sync.server.outbox import Outbox
from sync.server.rehearsal import Rehearsal
from sync.server.resident import Resident
from sync.server.rooms import Rooms
from sync.server.sealing import Sealing
from sync.server.snapshots import Snapshots
from sync.server.telemetry import logger

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """The hub at one moment."""

    rooms: int
    connections: int
    unsaved_bytes: int
    failing: str | None
    draining: bool
    edits: int  # on disk, since the start
    edit_bytes: int
    retries: int  # commits of edits that did not succeed
    opened: int  # connections
    closed: Mapping[int, int]  # connections, by close code; 0: the client went
    refused: Mapping[int, int]  # those that were not opened, by close code
    received: int  # messages
    sent: int  # messages


class Hub:
    """All rooms of one process. Made by :func:`open_hub`."""

    def __init__(
        self,
        store: Store,
        verifier: Verifier,
        tasks: TaskGroup,
        limits: HubLimits,
        revocations: Revocations,
    ) -> None:
        self.limits = limits
        self.revocations = revocations
        self.journal = Journal(store)
        self._verifier = verifier
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._rehearsal = Rehearsal()
        self._snapshots = Snapshots(
            store,
            self._rehearsal,
            tasks,
            tail=limits.snapshot_tail,
            calm_seconds=limits.snapshot_calm,
        )
        self.rooms = Rooms(
            store,
            self.journal,
            self._snapshots,
            tasks,
            self._perform,
            limits=limits.room,
            unload_seconds=limits.unload_seconds,
            rehearsal=self._rehearsal,
        )
        self._connections: dict[int, Connection] = {}
        self._expiries: dict[int, asyncio.TimerHandle] = {}
        self._subjects: Counter[str] = Counter()
        self._intake = Intake(
            limits, self.journal, self._rehearsal, self._perform, self._renew_token, self.end
        )
        self.sealing = Sealing(self.rooms, self.journal, self._flush, self.end)
        self.deleting = Deleting(store, self.rooms, self.journal, tasks, self._flush, self.end)
        self.revoking = revoking.Revoking(store, revocations, tasks, limits.token_seconds)
        self.revoking.listeners.append(self._end_revoked)
        self.last_edits = LastEdits()
        self._opened = 0
        self._closed: Counter[int] = Counter()
        self._refused: Counter[int] = Counter()
        self._received = self._sent = 0  # messages of connections that are closed

    @property
    def connections(self) -> Iterable[Connection]:
        """Those that are open."""
        return self._connections.values()

    def statistics(self) -> HubStatistics:
        """What goes on; it takes a moment where there are thousands of connections."""
        connections = self._connections.values()
        return HubStatistics(
            rooms=len(self.rooms),
            connections=len(self._connections),
            unsaved_bytes=self.journal.unsaved_bytes,
            failing=self.journal.failing,
            draining=self._intake.over,
            edits=self.journal.committed,
            edit_bytes=self.journal.committed_bytes,
            retries=self.journal.retries,
            opened=self._opened,
            closed=dict(self._closed),
            refused=dict(self._refused),
            received=self._received + sum([each.received for each in connections]),
            sent=self._sent + sum([each.sent for each in connections]),
        )

    # -- connections

    async def open(
        self,
        document: DocumentName,
        identity: Identity,
        outbox: Outbox,
        stop_reading: Callable[[], None],
    ) -> Connection:
        """Open a document for a client, loading it where it is not in memory.

        What is for the client goes into ``outbox``; whoever empties it calls :meth:`drained`. What
        comes from it is to be given to :meth:`feed` until ``stop_reading`` is called, for a verdict
        of ours, or :meth:`close` has been called because the client went.
        Raises Forbidden, Deleted, Draining, and Overloaded when the document cannot be loaded now
        or the subject has too many connections; TokenRevoked.
        """
        try:
            resident, access = await self._resident_for(document, identity)
        except (ProtocolError, AuthError) as error:
            self._refused[error.close_code] += 1
            raise
        limits = self.limits
        pace = Pace(limits.message_rate, limits.message_burst)
        connection = Connection(resident, identity, pace, outbox, stop_reading)
        self._admit(resident, connection, access)
        return connection

    async def _resident_for(
        self, document: DocumentName, identity: Identity
    ) -> tuple[Resident, Access]:
        access = identity.document_access(document)
        if access is Access.NONE:
            raise Forbidden(f"this token gives no right to the document {document!r}")
        self._check_admission(identity)
        self.deleting.check(document)
        resident = await self.rooms.open(document)
        self._check_admission(identity)  # again: loading took time
        self.deleting.check(document)
        return resident, access

    def _check_admission(self, identity: Identity) -> None:
        if self._intake.over:
            raise Draining("the server is restarting: connect again")
        self.revocations.check(identity)
        most = self.limits.connections_per_subject
        if self._subjects[identity.subject] >= most:
            raise Overloaded(f"one person has at most {most} connections: close others first")

    def _admit(self, resident: Resident, connection: Connection, access: Access) -> None:
        identity = connection.identity
        self._opened += 1
        self._subjects[identity.subject] += 1
        self._connections[connection.id] = connection
        resident.connections[connection.id] = connection
        if resident.unload_timer is not None:
            resident.unload_timer.cancel()
            resident.unload_timer = None
        if (session := session_of(resident.document)) is not None:
            resident.last_edits = self.last_edits.of(session)
        self._watch_expiry(connection)
        writable = access is Access.WRITE
        joined = resident.room.join(connection.id, identity.subject, writable=writable)
        if writable:
            self.sealing.admit(connection)
        self._perform(resident, joined)
        log.info(
            "connection opened",
            connection=connection.id,
            document=connection.document,
            subject=identity.subject,
            access=access.name.lower(),
        )

    def count_in(self, identity: Identity) -> None:
        """Somebody has one more connection, of whatever kind.

        Raises Draining, Overloaded, TokenRevoked.
        """
        self._check_admission(identity)
        self._subjects[identity.subject] += 1

    def count_out(self, subject: str) -> None:
        """Somebody has one connection less."""
        self._subjects[subject] -= 1
        if not self._subjects[subject]:
            del self._subjects[subject]

    @contextmanager
    def counted(self, identity: Identity) -> Iterator[None]:
        """Somebody has one connection more within the block. Raises as :meth:`count_in` does."""
        self.count_in(identity)
        try:
            yield
        finally:
            self.count_out(identity.subject)

    def close(self, connection: Connection) -> None:
        """The client has gone, or is to go: take it out of its room."""
        if self._connections.pop(connection.id, None) is None:
            return
        self._expiries.pop(connection.id).cancel()
        self.count_out(connection.identity.subject)
        connection.outbox.finish()
        self._closed[connection.verdict.code if connection.verdict else 0] += 1
        self._received += connection.received
        self._sent += connection.sent
        resident = connection.resident
        del resident.connections[connection.id]
        self._perform(resident, resident.room.leave(connection.id, self._now()))
        if not resident.room.members:
            self.rooms.unload_later(resident)
        log.info(
            "connection closed",
            connection=connection.id,
            document=connection.document,
            messages=connection.received,
            **({"code": v.code, "reason": v.reason} if (v := connection.verdict) else {}),
        )

    def end(self, connection: Connection, verdict: Verdict) -> None:
        """Close a connection for a reason; what is queued for it is still sent."""
        connection.end(verdict)
        self.close(connection)

    # -- messages

    def feed(self, connection: Connection, frames: deque[bytes]) -> Awaitable[None] | None:
        """See :meth:`sync.server.intake.Intake.feed`."""
        return self._intake.feed(connection, frames)

    def _perform(self, resident: Resident, actions: Iterable[Action]) -> None:
        """Do what a room wants done, and see that it is flushed and ticked in time."""
        accepted: list[Persist] = []
        for action in actions:
            match action:
                case Persist():
                    accepted.append(action)
                case Send(to, frame):
                    self._send(resident, to, frame)
                case Close(member, error):
                    if (connection := self._connections.get(member)) is not None:
                        self.end(connection, Verdict.of(error))
                case Rebuild(update, failure):
                    log.error(
                        "the CRDT library failed; the update is quarantined, the room rebuilt",
                        document=resident.document,
                        failure=failure,
                        update=update[:4096].hex(),
                    )
                    self.rooms.rebuild_later(resident)
        if accepted:
            self._persist(resident, accepted)
        if resident.room.dirty and not resident.flush_scheduled:
            resident.flush_scheduled = True
            self._loop.call_soon(self._flush, resident)
        if (deadline := resident.room.deadline) is not None:
            self._tick_at(resident, deadline)

    def _send(self, resident: Resident, to: tuple[int, ...], frame: bytes) -> None:
        for member in to:
            connection = resident.connections.get(member)
            if connection is not None:
                connection.outbox.put(frame)
                connection.sent += 1
                if connection.outbox.full:
                    resident.slow.add(member)

    def _persist(self, resident: Resident, accepted: list[Persist]) -> None:
        received_at = time.time()
        edits = [
            Edit(
                resident.document,
                each.update,
                each.author,
                tuple(map(ClientRange._make, each.clients)),
                received_at,
                each.connection,
                each.offline,
            )
            for each in accepted
        ]
        self.journal.submit(edits, partial(self._committed, resident, edits))

    def _flush(self, resident: Resident) -> None:
        resident.flush_scheduled = False
        room = resident.room
        self._perform(resident, room.flush())
        while resident.slow:
            member = resident.slow.pop()
            connection = resident.connections.get(member)
            if connection is not None and connection.outbox.full:  # it may have drained since
                room.fall_behind(member)
                connection.fell_behind += 1

    def drained(self, connection: Connection) -> None:
        """Everything in the connection's outbox was sent: what it missed meanwhile is due."""
        if connection.id in self._connections:
            resident = connection.resident
            self._perform(resident, resident.room.catch_up(connection.id))

    def _tick_at(self, resident: Resident, when: float) -> None:
        if resident.timer is not None:
            if resident.timer_due <= when:
                return
            resident.timer.cancel()
        resident.timer_due = when
        resident.timer = self._loop.call_at(when, self._tick, resident)

    def _tick(self, resident: Resident) -> None:
        resident.timer = None
        if resident.room.broken:
            self._tick_at(resident, self._now() + 0.1)
        else:
            self._perform(resident, resident.room.tick(self._now()))

    # -- the disk

    def _committed(self, resident: Resident, edits: list[Edit], position: Position) -> None:
        """What a flush accepted is on disk. The room hears of all of a commit at once."""
        resident.note_committed(edits, position)
        if not resident.commits:
            self._loop.call_soon(self._announce_commits, resident)
        resident.commits += len(edits)
        self._snapshots.committed(resident)

    def _announce_commits(self, resident: Resident) -> None:
        commits, resident.commits = resident.commits, 0
        self._perform(resident, resident.room.committed(commits))

    # -- rights

    def _watch_expiry(self, connection: Connection) -> None:
        seconds = connection.identity.expires_at - time.time()
        expired = Verdict(4401, f"{EXPIRED}: get a new token and connect again")
        self._expiries[connection.id] = self._loop.call_later(
            max(0.0, seconds), self.end, connection, expired
        )

    def _end_revoked(self) -> None:
        """Tokens were revoked: those who are here with one of them are not, any more."""
        for connection in list(self._connections.values()):
            if self.revocations.covers(connection.identity):
                self.end(connection, revoking.verdict())

    async def _renew_token(self, connection: Connection, token: str) -> None:
        await anyio.sleep(connection.pace.delay(self._now()))
        try:
            identity = await self._verifier.verify(token)
        except AuthError as error:
            self.end(connection, Verdict.of(error))
            return
        if connection.verdict is not None:
            return
        access = identity.document_access(connection.document)
        if identity.subject != connection.identity.subject or access is Access.NONE:
            reason = "the new token is another subject's, or gives no right to this document"
            self.end(connection, Verdict.of(Forbidden(reason)))
            return
        connection.identity = identity
        self._expiries.pop(connection.id).cancel()
        self._watch_expiry(connection)
        connection.resident.room.allow_writing(connection.id, access is Access.WRITE)
        if access is Access.WRITE:
            self.sealing.admit(connection)
        expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(identity.expires_at))
        connection.outbox.put(renewed_frame(expiry))

    # -- the end

    def take_no_more(self) -> None:
        """Who comes now is told to come back, and nobody's messages are read any more."""
        self._intake.over = True

    async def drain(self) -> None:
        """Take no more; when every edit is on disk and acknowledged, close with 1012."""
        self.take_no_more()
        for resident in self.rooms.everyone():
            self._perform(resident, resident.room.flush())
        await self.journal.settle()
        await anyio.lowlevel.checkpoint()  # the rooms hear of the last commits
        verdict = Verdict.of(Draining("the server is restarting: connect again"))
        for connection in list(self._connections.values()):
            self.end(connection, verdict)


@asynccontextmanager
async def open_hub(
    store: Store,
    verifier: Verifier,
    limits: HubLimits | None = None,
    revocations: Revocations | None = None,
) -> AsyncIterator[Hub]:
    """Run a hub on a store. Leaving the block drains it.

    ``revocations``: those that the verifier knows, too. Raises StoreUnavailable.
    """
    async with anyio.create_task_group() as tasks:
        known = Revocations() if revocations is None else revocations
        hub = Hub(store, verifier, tasks, limits or HubLimits(), known)
        await hub.revoking.load()
        writing = anyio.CancelScope(shield=True)
        tasks.start_soon(_write_within, writing, hub.journal)
        try:
            yield hub
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await hub.drain()
                    with anyio.move_on_after(hub.limits.last_snapshots):
                        await hub.rooms.unload_all()
            finally:
                writing.cancel()
                tasks.cancel_scope.cancel()


async def _write_within(scope: anyio.CancelScope, journal: Journal) -> None:
    """Whoever cancels the server cancels all but its writer: that has to be done first."""
    with scope:
        await journal.run()
