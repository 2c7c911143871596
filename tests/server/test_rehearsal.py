"""Large updates in another process: what comes of them, and that nobody waits for them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_process, to_thread

from persistence.memory import MemoryStore
from sync.core.crdt import Replica
from sync.core.errors import MalformedMessage, Overloaded
from sync.core.room import RoomLimits
from sync.core.yprotocol import update_frame
from sync.server import rehearsal as rehearsal_module
from sync.server.connection import EXPIRED, Verdict
from sync.server.loader import Loader
from sync.server.rehearsal import LARGE, Rehearsal, _Trial, _try_update, is_large
from tests.server.parts import (
    DRAFT,
    TroubledStore,
    an_edit,
    eventually,
    identity,
    open_office,
    stored_answers,
)
from tests.support.client import Peer

BIG = "x" * (2 * LARGE)


def die(*_: object) -> _Trial:
    """In the worker: an update that is the end of the process."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def until_released(release: Path, update: bytes, max_clients: int, document: bytes) -> _Trial:
    """In the worker: an update that takes until the test lets it go, and is fine."""
    while not release.exists():
        time.sleep(0.01)
    return _try_update(update, max_clients, document)


def never_end(*_: object) -> _Trial:
    """In the worker: an update that takes for ever."""
    time.sleep(3_600)
    raise AssertionError


async def test_one_that_is_fine_and_those_that_are_not() -> None:
    """One worker for all of them: starting it is what costs."""
    peer, rehearsal = Peer(client_id=7), Rehearsal()
    update = peer.put("q", BIG)
    footprint = await rehearsal.inspect(update, 64, Replica().encode())
    assert footprint.writes == {7: (0, 1)}
    with pytest.raises(MalformedMessage):
        await rehearsal.inspect(update[:-1], 64, Replica().encode())
    with pytest.raises(MalformedMessage, match="clients"):
        await rehearsal.inspect(update, 0, Replica().encode())
    second = peer.put("r", BIG)  # stands on the first, and is tried when that has come
    footprint = await rehearsal.inspect(second, 64, Replica().encode())
    assert footprint.writes == {7: (1, 2)}


async def test_large_snapshots_are_verified_there() -> None:
    store, rehearsal = MemoryStore(), Rehearsal()
    await store.append([an_edit(key="q", value=BIG)])
    taken = (await Loader(store, RoomLimits(), rehearsal).load(DRAFT)).room.snapshot()
    assert await rehearsal.verify(taken)
    for wrong in (an_edit(key="q", value="other").update, taken.update[:-1], b"\x00\x00"):
        assert not await rehearsal.verify(replace(taken, update=wrong))


async def test_one_that_ends_the_worker_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsal = Rehearsal()
    with monkeypatch.context() as patch:
        patch.setattr(rehearsal_module, "_try_update", die)
        with pytest.raises(MalformedMessage, match="cannot be applied"):
            await rehearsal.inspect(b"\x00\x00", 64, b"\x00\x00")
    footprint = await rehearsal.inspect(b"\x00\x00", 64, b"\x00\x00")  # by another worker
    assert footprint.empty


async def test_a_worker_that_ended_while_idle_is_replaced() -> None:
    """Found by a test run: an innocent edit would be refused."""
    rehearsal = Rehearsal()
    for _ in range(2):
        os.kill(await to_process.run_sync(os.getpid), signal.SIGKILL)
        assert (await rehearsal.inspect(b"\x00\x00", 64, b"\x00\x00")).empty


async def test_one_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsal = Rehearsal(deadline=0.3)
    monkeypatch.setattr(rehearsal_module, "_try_update", never_end)
    with pytest.raises(MalformedMessage, match="too long"), anyio.fail_after(8):
        await rehearsal.inspect(b"\x00\x00", 64, b"\x00\x00")


async def test_without_a_worker_it_is_the_servers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_process(*_: object, **__: object) -> None:
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr(to_process, "run_sync", no_process)
    with pytest.raises(Overloaded):
        await Rehearsal().inspect(b"\x00\x00", 64, b"\x00\x00")


async def test_others_do_not_wait_for_a_large_update(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The worker takes as long as it takes others to save twenty edits."""
    release = tmp_path / "release"
    monkeypatch.setattr(rehearsal_module, "_try_update", partial(until_released, release))
    async with open_office(TroubledStore()) as office:
        alice, bob = await office.join(), await office.join(identity("bob"))
        await alice.put("large", BIG)
        for number in range(20):
            await bob.put("q", number)
            await bob.saved()
        assert "large" not in bob.peer.answers
        await to_thread.run_sync(release.touch)
        await alice.saved()


async def test_a_large_update_by_way_of_the_room() -> None:
    """Accepted, stored, sent on, in the order of its connection; a bad one costs its sender."""
    store = TroubledStore()
    async with open_office(store) as office:
        alice, bob = await office.join(), await office.join(identity("bob"))
        mallory = await office.join(identity("mallory"))
        await alice.put("first", 1)
        await alice.put("large", BIG)
        await alice.put("last", 2)
        await mallory.send(update_frame(Peer().put("evil", BIG)[:-1]))
        await alice.saved()
        await bob.sees("last", 2)
        assert bob.peer.answers == {"first": 1, "large": BIG, "last": 2}
        assert (await mallory.ended()).code == 4400
    assert await stored_answers(store) == {"first": 1, "large": BIG, "last": 2}


async def test_a_client_that_goes_while_its_update_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker is ended, the room in order."""
    monkeypatch.setattr(rehearsal_module, "_try_update", never_end)
    async with open_office() as office:
        alice = await office.join()
        await alice.put("large", BIG)
        await eventually(lambda: office.hub._rehearsal._turn.locked())
        [connection] = office.hub.connections
        office.hub.end(connection, Verdict(4401, EXPIRED))
        assert (await alice.ended()).code == 4401
        await eventually(lambda: not office.hub._rehearsal._turn.locked())
        bob = await office.join(identity("bob"))
        await bob.put("q", 1)
        await bob.saved()
        assert office.hub.rooms[DRAFT].room.members == 1


@pytest.mark.parametrize(
    ("update", "large"),
    [
        (b"", False),
        (b"\x40" + b"\x00" * 99, False),  # 64 clients
        (b"\x41" + b"\x00" * 99, True),  # 65
        (b"\x80\x20" + b"\x00" * 99, True),  # 4,096
        (b"\x01" + b"\x00" * LARGE, True),
    ],
)
def test_what_is_rehearsed(update: bytes, large: bool) -> None:
    assert is_large(update) is large
