"""One port for everything: WebSockets of ours go to picows, all else to Hypercorn.

The door reads the head of a connection's first request and hands the connection on, with what was
read. A WebSocket that comes later on a connection, or over HTTP/2, reaches the same rooms through
Hypercorn and ASGI.
"""

from __future__ import annotations

import asyncio
from typing import cast

from picows import WSAutoPingStrategy, WSUpgradeRequest, WSUpgradeResponse
from picows import WSUpgradeResponseWithListener as AcceptedUpgrade
from picows.picows import WSProtocol  # type: ignore[attr-defined] # its stub leaves it out

from sync.server import deflate, patience
from sync.server.admission import SYNC_PATH, Admission, DocumentRequest
from sync.server.handshake import END, MAX_HEAD, Upgrade, read_upgrade
from sync.server.http import HttpServer
from sync.server.hub import Hub
from sync.server.telemetry import logger
from sync.server.websocket import WebSocket

log = logger(__name__)

_READ_BUFFER = 2_048  # bytes per connection, to begin with

_HEAD = (
    b"GET / HTTP/1.1\r\nHost: -\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
)
"""The head as picows likes it: of 'Connection: keep-alive, Upgrade', as Firefox sends it, and of
'Upgrade: WebSocket' it would think nothing."""


class Reception:
    """What stands behind the door: where a connection goes, and all WebSockets that are open."""

    def __init__(
        self, hub: Hub, admission: Admission, http: HttpServer, *, max_message: int
    ) -> None:
        self.http = http
        self._hub = hub
        self._admission = admission
        self._max_message = max_message
        self._websockets: set[WebSocket] = set()
        self._all_gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._sweep: asyncio.TimerHandle | None = None

    def door(self) -> FrontDoor:
        """For one connection that was accepted."""
        return FrontDoor(self)

    def websocket(self, upgrade: Upgrade | None) -> WSProtocol | None:
        """What a connection is given to that asks for a WebSocket of ours; None for others."""
        if upgrade is None or not upgrade.path.startswith(SYNC_PATH):
            return None
        if self._admission.foreign(upgrade.headers.get(b"origin")):
            return None  # refused there, in words
        request = DocumentRequest(
            upgrade.path.removeprefix(SYNC_PATH),
            upgrade.query,
            upgrade.headers.get(b"authorization", b""),
        )
        deflated = deflate.accepts(upgrade.headers.get(b"sec-websocket-extensions", b""))
        socket = WebSocket(
            self._hub,
            lambda: self._admission.check(request),
            max_message=self._max_message,
            deflated=deflated,
            gone=self._forget,
        )
        self._remember(socket)
        return _protocol(socket, deflated=deflated, max_message=self._max_message)

    def _remember(self, socket: WebSocket) -> None:
        self._websockets.add(socket)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._sweep_seconds, self._check_silence)

    def _forget(self, socket: WebSocket) -> None:
        self._websockets.discard(socket)
        if not self._websockets:
            self._all_gone.set()

    @property
    def _sweep_seconds(self) -> float:
        return patience.PING_SECONDS / 4

    def _check_silence(self) -> None:
        """One timer for all, instead of one for each."""
        for socket in list(self._websockets):
            socket.check_silence(self._sweep_seconds)
        self._sweep = None
        if self._websockets:
            self._sweep = self._loop.call_later(self._sweep_seconds, self._check_silence)

    async def end_connections(self) -> None:
        """Let all connections end by themselves for a moment; then end them."""
        if self._sweep is not None:
            self._sweep.cancel()
        ending = asyncio.create_task(self.http.end_connections())
        await self._wait_for_websockets()
        for socket in list(self._websockets):
            socket.abort()
        await self._wait_for_websockets()
        await ending

    async def _wait_for_websockets(self) -> None:
        if self._websockets:
            self._all_gone.clear()
            waiting = asyncio.ensure_future(self._all_gone.wait())
            await asyncio.wait([waiting], timeout=patience.LAST_WORDS_SECONDS)
            waiting.cancel()


class FrontDoor(asyncio.Protocol):
    """One connection until its first request's head is here."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._read = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(patience.HANDSHAKE_SECONDS, self._transport.abort)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, rest = self._read.partition(END)
        if not end and len(self._read) <= MAX_HEAD:
            return
        upgrade = read_upgrade(head) if end else None
        websocket = self._reception.websocket(upgrade)
        if upgrade is not None and websocket is not None:
            self._hand_on(websocket)
            _feed(websocket, _HEAD % upgrade.key + rest)
        else:
            http = self._reception.http.protocol()
            self._hand_on(http)
            http.data_received(self._read)
        self._read = b""

    def _hand_on(self, protocol: asyncio.BaseProtocol) -> None:
        assert self._transport is not None  # noqa: S101 - it was made before data came
        assert self._timer is not None  # noqa: S101
        self._timer.cancel()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)


def _feed(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Give a protocol what was read for it."""
    while data:
        buffer = memoryview(protocol.get_buffer(len(data)))
        taken = min(len(buffer), len(data))
        buffer[:taken] = data[:taken]
        protocol.buffer_updated(taken)
        data = data[taken:]


class _Logger:
    """What picows logs to: its lines about every connection are ours to write."""

    def isEnabledFor(self, _level: int) -> bool:  # noqa: N802 - the name of logging.Logger
        return False

    def debug(self, *_: object) -> None: ...

    info = warning = debug

    def error(self, message: str, *args: object) -> None:
        log.info("a client broke the WebSocket protocol", what=message % args)

    def exception(self, message: str, *args: object) -> None:
        log.exception("a connection failed", what=message % args)


def _protocol(socket: WebSocket, *, deflated: bool, max_message: int) -> WSProtocol:
    """picows's protocol for one connection. Its own pings, pongs and timeouts are off."""

    def accept(_request: WSUpgradeRequest) -> AcceptedUpgrade:
        extensions = {"Sec-WebSocket-Extensions": deflate.RESPONSE} if deflated else None
        return AcceptedUpgrade(WSUpgradeResponse.create_101_response(extensions), socket)

    return WSProtocol(
        None,  # host and port
        None,  # path
        False,  #  the client's side
        accept,
        _LOGGER,
        True,  #  disconnect on exceptions
        None,  # handshake timeout
        False,  #  pings
        1.0,  # their interval
        1.0,  # their timeout
        WSAutoPingStrategy.PING_WHEN_IDLE,
        False,  #  pongs
        max_message,
        None,  # headers of a client
        _READ_BUFFER,
    )


_LOGGER = _Logger()
