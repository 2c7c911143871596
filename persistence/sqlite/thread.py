"""A thread of its own for a connection: SQLite's calls block, and the event loop must not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread as SystemThread
from typing import Any, NamedTuple, TypeVar

import anyio

from persistence.store import StoreError

T = TypeVar("T")


class _Call(NamedTuple):
    call: Callable[[], Any]
    outcome: asyncio.Future[Any]


class Thread:
    """One thread that carries out calls one after the other, in the order they were made.

    ``between`` is called after each of them, when its outcome is on its way to who waits for it;
    it raises nothing.
    """

    def __init__(self, name: str, between: Callable[[], None] | None = None) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._between = between or (lambda: None)
        self._system_thread = SystemThread(target=self._run_all, name=name, daemon=True)
        self._stopped = False

    async def run(self, call: Callable[[], T]) -> T:
        """Carry out ``call`` and hand on what it returns or raises.

        A call that was made is carried out: a commit cannot be taken back. A cancel scope waits
        for its outcome; ``asyncio.Task.cancel`` does not, and loses it.
        """
        if self._stopped:
            raise StoreError("the store is closed")
        return await self._outcome(call)

    async def stop(self, last: Callable[[], None]) -> None:
        """Carry out what is waiting, then ``last``, and end the thread. Again: nothing."""
        if not self._stopped:
            self._stopped = True
            try:
                await self._outcome(last)
            finally:
                self._calls.put(None)

    async def _outcome(self, call: Callable[[], T]) -> T:
        if self._system_thread.ident is None:
            self._system_thread.start()
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put(_Call(call, outcome))
        with anyio.CancelScope(shield=True):
            return await outcome
        raise AssertionError("unreachable: a shielding scope swallows nothing")

    def _run_all(self) -> None:
        while (next_ := self._calls.get()) is not None:
            _run(next_)
            del next_  # or it would keep a batch alive until the next call
            self._between()


def _run(call: _Call) -> None:
    try:
        result = call.call()
    except BaseException as error:  # noqa: BLE001 -- it is raised where it is waited for
        _hand_on(call.outcome, call.outcome.set_exception, error)
    else:
        _hand_on(call.outcome, call.outcome.set_result, result)


def _hand_on(outcome: asyncio.Future[Any], settle: Callable[[Any], None], value: Any) -> None:
    def settle_if_awaited() -> None:
        if not outcome.done():  # whoever waited was cancelled
            settle(value)

    with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
        outcome.get_loop().call_soon_threadsafe(settle_if_awaited)
