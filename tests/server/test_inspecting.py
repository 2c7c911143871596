"""Looking into pasts: what is small at once, everything else in a worker."""

from __future__ import annotations

import os
import time

import anyio
import pytest
from anyio import to_process

from persistence.store import (
    NOWHERE,
    ClientRange,
    Damage,
    Deletion,
    Edit,
    Entry,
    Past,
    Position,
    Snapshot,
)
from sync.core.errors import NativeFailure
from sync.server import inspecting
from sync.server.inspecting import Turns, Unreadable, in_worker, inspected, is_short
from sync.server.rehearsal import MANY_CLIENTS

_test_turns = Turns("test_inspecting")


def past(*updates: bytes, base: bytes | None = None) -> Past:
    """What such updates are stored as."""
    entries = tuple(
        Entry(
            Position(n),
            Edit("notes", update, f"author {n}", (ClientRange(n, 0, 5, True),), n / 8, n, True),
        )
        for n, update in enumerate(updates, 2)
    )
    begin = Snapshot("notes", Position(1), base, b"\x00", 1.0) if base is not None else None
    head = entries[-1].position if entries else NOWHERE
    damage = Damage(Position(9), "entry", "its checksum is wrong")
    return Past("notes", begin, entries, head, head, (damage,), Deletion("notes", "eve", 2.0))


def shown(*pasts: Past) -> bytes:
    return repr(pasts).encode()


def process(_past: Past) -> bytes:
    return f"{os.getpid()} {os.getpriority(os.PRIO_PROCESS, 0)}".encode()


def failing(_past: Past) -> bytes:
    raise NativeFailure("no")


def recursing(_past: Past) -> bytes:
    raise RecursionError


def dying(_past: Past) -> bytes:
    os._exit(3)


def sleeping(_past: Past) -> bytes:
    time.sleep(60)
    return b""


SMALL = past(b"\x00\x00")
LARGE = past(b"\x00" * (inspecting.INLINE + 1))


async def test_what_is_small_is_looked_into_here() -> None:
    told = await inspected(process, [SMALL])
    assert told.split()[0] == str(os.getpid()).encode()


@pytest.mark.parametrize(
    "large",
    [
        LARGE,
        past(*[b"\x00\x00"] * (inspecting.MOST_INLINE + 1)),
        past(bytes([MANY_CLIENTS + 1, 0])),  # the library takes long for them
        past(base=b"\x00" * (inspecting.INLINE + 1)),
        past(b"\x00" * (inspecting.INLINE // 2 + 1), base=b"\x00" * (inspecting.INLINE // 2)),
    ],
    ids=["bytes", "entries", "clients", "base", "together"],
)
async def test_everything_else_in_a_worker(large: Past) -> None:
    for pasts in ([large], [large, SMALL], [SMALL, large]):
        told = await inspected(shown_with_process, pasts)
        pid, priority, text = told.split(b" ", 2)
        assert pid != str(os.getpid()).encode()
        assert int(priority) >= 10  # whoever works on documents goes first
        assert text == shown(*pasts)


def shown_with_process(*pasts: Past) -> bytes:
    return process(pasts[0]) + b" " + shown(*pasts)


async def test_nothing_is_lost_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "PACKED", 2)
    for count in (0, 1, 2, 3, 4, 5):
        one = past(*[bytes([n]) * 3 for n in range(count)], base=bytes(inspecting.INLINE + 1))
        assert await inspected(shown, [one]) == shown(one)


def test_what_is_short() -> None:
    two = past(b"\x00\x00", b"\x01\x00", base=b"\x00")
    assert is_short(two, 5, 2)
    assert not is_short(two, 4, 2)
    assert not is_short(two, 5, 1)
    assert is_short(past(), 0, 0)


@pytest.mark.parametrize("work", [failing, recursing])
@pytest.mark.parametrize("of", [SMALL, LARGE], ids=["here", "worker"])
async def test_what_the_library_fails_on(work: object, of: Past) -> None:
    with pytest.raises(Unreadable, match="it is damaged"):
        await inspected(work, [of])  # type: ignore[arg-type] # parametrised


async def test_a_worker_that_dies() -> None:
    with pytest.raises(Unreadable, match="reading it failed"):
        await inspected(dying, [LARGE])
    assert await inspected(shown, [LARGE]) == shown(LARGE)


async def test_a_worker_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await inspected(shown, [LARGE])  # it has started
    monkeypatch.setattr(inspecting, "WORKER_SECONDS", 0.05)
    with pytest.raises(Unreadable, match="takes too long"):
        await inspected(sleeping, [LARGE])
    monkeypatch.undo()
    assert await inspected(shown, [LARGE]) == shown(LARGE)


async def test_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another kind of work has turns of its own; who has gone gives theirs back."""
    monkeypatch.setattr(inspecting, "TURN_SECONDS", 0.05)
    running = anyio.Event()

    async def hold(*_: object) -> bytes:
        running.set()
        await anyio.sleep_forever()
        return b""

    async with anyio.create_task_group() as tasks:
        with monkeypatch.context() as held:
            held.setattr(inspecting, "run_in_worker", hold)
            tasks.start_soon(inspected, shown, [LARGE])
            await running.wait()
        with pytest.raises(Unreadable, match="others are being read"):
            await inspected(shown, [LARGE])
        assert await in_worker(answer, _test_turns) == 42
        tasks.cancel_scope.cancel()
    assert await inspected(shown, [LARGE]) == shown(LARGE)


def answer() -> int:
    return 42


async def test_no_worker_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lacking(*_: object, **__: object) -> bytes:
        raise OSError("too many open files")

    monkeypatch.setattr(to_process, "run_sync", lacking)
    with pytest.raises(Unreadable, match="reading it failed"):
        await inspected(shown, [LARGE])
