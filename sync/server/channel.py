"""A client on a channel of messages: any transport that is read and written by tasks.

ASGI's WebSockets are such channels (:mod:`sync.server.app`). Our own are not: see
:mod:`sync.server.websocket`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Protocol

import anyio

from auth.access import AuthError, Identity
from sync.core.errors import ProtocolError
from sync.core.names import DocumentName
from sync.server import patience
from sync.server.connection import Verdict
from sync.server.hub import Hub
from sync.server.outbox import MAX_BYTES
from sync.server.service import C, Service
from sync.server.telemetry import logger

log = logger(__name__)


class Channel(Protocol):
    """Messages both ways, all binary or all text in UTF-8: what pycrdt-websocket calls a channel.

    Iteration gives whole messages and ends when the client has gone; it may raise ProtocolError for
    a message that cannot be one. ``send`` returns when the message is on its way, and waits while
    the client does not read.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def send(self, message: bytes, /) -> None: ...


class ChannelOutbox:
    """An outbox that a task empties into a channel."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._wake = anyio.Event()
        self._drained = anyio.Event()  # set, and made anew, whenever it becomes empty
        self._finished = False

    def put(self, frame: bytes) -> None:
        """Queue one frame; after :meth:`finish`, nothing more."""
        if not self._finished:
            self._frames.append(frame)
            self._bytes += len(frame)
            self._wake.set()

    def finish(self) -> None:
        """What is queued is the last."""
        self._finished = True
        self._wake.set()

    @property
    def full(self) -> bool:
        """No more should be put until it has drained."""
        return self._bytes > self._max_bytes

    @property
    def queued_bytes(self) -> int:
        return self._bytes

    async def drained(self) -> None:
        """Wait until everything queued was sent."""
        while self._frames or self._bytes:
            await self._drained.wait()

    async def drain_to(
        self, send: Callable[[bytes], Awaitable[None]], drained: Callable[[], None]
    ) -> None:
        """Send what is put until :meth:`finish`; call ``drained`` whenever the outbox is empty."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                await send(frame)
                self._bytes -= len(frame)
            self._drained.set()
            self._drained = anyio.Event()
            if self._finished:
                return
            drained()
            if not self._frames and not self._finished:
                self._wake = anyio.Event()
                await self._wake.wait()


class _SendingFailed(Exception):
    """A transport could not send; its own error is the cause."""


async def serve(
    hub: Hub, channel: Channel, document: DocumentName, identity: Identity
) -> Verdict | None:
    """Serve one client until it goes (None) or is to be closed (the verdict)."""
    outbox, reading = ChannelOutbox(), anyio.CancelScope()
    try:
        connection = await hub.open(document, identity, outbox, reading.cancel)
    except (ProtocolError, AuthError) as error:
        return Verdict.of(error)
    return await attend(hub, connection, channel, outbox, reading)


async def attend(
    hub: Service[C],
    connection: C,
    channel: Channel,
    outbox: ChannelOutbox,
    reading: anyio.CancelScope,
) -> Verdict | None:
    """Serve a connection that was opened, whatever it is about."""
    try:
        async with anyio.create_task_group() as tasks:
            sent = anyio.Event()
            tasks.start_soon(_send_all, hub, connection, outbox, channel, sent)
            with reading:
                await _receive_all(hub, connection, channel)
            hub.close(connection)
            with anyio.move_on_after(patience.CLOSE_SECONDS if connection.verdict else 0):
                await sent.wait()
            tasks.cancel_scope.cancel()
    finally:
        hub.close(connection)
    return connection.verdict


async def _receive_all(hub: Service[C], connection: C, channel: Channel) -> None:
    try:
        async for frame in channel:
            if (wait := hub.feed(connection, deque((frame,)))) is not None:
                await wait
    except ProtocolError as error:
        hub.end(connection, Verdict.of(error))


async def _send_all(
    hub: Service[C], connection: C, outbox: ChannelOutbox, channel: Channel, sent: anyio.Event
) -> None:
    async def send(frame: bytes) -> None:
        try:
            await channel.send(frame)
        except Exception as error:
            raise _SendingFailed from error

    try:
        await outbox.drain_to(send, partial(hub.drained, connection))
    except _SendingFailed as failure:  # whatever the transport raised, the client has gone
        log.info("sending failed", connection=connection.id, error=str(failure.__cause__))
        connection.stop_reading()
    sent.set()
