"""Retention: old history and old events go, documents and sessions stay as they are.

What is left of a history stays readable: before the edits up to a cut go, the document as it was
there is kept as the base that history begins with.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import anyio

from persistence.store import (
    EntryInfo,
    Head,
    HistoryRemoved,
    Past,
    Position,
    Snapshot,
    Store,
    StoreError,
    to_milliseconds,
)
from sync.core.errors import NativeFailure
from sync.core.replay import replay
from sync.core.snapshot import TakenSnapshot
from sync.server.inspecting import INLINE, MOST_INLINE, Turns, Unreadable, in_worker, is_short
from sync.server.telemetry import logger

log = logger(__name__)

PAGE = 100
"""Sessions, or documents, that are looked at together."""

ENTRIES = 1_000
"""Entries of a history that are looked at together."""

MOST_ENTRIES, MOST_BYTES = 20_000, 16 * 2**20
"""Of a history that go in one step: what is read into memory for it."""

RESTING = 3.0
"""After each step nothing is removed for so many times as long as it took: edits go first."""


_turns = Turns("bases")  # those who look into histories do not stand in their way


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
        await self._finish_purges()
        if self._keep.history is not None:
            entries = await self._sweep_documents(now - self._keep.history)
        if self._keep.events is not None:
            events = await self._sweep_sessions(now - self._keep.events)
        freed = await _all_of(self._store.reclaim)
        if entries or events or freed:
            log.info("old history was removed", entries=entries, events=events, bytes=freed)

    async def _sweep_documents(self, before: float) -> int:
        removed, after = 0, ""
        while page := await self._store.heads(after=after, limit=PAGE):
            after = page[-1].document
            for head in page:
                removed += await self._sweep_document(head, before)
        return removed

    async def _sweep_document(self, head: Head, before: float) -> int:
        removed = 0
        while head.edits > removed and head.thinned < head.snapshot:
            begin = await self._rebase(head, before)
            if begin is None:
                break
            thin = partial(self._store.thin, head.document, before, until=begin)
            if not (step := await _all_of(thin)):
                break
            removed += step
            head = replace(head, thinned=begin)
        return removed

    async def _rebase(self, head: Head, before: float) -> Position | None:
        """Keep what a document was where its history is going to begin, and tell where that is.

        None: nothing may go.
        """
        cut = await self._cut(head, before)
        if cut is None:
            return None
        if cut.position == head.snapshot:  # history begins with that
            return cut.position
        try:
            past = await self._store.past(head.document, cut.position)
            taken = await _taken(past)
        except HistoryRemoved as removed:  # there is a base behind it already
            return removed.earliest
        except (NativeFailure, RecursionError, Unreadable) as failure:
            log.warning("history is kept for now", document=head.document, error=str(failure))
            return None
        base = Snapshot(
            head.document, cut.position, taken.update, taken.state_vector, cut.received_at
        )
        await self._store.rebase(base)
        return cut.position

    async def _cut(self, head: Head, before: float) -> EntryInfo | None:
        """Find the last entry that goes now: all up to it are older, and in the snapshot."""
        horizon, cut = to_milliseconds(before), None
        entries = size = 0
        after, limit = head.thinned, 1
        while True:
            page = await self._store.history(head.document, after, limit)
            for each in page.entries:
                if each.position > head.snapshot or to_milliseconds(each.received_at) >= horizon:
                    return cut
                cut = each
                entries, size = entries + 1, size + each.size
                if entries >= MOST_ENTRIES or size >= MOST_BYTES:
                    return cut
            if page.next is None:
                return cut
            after, limit = page.next, ENTRIES

    async def _finish_purges(self) -> None:
        """What a crash left of purged documents goes, too."""
        for each in await self._store.deletions():
            if each.purged:
                await _all_of(partial(self._store.purge, each.document))

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


async def _taken(past: Past) -> TakenSnapshot:
    """Make a document of its past, and prove that it can be loaded again.

    Raises NativeFailure, RecursionError, Unreadable.
    """
    base = past.base.update if past.base else None
    work = partial(_replayed, base, [entry.edit.update for entry in past.entries])
    return work() if is_short(past, INLINE, MOST_INLINE) else await in_worker(work, _turns)


def _replayed(base: bytes | None, updates: list[bytes]) -> TakenSnapshot:
    """In the worker. What cannot be read is left out, as when the document is loaded."""
    taken = TakenSnapshot.of(replay(base, updates).document)
    if not taken.verify():
        raise NativeFailure("it cannot be loaded again")
    return taken


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
