"""Worker processes: woken before they are given work, and none is left behind."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_process

from sync.server.workers import run_in_worker
from tests.server.parts import eventually


def children() -> set[str]:
    """The process ids of all children of this one."""
    found: set[str] = set()
    for each in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):  # threads come and go
            found |= set(each.read_text().split())
    return found


async def test_one_that_is_given_up_while_its_worker_starts_leaves_none_behind() -> None:
    before = children()
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(run_in_worker, os.getpid)
        await eventually(lambda: children() > before)
        tasks.cancel_scope.cancel()
    kept = {str(await run_in_worker(os.getpid)) for _ in range(4)}
    assert len(kept) == 1
    for pid in (ours := children() - before):
        os.kill(int(pid), signal.SIGKILL)
    await eventually(lambda: not children() & ours)
    assert str(await run_in_worker(os.getpid)) not in ours


async def test_one_that_ended_while_it_was_idle_is_not_missed() -> None:
    for _ in range(2):
        os.kill(await run_in_worker(os.getpid), signal.SIGKILL)
        assert await run_in_worker(divmod, 7, 2) == (3, 1)


async def test_all_that_ended_while_they_were_idle_are_not_missed() -> None:
    pids = set()

    async def work() -> None:
        pids.add(await run_in_worker(os.getpid))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(work)
    assert len(pids) == 4
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert await run_in_worker(divmod, 7, 2) == (3, 1)


async def test_one_that_is_cancelled_ends_with_its_work() -> None:
    pid = await run_in_worker(os.getpid)
    with anyio.move_on_after(0.05):
        await run_in_worker(signal.pause)
    await eventually(lambda: str(pid) not in children())


async def test_those_at_work_at_once_are_as_many() -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(run_in_worker, signal.pause)
        before = children()
        await eventually(lambda: len(children() - before) == 3)
        tasks.cancel_scope.cancel()


def gone(_given: bytes) -> None:
    """What the service has, and its new files do not."""


async def test_the_files_of_the_service_were_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of work it does not know a worker would read the beginning, and take the rest for more."""
    monkeypatch.setattr(gone, "__qualname__", "renamed")
    monkeypatch.setattr(sys.modules[__name__], "renamed", gone, raising=False)
    for work in (gone, partial(gone), partial(map, gone)):
        with pytest.raises(OSError, match="were replaced"):
            await run_in_worker(work, b"." * 1_000_000)
    assert await run_in_worker(divmod, 7, 2) == (3, 1)


async def test_none_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise anyio.BrokenWorkerProcess

    monkeypatch.setattr(to_process, "run_sync", broken)
    with pytest.raises(OSError, match="can be started"):
        await run_in_worker(os.getpid)
