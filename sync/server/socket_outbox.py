"""An outbox that writes to its socket at once, as long as that takes it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from picows import WSMsgType

from sync.server import deflate, outbox
from sync.server.framing import Framing, frame_header

_COPIED = 1_000
"""Bytes that picows copies into a buffer of its own, which grows to the largest: smaller frames are
written so. Of one above 8 KiB it would write a pointer to that buffer, and then use that again."""

_JOINED = 64 * 2**10
"""Bytes up to which header and payload are made one, once for all that get the frame."""

_BINARY = WSMsgType.BINARY
_FIRST, _FIRST_DEFLATED = 0x82, 0xC2  # bytes of a frame: final, binary, and RSV1


class SocketOutbox:
    """What waits to be sent to one connection: see :class:`sync.server.outbox.Outbox`."""

    __slots__ = ("_bytes", "_deflate", "_drained", "_empty", "_finished", "_frames", "_framing")

    def __init__(self, framing: Framing, drained: Callable[[], None], *, deflated: bool) -> None:
        """``drained`` is called whenever the socket has caught up."""
        self._framing = framing
        self._drained = drained
        self._deflate = deflated
        self._frames: deque[bytes] | None = None  # while the socket takes no more
        self._bytes = 0
        self._finished = False
        self._empty: asyncio.Event | None = None  # made for those who wait

    def put(self, frame: bytes, /) -> None:
        """Send one frame, or queue it; after :meth:`finish`, neither."""
        if self._finished:
            return
        if self._frames is None:
            self._write(frame)
        else:
            self._frames.append(frame)
            self._bytes += len(frame)

    def finish(self) -> None:
        """What is queued is the last."""
        self._finished = True

    @property
    def empty(self) -> bool:
        """The socket has taken everything, but for what its own small buffer holds."""
        return self._frames is None

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be sent."""
        return self._bytes + self._framing.unsent

    @property
    def full(self) -> bool:
        """No more should be put until it has drained."""
        return self._frames is not None and self.queued_bytes > outbox.MAX_BYTES

    async def drained(self) -> None:
        """Wait until everything queued was sent, or the connection was lost."""
        while not self.empty:
            self._empty = self._empty or asyncio.Event()
            await self._empty.wait()

    def pause(self) -> None:
        """The socket's buffer is full."""
        if self._frames is None:
            self._frames = deque()

    def resume(self) -> None:
        """The socket's buffer has room again."""
        frames, self._frames = self._frames, None
        while frames and self._frames is None:  # writing may pause it anew
            frame = frames.popleft()
            self._bytes -= len(frame)
            self._write(frame)
        if frames:
            self._frames = frames
        if self.empty:
            self._release()
            self._drained()

    def close(self) -> None:
        """The connection was lost: nothing is sent any more, and nobody waits for it."""
        self._finished = True
        self._frames = None
        self._bytes = 0
        self._release()

    def _release(self) -> None:
        if self._empty is not None:
            self._empty.set()
            self._empty = None

    def _write(self, frame: bytes) -> None:
        size = len(frame)
        if size <= _COPIED:
            self._framing.frames.send(_BINARY, frame)
        elif self._deflate and deflate.worth_deflating(frame):
            self._framing.write(_deflated(frame))
        elif size <= _JOINED:
            self._framing.write(_whole(frame))
        else:
            self._framing.write(frame_header(_FIRST, size), frame)


class _Latest:
    """What a function made of the last frame: the same one often goes to many."""

    def __init__(self, function: Callable[[bytes], bytes]) -> None:
        self._function = function
        self._frame = self._made = b""

    def __call__(self, frame: bytes) -> bytes:
        if frame is not self._frame:
            self._frame, self._made = frame, self._function(frame)
        return self._made


@_Latest
def _whole(frame: bytes) -> bytes:
    return frame_header(_FIRST, len(frame)) + frame


@_Latest
def _deflated(frame: bytes) -> bytes:
    payload = deflate.deflate(frame)
    return frame_header(_FIRST_DEFLATED, len(payload)) + payload
