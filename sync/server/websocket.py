"""One client on a WebSocket: messages in, frames out, and an end that it hears of.

Nothing here waits in a task of its own. A message goes straight from the socket's callback to its
hub (:mod:`sync.server.service`), and a frame for the client straight to its socket; only where the
hub wants a wait, messages queue here, and beyond BACKLOG_BYTES the socket is not read. Nor is it
before the client was admitted.

What messages are about, and so which hub they go to, is said by those that inherit this:
:mod:`sync.server.document_socket` and :mod:`sync.server.event_socket`. Below is
:mod:`sync.server.framing`. What picows leaves to its users (RFC 6455) is done here: fragments, bits
of extensions, the answers to ping and close, and who has gone silently.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic

from picows import WSFrame, WSMsgType, WSTransport

from auth.access import AuthError
from sync.core.errors import InternalError, MessageTooLarge, ProtocolError
from sync.server import deflate, patience
from sync.server.connection import Pace, Verdict
from sync.server.framing import LARGE_BYTES, FrameListener, Framing
from sync.server.service import C, Service
from sync.server.socket_outbox import SocketOutbox
from sync.server.telemetry import logger

log = logger(__name__)

BACKLOG_BYTES = 64 * 2**10
"""Of messages that wait for the hub, from which the socket is not read."""

MESSAGE_BYTES = 64
"""What keeping a message costs beside its own bytes."""

FRAME_RATE, FRAME_BURST = 1_000.0, 2_000.0
"""Frames a second, and ahead of that, which no hub counts: control frames, fragments, and all that
comes after a verdict. More are not read."""

_BINARY, _CONTINUATION, _TEXT = WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.TEXT
_CLOSE, _PING, _PONG = WSMsgType.CLOSE, WSMsgType.PING, WSMsgType.PONG
_NORMAL, _PROTOCOL_ERROR = 1_000, 1_002  # close codes


class _Violation(Exception):
    """A frame breaks RFC 6455, or what was agreed on top of it."""


class WebSocket(FrameListener, Generic[C]):
    """One client and its socket, from the handshake to the end."""

    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "_connection",
        "_count",
        "_deflated",
        "_fragments",
        "_fragments_deflated",
        "_framing",
        "_hub",
        "_inbox",
        "_kind",
        "_loop",
        "_max_message",
        "_on_gone",
        "_on_opened",
        "_outbox",
        "_over",
        "_ping",
        "_pinged_at",
        "_rest",
        "_silent",
        "_task",
        "_timer",
        "_told",
        "_unpinged",
        "_verdict",
        "gone",
    )

    _framing: Framing
    _outbox: SocketOutbox

    def __init__(
        self,
        hub: Service[C],
        kind: WSMsgType,
        *,
        max_message: int,
        deflated: bool,
        on_opened: Callable[[WebSocket[Any]], None],
        on_gone: Callable[[WebSocket[Any]], None],
    ) -> None:
        """``kind``: of all messages. ``max_message``: bytes.

        Behind ``on_opened`` ``on_gone`` will come: nothing is left.
        """
        self._hub = hub
        self._kind = kind
        self._max_message = max_message
        self._deflated = deflated
        self._on_opened = on_opened
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._connection: C | None = None
        self._task: asyncio.Task[None] | None = None  # what the messages in the backlog wait for
        self._inbox: deque[bytes] | None = None  # of one read of the socket
        self._backlog: deque[bytes] | None = None
        self._backlog_bytes = 0
        self._fragments: bytearray | None = None  # of a message that is not complete
        self._fragments_deflated = False
        self._count: Pace | None = None  # of frames that the hub does not count
        self._ping: bytes | None = None  # that is to be answered
        self._rest: asyncio.TimerHandle | None = None  # the client sends too many of those
        self._verdict: Verdict | None = None
        self._told = False  # the client was, of the verdict
        self._over = False  # no more messages are taken
        self._timer: asyncio.TimerHandle | None = None
        self._silent = 0.0  # seconds
        self._unpinged = patience.PING_SECONDS  # seconds
        self._pinged_at: float | None = None  # of time.perf_counter, until the pong
        self.gone = False

    # -- what messages are about

    @abstractmethod
    async def _enter(self) -> C:
        """Admit the client; raises AuthError and ProtocolError. Called once."""

    @abstractmethod
    def _meet_other_kind(self) -> None:
        """A message begins that is of the other kind; raises ProtocolError where that is final."""

    @abstractmethod
    def _send_reason(self, verdict: Verdict) -> None:
        """Tell the client of a final verdict."""

    def _new_outbox(self, framing: Framing) -> SocketOutbox:
        return SocketOutbox(framing, self._on_drained, deflated=self._deflated)

    # -- framing calls these

    def on_opened(self, framing: Framing) -> None:
        self._framing = framing
        self._outbox = self._new_outbox(framing)
        self._on_opened(self)
        self._wait_for(self._open())
        framing.pause_reading()

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        if (
            frame.msg_type != self._kind
            or not frame.fin
            or self._fragments is not None
            or self._over
            or frame.rsv2
            or frame.rsv3
        ):
            self._take_rare(frame)
        elif not frame.rsv1:
            self._take(frame.get_payload_as_bytes())
        elif self._deflated:
            self._take_deflated(frame.get_payload_as_bytes())
        else:
            self._take_rare(frame)
        if frame.last_in_buffer:
            self._take_inbox()
        if frame.payload_size > LARGE_BYTES or self._framing.swollen:
            self._framing.note_size(frame)

    def on_refused(self, code: int, reason: str) -> None:
        log.info("a client broke the WebSocket protocol", code=code, reason=reason)
        self._told = True
        self._end(Verdict(code, reason))

    def on_lost(self) -> None:
        self.gone = True
        for timer in (self._timer, self._rest):
            if timer is not None:
                timer.cancel()
        self._outbox.close()

    def on_gone(self) -> None:
        if self._task is None:  # or what the client sent before it went is still taken
            self._leave()

    def pause_writing(self) -> None:
        self._outbox.pause()

    def resume_writing(self) -> None:
        self._outbox.resume()

    # -- messages

    def _take(self, message: bytes) -> None:
        """Take a message; the hub gets all of one read together."""
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(message)

    def _take_inbox(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is None or self._over:
            return
        if self._task is not None or self._connection is None:
            self._queue(inbox)
            return
        try:
            wait = self._hub.feed(self._connection, inbox)
        except Exception:  # noqa: BLE001 - a bug costs this connection, not the server
            self._fail()
            return
        if wait is not None:
            self._queue(inbox)
            self._wait_for(wait)

    def _queue(self, messages: Iterable[bytes]) -> None:
        self._backlog = self._backlog or deque()
        for message in messages:
            self._backlog.append(message)
            self._backlog_bytes += len(message) + MESSAGE_BYTES
        if self._backlog_bytes > BACKLOG_BYTES:
            self._framing.pause_reading()

    def _take_deflated(self, payload: bytes) -> None:
        """One read of the socket can hold 64 MiB, deflated: what waits is bounded as it is."""
        room = max(0, 2 * self._max_message - self._backlog_bytes)
        try:
            message = deflate.inflate(payload, min(room, self._max_message))
        except ProtocolError as error:
            self._end(Verdict.of(error))
            return
        self._take(message)
        if len(message) > deflate.MIN_BYTES:  # or many of them would wait for the read's end
            self._take_inbox()

    def _take_rare(self, frame: WSFrame) -> None:
        """Take a frame that is not a whole message, or that nobody wants any more."""
        self._take_inbox()  # what came before it
        self._count_frame()
        kind = frame.msg_type
        try:
            if frame.rsv2 or frame.rsv3 or (frame.rsv1 and not self._may_be_deflated(kind)):
                raise _Violation("a frame with bits of an extension that was not agreed on")
            if kind == _PONG:
                self._take_pong()
            elif kind == _PING:
                self._answer_ping(frame)
            elif kind == _CLOSE:
                self._answer_close(frame)
            elif kind in (_BINARY, _CONTINUATION, _TEXT) and not self._over:
                self._take_fragment(frame, kind)
        except _Violation as violation:
            self._end(Verdict(_PROTOCOL_ERROR, str(violation)))
        except ProtocolError as error:
            self._end(Verdict.of(error))

    def _count_frame(self) -> None:
        """Of frames that the hub does not count, read so many a second."""
        self._count = self._count or Pace(FRAME_RATE, FRAME_BURST)
        delay = self._count.delay(self._loop.time())
        if delay and self._rest is None and not self.gone:
            self._framing.pause_reading()
            self._rest = self._loop.call_later(delay, self._rested)

    def _rested(self) -> None:
        self._rest = None
        self._resume_reading()

    def _resume_reading(self) -> None:
        if self._rest is None and self._backlog_bytes <= BACKLOG_BYTES and not self.gone:
            self._framing.resume_reading()

    def _may_be_deflated(self, kind: WSMsgType) -> bool:
        """RFC 7692 section 6: the bit is the first fragment's."""
        return self._deflated and kind in (_BINARY, _TEXT)

    def _answer_ping(self, frame: WSFrame) -> None:
        """Of many that come at once the last is answered (RFC 6455 section 5.5.3)."""
        if self._ping is None:
            self._loop.call_soon(self._send_pong)
        self._ping = frame.get_payload_as_bytes()

    def _send_pong(self) -> None:
        payload, self._ping = self._ping, None
        if self._outbox.empty:  # who does not read needs no pong
            self._framing.frames.send_pong(payload)

    def _answer_close(self, frame: WSFrame) -> None:
        said = frame.get_payload_as_bytes()[:2]
        code = int.from_bytes(said, "big") if said else _NORMAL
        if not _may_be_sent(code):
            raise _Violation(f"{code} is no code for a close frame")
        self._over = True
        self._framing.send_close(code, "")
        self._framing.hang_up()

    def _take_fragment(self, frame: WSFrame, kind: WSMsgType) -> None:
        """Take a data frame that is not a whole message as it stands."""
        if (kind == _CONTINUATION) != (self._fragments is not None):
            raise _Violation("the fragments of a message do not follow each other")
        if self._fragments is None:
            if kind != self._kind:
                self._meet_other_kind()
            self._fragments = bytearray()
            self._fragments_deflated = bool(frame.rsv1)
        self._fragments += frame.get_payload_as_memoryview()
        if len(self._fragments) > self._max_message:
            raise MessageTooLarge(f"a message is at most {self._max_message} bytes")
        if frame.fin:
            message, self._fragments = bytes(self._fragments), None
            self._take_whole(message)

    def _take_whole(self, message: bytes) -> None:
        """Take a message that came in fragments."""
        if self._fragments_deflated:
            self._take_deflated(message)
        else:
            self._take(message)

    # -- waits

    def _wait_for(self, awaitable: Awaitable[None]) -> None:
        self._task = self._loop.create_task(self._wait(awaitable))

    async def _wait(self, awaitable: Awaitable[None]) -> None:
        """Wait, then take what came meanwhile."""
        try:
            await awaitable
            while self._backlog and self._connection is not None:
                if (wait := self._hub.feed(self._connection, self._backlog)) is not None:
                    await wait
        except Exception:  # noqa: BLE001 - a bug costs this connection, not the server
            self._fail()
        finally:
            self._task = None
            self._backlog = None
            self._backlog_bytes = 0
            if self.gone:
                self._leave()
            else:
                self._resume_reading()

    async def _open(self) -> None:
        try:
            self._connection = await self._enter()
            if self._verdict is not None:
                self._hub.end(self._connection, self._verdict)
        except (ProtocolError, AuthError) as error:
            log.info("connection refused", code=error.close_code, reason=error.reason)
            self._end(Verdict.of(error))

    # -- the end

    def _end(self, verdict: Verdict) -> None:
        """End for a reason of ours, or of the client's."""
        if self._connection is not None:
            self._hub.end(self._connection, verdict)
        elif self._verdict is None:
            self._say_farewell(verdict)

    def _fail(self) -> None:
        log.exception("a connection failed")
        self._end(Verdict.of(InternalError("something failed on the server: connect again")))

    def _on_verdict(self) -> None:
        """The hub ended the connection."""
        assert self._connection is not None  # noqa: S101 - or the hub would not know it
        assert self._connection.verdict is not None  # noqa: S101
        self._say_farewell(self._connection.verdict)

    def _say_farewell(self, verdict: Verdict) -> None:
        """Send what is queued, then the reason; what still comes from the client is not taken."""
        self._verdict = verdict
        self._over = True
        self._outbox.finish()
        self._backlog = self._fragments = None
        self._backlog_bytes = 0
        if self._task is not None and self._task is not asyncio.current_task():
            self._loop.call_soon(self._task.cancel)  # a task must have begun to clean up
        if self._told or self.gone:
            return
        self._resume_reading()  # for its answer to the close frame
        if self._outbox.empty:
            self._say_why()
        else:
            self._framing.abort_in(patience.CLOSE_SECONDS)

    def _on_drained(self) -> None:
        try:
            if self._verdict is None and self._connection is not None:
                self._hub.drained(self._connection)
        except Exception:  # noqa: BLE001 - a bug costs this connection, not the server
            self._fail()
        if self._verdict is not None and not self._told:
            self._say_why()

    def _say_why(self) -> None:
        assert self._verdict is not None  # noqa: S101
        self._told = True
        if self._verdict.final:
            self._send_reason(self._verdict)
        if self._verdict.final and self._verdict.held:
            self._framing.abort_in(patience.HOLD_SECONDS + patience.LAST_WORDS_SECONDS)
            self._timer = self._loop.call_later(patience.HOLD_SECONDS, self._close)
        else:
            self._close()

    def _close(self) -> None:
        assert self._verdict is not None  # noqa: S101
        self._framing.send_close(self._verdict.code, self._verdict.close_reason)
        self._framing.abort_in(patience.LAST_WORDS_SECONDS)

    def abort(self) -> None:
        """End the socket at once."""
        self._framing.abort()

    def _leave(self) -> None:
        if self._connection is not None:
            self._hub.close(self._connection)
        self._on_gone(self)

    # -- silence

    def check_silence(self, seconds: float) -> None:
        """So much time has passed: ping a client that said nothing, end one that stays silent."""
        if self.gone:
            return
        self._unpinged += seconds
        if self._framing.signs_of_life():
            self._silent = 0.0
            if self._unpinged >= patience.PING_SECONDS and self._outbox.empty:
                self._ping_client()
            return
        self._silent += seconds
        if self._silent >= patience.SILENCE_SECONDS:
            log.info("a client has gone without a word", silent=self._silent)
            self.abort()
        elif self._silent >= patience.PING_SECONDS:
            self._ping_client()

    def _ping_client(self) -> None:
        """Whoever is there answers; how long that takes is the round trip."""
        self._unpinged = random.random() * patience.PING_SECONDS / 2  # not all of them at once
        self._pinged_at = time.perf_counter()
        self._framing.frames.send_ping()

    def _take_pong(self) -> None:
        if self._pinged_at is not None:
            self._note_round_trip(time.perf_counter() - self._pinged_at)
            self._pinged_at = None

    def _note_round_trip(self, seconds: float) -> None:
        """A ping of ours was answered."""


def _may_be_sent(code: int) -> bool:
    """RFC 6455 section 7.4, and the codes that were registered since."""
    return code in range(1000, 1004) or code in range(1007, 1015) or code in range(3000, 5000)
