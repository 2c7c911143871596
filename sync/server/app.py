"""The ASGI application: documents over WebSocket, and health over HTTP.

It needs a running :class:`~sync.server.hub.Hub`, and serves under any ASGI server; ours is
:mod:`sync.server.listener`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sync.server.admission import Admission
from sync.server.api.application import Application, Layer
from sync.server.asgi_socket import AsgiSockets, Receive, Scope, Send
from sync.server.event_hub import EventHub
from sync.server.hub import Hub
from sync.server.metrics import Metrics
from sync.server.monitoring import Monitor
from sync.server.sessions import Sessions
from sync.server.webhooks import Webhooks


class App:
    """The ASGI callable."""

    def __init__(
        self,
        hub: Hub,
        sessions: Sessions,
        events: EventHub,
        webhooks: Webhooks,
        admission: Admission,
        monitor: Monitor,
        metrics: Metrics | None,
        layers: Sequence[Layer] = (),
    ) -> None:
        """``metrics``: None where they are at another address. ``layers``: beside the API."""
        self._sockets = AsgiSockets(hub, events, admission)
        self.http = Application(hub, sessions, webhooks, admission, monitor, metrics, layers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "websocket":
                await self._sockets(scope, receive, send)
            case "http":
                await self.http(scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    """The hub is opened and drained by whoever made it; there is nothing to start here."""
    while True:
        event = await receive()
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return
