"""Updates made to harm, over real sockets against the real process, while others work.

Each attack comes from a connection of its own, as an update and as a step2, and two honest editors
go on all the while. What the attacker is told is in `tests.support.hostile`; the honest lose
nothing and are kept waiting for a bounded time, which the tests print and record.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
import pytest
from anyio.abc import TaskGroup
from websockets.asyncio.client import ClientConnection

from tests.support.hostile import (
    PATIENCE,
    Attack,
    Ending,
    Fate,
    attacks,
    barrier,
    dial,
    ending,
    peak_memory,
    read_map,
    step1,
    step2,
    sync_update,
    two_editors,
    whole,
)
from tests.support.service import ServiceProcess

WORST_WAIT = 2.0
"""Seconds that an honest editor may ever wait for SAVED; the figures themselves are printed."""

MEMORY = 300 * 2**20
"""Bytes by which all attacks together may raise the server's peak."""

KINDS: dict[str, Callable[[bytes], bytes]] = {"update": sync_update, "step2": step2}
CODES = {Fate.REFUSED: 4400, Fate.FORBIDDEN: 4403, Fate.HELD: 1013}

Record = Callable[[str, object], None]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    async with ServiceProcess(tmp_path / "drafts.db") as process:
        yield process


@dataclass(slots=True)
class Siege:
    """A server under attack: who attacked, how it ended, and what the honest wrote meanwhile."""

    service: ServiceProcess
    tasks: TaskGroup
    endings: dict[str, Ending] = field(default_factory=dict)
    written: dict[str, dict[str, int]] = field(default_factory=dict)
    worst: dict[str, float] = field(default_factory=dict)

    async def attack(self, attack: Attack, kind: str, room: str) -> Fate:
        """Send an attack; return once it is decided. The end itself is waited for elsewhere."""
        label = f"{attack.name} as {kind}"
        decided = anyio.Event()
        found: list[Fate] = []

        async def besiege() -> None:
            async with dial(self.service, room, f"{label} in {room}") as socket:
                for each in attack.updates:
                    await socket.send(KINDS[kind](each))
                await socket.send(barrier(b"attack"))
                await socket.send(step1())
                found.append(await _verdict(socket))
                decided.set()
                if found[0] is not Fate.TAKEN:
                    # what is held may yet be released, by another who brings what it lacks
                    self.endings[f"{label} in {room}"] = await ending(
                        socket, unless=barrier(b"attack")
                    )

        self.tasks.start_soon(besiege)
        with anyio.fail_after(PATIENCE):
            await decided.wait()
        return found[0]

    @asynccontextmanager
    async def honest_work(self, room: str, label: str) -> AsyncIterator[None]:
        """Two people edit a room before, during and after; nothing of it is lost or late."""
        enough = anyio.Event()
        async with two_editors(self.service, room) as editors:
            async with anyio.create_task_group() as tasks:
                for editor in editors:
                    tasks.start_soon(editor.keep_editing, enough)
                yield
                enough.set()
            for editor in editors:
                await editor.edit()
            await editors[0].hears_all_of(editors[1])
            await editors[1].hears_all_of(editors[0])
            self.written.setdefault(room, {}).update(editors[0].written | editors[1].written)
        self.worst[label] = max(wait for editor in editors for wait in editor.waits)

    async def holds_everything(self) -> None:
        """Every room shows a newcomer all that the honest wrote."""
        for room, written in self.written.items():
            found = read_map(await whole(self.service, room))
            assert found == written, f"{room}: {found} instead of {written}"


async def _verdict(socket: ClientConnection) -> Fate:
    """What became of an attack: a reason, or the barrier behind it; or neither, since it is held.

    The answer to a step1 that was sent last tells that everything before it has been looked at.
    """
    with anyio.move_on_after(PATIENCE) as patience:
        while True:
            frame = await socket.recv()
            assert isinstance(frame, bytes)
            if frame[:2] == b"\x02\x00":
                return Fate.FORBIDDEN if b"client id" in frame else Fate.REFUSED
            if frame == barrier(b"attack"):
                return Fate.TAKEN
            if frame[:2] == b"\x00\x01":
                patience.deadline = anyio.current_time() + 0.5  # for the disk
    return Fate.HELD


@asynccontextmanager
async def siege(service: ServiceProcess) -> AsyncIterator[Siege]:
    """Leaving the block waits until every attacker has gone."""
    async with anyio.create_task_group() as tasks:
        laid = Siege(service, tasks)
        yield laid


@pytest.mark.long
async def test_every_attack_alone(service: ServiceProcess, record_property: Record) -> None:
    """Each in a room of its own: its fate is as documented, its room works on, and loads again."""
    before = peak_memory(service.pid)
    async with siege(service) as laid:
        for number, (attack, kind) in enumerate(_all_attacks()):
            label = f"{attack.name} as {kind}"
            async with laid.honest_work(f"room/{number}", label):
                fate = await laid.attack(attack, kind, f"room/{number}")
            assert fate is attack.fate_as(kind), label
    _check_endings(laid)
    await laid.holds_everything()
    grown = peak_memory(service.pid) - before
    _report(laid.worst, record_property, grown)
    assert grown < MEMORY
    await service.kill()
    await service.start()
    await laid.holds_everything()


@pytest.mark.long
async def test_all_attacks_on_one_room(service: ServiceProcess, record_property: Record) -> None:
    """In a row, in two orders by seed: what one leaves behind helps the next."""
    async with siege(service) as laid, anyio.create_task_group() as tasks:
        for seed in (1, 2):
            tasks.start_soon(_storm_a_room, laid, seed)
    for label, end in laid.endings.items():
        if end.code:
            _check_ending(label, end)
    await laid.holds_everything()
    _report(laid.worst, record_property)
    await service.kill()
    await service.start()
    await laid.holds_everything()


async def _storm_a_room(laid: Siege, seed: int) -> None:
    order = list(_all_attacks())
    Random(seed).shuffle(order)
    async with laid.honest_work(f"room/{seed}", f"all, seed {seed}"):
        for attack, kind in order:
            await laid.attack(attack, kind, f"room/{seed}")


def _all_attacks() -> Iterator[tuple[Attack, str]]:
    return ((attack, kind) for attack in attacks() for kind in KINDS)


def _check_endings(laid: Siege) -> None:
    for number, (attack, kind) in enumerate(_all_attacks()):
        label = f"{attack.name} as {kind} in room/{number}"
        fate = attack.fate_as(kind)
        if fate is not Fate.TAKEN:
            end = laid.endings[label]
            assert end.code == CODES[fate], f"{label}: {end}"
            _check_ending(label, end)


def _check_ending(label: str, end: Ending) -> None:
    assert end.code in CODES.values(), f"{label}: {end}"
    assert end.close_reason, f"{label}: closed without a reason"


def _report(worst: dict[str, float], record: Record, grown: int | None = None) -> None:
    figures = {label: round(wait * 1000, 1) for label, wait in worst.items()}
    print(json.dumps(figures, indent=1))
    record("worst send to SAVED, ms", figures)
    if grown is not None:
        print(f"peak memory: + {grown / 2**20:.1f} MiB")
        record("peak memory, bytes", grown)
    late = {label: wait for label, wait in worst.items() if wait > WORST_WAIT}
    assert not late
