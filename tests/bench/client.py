"""Connections to a server under test: they send what was made ahead and count what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import lru_cache

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from tests.bench.counting import Failed, Progress
from tests.bench.dialects import Dialect, Kind, barrier_number
from tests.bench.updates import Span, spans

LARGEST_FRAME = 64 << 20
PATIENCE = 60.0
"""Seconds that anything promised may take."""

HANDSHAKES = 256
"""Connections that are being opened at a time, below the 511 that Node lets wait."""


class Pulse:
    """Tells its listeners, once in a turn of the event loop, that something was received."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[], None]] = []
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._failure: Failed | None = None

    def changed(self) -> None:
        """Something was received."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self._tell)

    def fail(self, failure: Failed) -> None:
        """Whoever waits gets this failure, as does whoever waits later."""
        self._failure = self._failure or failure
        self.changed()

    async def until(
        self, condition: Callable[[], bool], what: Callable[[], str], patience: float = PATIENCE
    ) -> None:
        """Return when ``condition`` holds; Failed, with ``what`` is missing, if it never does."""
        reached = self._loop.create_future()

        def look() -> None:
            if not reached.done() and (self._failure or condition()):
                reached.set_result(None)

        self.listeners.append(look)
        look()
        try:
            await asyncio.wait_for(reached, patience)
        except TimeoutError:
            raise Failed(f"after {patience:.0f} s: {what()}") from None
        finally:
            self.listeners.remove(look)
        if self._failure:
            raise self._failure

    def _tell(self) -> None:
        self._due = False
        for listener in tuple(self.listeners):
            listener()


class Room:
    """What the connections of one room have in common: most of what they receive is the same."""

    def __init__(self, name: str, dialect: Dialect, pulse: Pulse) -> None:
        self.name = name
        self.dialect = dialect
        self.pulse = pulse
        self.answer = dialect.answer(name)
        self.brought: dict[bytes, tuple[Span, ...]] = {}
        """For each frame that was seen: what it brings."""

    def expect(self, updates: Iterable[bytes]) -> None:
        """Read updates that will come before the clock runs."""
        for update in updates:
            self.brought[self.dialect.update(self.name, update)] = _spans(update)


@lru_cache(maxsize=1 << 16)
def _spans(update: bytes) -> tuple[Span, ...]:
    """What an update brings. The same bytes come to many, in one room and in many alike."""
    return spans(update)


class Client(WSListener):
    """One connection, in one room. Tells the room's pulse of everything that comes."""

    def __init__(self, room: Room, greeting: Iterable[bytes] = ()) -> None:
        self.room = room
        self.progress = Progress()
        self.saved = 0
        """The number of the last SAVED barrier that came back."""
        self.synced = False
        """Whether the server has answered our step1."""
        self._greeting = greeting
        self._brought = room.brought
        self._transport: WSTransport | None = None
        self._leaving = False
        self._why = "no close frame"

    async def connect(self, port: int, token: str | None = None) -> None:
        """Return when the WebSocket is open and the greeting sent."""
        query = f"?token={token}" if token else ""
        url = f"ws://127.0.0.1:{port}{self.room.dialect.path(self.room.name)}{query}"
        try:
            await ws_connect(
                lambda: self,
                url,
                max_frame_size=LARGEST_FRAME,
                websocket_handshake_timeout=PATIENCE,
                use_aiofastnet=False,
            )
        except (OSError, WSError) as error:
            raise Failed(f"{self.room.name} could not be joined: {error}") from error

    def send(self, payload: bytes) -> None:
        self._open.send(WSMsgType.BINARY, payload)

    def write(self, frames: bytes) -> None:
        """Send whole frames, made ahead, as one block."""
        self._open.underlying_transport.write(frames)

    async def leave(self) -> None:
        """Close; return when the server has, too."""
        self._leaving = True
        self._open.send_close(WSCloseCode.OK)
        self._open.disconnect()
        await self._open.wait_disconnected()

    def receive(self, brought: tuple[Span, ...]) -> None:
        """Take note of what a frame brought."""
        self.progress.receive(brought)

    def note_saved(self, number: int) -> None:
        """A barrier came back: everything sent before it is on disk."""
        self.saved = max(self.saved, number)

    def note_states(self, states: bytes) -> None:
        """An awareness update came. Of no interest to most."""

    # ----------------------------------------------------------------------- called by picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        for payload in self._greeting:
            transport.send(WSMsgType.BINARY, payload)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        if frame.msg_type != WSMsgType.BINARY:
            self._control(frame)
            return
        payload = frame.get_payload_as_bytes()
        brought = self._brought.get(payload)
        if brought is None:
            brought = self._learn(payload)
        if brought:
            self.receive(brought)
        self.room.pulse.changed()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002
        if not self._leaving:
            failure = Failed(f"the server closed a connection of {self.room.name}: {self._why}")
            self.room.pulse.fail(failure)

    def pause_writing(self) -> None:
        """The window bounds what is written ahead."""

    def resume_writing(self) -> None:
        pass

    # ------------------------------------------------------------------------------ inside

    def _control(self, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self._why = f"{frame.get_close_code()} {frame.get_close_reason()}"
            self._open.disconnect()

    def _learn(self, payload: bytes) -> tuple[Span, ...]:
        """Handle a frame that was not seen before; return what it brings."""
        message = self.room.dialect.read(payload)
        match message.kind:
            case Kind.UPDATE | Kind.STEP2:
                self.synced = self.synced or message.kind is Kind.STEP2
                brought = _spans(message.body)
                if message.kind is Kind.UPDATE:
                    self._brought[payload] = brought
                return brought
            case Kind.STEP1:
                self.send(self.room.answer)
            case Kind.SAVED:
                self.note_saved(barrier_number(message.body))
            case Kind.AWARENESS:
                self.note_states(message.body)
            case Kind.REFUSAL:
                self.room.pulse.fail(Failed(f"{self.room.name}: {message.body.decode()!r}"))
            case Kind.OTHER:
                self._brought[payload] = ()
        return ()

    @property
    def _open(self) -> WSTransport:
        if self._transport is None:
            raise Failed(f"{self.room.name}: not connected")
        return self._transport
