"""A client of the event channel that says what it is told to, and hears what comes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed

from tests.server.service import Running, token_for
from tests.support.client import PATIENCE
from tests.support.events import Api

SESSION = "s1"
Message = Mapping[str, Any]


def member_token(sub: str = "alice", access: str = "lead", ttl: float = 3600) -> str:
    """A token for every session."""
    return token_for(sub, ttl, sessions={"*": access})


def a_publication(number: int = 0, event_id: str | None = None, **more: Any) -> dict[str, Any]:
    """A message that publishes an event."""
    event_id = event_id or str(uuid4())
    data = {"number": number}
    return {"type": "publish", "id": event_id, "kind": "review.note", "data": data} | more


class Talk:
    """One connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self) -> Message:
        """The next message. Raises ConnectionClosed."""
        with anyio.fail_after(PATIENCE):
            text = await self.socket.recv()
        assert isinstance(text, str)
        message: Message = json.loads(text)
        return message

    async def hear_until(self, kind: str) -> list[Message]:
        """Messages to the first of this type, the last."""
        heard = [await self.hear()]
        while heard[-1]["type"] != kind:
            heard.append(await self.hear())
        return heard

    async def wait_for(self, kind: str) -> Message:
        """The first message of this type; what came before it is forgotten."""
        return (await self.hear_until(kind))[-1]

    async def subscribe(self, **fields: Any) -> Message:
        """Subscribe; return the answer."""
        await self.send(type="subscribe", **fields)
        return await self.wait_for("subscribed")

    async def events(self, count: int) -> list[Message]:
        """The next events; whatever else comes is forgotten."""
        return [await self.wait_for("event") for _ in range(count)]

    async def publish(self, number: int = 0, event_id: str | None = None) -> int:
        """Publish; return the offset."""
        message = a_publication(number, event_id)
        await self.send(**message)
        published = await self.wait_for("published")
        assert published["id"] == message["id"]
        offset: int = published["offset"]
        return offset

    async def closed(self) -> tuple[int, str, list[Message]]:
        """Listen to the end; return close code and reason, and what was said before."""
        heard: list[Message] = []
        with suppress(ConnectionClosed):
            while True:
                heard.append(await self.hear())
        assert self.socket.close_code is not None
        return self.socket.close_code, self.socket.close_reason or "", heard


@asynccontextmanager
async def talking(
    service: Running,
    token: str | None = None,
    session: str = SESSION,
    *,
    query: str | None = None,
    **options: Any,
) -> AsyncIterator[Talk]:
    """Open the event channel of a session. ``query`` stands instead of the token."""
    asked = query if query is not None else f"token={member_token() if token is None else token}"
    url = f"ws{service.url.removeprefix('http')}/sessions/{session}/events?{asked}"
    options = {"close_timeout": 1.0} | options  # some do not read, and never answer
    async with connect_websocket(url, compression=None, proxy=None, **options) as socket:
        yield Talk(socket)


async def create(service: Running, session: str = SESSION, *members: str) -> Message:
    """Create and start a session that alice leads; others join as evaluators."""
    async with Api(service.url, member_token()) as api:
        await api.create(id=session, project="agents", test_cases=["greeting", "refund"])
        await api.step(session, "start")
    for member in members:
        async with Api(service.url, member_token(member, "join")) as api:
            await api.step(session, "join")
    return await session_now(service, session)


async def session_now(service: Running, session: str = SESSION) -> Message:
    """The session as the HTTP API tells it."""
    async with Api(service.url, member_token()) as api:
        return await api.session(session)


async def step(service: Running, step: str, sub: str = "alice", session: str = SESSION) -> None:
    async with Api(service.url, member_token(sub)) as api:
        await api.step(session, step)
