"""How much may be in memory at once."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sync.server import allowance
from sync.server.allowance import Allowance
from sync.server.inspecting import Unreadable


class Readers:
    """Those who read something of some size, and those who still wait to."""

    def __init__(self, most: int) -> None:
        self.allowance = Allowance(most)
        self.reading: list[int] = []

    async def read(self, size: int, end: anyio.Event) -> None:
        async with self.allowance.of(size):
            self.reading.append(size)
            await end.wait()
            self.reading.remove(size)


async def test_who_asks_for_more_than_is_left_waits() -> None:
    readers, first, all_of_them = Readers(10), anyio.Event(), anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(readers.read, 6, first)
        await anyio.wait_all_tasks_blocked()
        for size in (4, 5, 1):
            tasks.start_soon(readers.read, size, all_of_them)
            await anyio.wait_all_tasks_blocked()
        assert readers.reading == [6, 4], "and the 1 does not overtake the 5"
        first.set()
        await anyio.wait_all_tasks_blocked()
        assert readers.reading == [4, 5, 1]
        all_of_them.set()


async def test_what_is_larger_than_all_is_read_alone() -> None:
    readers, end = Readers(10), anyio.Event()
    async with anyio.create_task_group() as tasks:
        for size in (1_000, 1):
            tasks.start_soon(readers.read, size, end)
            await anyio.wait_all_tasks_blocked()
        assert readers.reading == [1_000]
        end.set()


async def test_who_goes_or_waits_for_too_long_takes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = Allowance(10)
    async with given.of(9):
        with anyio.move_on_after(0) as gone:
            async with given.of(2):
                pass
        assert gone.cancelled_caught
        monkeypatch.setattr(allowance, "TURN_SECONDS", 0)
        with pytest.raises(Unreadable, match="try again"):
            async with given.of(2):
                pass
    monkeypatch.undo()
    with pytest.raises(KeyError):  # whatever happens within
        async with given.of(10):
            raise KeyError
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(given.of(1))
        await checkpoint()
