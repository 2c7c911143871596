"""The whole service in the process of the tests, on a real port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import jwt

from auth.keys import SharedSecret
from auth.tickets import MemoryTickets
from auth.tokens import TokenVerifier
from persistence.store import Store
from sync.server.serving import serve
from sync.server.settings import Settings

SECRET = "the secret of the service in this process"

TRANSPORT = "picows"
"""What serves WebSockets. Tests that use the fixture ``transport`` run with both."""


@dataclass
class Running:
    """A service that takes connections."""

    url: str
    stop: asyncio.Event
    ended: asyncio.Event

    @property
    def sync_url(self) -> str:
        return f"ws{self.url.removeprefix('http')}/sync"


def token_for(
    sub: str = "alice", ttl: float = 3600, docs: Mapping[str, str] | None = None, **claims: Any
) -> str:
    """A token for every document, unless ``docs`` says otherwise; ``claims`` are added."""
    usual = {"sub": sub, "aud": "draftsync", "exp": time.time() + ttl}
    granted = {"docs": dict(docs or {"*": "write"})}
    return jwt.encode(usual | granted | claims, SECRET, "HS256")


@asynccontextmanager
async def running(store: Store, **settings: Any) -> AsyncIterator[Running]:
    """Run a service; leaving the block stops it in an orderly way."""
    stop, ended = asyncio.Event(), asyncio.Event()
    verifier = TokenVerifier(SharedSecret(SECRET), audience="draftsync")

    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        yield store

    options: dict[str, Any] = {"port": 0, "transport": TRANSPORT} | settings
    # Before the loop runs in the service itself: files that settings name are looked at.
    given = await anyio.to_thread.run_sync(lambda: Settings(**options))

    async def serve_until_stopped(ready: Callable[[str], Awaitable[None]]) -> None:
        await serve(given, opened, verifier, MemoryTickets(), stop, ready)
        ended.set()

    async with anyio.create_task_group() as tasks:
        addresses, heard = anyio.create_memory_object_stream[str](1)
        with addresses, heard:
            tasks.start_soon(serve_until_stopped, addresses.send)
            url = await heard.receive()
        try:
            yield Running(url, stop, ended)
        finally:
            stop.set()
