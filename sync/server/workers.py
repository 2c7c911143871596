"""Worker processes as anyio has them, made safe to be given up.

anyio forgets a worker that is only starting when its caller is cancelled: the process would stay
until the service ends. And one that idles may have ended, since the kernel takes those first when
memory is short. So a worker is woken before it is given work, and nobody is cancelled meanwhile.

A worker reads the service's files when it starts. They may have been replaced since the service
did; of work that it does not know, it would not read to the end, and answer what was not asked.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import FunctionType
from typing import TypeVar, TypeVarTuple, Unpack, cast

import anyio
from anyio import to_process

_R = TypeVar("_R")
_Args = TypeVarTuple("_Args")

_MOST_ENDED = 8  # workers that idle: a kernel short of memory takes all of them at once

_step_back = partial(os.setpriority, os.PRIO_PROCESS, 0, 10)  # whoever shares the core goes first


class _NoLimit:
    """In place of a limiter, which lets others have their turn: they might take what was woken."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


_no_limit = cast(anyio.CapacityLimiter, _NoLimit())


async def run_in_worker(function: Callable[[Unpack[_Args]], _R], *args: *_Args) -> _R:
    """Call a function in a worker process; cancelling this ends the process.

    How many there are at once is the callers' to limit. Raises what the function raises,
    anyio.BrokenWorkerProcess when it was the end of its process, and OSError when none can be had.
    """
    with anyio.CancelScope(shield=True):
        await _wake()
        await _see_that_it_knows(function, *args)
    return await to_process.run_sync(function, *args, cancellable=True, limiter=_no_limit)


async def _wake() -> None:
    """See that a worker is there that works, and that it is the next one to be taken."""
    for _ in range(_MOST_ENDED + 1):
        with suppress(anyio.BrokenWorkerProcess):
            return await to_process.run_sync(_step_back, limiter=_no_limit)
    raise OSError("no worker process can be started")


async def _see_that_it_knows(*work: object) -> None:
    """Raises OSError where the worker that was woken cannot load the functions of some work."""
    for name in _names(*work):
        try:
            await to_process.run_sync(pkgutil.resolve_name, name, limiter=_no_limit)
        except Exception as error:
            raise OSError(
                f"the files of the service were replaced, restart it: {name} cannot be loaded"
            ) from error


def _names(*work: object) -> Iterator[str]:
    for each in work:
        if isinstance(each, partial):
            yield from _names(each.func, *each.args)
        elif isinstance(each, FunctionType):
            yield f"{each.__module__}:{each.__qualname__}"
