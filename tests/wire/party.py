"""Several people on one document."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

from anyio import AsyncContextManagerMixin

from tests.support.node import NodeClient, NodeDriver
from tests.support.service import ServiceProcess


class Party(AsyncContextManagerMixin):
    """Opens clients of a server on `room`, and closes them all."""

    def __init__(self, node: NodeDriver, service: ServiceProcess, room: str) -> None:
        self.node = node
        self.service = service
        self.room = room
        self._clients: list[NodeClient] = []

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncIterator[Self]:
        try:
            yield self
        finally:
            for client in self._clients:
                await client.close()
            await self.service.check()

    async def invite(
        self,
        sub: str,
        *,
        room: str | None = None,
        docs: Mapping[str, str] | None = None,
        token: str | None = None,
        **options: Any,
    ) -> NodeClient:
        """Open a page for `sub`, with the rights `docs`, without waiting for anything."""
        await self.service.check()
        token = self.service.token(sub, docs=docs) if token is None else token
        client = await self.node.client(
            self.service.sync_url, self.room if room is None else room, token=token, **options
        )
        self._clients.append(client)
        return client

    async def join(self, sub: str, **options: Any) -> NodeClient:
        """The same, and wait until the page is in sync."""
        client = await self.invite(sub, **options)
        await client.synced()
        return client
