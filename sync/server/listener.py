"""The listening socket, and all connections that were accepted on it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from sync.server import patience
from sync.server.address import bind
from sync.server.admission import Admission
from sync.server.api.application import Layer
from sync.server.app import App
from sync.server.event_hub import EventHub
from sync.server.front_door import Reception
from sync.server.handshake import MAX_HEAD
from sync.server.http import HttpServer, hypercorn_config
from sync.server.hub import Hub
from sync.server.metrics import Metrics
from sync.server.monitoring import Monitor
from sync.server.sessions import Sessions
from sync.server.settings import Settings
from sync.server.telemetry import logger
from sync.server.web import WebApp
from sync.server.webhooks import Webhooks

log = logger(__name__)

BACKLOG = 4_096
"""Connections that may wait to be accepted: a restart brings everybody at once."""


class Listener:
    """Accepts connections on one socket. Made by :func:`listen`."""

    def __init__(
        self,
        hub: Hub,
        sessions: Sessions,
        webhooks: Webhooks,
        admission: Admission,
        settings: Settings,
        layers: Sequence[Layer],
    ) -> None:
        largest = max(settings.document_limit, settings.message_limit) + 1024
        config = hypercorn_config(largest, settings.tls_cert, settings.tls_key)
        self._events = EventHub(hub, sessions, admission)
        self.monitor = Monitor(hub, sessions, self._events, admission)
        self.monitor.webhooks = webhooks.statistics
        self.monitor.keep = settings.keep
        self.metrics = Metrics(self.monitor)
        self._events.watches.status_of = self.monitor.board.shown
        here = self.metrics if settings.metrics_bind is None else None
        if settings.web is not None:
            layers = (partial(WebApp, settings.web), *layers)
        app = App(hub, sessions, self._events, webhooks, admission, self.monitor, here, layers)
        http = HttpServer(app, config, app.http.end_streams)
        self._reception = Reception(hub, self._events, admission, http, max_message=largest)
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
        self._events.drain()
        await self._reception.end_connections()


@asynccontextmanager
async def listen_for_scrapes(
    metrics: Metrics, address: tuple[str, int] | None
) -> AsyncIterator[None]:
    """Serve metrics at an address of their own; None: do not. Raises OSError."""
    if address is None:
        yield
        return
    http = HttpServer(metrics, hypercorn_config(MAX_HEAD, None, None))
    bound = bind(*address)
    server = await asyncio.get_running_loop().create_server(http.protocol, sock=bound)
    log.info("metrics are served", port=bound.getsockname()[1])
    try:
        yield
    finally:
        server.close()
        await http.end_connections()


@asynccontextmanager
async def listen(
    hub: Hub,
    sessions: Sessions,
    webhooks: Webhooks,
    admission: Admission,
    bound: socket.socket,
    settings: Settings,
    layers: Sequence[Layer] = (),
) -> AsyncIterator[Listener]:
    """Serve on a bound socket. Leaving the block stops accepting and ends what is still open."""
    listener = Listener(hub, sessions, webhooks, admission, settings, layers)
    await listener.start(bound)
    try:
        yield listener
    finally:
        listener.stop_accepting()
        await listener.end_connections()
