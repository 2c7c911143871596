"""The one way of events to disk, beside the edits' (:mod:`sync.server.journal`).

What came since the last commit is one transaction. While several come at once, commits keep a small
distance, so that one sync to disk serves all of them; who publishes alone never waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import anyio

from persistence.store import Record, Store, StoreUnavailable
from sync.server.histogram import Histogram
from sync.server.telemetry import logger

log = logger(__name__)

MAX_BATCH = 512
"""Records in one transaction."""

FULL_BYTES = 16 * 2**20
"""Bytes that wait for the disk from which those who publish are made to wait."""

APART_SECONDS = 0.004
"""Between the beginnings of two commits, while many publish."""

_RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)


_OVERHEAD = 500
"""Bytes that a record takes beside its texts, about."""


class _Submission(NamedTuple):
    record: Record
    size: int  # bytes, about
    committed: Callable[[int], None]
    offset: asyncio.Future[int]
    at: float  # of time.perf_counter: finer than the loop's clock


class EventJournal:
    """The queue between all sessions and the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: deque[_Submission] = deque()
        self._wake = anyio.Event()
        self._progress = anyio.Event()  # set, and made anew, with every commit
        self._unsaved = 0  # records
        self._bytes = 0
        self._loop = asyncio.get_running_loop()
        self.failing: str | None = None
        """Why the last commit did not succeed; None while all is well."""
        self.committed = 0  # records
        self.retries = 0
        self.latency = Histogram()
        """From the submission of a record to when it is on disk."""

    def submit(self, record: Record, committed: Callable[[int], None]) -> asyncio.Future[int]:
        """Take a record on its way to disk; never waits.

        ``committed`` is called with its offset, in the order of submission, when it is on disk; the
        future has it a moment later. Raised by the future: what the store refuses (ValueError).
        """
        offset: asyncio.Future[int] = self._loop.create_future()
        size = (
            _OVERHEAD + len(record.event.data) + (len(record.change.body) if record.change else 0)
        )
        self._queue.append(_Submission(record, size, committed, offset, time.perf_counter()))
        self._unsaved += 1
        self._bytes += size
        self._wake.set()
        return offset

    @property
    def depth(self) -> int:
        """Records that are not on disk."""
        return self._unsaved

    @property
    def full(self) -> bool:
        """So much waits for the disk that no more should be taken."""
        return self._bytes > FULL_BYTES

    async def room(self) -> None:
        """Wait while it is full."""
        while self.full:
            await self._progress.wait()

    async def settle(self) -> None:
        """Wait until everything submitted is on disk."""
        while self._unsaved:
            await self._progress.wait()

    async def run(self) -> None:
        """Commit what is submitted, for ever."""
        while True:
            if not self._queue:
                self._wake = anyio.Event()
                await self._wake.wait()
            began = self._loop.time()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
            await self._commit(batch)
            if len(batch) > 1 and (wait := began + APART_SECONDS - self._loop.time()) > 0:
                await anyio.sleep(wait)

    async def _commit(self, batch: list[_Submission]) -> None:
        try:
            offsets = await self._record([each.record for each in batch])
        except Exception as error:  # noqa: BLE001 - a bug costs whose it is, not the others
            if len(batch) == 1:
                self._refuse(batch[0], error)
            else:
                for submission in batch:
                    await self._commit([submission])
            return
        self.committed += len(batch)
        self.latency.observe_waits([each.at for each in batch], time.perf_counter())
        for submission, offset in zip(batch, offsets, strict=True):
            submission.committed(offset)
            if not submission.offset.done():  # or whoever asked for it has gone
                submission.offset.set_result(offset)
        self._done(batch)

    def _refuse(self, submission: _Submission, error: Exception) -> None:
        log.error("an event was refused by the store", error=str(error))
        if not submission.offset.done():
            submission.offset.set_exception(error)
            submission.offset.exception()  # whoever asked may have gone
        self._done([submission])

    def _done(self, batch: list[_Submission]) -> None:
        self._unsaved -= len(batch)
        self._bytes -= sum([each.size for each in batch])
        self._progress.set()
        self._progress = anyio.Event()

    async def _record(self, records: list[Record]) -> list[int]:
        attempt = 0
        while True:
            try:
                offsets = await self._store.record(records)
            except StoreUnavailable as error:
                if self.failing is None:
                    log.error("events cannot be saved; trying again", error=str(error))
                self.failing = str(error) or type(error).__name__
            except ValueError:  # about a record: the store is well
                self._recover()
                raise
            else:
                self._recover()
                return offsets
            self.retries += 1
            await anyio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
            attempt += 1

    def _recover(self) -> None:
        if self.failing is not None:
            log.info("events are being saved again")
            self.failing = None
