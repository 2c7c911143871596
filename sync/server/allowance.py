"""How much may be in memory at once, of what many ask for at the same time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from sync.server.inspecting import TURN_SECONDS, Unreadable


class Allowance:
    """Bytes for all who read something large; they get them in the order in which they ask."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._turn = anyio.Lock()
        self._given_back = anyio.Event()

    @asynccontextmanager
    async def of(self, size: int) -> AsyncIterator[None]:
        """Have so many bytes within the block; who wants more than there are gets all.

        Raises Unreadable, where others keep them for too long.
        """
        size = min(size, self._most)
        with anyio.move_on_after(TURN_SECONDS) as waiting:
            await self._take(size)
        if waiting.cancelled_caught:
            raise Unreadable("others are being read: try again in a moment")
        try:
            yield
        finally:
            self._left += size
            self._given_back.set()
            self._given_back = anyio.Event()

    async def _take(self, size: int) -> None:
        async with self._turn:  # so that who wants much is not overtaken for ever
            while self._left < size:
                await self._given_back.wait()
            self._left -= size
