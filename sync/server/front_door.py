"""One port for everything: WebSockets of ours go to picows, all else to Hypercorn.

The door reads a connection's first request, as far as it takes to know whose it is, and hands the
connection on with what was read. A WebSocket that comes later on a connection, or over HTTP/2,
reaches the same rooms through Hypercorn and ASGI.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from auth.access import Identity
from sync.core.event_channel import session_from_path, session_in_path
from sync.core.session import SessionId
from sync.server import deflate, patience
from sync.server.admission import SYNC_PATH, Admission, DocumentRequest
from sync.server.document_socket import DocumentSocket
from sync.server.event_hub import EventHub
from sync.server.event_socket import EventSocket
from sync.server.framing import Framing
from sync.server.handshake import MAX_HEAD, Upgrade, acceptance, read_upgrade
from sync.server.http import HttpServer
from sync.server.hub import Hub
from sync.server.websocket import WebSocket

_OURS = (b"GET " + SYNC_PATH, b"GET /sessions/")
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\r?\n")


class Reception:
    """What stands behind the door: where a connection goes, and all WebSockets that are open."""

    def __init__(
        self,
        hub: Hub,
        events: EventHub,
        admission: Admission,
        http: HttpServer,
        *,
        max_message: int,
    ) -> None:
        self.http = http
        self.doors: set[FrontDoor] = set()  # of connections that go nowhere yet
        self._hub = hub
        self._events = events
        self._admission = admission
        self._max_message = max_message
        self._websockets: set[WebSocket[Any]] = set()
        self._all_gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._sweep: asyncio.TimerHandle | None = None

    def door(self) -> FrontDoor:
        """For one connection that was accepted."""
        return FrontDoor(self)

    def websocket(self, upgrade: Upgrade | None) -> Framing | None:
        """What a connection is given to that asks for a WebSocket of ours; None for others."""
        if upgrade is None or self._admission.foreign(upgrade.headers.get(b"origin")):
            return None  # refused there, in words
        if upgrade.path.startswith(SYNC_PATH):
            return self._document_socket(upgrade)
        if (session := session_in_path(upgrade.path)) is not None:
            return self._event_socket(upgrade, session)
        return None

    def _document_socket(self, upgrade: Upgrade) -> Framing:
        deflated = deflate.accepts(upgrade.headers.get(b"sec-websocket-extensions", b""))
        websocket = DocumentSocket(
            self._hub,
            lambda: self._admission.check(_document_request(upgrade)),
            max_message=self._max_message,
            deflated=deflated,
            on_opened=self._remember,
            on_gone=self._forget,
        )
        answer = acceptance(upgrade.key, deflate.RESPONSE if deflated else b"")
        return Framing(websocket, answer, max_payload=self._max_message)

    def _event_socket(self, upgrade: Upgrade, part: bytes) -> Framing:
        async def admit() -> tuple[SessionId, Identity]:
            session = session_from_path(part)
            return session, await self._admission.identify(*_credentials(upgrade))

        most = self._hub.limits.message
        websocket = EventSocket(
            self._events,
            admit,
            max_message=most,
            on_opened=self._remember,
            on_gone=self._forget,
        )
        return Framing(websocket, acceptance(upgrade.key, b""), max_payload=most)

    def _remember(self, websocket: WebSocket[Any]) -> None:
        self._websockets.add(websocket)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._sweep_seconds, self._check_silence)

    def _forget(self, websocket: WebSocket[Any]) -> None:
        self._websockets.discard(websocket)
        if not self._websockets:
            self._all_gone.set()

    @property
    def _sweep_seconds(self) -> float:
        return patience.PING_SECONDS / 4

    def _check_silence(self) -> None:
        """One timer for all, instead of one for each."""
        for websocket in list(self._websockets):
            websocket.check_silence(self._sweep_seconds)
        self._sweep = None
        if self._websockets:
            self._sweep = self._loop.call_later(self._sweep_seconds, self._check_silence)

    async def end_connections(self) -> None:
        """Let all connections end by themselves for a moment; then end them."""
        for door in list(self.doors):
            door.abort()
        ending = asyncio.create_task(self.http.end_connections())
        await self._wait_for_websockets()
        for websocket in list(self._websockets):
            websocket.abort()
        await self._wait_for_websockets()
        await ending
        if self._sweep is not None:
            self._sweep.cancel()

    async def _wait_for_websockets(self) -> None:
        if self._websockets:
            self._all_gone.clear()
            waiting = asyncio.ensure_future(self._all_gone.wait())
            await asyncio.wait([waiting], timeout=patience.LAST_WORDS_SECONDS)
            waiting.cancel()


def _document_request(upgrade: Upgrade) -> DocumentRequest:
    return DocumentRequest(upgrade.path.removeprefix(SYNC_PATH), *_credentials(upgrade))


def _credentials(upgrade: Upgrade) -> tuple[bytes, bytes]:
    """Query and ``Authorization`` of a request."""
    return upgrade.query, upgrade.headers.get(b"authorization", b"")


class FrontDoor(asyncio.Protocol):
    """One connection, until it is clear where it goes.

    uvloop refers to it for as long as the connection lives: nothing large may be left here.
    """

    __slots__ = ("_read", "_reception", "_timer", "_transport")

    _transport: asyncio.Transport
    _timer: asyncio.TimerHandle

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._reception.doors.add(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(patience.HANDSHAKE_SECONDS, self.abort)

    def connection_lost(self, _error: Exception | None) -> None:
        self._leave()

    def abort(self) -> None:
        """End the connection."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        searched = max(0, len(self._read) - len(b"\r\n\r"))
        self._read += data
        read = self._read
        if not any(read.startswith(ours[: len(read)]) for ours in _OURS):
            self._hand_to_http()
        elif blank := _BLANK_LINE.search(read, searched):
            self._hand_on(blank.start(), blank.end())
        elif len(read) > MAX_HEAD:
            self._hand_to_http()

    def _hand_on(self, end: int, rest: int) -> None:
        upgrade = read_upgrade(self._read[:end]) if end <= MAX_HEAD else None
        framing = self._reception.websocket(upgrade)
        if framing is None:
            self._hand_to_http()
        else:
            read = self._hand_to(framing)
            framing.feed(read[rest:])

    def _hand_to_http(self) -> None:
        """Hypercorn serves it, or knows what is wrong with it."""
        http = self._reception.http.protocol()
        http.data_received(self._hand_to(http))

    def _hand_to(self, protocol: asyncio.BaseProtocol) -> bytes:
        """Return what was read."""
        self._leave()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        read, self._read = self._read, b""
        return read

    def _leave(self) -> None:
        self._timer.cancel()
        del self._timer
        self._reception.doors.discard(self)
