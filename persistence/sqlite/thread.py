"""A thread of its own for a connection: SQLite's calls block, and the event loop must not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import anyio

from persistence.store import StoreError

T = TypeVar("T")


class Thread:
    """One thread that carries out calls one after the other, in the order they were made."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._stopped = False

    async def run(self, call: Callable[[], T]) -> T:
        """Carry out ``call`` and hand on what it returns or raises.

        A call that was made is carried out: a commit cannot be taken back. A cancel scope waits
        for its outcome; ``asyncio.Task.cancel`` does not, and loses it.
        """
        if self._stopped:
            raise StoreError("the store is closed")
        return await self._finish(call)

    async def _finish(self, call: Callable[[], T]) -> T:
        future = self._pool.submit(call)
        with anyio.CancelScope(shield=True):
            return await asyncio.shield(asyncio.wrap_future(future))
        raise AssertionError("unreachable: a shielding scope swallows nothing")

    async def stop(self, last: Callable[[], None]) -> None:
        """Carry out what is waiting, then ``last``, and end the thread. Again: nothing."""
        if not self._stopped:
            self._stopped = True
            try:
                await self._finish(last)
            finally:
                self._pool.shutdown(wait=False)
