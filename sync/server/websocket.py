"""One client on a WebSocket of picows's: frames in, frames out, and an end that it hears of.

Nothing here waits in a task of its own. A message goes straight from the socket's callback into
:meth:`sync.server.hub.Hub.feed`, and a frame for the client straight to its socket; only where the
hub wants a wait, messages queue here, and beyond BACKLOG_BYTES the socket is not read.

picows (2.3) parses, unmasks and writes frames. What it leaves to its users (RFC 6455) is done here:
fragments, the answers to ping and close, and who has gone silently.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from auth.access import AuthError, Identity
from sync.core.errors import InternalError, MalformedMessage, MessageTooLarge, ProtocolError
from sync.core.names import DocumentName
from sync.core.yprotocol import denied_frame
from sync.server import deflate, outbox, patience
from sync.server.connection import Connection, Verdict
from sync.server.hub import Hub
from sync.server.telemetry import logger

log = logger(__name__)

BACKLOG_BYTES = 64 * 2**10
"""Of messages that wait for the hub, from which the socket is not read."""

_SMALL = 8_192  # bytes that picows copies into one write; of a larger frame it would keep a pointer

Admit = Callable[[], Awaitable[tuple[DocumentName, Identity]]]

_BINARY, _CONTINUATION = WSMsgType.BINARY, WSMsgType.CONTINUATION


class SocketOutbox:
    """An outbox that writes to the socket at once, as long as that takes it."""

    __slots__ = (
        "_bytes",
        "_deflate",
        "_drained",
        "_empty",
        "_finished",
        "_frames",
        "_paused",
        "_socket",
        "_transport",
    )

    def __init__(
        self, transport: WSTransport, drained: Callable[[], None], *, deflated: bool
    ) -> None:
        """``drained`` is called whenever the socket has caught up."""
        self._transport = transport
        self._socket = transport.underlying_transport
        self._drained = drained
        self._deflate = deflated
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._paused = False  # the socket takes no more for now
        self._finished = False
        self._empty: asyncio.Event | None = None  # made for those who wait

    def put(self, frame: bytes, /) -> None:
        if self._finished:
            return
        if self._paused:
            self._frames.append(frame)
            self._bytes += len(frame)
        else:
            self._write(frame)

    def finish(self) -> None:
        self._finished = True

    @property
    def empty(self) -> bool:
        """The socket has taken everything, but for what its own small buffer holds."""
        return not self._paused and not self._frames

    @property
    def queued_bytes(self) -> int:
        return self._bytes + self._socket.get_write_buffer_size()

    @property
    def full(self) -> bool:
        return self._paused and self.queued_bytes > outbox.MAX_BYTES

    async def drained(self) -> None:
        while not self.empty:
            self._empty = self._empty or asyncio.Event()
            await self._empty.wait()

    def pause(self) -> None:
        """The socket's buffer is full."""
        self._paused = True

    def resume(self) -> None:
        """The socket's buffer has room again."""
        self._paused = False
        while self._frames and not self._paused:  # writing may pause it anew
            frame = self._frames.popleft()
            self._bytes -= len(frame)
            self._write(frame)
        if self.empty:
            if self._empty is not None:
                self._empty.set()
                self._empty = None
            self._drained()

    def _write(self, frame: bytes) -> None:
        if self._deflate and deflate.worth_deflating(frame):
            self._write_whole(_deflated(frame))
        elif len(frame) <= _SMALL:
            self._transport.send(_BINARY, frame)
        else:
            self._write_whole(_framed(frame))

    def _write_whole(self, data: bytes) -> None:
        if not self._transport.is_close_frame_sent:
            self._socket.write(data)


def _header(size: int, first: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 2**16:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


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
def _framed(frame: bytes) -> bytes:
    return _header(len(frame), 0x82) + frame


@_Latest
def _deflated(frame: bytes) -> bytes:
    payload = deflate.deflate(frame)
    return _header(len(payload), 0xC2) + payload


class WebSocket(WSListener):
    """One client and its socket, from the handshake to the end."""

    def __init__(
        self,
        hub: Hub,
        admit: Admit,
        *,
        max_message: int,
        deflated: bool,
        gone: Callable[[WebSocket], None],
    ) -> None:
        """``max_message``: bytes. ``gone`` is called once the client's socket is no more."""
        self._hub = hub
        self._admit: Admit | None = admit
        self._max_message = max_message
        self._deflated = deflated
        self._on_gone = gone
        self._loop = asyncio.get_running_loop()
        self._transport: WSTransport | None = None
        self._outbox: SocketOutbox | None = None
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None  # what the messages in the backlog wait for
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._fragments: list[bytes] = []
        self._fragments_deflated = False
        self._verdict: Verdict | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = True
        self._silent = 0.0  # seconds
        self.closed = False

    # -- picows calls these

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._outbox = SocketOutbox(transport, self._on_drained, deflated=self._deflated)
        self._wait_for(self._open())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._heard = True
        kind = frame.msg_type
        if kind == _BINARY and frame.fin and not frame.rsv1 and not self._fragments:
            self._take(frame.get_payload_as_bytes())
        else:
            self._take_rare(transport, frame, kind)

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is None:  # or what the client sent before it went is still taken
            self._leave()

    def pause_writing(self) -> None:
        if self._outbox is not None:
            self._outbox.pause()

    def resume_writing(self) -> None:
        if self._outbox is not None:
            self._outbox.resume()

    # -- messages

    def _take(self, message: bytes) -> None:
        if self._task is not None or self._connection is None:
            self._queue(message)
            return
        try:
            wait = self._hub.feed(self._connection, message)
        except Exception:  # noqa: BLE001 - a bug costs this connection, not the server
            self._fail()
            return
        if wait is not None:
            self._wait_for(wait)

    def _queue(self, message: bytes) -> None:
        if self._verdict is None:
            self._backlog.append(message)
            self._backlog_bytes += len(message)
            if self._backlog_bytes > BACKLOG_BYTES:
                self._socket.pause_reading()

    def _take_rare(self, transport: WSTransport, frame: WSFrame, kind: WSMsgType) -> None:
        if kind == WSMsgType.PING:
            if self._outbox is not None and self._outbox.empty:  # who does not read needs no pong
                transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            code = frame.get_close_code()
            transport.send_close(WSCloseCode.OK if code == WSCloseCode.NO_INFO else code)
            transport.disconnect()
        elif kind != WSMsgType.PONG and self._verdict is None:
            try:
                self._take_fragment(frame, kind)
            except ProtocolError as error:
                self._refuse(Verdict.of(error))

    def _take_fragment(self, frame: WSFrame, kind: WSMsgType) -> None:
        """Take a data frame that is not a whole message as it stands."""
        if frame.rsv2 or frame.rsv3 or (frame.rsv1 and not self._deflated):
            raise MalformedMessage("a frame with bits of extensions that were not agreed on")
        if (kind == _CONTINUATION) != bool(self._fragments):
            raise MalformedMessage("the fragments of a message do not follow each other")
        if kind == WSMsgType.TEXT:
            raise MalformedMessage("the y-websocket protocol is binary; this was a text message")
        if kind != _CONTINUATION:
            self._fragments_deflated = frame.rsv1
        self._fragments.append(frame.get_payload_as_bytes())
        if sum(map(len, self._fragments)) > self._max_message:
            raise MessageTooLarge(f"a message is at most {self._max_message} bytes")
        if frame.fin:
            message = b"".join(self._fragments)
            self._fragments.clear()
            if self._fragments_deflated:
                message = deflate.inflate(message, self._max_message)
            self._take(message)

    # -- waits

    def _wait_for(self, awaitable: Awaitable[None]) -> None:
        self._task = self._loop.create_task(self._wait(awaitable))

    async def _wait(self, awaitable: Awaitable[None]) -> None:
        """Wait, then take what came meanwhile."""
        try:
            await awaitable
            while self._backlog and self._connection is not None:
                message = self._backlog.popleft()
                self._backlog_bytes -= len(message)
                if (wait := self._hub.feed(self._connection, message)) is not None:
                    await wait
        except Exception:  # noqa: BLE001 - a bug costs this connection, not the server
            self._fail()
        finally:
            self._task = None
            if self.closed:
                self._leave()
            else:
                self._socket.resume_reading()

    async def _open(self) -> None:
        assert self._admit is not None  # noqa: S101 - it is called once
        assert self._outbox is not None  # noqa: S101
        admit, self._admit = self._admit, None
        try:
            document, identity = await admit()
            self._connection = await self._hub.open(
                document, identity, self._outbox, self._on_verdict
            )
        except (ProtocolError, AuthError) as error:
            log.info("connection refused", code=error.close_code, reason=error.reason)
            self._refuse(Verdict.of(error))

    # -- the end

    def _refuse(self, verdict: Verdict) -> None:
        """End for a reason of ours."""
        if self._connection is not None:
            self._hub.end(self._connection, verdict)
        elif self._verdict is None:
            self._say_farewell(verdict)

    def _fail(self) -> None:
        log.exception("a connection failed")
        self._refuse(Verdict.of(InternalError("something failed on the server: connect again")))

    def _on_verdict(self) -> None:
        """The hub ended the connection."""
        assert self._connection is not None  # noqa: S101 - or the hub would not know it
        assert self._connection.verdict is not None  # noqa: S101
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._say_farewell(self._connection.verdict)

    def _say_farewell(self, verdict: Verdict) -> None:
        """Send what is queued, then the reason; what still comes from the client is not read."""
        self._verdict = verdict
        self._backlog.clear()
        self._fragments.clear()
        if self._transport is None or self._outbox is None or self.closed:
            return
        self._socket.resume_reading()  # for its answer to the close frame
        if self._outbox.empty:
            self._say_why()
        else:
            self._after(patience.CLOSE_SECONDS, self.abort)

    def _on_drained(self) -> None:
        if self._verdict is not None:
            self._say_why()
        elif self._connection is not None:
            self._hub.drained(self._connection)

    def _say_why(self) -> None:
        assert self._verdict is not None  # noqa: S101
        assert self._transport is not None  # noqa: S101
        if self._verdict.final:
            self._transport.send(_BINARY, denied_frame(self._verdict.reason))
            self._after(patience.HOLD_SECONDS, self._close)
        else:
            self._close()

    def _close(self) -> None:
        assert self._verdict is not None  # noqa: S101
        assert self._transport is not None  # noqa: S101
        code = self._verdict.code
        self._transport.send_close(code, self._verdict.close_reason)  # type: ignore[arg-type] # any
        self._after(patience.LAST_WORDS_SECONDS, self.abort)

    def abort(self) -> None:
        """End the socket at once."""
        if self._transport is not None:
            self._transport.disconnect(False)

    def _leave(self) -> None:
        if self._connection is not None:
            self._hub.close(self._connection)
        self._on_gone(self)

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, call)

    # -- silence

    def check_silence(self, seconds: float) -> None:
        """So much time has passed: ping a client that said nothing, end one that stays silent."""
        if self._heard:
            self._heard = False
            self._silent = 0.0
            return
        self._silent += seconds
        if self._silent >= patience.SILENCE_SECONDS:
            log.info("a client has gone without a word", silent=self._silent)
            self.abort()
        elif self._silent >= patience.PING_SECONDS and self._outbox and self._outbox.empty:
            assert self._transport is not None  # noqa: S101
            self._transport.send_ping()

    @property
    def _socket(self) -> asyncio.Transport:
        assert self._transport is not None  # noqa: S101 - set before anything happens
        return self._transport.underlying_transport
