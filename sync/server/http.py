"""Hypercorn, for all but our own WebSockets: HTTP/1.1, HTTP/2, and with them WebSockets by ASGI.

It serves one connection that was accepted elsewhere (:mod:`sync.server.listener`). What it does not
do itself (measured with 0.18):

- it offers permessage-deflate and does not bound what a message inflates to: here it offers none;
- after a message over the limit it sends 1009, stays open and goes on buffering: we close;
- the task that sends a connection's pings outlives it by an interval: ours ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import cast

import hypercorn.protocol.h2
import hypercorn.protocol.h11
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.protocol.events import Event, StreamClosed
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import ASGIFramework, WebsocketAcceptEvent
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping
from wsproto.frame_protocol import CloseReason

from sync.server import patience
from sync.server.app import App
from sync.server.handshake import MAX_HEAD


class BoundedStream(WSStream):
    """A WebSocket of Hypercorn's that never inflates and ends at the first message too large."""

    _over: asyncio.Event | None = None  # made when pings begin, set when the stream is closed

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        if self.closed and self._over is not None:
            self._over.set()

    async def _send_pings(self) -> None:
        self._over = asyncio.Event()
        while not self.closed:
            await self._send_wsproto_event(Ping())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), self.config.websocket_ping_interval)

    async def _accept(self, message: WebsocketAcceptEvent) -> None:
        self.handshake.extensions = None  # as if the client had offered none
        await super()._accept(message)

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            await asyncio.sleep(0)  # there can be thousands in what was read at once
            if isinstance(event, Message):
                if self.buffer.length + len(event.data) > self.buffer.max_length:
                    await self._refuse_message()
                    return
                self.buffer.extend(event)
                if event.message_finished:
                    await self._deliver()
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                if self.connection.state == ConnectionState.REMOTE_CLOSING:
                    await self._send_wsproto_event(event.response())
                await self.send(StreamClosed(stream_id=self.stream_id))

    async def _deliver(self) -> None:
        message = self.buffer.to_message()
        self.buffer.clear()
        if self.app_put is not None:
            await self.app_put(message)

    async def _refuse_message(self) -> None:
        reason = f"a message is at most {self.buffer.max_length} bytes"
        await self._send_wsproto_event(CloseConnection(CloseReason.MESSAGE_TOO_BIG, reason))
        await self.handle(StreamClosed(stream_id=self.stream_id))
        await self.send(StreamClosed(stream_id=self.stream_id))


def _install() -> None:
    """Hypercorn has no setting for the class of its WebSocket streams."""
    for protocol in (hypercorn.protocol.h11, hypercorn.protocol.h2):
        vars(protocol)["WSStream"] = BoundedStream


_install()


class HttpServer:
    """Serves connections with Hypercorn until they end, or are ended."""

    def __init__(self, app: App, config: Config) -> None:
        self._app = ASGIWrapper(cast(ASGIFramework, app))  # it types every event; we do not
        self._config = config
        self._context = WorkerContext(None)
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def protocol(self) -> asyncio.StreamReaderProtocol:
        """What an accepted connection is given to."""
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._handle)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._connections[task] = writer
        try:
            loop = asyncio.get_running_loop()
            await TCPServer(self._app, loop, self._config, self._context, {}, reader, writer)
        except asyncio.CancelledError:
            pass  # by end_connections; there is nobody else
        finally:
            del self._connections[task]

    async def end_connections(self) -> None:
        """Let connections end by themselves for a moment; then end them.

        Hypercorn would wait for ever for a client that does not read.
        """
        await self._context.terminated.set()
        if self._connections:
            await asyncio.wait(self._connections, timeout=patience.LAST_WORDS_SECONDS)
        for writer in list(self._connections.values()):
            writer.transport.abort()
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=patience.LAST_WORDS_SECONDS)


def hypercorn_config(max_message: int, tls_cert: Path | None, tls_key: Path | None) -> Config:
    """``max_message``: bytes of the largest WebSocket message of any kind."""
    config = Config()
    config.websocket_max_message_size = max_message
    config.websocket_ping_interval = patience.PING_SECONDS
    config.read_timeout = patience.SILENCE_SECONDS  # type: ignore[assignment] # it takes fractions
    config.keep_alive_timeout = patience.HANDSHAKE_SECONDS
    config.h11_max_incomplete_size = MAX_HEAD
    config.include_server_header = False
    config.errorlog = None
    if tls_cert is not None:
        config.certfile = str(tls_cert)
        config.keyfile = str(tls_key) if tls_key else None
    return config
