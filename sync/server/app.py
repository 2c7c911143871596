"""The ASGI application: documents over WebSocket, and health over HTTP.

It needs a running :class:`~sync.server.hub.Hub`, and serves under any ASGI server; ours is
:mod:`sync.server.listener`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import anyio
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from auth.access import AuthError
from sync.core.errors import InternalError, InvalidName, MalformedMessage
from sync.core.yprotocol import denied_frame
from sync.server import patience
from sync.server.admission import SYNC_PATH, Admission, DocumentRequest
from sync.server.channel import serve
from sync.server.connection import Verdict
from sync.server.hub import Hub
from sync.server.telemetry import logger

log = logger(__name__)

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class SocketChannel:
    """An accepted ASGI WebSocket as a channel of binary messages."""

    def __init__(self, path: str, receive: Receive, send: Send) -> None:
        self.path = path
        self._receive = receive
        self._send = send

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            raise StopAsyncIteration
        message: bytes | None = event.get("bytes")
        if message is None:
            raise MalformedMessage("the y-websocket protocol is binary; this was a text message")
        return message

    async def send(self, message: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": message})

    async def finish(self, verdict: Verdict) -> None:
        """Say why, hold the socket where the verdict is final, and close it."""
        if verdict.final:
            await self.send(denied_frame(verdict.reason))
            with anyio.move_on_after(patience.HOLD_SECONDS):
                while (await self._receive())["type"] != "websocket.disconnect":
                    pass
        await self._send(
            {"type": "websocket.close", "code": verdict.code, "reason": verdict.close_reason}
        )


class App:
    """The ASGI callable."""

    def __init__(self, hub: Hub, admission: Admission) -> None:
        self._hub = hub
        self._admission = admission
        self._http = _http(hub)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "websocket":
                await self._websocket(scope, receive, send)
            case "http" if not self._foreign(scope):
                await self._http(scope, receive, send)
            case "http":
                refusal = JSONResponse(
                    {"title": "Forbidden", "status": 403, "detail": "this origin is not allowed"},
                    403,
                    media_type="application/problem+json",
                )
                await refusal(scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        if self._foreign(scope) or not path.startswith(SYNC_PATH):
            await send({"type": "websocket.close"})  # before it is accepted: HTTP 403
            return
        await send({"type": "websocket.accept"})
        channel = SocketChannel(scope["path"], receive, send)
        try:
            verdict = await self._serve(channel, scope, path.removeprefix(SYNC_PATH))
        except Exception:  # a bug costs this connection, not the server
            log.exception("a connection failed")
            verdict = Verdict.of(InternalError("something failed on the server: connect again"))
        if verdict is not None:
            with contextlib.suppress(OSError):  # the client has gone before it could be told
                await channel.finish(verdict)

    async def _serve(self, channel: SocketChannel, scope: Scope, name: bytes) -> Verdict | None:
        authorization = _header(scope, b"authorization") or b""
        request = DocumentRequest(name, scope.get("query_string", b""), authorization)
        try:
            document, identity = await self._admission.check(request)
        except (InvalidName, AuthError) as error:
            log.info("connection refused", code=error.close_code, reason=error.reason)
            return Verdict.of(error)
        return await serve(self._hub, channel, document, identity)

    def _foreign(self, scope: Scope) -> bool:
        return self._admission.foreign(_header(scope, b"origin"))


def _header(scope: Scope, name: bytes) -> bytes | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key.lower() == name), None)


def _http(hub: Hub) -> FastAPI:
    """The HTTP half."""
    api = FastAPI(title="draftsync", docs_url="/docs", redoc_url=None)

    @api.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @api.get("/readyz")
    async def readyz() -> JSONResponse:
        """The service takes connections and saves edits; 503 and the reason when not."""
        now = hub.statistics()
        if now.draining:
            return JSONResponse({"status": "draining"}, 503)
        if now.failing is not None:
            return JSONResponse({"status": "not saving", "reason": now.failing}, 503)
        return JSONResponse({"status": "ready"})

    return api


async def _lifespan(receive: Receive, send: Send) -> None:
    """The hub is opened and drained by whoever made it; there is nothing to start here."""
    while True:
        event = await receive()
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return
