"""One client and one session: the event channel on a WebSocket, and on ASGI's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from picows import WSMsgType

from auth.access import Identity
from sync.core.event_channel import NOT_TEXT, verdict_text
from sync.core.session import SessionId
from sync.server.channel import ChannelOutbox
from sync.server.connection import Verdict
from sync.server.event_connection import Chunk, EventConnection
from sync.server.event_hub import EventHub
from sync.server.framing import Framing, text_frame
from sync.server.socket_outbox import SocketOutbox
from sync.server.websocket import WebSocket

Admit = Callable[[], Awaitable[tuple[SessionId, Identity]]]


class FrameOutbox(SocketOutbox):
    """An outbox of frames that are complete, so that many can be one write."""

    __slots__ = ()

    def put(self, text: bytes) -> None:
        super().put(text_frame(text))

    def put_events(self, chunk: Chunk) -> None:
        super().put(chunk.frames)

    @property
    def busy(self) -> bool:
        return not self.empty

    def _write(self, frame: bytes) -> None:
        self._framing.write(frame)


class MessageOutbox(ChannelOutbox):
    """An outbox of texts that a task empties into a channel."""

    def put_events(self, chunk: Chunk) -> None:
        for each in chunk.events:
            self.put(each.text)

    @property
    def busy(self) -> bool:
        return self.queued_bytes > 0


class EventSocket(WebSocket[EventConnection]):
    """A WebSocket whose messages go to the hub of all event channels."""

    __slots__ = ("_admit", "_binary")

    _hub: EventHub
    _outbox: FrameOutbox

    def __init__(
        self,
        hub: EventHub,
        admit: Admit,
        *,
        max_message: int,
        on_opened: Callable[[WebSocket[Any]], None],
        on_gone: Callable[[WebSocket[Any]], None],
    ) -> None:
        """Arguments as of :class:`WebSocket`; nothing is deflated, so that all get the same."""
        super().__init__(
            hub,
            WSMsgType.TEXT,
            max_message=max_message,
            deflated=False,
            on_opened=on_opened,
            on_gone=on_gone,
        )
        self._admit: Admit | None = admit
        self._binary = False  # the message that comes in fragments is

    async def _enter(self) -> EventConnection:
        assert self._admit is not None  # noqa: S101 - it is called once
        admit, self._admit = self._admit, None
        session, identity = await admit()
        self._resume_reading()
        return await self._hub.open(session, identity, self._outbox, self._on_verdict)

    def _new_outbox(self, framing: Framing) -> FrameOutbox:
        return FrameOutbox(framing, self._on_drained, deflated=False)

    def _meet_other_kind(self) -> None:
        self._binary = True

    def _take_whole(self, message: bytes) -> None:
        binary, self._binary = self._binary, False
        super()._take_whole(NOT_TEXT if binary else message)

    def _send_reason(self, verdict: Verdict) -> None:
        self._framing.write(text_frame(verdict_text(verdict.code, verdict.reason)))
