"""The one writer: every accepted edit goes through here to disk.

Rooms submit; the journal takes all that came since its last commit into one transaction (group
commit) and says so when it is on disk. Where many documents are edited at once, commits keep a
small distance, so that one sync to disk serves several edits; who edits alone never waits.

When the store cannot take it, the journal keeps its batch and tries again until it can: nothing is
acknowledged meanwhile, nothing forgotten.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import anyio

from persistence.store import Edit, Position, Store
from sync.server.histogram import Histogram
from sync.server.telemetry import logger

log = logger(__name__)

MAX_BATCH = 1_024
"""Edits in one transaction: what the store writes in one statement."""

FULL_BYTES = 16 * 2**20
"""Bytes that wait for the disk from which senders are made to wait."""

APART_SECONDS = 0.008
"""Between the beginnings of two commits, while many documents are edited."""

MANY_DOCUMENTS = 8
"""Edited within CROWD_SECONDS."""

CROWD_SECONDS = 0.1

_RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)


class _Submission(NamedTuple):
    edits: Sequence[Edit]
    size: int  # bytes
    at: float  # of time.perf_counter: finer than the loop's clock
    committed: Callable[[Position], None]


class _Crowd:
    """How many documents were edited of late."""

    def __init__(self) -> None:
        self._edited: set[str] = set()
        self._until = 0.0
        self.dense = False

    def note(self, document: str, now: float) -> None:
        if now >= self._until:
            just_ended = now < self._until + CROWD_SECONDS
            self.dense = just_ended and len(self._edited) >= MANY_DOCUMENTS
            self._edited.clear()
            self._until = now + CROWD_SECONDS
        self._edited.add(document)


class Journal:
    """The queue between all rooms and the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: deque[_Submission] = deque()
        self._idle: asyncio.Future[None] | None = None  # of a journal with nothing to do
        self._progress = anyio.Event()
        self._awaited = False  # somebody waits for progress
        self._unsaved = 0  # submissions that are not on disk
        self._bytes = 0
        self._crowd = _Crowd()
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._not_before = 0.0  # the next commit, while there is a crowd
        self.failing: str | None = None
        """Why the last commit did not succeed; None while all is well."""
        self.committed = 0  # edits
        self.committed_bytes = 0
        self.retries = 0
        self.latency = Histogram()
        """From the submission of edits to when they are on disk."""

    def submit(self, edits: Sequence[Edit], committed: Callable[[Position], None]) -> None:
        """Take edits on their way to disk; never waits.

        ``committed`` is called, in the order of submission, with the position of the last of them
        once all are on disk.
        """
        size = sum([len(edit.update) for edit in edits])
        self._queue.append(_Submission(edits, size, time.perf_counter(), committed))
        self._crowd.note(edits[0].document, self._now())
        self._unsaved += 1
        self._bytes += size
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    @property
    def full(self) -> bool:
        """So much waits for the disk that no more should be taken from clients."""
        return self._bytes > FULL_BYTES

    @property
    def settled(self) -> bool:
        """Everything submitted is on disk."""
        return not self._unsaved

    @property
    def unsaved_bytes(self) -> int:
        """Bytes of updates that wait for the disk."""
        return self._bytes

    async def progress(self) -> None:
        """Wait for the next commit, and for what its callbacks do with ``call_soon``."""
        self._awaited = True
        await self._progress.wait()

    async def settle(self) -> None:
        """Wait until everything submitted is on disk."""
        while not self.settled:
            await self.progress()

    async def run(self) -> None:
        """Commit what is submitted, for ever."""
        while True:
            if not self._queue:
                self._idle = self._loop.create_future()
                await self._idle
            if self._crowd.dense and (wait := self._not_before - self._now()) > 0:
                await anyio.sleep(wait)
            self._not_before = self._now() + APART_SECONDS
            await self._commit(self._take())

    def _take(self) -> list[_Submission]:
        batch: list[_Submission] = []
        edits = 0
        while self._queue and (not batch or edits + len(self._queue[0].edits) <= MAX_BATCH):
            edits += len(self._queue[0].edits)
            batch.append(self._queue.popleft())
        return batch

    async def _commit(self, batch: list[_Submission]) -> None:
        edits = [edit for submission in batch for edit in submission.edits]
        position = await self._append(edits)
        self._count(batch, len(edits))
        for submission in batch:
            position = Position(position + len(submission.edits))
            submission.committed(Position(position - 1))
        # Behind what the callbacks left for later in this turn: whoever looks at that before it has
        # happened, and waits, is woken all the same.
        self._loop.call_soon(self._tell_progress)

    def _tell_progress(self) -> None:
        if self._awaited:
            self._awaited = False
            self._progress.set()
            self._progress = anyio.Event()

    def _count(self, batch: list[_Submission], edits: int) -> None:
        size = sum([submission.size for submission in batch])
        self._unsaved -= len(batch)
        self._bytes -= size
        self.committed += edits
        self.committed_bytes += size
        now = time.perf_counter()
        if len(batch) == 1:
            self.latency.observe(now - batch[0].at)
        else:
            self.latency.observe_waits([submission.at for submission in batch], now)

    async def _append(self, edits: list[Edit]) -> Position:
        """Append until it succeeds. Whatever the store raises, the edits are not let go."""
        attempt = 0
        while True:
            try:
                position = await self._store.append(edits)
            except Exception as error:  # noqa: BLE001 - a bug in a store must not lose edits either
                if self.failing is None:
                    log.error("edits cannot be saved; trying again", error=str(error))
                self.failing = str(error) or type(error).__name__
            else:
                if self.failing is not None:
                    log.info("edits are being saved again")
                    self.failing = None
                return position
            self.retries += 1
            await anyio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
            attempt += 1
