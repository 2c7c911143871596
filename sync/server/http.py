"""Hypercorn, for all but our own WebSockets: HTTP/1.1, HTTP/2, and with them WebSockets by ASGI.

It serves one connection that was accepted elsewhere (:mod:`sync.server.listener`). What it does not
do itself (measured with 0.18):

- it offers permessage-deflate and does not bound what a message inflates to: here it offers none;
- after a message over the limit it sends 1009, stays open and goes on buffering: we close;
- the task that sends a connection's pings outlives it by an interval: ours ends with it;
- it ends a connection that sends nothing for a while, though an answer is being given: an event
  stream is such an answer, and goes on here;
- it waits for ever for a client that takes nothing: here it has gone after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

import hypercorn.protocol.h2
import hypercorn.protocol.h11
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, RawData
from hypercorn.events import Event as ConnectionEvent
from hypercorn.protocol.events import Event, StreamClosed
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import ASGIFramework, WebsocketAcceptEvent
from starlette.types import ASGIApp
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping
from wsproto.frame_protocol import CloseReason

from sync.server import patience
from sync.server.handshake import MAX_HEAD

_UNANSWERED = (ConnectionState.REMOTE_CLOSING, ConnectionState.OPEN)
"""Of a connection whose client closes, or broke the protocol: it is to get a close frame."""


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
                if self.connection.state in _UNANSWERED:
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
        await self.handle(StreamClosed(stream_id=self.stream_id))  # what still comes is dropped
        self.task_group.spawn(self._close_behind)

    async def _close_behind(self) -> None:
        """A client that still sends when we close is reset, and may never read the reason."""
        await asyncio.sleep(patience.LAST_WORDS_SECONDS)
        await self.send(StreamClosed(stream_id=self.stream_id))


class Connection(TCPServer):
    """One connection, with our patience."""

    _written = 0  # bytes
    _taken = -1  # of them, by the client, when it was last looked at
    _watch: asyncio.TimerHandle

    async def run(self) -> None:
        self._look_again()
        try:
            await super().run()
        finally:
            self._watch.cancel()

    async def _read_data(self) -> None:
        while not self.reader.at_eof():
            try:
                data = await asyncio.wait_for(self.reader.read(MAX_RECV), self.config.read_timeout)
            except TimeoutError:
                if not self._is_answering():
                    break
            except OSError:  # of TLS too
                break
            else:
                await self.protocol.handle(RawData(data))
        await self.protocol.handle(Closed())

    async def _close(self) -> None:
        with contextlib.suppress(OSError):  # of TLS whose end the client does not answer
            await super()._close()

    def _is_answering(self) -> bool:
        """Some request has come in whole, and its answer has begun."""
        answers = [each for each in self._streams() if isinstance(each, HTTPStream)]
        return any(each.state is ASGIHTTPState.RESPONSE for each in answers)

    def _streams(self) -> list[object]:
        protocol = self.protocol.protocol
        if isinstance(protocol, hypercorn.protocol.h2.H2Protocol):
            return list(protocol.streams.values())
        return [protocol.stream]

    async def protocol_send(self, event: ConnectionEvent) -> None:
        if isinstance(event, RawData):
            self._written += len(event.data)
        await super().protocol_send(event)

    def _waiting(self) -> int:
        try:
            return self.writer.transport.get_write_buffer_size()
        except AttributeError:  # asyncio's TLS, when it is closed
            return 0

    def _look_again(self) -> None:
        self._watch = self.loop.call_later(patience.SILENCE_SECONDS, self._check_taken)

    def _check_taken(self) -> None:
        """End the connection when the client has taken nothing of what waits for it.

        One with a WebSocket has ways of its own to show that it lives.
        """
        waiting = self._waiting()
        taken, before = self._written - waiting, self._taken
        self._taken = taken if waiting else -1
        if taken == before and not any(isinstance(each, WSStream) for each in self._streams()):
            self.writer.transport.abort()
        else:
            self._look_again()


def _install() -> None:
    """Hypercorn has no setting for the class of its WebSocket streams."""
    for protocol in (hypercorn.protocol.h11, hypercorn.protocol.h2):
        vars(protocol)["WSStream"] = BoundedStream


_install()


class HttpServer:
    """Serves connections with Hypercorn until they end, or are ended."""

    def __init__(
        self, app: ASGIApp, config: Config, end_streams: Callable[[], None] | None = None
    ) -> None:
        """``end_streams`` tells answers that never end to do so."""
        self._end_streams = end_streams
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
            await Connection(self._app, loop, self._config, self._context, {}, reader, writer)
        except asyncio.CancelledError:
            pass  # by end_connections; there is nobody else
        finally:
            del self._connections[task]

    async def end_connections(self) -> None:
        """Let connections end by themselves for a moment; then end them.

        Hypercorn would wait for ever for a client that does not read.
        """
        if self._end_streams is not None:
            self._end_streams()
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
