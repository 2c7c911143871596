"""The listening socket, and all connections that were accepted on it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sync.server import patience
from sync.server.admission import Admission
from sync.server.app import App
from sync.server.front_door import Reception
from sync.server.http import HttpServer, hypercorn_config
from sync.server.hub import Hub
from sync.server.settings import Settings

BACKLOG = 4_096
"""Connections that may wait to be accepted: a restart brings everybody at once."""


class Listener:
    """Accepts connections on one socket. Made by :func:`listen`."""

    def __init__(self, hub: Hub, admission: Admission, settings: Settings) -> None:
        largest = max(settings.document_limit, settings.message_limit) + 1024
        config = hypercorn_config(largest, settings.tls_cert, settings.tls_key)
        http = HttpServer(App(hub, admission), config)
        self._reception = Reception(hub, admission, http, max_message=largest)
        self._accept = self._reception.door if settings.transport == "picows" else http.protocol
        self._tls = config.create_ssl_context() if config.ssl_enabled else None
        self._server: asyncio.Server | None = None

    async def start(self, bound: socket.socket) -> None:
        """Accept connections on a bound socket from now on."""
        self._server = await asyncio.get_running_loop().create_server(
            self._accept,
            sock=bound,
            backlog=BACKLOG,
            ssl=self._tls,
            ssl_handshake_timeout=patience.HANDSHAKE_SECONDS if self._tls else None,
            ssl_shutdown_timeout=patience.LAST_WORDS_SECONDS if self._tls else None,
        )

    def stop_accepting(self) -> None:
        """Refuse new connections; those that are open go on."""
        if self._server is not None:
            self._server.close()  # not wait_closed(): since 3.12 it waits for every connection

    async def end_connections(self) -> None:
        """Let connections end by themselves for a moment; then end them."""
        await self._reception.end_connections()


def bind(host: str, port: int) -> socket.socket:
    """A listening address; port 0 takes a free one. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


@asynccontextmanager
async def listen(
    hub: Hub, admission: Admission, bound: socket.socket, settings: Settings
) -> AsyncIterator[Listener]:
    """Serve on a bound socket. Leaving the block stops accepting and ends what is still open."""
    listener = Listener(hub, admission, settings)
    await listener.start(bound)
    try:
        yield listener
    finally:
        listener.stop_accepting()
        await listener.end_connections()
