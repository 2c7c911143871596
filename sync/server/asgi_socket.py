"""WebSockets of any ASGI server: documents and event channels."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import anyio

from auth.access import AuthError
from sync.core.errors import InternalError, MalformedMessage, ProtocolError
from sync.core.event_channel import NOT_TEXT, session_from_path, session_in_path, verdict_text
from sync.core.yprotocol import denied_frame
from sync.server import patience
from sync.server.admission import SYNC_PATH, Admission, DocumentRequest
from sync.server.channel import attend, serve
from sync.server.connection import Verdict
from sync.server.event_hub import EventHub
from sync.server.event_socket import MessageOutbox
from sync.server.hub import Hub
from sync.server.telemetry import logger

log = logger(__name__)

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class BinaryChannel:
    """An accepted ASGI WebSocket as a channel of binary messages."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            raise StopAsyncIteration
        return self._message(event)

    async def send(self, message: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": message})

    async def finish(self, verdict: Verdict) -> None:
        """Say why, hold the socket where the verdict is final, and close it."""
        if verdict.final:
            await self.send(self._reason(verdict))
        if verdict.final and verdict.held:
            with anyio.move_on_after(patience.HOLD_SECONDS):
                while (await self._receive())["type"] != "websocket.disconnect":
                    pass
        await self._send(
            {"type": "websocket.close", "code": verdict.code, "reason": verdict.close_reason}
        )

    def _message(self, event: Event) -> bytes:
        message: bytes | None = event.get("bytes")
        if message is None:
            raise MalformedMessage("the y-websocket protocol is binary; this was a text message")
        return message

    def _reason(self, verdict: Verdict) -> bytes:
        return denied_frame(verdict.reason)


class TextChannel(BinaryChannel):
    """The same with text messages, in UTF-8. NOT_TEXT stands for one that was binary."""

    async def send(self, message: bytes) -> None:
        await self._send({"type": "websocket.send", "text": message.decode()})

    def _message(self, event: Event) -> bytes:
        message: str | None = event.get("text")
        return NOT_TEXT if message is None else message.encode()

    def _reason(self, verdict: Verdict) -> bytes:
        return verdict_text(verdict.code, verdict.reason)


class AsgiSockets:
    """The ASGI callable for WebSockets."""

    def __init__(self, hub: Hub, events: EventHub, admission: Admission) -> None:
        self._hub = hub
        self._events = events
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        session = session_in_path(path)
        if self._admission.foreign(header(scope, b"origin")) or not (
            session is not None or path.startswith(SYNC_PATH)
        ):
            await send({"type": "websocket.close"})  # before it is accepted: HTTP 403
            return
        await send({"type": "websocket.accept"})
        if session is None:
            document = BinaryChannel(receive, send)
            serving = self._serve_document(document, scope, path.removeprefix(SYNC_PATH))
            await _to_the_end(document, serving)
        else:
            events = TextChannel(receive, send)
            await _to_the_end(events, self._serve_events(events, scope, session))

    async def _serve_document(
        self, channel: BinaryChannel, scope: Scope, name: bytes
    ) -> Verdict | None:
        request = DocumentRequest(name, *_credentials(scope))
        document, identity = await self._admission.check(request)
        return await serve(self._hub, channel, document, identity)

    async def _serve_events(
        self, channel: TextChannel, scope: Scope, part: bytes
    ) -> Verdict | None:
        session = session_from_path(part)
        identity = await self._admission.identify(*_credentials(scope))
        outbox, reading = MessageOutbox(), anyio.CancelScope()
        connection = await self._events.open(session, identity, outbox, reading.cancel)
        return await attend(self._events, connection, channel, outbox, reading)


async def _to_the_end(channel: BinaryChannel, serving: Awaitable[Verdict | None]) -> None:
    try:
        verdict = await serving
    except (ProtocolError, AuthError) as error:
        log.info("connection refused", code=error.close_code, reason=error.reason)
        verdict = Verdict.of(error)
    except Exception:  # a bug costs this connection, not the server
        log.exception("a connection failed")
        verdict = Verdict.of(InternalError("something failed on the server: connect again"))
    if verdict is not None:
        with contextlib.suppress(OSError):  # the client has gone before it could be told
            await channel.finish(verdict)


def _credentials(scope: Scope) -> tuple[bytes, bytes]:
    """Query and ``Authorization`` of a request."""
    return scope.get("query_string", b""), header(scope, b"authorization") or b""


def header(scope: Scope, name: bytes) -> bytes | None:
    """A request's header, None without it."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key.lower() == name), None)
