"""What comes in: from the messages of a connection to what its room makes of them.

A message is taken at once, or what it waits for is returned: the pace of its sender, a disk that is
behind, a room that is made again, a client that reads no answers, a large update that is tried out
elsewhere first. Meanwhile nothing more of that connection is taken: its messages keep their order.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from sync.core.actions import Action
from sync.core.errors import MessageTooLarge, ProtocolError
from sync.core.footprint import Footprint
from sync.core.guard import MAX_CLIENTS_STEP2, MAX_CLIENTS_UPDATE
from sync.core.yprotocol import (
    Barrier,
    Message,
    QueryAwareness,
    RenewToken,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode,
    short_update,
)
from sync.server.connection import Connection, Verdict, Wait
from sync.server.journal import Journal
from sync.server.limits import HubLimits
from sync.server.rehearsal import Rehearsal, is_large
from sync.server.resident import Resident

MOST_STROKES = 256
"""Small edits that are taken at once."""


class Intake:
    """Gives a hub's rooms what comes from their connections."""

    def __init__(
        self,
        limits: HubLimits,
        journal: Journal,
        rehearsal: Rehearsal,
        perform: Callable[[Resident, Iterable[Action]], None],
        renew_token: Callable[[Connection, str], Awaitable[None]],
        end: Callable[[Connection, Verdict], None],
    ) -> None:
        """``perform``: do what a room wants done. ``end``: close a connection for a reason."""
        self.over = False
        """Nothing is taken any more: the server stops."""
        self._limits = limits
        self._journal = journal
        self._rehearsal = rehearsal
        self._perform = perform
        self._renew_token = renew_token
        self._end = end
        self._now = asyncio.get_running_loop().time
        self._small_message = min(limits.message, limits.room.document)

    def feed(self, connection: Connection, frames: deque[bytes]) -> Awaitable[None] | None:
        """Take messages of a connection, in order, and out of ``frames``.

        What is returned must be awaited before the rest is fed; with None, there is no rest.
        """
        wait: Awaitable[None] | None = None
        while frames and wait is None:
            began = connection.heard_at = time.perf_counter()
            taken = self._take_strokes(connection, frames)
            if taken:
                wait = connection.pace.toll(self._now(), began, taken)
            else:
                wait = self._feed_one(connection, frames.popleft())
        return wait

    def _feed_one(self, connection: Connection, frame: bytes) -> Awaitable[None] | None:
        if connection.verdict is not None:
            return None
        resident = connection.resident
        if self.over or resident.going:
            return Wait(math.inf)  # until the connection is closed
        if resident.room.broken or self._journal.full:
            return self._feed_later(connection, frame)
        connection.received += 1
        try:
            message = decode(frame)
            if len(frame) > self._small_message:
                self._check_size(message, len(frame))
        except ProtocolError as error:
            self._end(connection, Verdict.of(error))
            return None
        return self._take(resident, connection, message)

    def _take_strokes(self, connection: Connection, frames: deque[bytes]) -> int:
        """Take the small edits that come first; most of what comes is nothing else."""
        resident, room = connection.resident, connection.resident.room
        if connection.verdict or self.over or resident.going:
            return 0
        if room.broken or self._journal.full:
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

    def _take(
        self, resident: Resident, connection: Connection, message: Message
    ) -> Awaitable[None] | None:
        match message:
            case SyncUpdate(update) | SyncStep2(update) if is_large(update):
                return self._take_large(resident, connection, message, update)
            case SyncUpdate():
                pass
            case RenewToken(token):
                return self._renew_token(connection, token)
            case SyncStep1() | QueryAwareness() if connection.outbox.full:
                return self._answer_later(resident, connection, message)
        began = time.perf_counter()
        actions = resident.room.receive(connection.id, message, self._now())
        if actions or not resident.flush_scheduled:
            self._perform(resident, actions)
        toll = connection.pace.toll(self._now(), began, 1)
        if isinstance(message, Barrier) and self._too_many_barriers(connection):
            return self._until_barriers_are_released(connection, toll)
        return toll

    def _too_many_barriers(self, connection: Connection) -> bool:
        room = connection.resident.room
        return (
            connection.verdict is None
            and room.unsaved_barrier_bytes(connection.id) > self._limits.barrier_bytes
        )

    async def _until_barriers_are_released(self, connection: Connection, toll: Wait | None) -> None:
        if toll is not None:
            await toll
        while self._too_many_barriers(connection):
            await self._journal.progress()

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
        while connection.verdict is None and (resident.room.broken or self._journal.full):
            if resident.room.broken:
                await resident.renewed.wait()
            else:
                await self._journal.progress()
        if (wait := self._feed_one(connection, frame)) is not None:
            await wait

    def _check_size(self, message: Message, size: int) -> None:
        limit = self._limits.message
        if isinstance(message, SyncStep2):
            limit = max(limit, self._limits.room.document)
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
            self._end(connection, Verdict.of(error))
            return
        await self._receive_when_whole(resident, connection, message, footprint)
