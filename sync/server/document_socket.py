"""One client and one document, on a WebSocket of the y-websocket protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from picows import WSMsgType

from auth.access import Identity
from sync.core.errors import MalformedMessage
from sync.core.names import DocumentName
from sync.core.yprotocol import denied_frame
from sync.server.connection import Connection, Verdict
from sync.server.hub import Hub
from sync.server.websocket import WebSocket

Admit = Callable[[], Awaitable[tuple[DocumentName, Identity]]]


class DocumentSocket(WebSocket[Connection]):
    """A WebSocket whose messages go to the hub of all documents."""

    __slots__ = ("_admit",)

    _hub: Hub

    def __init__(
        self,
        hub: Hub,
        admit: Admit,
        *,
        max_message: int,
        deflated: bool,
        on_opened: Callable[[WebSocket[Any]], None],
        on_gone: Callable[[WebSocket[Any]], None],
    ) -> None:
        super().__init__(
            hub,
            WSMsgType.BINARY,
            max_message=max_message,
            deflated=deflated,
            on_opened=on_opened,
            on_gone=on_gone,
        )
        self._admit: Admit | None = admit

    async def _enter(self) -> Connection:
        assert self._admit is not None  # noqa: S101 - it is called once
        admit, self._admit = self._admit, None
        document, identity = await admit()
        self._resume_reading()
        return await self._hub.open(document, identity, self._outbox, self._on_verdict)

    def _meet_other_kind(self) -> None:
        raise MalformedMessage("the y-websocket protocol is binary; this was a text message")

    def _note_round_trip(self, seconds: float) -> None:
        if self._connection is not None:
            self._connection.note_round_trip(seconds)

    def _send_reason(self, verdict: Verdict) -> None:
        self._framing.frames.send(WSMsgType.BINARY, denied_frame(verdict.reason))
