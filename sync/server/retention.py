"""Retention: old history goes, the documents stay as they are."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial

import anyio

from persistence.store import Store, StoreError
from sync.server.telemetry import logger

log = logger(__name__)

RESTING = 3.0
"""After each step nothing is removed for so many times as long as it took: edits go first."""


class Retention:
    """Removes the history that is older than ``keep_seconds``, and gives its space back.

    Only what a document's snapshot contains is removed; the store sees to that. None keeps
    everything.
    """

    def __init__(self, store: Store, keep_seconds: float | None, interval: float = 600.0) -> None:
        self._store = store
        self._keep_seconds = keep_seconds
        self._interval = interval

    async def run(self) -> None:
        """Sweep every ``interval`` seconds, for ever. What fails is logged, and tried next time."""
        if self._keep_seconds is None:
            return
        while True:
            await anyio.sleep(self._interval)
            try:
                await self._sweep(time.time() - self._keep_seconds)
            except StoreError as error:
                log.warning("history is kept for now", error=str(error))
            except Exception:  # a bug costs the sweep, not the server
                log.exception("history is kept for now")

    async def _sweep(self, before: float) -> None:
        removed = 0
        for head in await self._store.heads():
            if head.edits and head.thinned < head.snapshot:
                removed += await _all_of(partial(self._store.thin, head.document, before))
        freed = await _all_of(self._store.reclaim)
        if removed or freed:
            log.info("old history was removed", entries=removed, bytes=freed)


async def _all_of(step: Callable[[], Awaitable[int]]) -> int:
    """Repeat a step until nothing is left to do, resting in between; return how much was done."""
    total = 0
    while True:
        began = anyio.current_time()
        done = await step()
        total += done
        if not done:
            return total
        await anyio.sleep(RESTING * (anyio.current_time() - began))
