"""The rooms of this process and their lives; the way of every message.

``feed`` is a plain call: from a frame to the actions of its room nothing awaits, so a room needs no
lock. What gathered in one turn of the event loop is flushed at its end, once per room.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from auth.access import Access, AuthError, Identity, Verifier
from auth.revocation import Revocations
from persistence.store import ClientRange, Edit, Position, Store
from sync.core.actions import Action, Close, Persist, Rebuild, Send
from sync.core.errors import (
    Draining,
    Forbidden,
    MessageTooLarge,
    Overloaded,
    ProtocolError,
)
from sync.core.footprint import Footprint
from sync.core.guard import MAX_CLIENTS_STEP2, MAX_CLIENTS_UPDATE
from sync.core.names import DocumentName
from sync.core.room import RoomLimits
from sync.core.session import session_of
from sync.core.yprotocol import (
    Barrier,
    Message,
    QueryAwareness,
    RenewToken,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode,
    renewed_frame,
    short_update,
)
from sync.server import revoking
from sync.server.connection import EXPIRED, Connection, Pace, Verdict, Wait
from sync.server.deleting import Deleting
from sync.server.journal import Journal
from sync.server.outbox import Outbox
from sync.server.rehearsal import Rehearsal, is_large
from sync.server.resident import LastEdit, Resident
from sync.server.rooms import Rooms
from sync.server.sealing import Sealing
from sync.server.snapshots import Snapshots
from sync.server.telemetry import logger

log = logger(__name__)

MOST_STROKES = 256
"""Small edits that are taken at once."""

SLOW_SECONDS = 0.005
SLOW_FACTOR = 4
"""A message that took longer makes its connection wait, for so many times as long."""


MOST_SESSIONS, MOST_SUBJECTS = 1_000, 2_000
"""Of which it is kept who wrote what last."""


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds of the hub; sizes in bytes, times in seconds."""

    room: RoomLimits = field(default_factory=RoomLimits)
    message: int = 2**20  # but a step2 may be as large as a document
    connections_per_subject: int = 64
    message_rate: float = 500.0  # messages a second of one connection, sustained; 0: any
    message_burst: float = 5_000.0
    barrier_bytes: int = 256 * 2**10  # of one connection's barriers waiting for the disk
    unload_seconds: float = 30.0
    snapshot_tail: int = 500  # entries
    snapshot_calm: float = 5.0  # after so long without an edit
    last_snapshots: float = 4.0  # for those written at the end: the log is whole without
    token_seconds: float = 30 * 86_400  # the longest life of a token


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


class LastEdits:
    """Who wrote what last in a session's drafts, as far as this process knows. It is bounded."""

    def __init__(self) -> None:
        self._by_session: OrderedDict[str, dict[str, LastEdit]] = OrderedDict()

    def known(self, session: str) -> Mapping[str, LastEdit]:
        """By subject, for who only wants to know."""
        return self._by_session.get(session, {})

    def of(self, session: str) -> dict[str, LastEdit]:
        """By subject, to be written to. Who opens a draft calls this: those used last are kept."""
        found = self._by_session.setdefault(session, {})
        self._by_session.move_to_end(session)
        while len(self._by_session) > MOST_SESSIONS:
            self._by_session.popitem(last=False)
        for subject in list(found)[: max(0, len(found) - MOST_SUBJECTS)]:
            del found[subject]
        return found


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
        self._small_message = min(limits.message, limits.room.document)
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
        self._draining = False
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
            draining=self._draining,
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
        if self._draining:
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
        """Take messages of a connection, in order, and out of ``frames``.

        What is returned must be awaited before the rest is fed; with None, there is no rest.
        """
        wait: Awaitable[None] | None = None
        while frames and wait is None:
            began = connection.heard_at = time.perf_counter()
            taken = self._take_strokes(connection, frames)
            if taken:
                wait = self._toll(connection, began, taken)
            else:
                wait = self._feed_one(connection, frames.popleft())
        return wait

    def _feed_one(self, connection: Connection, frame: bytes) -> Awaitable[None] | None:
        if connection.verdict is not None:
            return None
        resident = connection.resident
        if self._draining or resident.going:
            return Wait(math.inf)  # until the connection is closed
        if resident.room.broken or self.journal.full:
            return self._feed_later(connection, frame)
        connection.received += 1
        try:
            message = decode(frame)
            if len(frame) > self._small_message:
                self._check_size(message, len(frame))
        except ProtocolError as error:
            self.end(connection, Verdict.of(error))
            return None
        return self._take(resident, connection, message)

    def _take_strokes(self, connection: Connection, frames: deque[bytes]) -> int:
        """Take the small edits that come first; most of what comes is nothing else."""
        resident, room = connection.resident, connection.resident.room
        if connection.verdict or self._draining or resident.going:
            return 0
        if room.broken or self.journal.full:
            return 0
        updates: list[bytes] = []
        for frame in frames:
            update = short_update(frame)
            if update is None or len(updates) == MOST_STROKES:
                break
            updates.append(update)
        if not updates:
            return 0
        taken, actions = room.receive_strokes(connection.id, updates)
        if taken:
            connection.received += taken
            for _ in range(taken):
                frames.popleft()
            self._perform(resident, actions)
        return taken

    def _toll(self, connection: Connection, began: float, messages: int) -> Wait | None:
        """What a connection waits for messages that were taken since ``began``."""
        delay = connection.pace.delay(self._now(), messages)
        spent = time.perf_counter() - began
        if spent > SLOW_SECONDS * (1 + messages / 100):  # who costs much gets its share, no more
            delay = max(delay, spent * SLOW_FACTOR)
        return Wait(delay) if delay else None

    def _take(
        self, resident: Resident, connection: Connection, message: Message
    ) -> Awaitable[None] | None:
        match message:
            case SyncUpdate(update) | SyncStep2(update) if is_large(update):
                return self._take_large(resident, connection, message, update)
            case SyncUpdate():
                pass
            case RenewToken(token):
                return self._renew_token(resident, connection, token)
            case SyncStep1() | QueryAwareness() if connection.outbox.full:
                return self._answer_later(resident, connection, message)
        began = time.perf_counter()
        actions = resident.room.receive(connection.id, message, self._now())
        if actions or not resident.flush_scheduled:
            self._perform(resident, actions)
        toll = self._toll(connection, began, 1)
        if isinstance(message, Barrier) and self._too_many_barriers(connection):
            return self._until_barriers_are_released(connection, toll)
        return toll

    def _too_many_barriers(self, connection: Connection) -> bool:
        room = connection.resident.room
        return (
            connection.verdict is None
            and room.unsaved_barrier_bytes(connection.id) > self.limits.barrier_bytes
        )

    async def _until_barriers_are_released(self, connection: Connection, toll: Wait | None) -> None:
        if toll is not None:
            await toll
        while self._too_many_barriers(connection):
            await self.journal.progress()

    async def _answer_later(
        self, resident: Resident, connection: Connection, message: Message
    ) -> None:
        """An answer can be large; whoever does not read gets none until it does."""
        await connection.outbox.drained()
        await self._receive_when_whole(resident, connection, message)

    async def _receive_when_whole(
        self,
        resident: Resident,
        connection: Connection,
        message: Message,
        footprint: Footprint | None = None,
    ) -> None:
        """Give a message to its room after a wait, in which the room may have broken."""
        while resident.room.broken:
            await resident.renewed.wait()
        if connection.verdict is None and not resident.going:
            now = self._now()
            self._perform(resident, resident.room.receive(connection.id, message, now, footprint))

    async def _feed_later(self, connection: Connection, frame: bytes) -> None:
        resident = connection.resident
        while connection.verdict is None and (resident.room.broken or self.journal.full):
            if resident.room.broken:
                await resident.renewed.wait()
            else:
                await self.journal.progress()
        if (wait := self._feed_one(connection, frame)) is not None:
            await wait

    def _check_size(self, message: Message, size: int) -> None:
        limit = self.limits.message
        if isinstance(message, SyncStep2):
            limit = max(limit, self.limits.room.document)
        if size > limit + 16:  # the envelope
            raise MessageTooLarge(f"a message is at most {limit} bytes; this one is {size}")

    async def _take_large(
        self, resident: Resident, connection: Connection, message: Message, update: bytes
    ) -> None:
        """A large update is tried out elsewhere first; the connection waits for it."""
        most = MAX_CLIENTS_STEP2 if isinstance(message, SyncStep2) else MAX_CLIENTS_UPDATE
        try:
            footprint = await self._rehearsal.inspect(update, most, resident.room.encode())
        except ProtocolError as error:
            self.end(connection, Verdict.of(error))
            return
        await self._receive_when_whole(resident, connection, message, footprint)

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

    async def _renew_token(self, resident: Resident, connection: Connection, token: str) -> None:
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
        resident.room.allow_writing(connection.id, access is Access.WRITE)
        if access is Access.WRITE:
            self.sealing.admit(connection)
        expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(identity.expires_at))
        connection.outbox.put(renewed_frame(expiry))

    # -- the end

    def take_no_more(self) -> None:
        """Who comes now is told to come back, and nobody's messages are read any more."""
        self._draining = True

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
