"""Large updates and snapshots are tried out in another process first.

An update of a megabyte can take the interpreter for a second, and one made to harm can take the
process. So it is inspected and applied to a copy of the document in a worker process with a
deadline and a memory limit; only what went well there is done here.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import anyio

from sync.core.document import Document
from sync.core.errors import MalformedMessage, NativeFailure, Overloaded
from sync.core.footprint import Footprint, missing
from sync.core.guard import inspect
from sync.core.snapshot import TakenSnapshot
from sync.core.split import split
from sync.server.deep_stack import run_deep
from sync.server.workers import run_in_worker

LARGE = 64 * 2**10
"""Bytes from which an update, or a snapshot, is tried out elsewhere."""

SMALL = 8 * 2**10
"""Bytes up to which a snapshot is verified at once: that takes a millisecond or two."""

SPLIT = 512 * 2**10
"""Bytes from which a snapshot is loaded in parts: whole it would hold the loop for 15 ms."""

PART = 64 * 2**10

MANY_CLIENTS = 64
"""Edits of more clients than this can cost the library seconds in a few kilobytes."""

VERIFY_SECONDS = 60.0
"""How long the verification of a snapshot may take."""

_MEMORY = 4 * 2**30  # address space of the worker, its deep stack of 512 MiB included


def is_large(update: bytes) -> bool:
    """The update is to be rehearsed. (It begins with the count of its clients.)"""
    return len(update) > LARGE or (len(update) > 0 and update[0] > MANY_CLIENTS)


class Unverified(Exception):
    """Whether a snapshot can be loaded again could not be found out."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """What came of an update in the worker."""

    footprint: Footprint | None
    refusal: str | None = None


class Rehearsal:
    """A worker process, started when first needed."""

    def __init__(self, deadline: float = 10.0) -> None:
        """``deadline``: seconds until a trial is ended and the update refused."""
        self._deadline = deadline
        self._turn = anyio.Lock()  # waiting for it is not the update's fault, and does not count
        self._verifying = anyio.CapacityLimiter(1)

    async def inspect(self, update: bytes, max_clients: int, document: bytes) -> Footprint:
        """Inspect an update and apply it to a copy of the document.

        Raises MalformedMessage when it is refused, too slow, or the end of the worker; Overloaded
        when no worker can be had.
        """
        try:
            async with self._turn:
                trial = await self._try(update, max_clients, document)
        except TimeoutError:
            raise MalformedMessage("this Yjs update was refused: it takes too long") from None
        except anyio.BrokenWorkerProcess:
            raise MalformedMessage("this Yjs update was refused: it cannot be applied") from None
        except OSError as error:
            raise Overloaded("large edits cannot be taken now: come back later") from error
        if trial.footprint is None:
            raise MalformedMessage(trial.refusal or "this Yjs update was refused")
        return trial.footprint

    async def _try(self, update: bytes, max_clients: int, document: bytes) -> _Trial:
        with anyio.fail_after(self._deadline):
            return await run_in_worker(_try_update, update, max_clients, document)

    async def split(self, snapshot: bytes) -> list[bytes]:
        """A snapshot in parts, if that can be had; else whole."""
        if len(snapshot) <= SPLIT:
            return [snapshot]
        try:
            with anyio.fail_after(VERIFY_SECONDS):
                async with self._verifying:
                    return await run_in_worker(_split, snapshot)
        except (TimeoutError, anyio.BrokenWorkerProcess, OSError, MalformedMessage):
            return [snapshot]

    async def verify(self, taken: TakenSnapshot) -> bool:
        """Tell whether a snapshot can be loaded again. Raises Unverified when nobody can tell."""
        try:
            with anyio.fail_after(VERIFY_SECONDS):
                async with self._verifying:
                    return await run_in_worker(_verify, taken)
        except TimeoutError as error:
            raise Unverified(f"it takes longer than {VERIFY_SECONDS:.0f} s") from error
        except (anyio.BrokenWorkerProcess, OSError) as error:
            raise Unverified(f"the worker process: {error.__cause__ or error!r}") from error


def _split(snapshot: bytes) -> list[bytes]:
    """In the worker."""
    return split(snapshot, PART)


def _verify(taken: TakenSnapshot) -> bool:
    """In the worker: verify on a deep stack."""
    return run_deep(taken.verify)


def _try_update(update: bytes, max_clients: int, document: bytes) -> _Trial:
    """In the worker: read the update, and apply it where its dependencies allow."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))

    def attempt() -> _Trial:
        footprint = inspect(update, max_clients)
        copy = Document(document)
        if not missing(footprint, copy.clocks):
            began = time.process_time()
            copy.check(update, footprint)
            copy.apply(update, footprint)
            if time.process_time() - began > 0.25 + 0.5 * len(update) / 2**20:
                return _Trial(None, "this Yjs update was refused: it takes too long to merge")
        return _Trial(footprint)

    try:
        return run_deep(attempt)
    except MalformedMessage as error:
        return _Trial(None, error.reason)
    except (NativeFailure, MemoryError):
        return _Trial(None, "this Yjs update was refused: it cannot be applied")
