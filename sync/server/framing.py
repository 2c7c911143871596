"""A connection as WebSocket frames: picows parses and writes them, on a socket that is ours.

picows (2.3) has no socket here. It would read as much at once as the kernel has, and every frame of
that is handled before anybody else has a turn; keep the buffer of its largest message for ever; and
after an error close the socket while the client still sends, so that the kernel's reset overtakes
the close frame. So we read for it, in pieces, and it is replaced after a large message; it writes
straight to the socket, and leaves the closing to us.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import termios
from abc import abstractmethod
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from picows import WSAutoPingStrategy, WSFrame, WSListener, WSTransport, WSUpgradeResponse
from picows import WSUpgradeResponseWithListener as AcceptedUpgrade
from picows.picows import WSProtocol  # type: ignore[attr-defined] # its stub leaves it out

from sync.server import patience
from sync.server.telemetry import logger

log = logger(__name__)

READ_BYTES = 64 * 2**10
"""Of one connection that are read, and handled, at once."""

SLOW_BYTES = 64 * 2**10
"""On their way to a client, beyond which it lives as long as they become less: no ping gets past
them. The last few its kernel may take though nobody is there."""

LARGE_BYTES = 2**20
"""A frame's payload, after which its parser is replaced for the memory that it keeps."""

_REQUEST = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
"""What every parser is told to begin with. The client has had its answer to its own request."""

_WHOLE_TEXT = 0x81  # the first byte of a frame: final, text

_RESPONSE = WSUpgradeResponse.create_101_response()
_RUBBISH = memoryview(bytearray(READ_BYTES))  # where bytes go that nobody wants


class FrameListener(WSListener):
    """Who gets a connection's frames; picows calls ``on_ws_frame`` for each, whole."""

    def on_opened(self, framing: Framing) -> None:
        """Frames may be sent from now on, and will come."""

    @abstractmethod
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame came. It is not to be kept; the bytes of its payload may."""

    def on_refused(self, code: int, reason: str) -> None:
        """A frame was none, and the client was told so by a close frame."""

    def on_lost(self) -> None:
        """Nothing can be sent any more. Frames that the client sent before may still come."""

    def on_gone(self) -> None:
        """The connection is over, and so are its frames."""


class Framing(asyncio.BufferedProtocol):
    """One connection that has become a WebSocket.

    ``frames`` writes frames, and ignores them once a close frame was sent or the connection lost.
    """

    __slots__ = (
        "_buffer",
        "_deadline",
        "_deaf",
        "_greeting",
        "_heard",
        "_listener",
        "_lost",
        "_max_payload",
        "_on_its_way",
        "_parse",
        "_parser",
        "_reading",
        "_swollen",
        "_tail",
        "_transport",
        "frames",
        "open",
    )

    frames: WSTransport
    _transport: asyncio.Transport
    _parser: WSProtocol
    _buffer: Callable[[int], memoryview]
    _parse: Callable[[int], None]

    def __init__(self, listener: FrameListener, greeting: bytes, *, max_payload: int) -> None:
        """``greeting``: the answer to the client's request. ``max_payload``: bytes of a frame."""
        self._listener = listener
        self._greeting = greeting
        self._max_payload = max_payload
        self._heard = True
        self._on_its_way = 0  # bytes
        self._reading = True
        self._deaf = False  # what still comes is not looked at
        self._swollen = False
        self._tail = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._lost = False
        self.open = False  # frames may be sent

    # -- the transport calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._greeting)
        self._greeting = b""
        self.open = True
        self._new_parser()
        self._listener.on_opened(self)

    def get_buffer(self, _size: int) -> memoryview:
        buffer = _RUBBISH if self._deaf else self._buffer(-1)
        return buffer if len(buffer) <= READ_BYTES else buffer[:READ_BYTES]

    def buffer_updated(self, size: int) -> None:
        self._heard = True
        if self._deaf:
            return
        self._parse(size)
        if not self.open:
            return
        if self.frames.is_close_frame_sent:
            self._refuse()
        elif self._swollen and not self._tail:
            self._new_parser()

    def eof_received(self) -> bool:
        """Whoever closes its half has gone."""
        self.abort_in(patience.LAST_WORDS_SECONDS)
        return False  # close the socket when everything was sent

    def pause_writing(self) -> None:
        self._listener.pause_writing()

    def resume_writing(self) -> None:
        self._listener.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        self._lost = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._parser.connection_lost(error)
        self._listener.on_lost()
        if error is not None and not self._deaf and not self.frames.is_secure:
            self._read_what_is_left()
        self._listener.on_gone()
        del self._parser, self._buffer, self._parse  # they refer to the listener, and it to us

    # -- the listener calls these

    def feed(self, data: bytes) -> None:
        """Take what was read from the connection before it came here."""
        view = memoryview(data)
        while view:
            buffer = self.get_buffer(len(view))
            size = min(len(buffer), len(view))
            buffer[:size] = view[:size]
            self.buffer_updated(size)
            view = view[size:]

    def write(self, *parts: bytes) -> None:
        """Write one frame that is complete, header and all, behind those of ``frames``."""
        if self.open:
            self._transport.writelines(parts)

    @property
    def unsent(self) -> int:
        """Bytes that the kernel did not take yet."""
        return self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Leave what the client sends to the kernel, and so make it wait."""
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()

    def note_size(self, frame: WSFrame) -> None:
        """A large frame came, or one after it: its buffer goes as soon as it holds nothing else."""
        self._swollen = True
        self._tail = frame.tail_size

    @property
    def swollen(self) -> bool:
        """The buffer for a large frame is still here: tell of every frame by :meth:`note_size`."""
        return self._swollen

    def signs_of_life(self) -> bool:
        """Since the last call something came or got there, or was not read, which is our doing."""
        if self._heard or not self._reading:
            self._heard = False
            return True
        before = self._on_its_way
        self._on_its_way = self.unsent + _unacknowledged(self._transport)
        return self._on_its_way < before and before > SLOW_BYTES

    def send_close(self, code: int, reason: str) -> None:
        """Say that it is over; nothing is sent behind it. Frames come on, such as the answer."""
        self.open = False
        self.frames.send_close(code, reason)  # type: ignore[arg-type] # it takes any number

    def hang_up(self) -> None:
        """Close the socket when everything was sent, which may take LAST_WORDS_SECONDS."""
        self.open = False
        self._transport.close()
        self.abort_in(patience.LAST_WORDS_SECONDS)

    def abort_in(self, seconds: float) -> None:
        """Close the socket then, if it is still there."""
        if self._deadline is not None:
            self._deadline.cancel()
        if not self._lost:
            self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)

    def abort(self) -> None:
        """Close the socket at once."""
        self.open = False
        self._transport.abort()

    # -- ours

    def _new_parser(self) -> None:
        line = _Line(self._transport)
        parser = WSProtocol(
            None,  # host and port
            None,  # path
            False,  # the client's side
            lambda _request: AcceptedUpgrade(_RESPONSE, self._listener),
            _LOGGER,
            True,  # disconnect on exceptions
            None,  # handshake timeout
            False,  # pings
            1.0,  # their interval
            1.0,  # their timeout
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # pongs
            self._max_payload,
            None,  # headers of a client
            0,  # bytes to read into, to begin with: the least there is
        )
        parser.connection_made(line)
        line.write = _ignore  # the answer to _REQUEST; the parser has taken the real one
        self._parser, self.frames = parser, parser.transport
        self._buffer, self._parse = parser.get_buffer, parser.buffer_updated
        self._swollen = False
        size = len(_REQUEST)
        self._buffer(size)[:size] = _REQUEST
        self._parse(size)

    def _refuse(self) -> None:
        """picows sent a close frame: read on while the client sends, lest a reset overtakes it."""
        self.open = False
        self._deaf = True
        self.resume_reading()
        self.abort_in(patience.LAST_WORDS_SECONDS)
        handshake = self.frames.close_handshake
        assert handshake is not None  # noqa: S101 - a close frame was sent
        assert handshake.sent is not None  # noqa: S101
        code = cast(int, handshake.sent.code)  # whatever its stub says
        self._listener.on_refused(code, handshake.sent.reason)

    def _read_what_is_left(self) -> None:
        """A write that failed ends a transport at once: what it had not read is still here."""
        descriptor = self._transport.get_extra_info("socket").fileno()
        try:
            while data := os.read(descriptor, READ_BYTES):
                self.feed(data)
        except OSError:  # there is no more, or there is but the client's reset
            pass


def frame_header(first: int, size: int) -> bytes:
    """The header of an unmasked frame (RFC 6455 section 5.2); ``first`` is its first byte."""
    if size < 126:
        return bytes((first, size))
    if size < 2**16:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


def text_frame(text: bytes) -> bytes:
    """One text message as a whole frame."""
    return frame_header(_WHOLE_TEXT, len(text)) + text


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Bytes that the kernel keeps for the other side, where it says so: it can be megabytes."""
    answer = array("i", [0])
    with suppress(OSError):
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, answer)
    return answer[0]


class _Line:
    """What picows takes for its transport."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.write: Callable[[Any], None] = transport.write

    def close(self) -> None:
        """It would close the socket 10 ms after it sent a close frame."""


def _ignore(_data: object) -> None: ...


class _Logger:
    """What picows logs to: its lines about every connection are ours to write."""

    def isEnabledFor(self, _level: int) -> bool:  # noqa: N802 - the name of logging.Logger
        return False

    def debug(self, *_: object) -> None: ...

    error = info = warning = debug

    def exception(self, message: str, *args: object) -> None:
        log.exception("a connection failed", what=message % args)


_LOGGER = _Logger()
