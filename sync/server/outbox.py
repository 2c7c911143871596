"""What waits to be sent to one connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

MAX_BYTES = 2**20


class Outbox(Protocol):
    """Frames on their way to one connection, in order.

    ``put`` never waits and never drops. Whoever fills it asks :attr:`full` and stops: a reader that
    is too slow gets one diff later (:meth:`sync.core.room.Room.fall_behind`), so a full outbox
    holds at most MAX_BYTES and what one turn of the event loop adds. Whoever empties it calls
    :meth:`sync.server.hub.Hub.drained`.
    """

    def put(self, frame: bytes, /) -> None:
        """Queue one frame; after :meth:`finish`, nothing more."""

    def finish(self) -> None:
        """What is queued is the last."""

    @property
    def full(self) -> bool:
        """No more should be put until it has drained."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be sent."""

    async def drained(self) -> None:
        """Wait until everything queued was sent."""


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
