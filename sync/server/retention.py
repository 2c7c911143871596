"""Retention: old history and old events go, documents and sessions stay as they are."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import anyio

from persistence.store import Store, StoreError
from sync.server.telemetry import logger

log = logger(__name__)

PAGE = 100
"""Sessions that are looked at together."""

RESTING = 3.0
"""After each step nothing is removed for so many times as long as it took: edits go first."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How long, in seconds, what is not needed any more is kept. None: for ever."""

    history: float | None = None  # edits that a document's snapshot contains
    events: float | None = None  # of sessions


class Retention:
    """Removes what is older than it is to be kept, and gives the space back.

    A document's current state stays, and the last event of a session. ``truncated`` is told how
    many events a session lost.
    """

    def __init__(
        self,
        store: Store,
        keep: Keep,
        truncated: Callable[[str, int], None] = lambda _session, _events: None,
        interval: float = 600.0,
    ) -> None:
        self._store = store
        self._keep = keep
        self._truncated = truncated
        self._interval = interval

    async def run(self) -> None:
        """Sweep every ``interval`` seconds, for ever. What fails is logged, and tried next time."""
        if self._keep == Keep():
            return
        while True:
            await anyio.sleep(self._interval)
            try:
                await self._sweep(time.time())
            except StoreError as error:
                log.warning("history is kept for now", error=str(error))
            except Exception:  # a bug costs the sweep, not the server
                log.exception("history is kept for now")

    async def _sweep(self, now: float) -> None:
        entries = events = 0
        if self._keep.history is not None:
            entries = await self._sweep_documents(now - self._keep.history)
        if self._keep.events is not None:
            events = await self._sweep_sessions(now - self._keep.events)
        freed = await _all_of(self._store.reclaim)
        if entries or events or freed:
            log.info("old history was removed", entries=entries, events=events, bytes=freed)

    async def _sweep_documents(self, before: float) -> int:
        removed = 0
        for head in await self._store.heads():
            if head.edits and head.thinned < head.snapshot:
                removed += await _all_of(partial(self._store.thin, head.document, before))
        return removed

    async def _sweep_sessions(self, before: float) -> int:
        removed, after = 0, 0
        while page := await self._store.sessions(after=after, limit=PAGE):
            after = page[-1].number
            for each in page:
                if each.created_at < before and each.truncated + 1 < each.top:
                    gone = await _all_of(partial(self._store.truncate, each.session, before))
                    self._truncated(each.session, gone)
                    removed += gone
        return removed


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
