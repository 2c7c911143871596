"""Snapshots: written when a room sleeps and when its tail grows; never believed unverified."""

from __future__ import annotations

import random

import anyio
import pytest

from persistence.store import NOWHERE, StoreUnavailable
from sync.core.crdt import Replica
from sync.core.errors import NativeFailure
from sync.core.names import DocumentName
from sync.core.room import Room
from sync.core.snapshot import TakenSnapshot
from sync.server import rehearsal as rehearsal_module
from sync.server import snapshots as snapshots_module
from tests.server.parts import (
    DISK_FULL,
    DRAFT,
    Office,
    TroubledStore,
    eventually,
    open_office,
    stored_answers,
)


async def edit_many(office: Office, count: int, document: DocumentName = DRAFT) -> None:
    client = await office.join(document=document)
    for number in range(count):
        await client.put(f"q{number}", number)
        await client.saved()
    office.leave(client)


async def test_a_room_that_goes_to_sleep_leaves_a_snapshot() -> None:
    store = TroubledStore()
    async with open_office(store, unload_seconds=0.001) as office:
        await edit_many(office, 5)
        await eventually(lambda: office.hub.statistics().rooms == 0)
    stored = await store.load(DRAFT)
    assert stored.snapshot is not None
    assert (stored.snapshot.position, stored.entries) == (5, ())
    assert await stored_answers(store) == {f"q{n}": n for n in range(5)}


async def test_a_room_that_was_only_read_leaves_none() -> None:
    store = TroubledStore()
    async with open_office(store, unload_seconds=0.001) as office:
        await edit_many(office, 1)
        await eventually(lambda: office.hub.statistics().rooms == 0)
        office.leave(await office.join())
        await eventually(lambda: office.hub.statistics().rooms == 0)
    assert len(store.compacted) == 1


async def test_a_tail_that_grows_is_cut_while_people_write() -> None:
    store = TroubledStore()
    async with open_office(store, snapshot_tail=10) as office:
        await edit_many(office, 35)
        await eventually(lambda: len(store.compacted) >= 2)
        positions = [snapshot.position for snapshot in store.compacted]
    assert positions == sorted(positions)
    assert positions[0] >= 10
    assert await stored_answers(store) == {f"q{n}": n for n in range(35)}


async def test_nobody_who_writes_waits_for_a_snapshot() -> None:
    store = TroubledStore()
    async with open_office(store, snapshot_tail=5, snapshot_calm=3_600) as office:
        await edit_many(office, 10)
        resident, snapshots = office.hub.rooms[DRAFT], office.hub._snapshots
        for written_meanwhile in (1, 0):
            assert not store.compacted
            assert resident.calm_timer is not None
            resident.calm_timer.cancel()
            accepted = resident.room.accepted - written_meanwhile
            snapshots._begin_when_calm(resident, accepted)
        await eventually(lambda: len(store.compacted) == 1)


async def test_who_never_pauses_gets_one_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots_module, "BUSY", 3)
    store = TroubledStore()
    async with open_office(store, snapshot_tail=5, snapshot_calm=3_600) as office:
        client = await office.join()
        for number in range(1, 16):
            await client.put("q", number)
            await client.saved()
            resident = office.hub.rooms[DRAFT]
            if resident.calm_timer is not None:  # it runs out, and there was another edit
                assert not store.compacted
                resident.calm_timer.cancel()
                office.hub._snapshots._begin_when_calm(resident, resident.room.accepted - 1)
        await eventually(lambda: len(store.compacted) == 1)
    assert store.compacted[0].position == 15


async def test_a_long_document_is_not_written_again_for_a_few_bytes() -> None:
    """Entries alone do not make a snapshot due: their bytes have to be worth it."""
    store = TroubledStore()
    async with open_office(store, snapshot_tail=2) as office:
        client = await office.join()
        for key, value in (("long", "x" * 50_000), ("q", "first"), ("q", "second")):
            await client.put(key, value)
            await client.saved()
        await eventually(lambda: len(store.compacted) == 1)
        for number in range(20):
            await client.put("q", number)
            await client.saved()
        assert len(store.compacted) == 1


@pytest.mark.parametrize("seed", range(10))
async def test_a_snapshot_holds_what_stands_before_it_and_no_more(seed: int) -> None:
    """Held against the log, whatever was under way when it was made."""
    chance, store = random.Random(seed), TroubledStore()
    async with open_office(store, snapshot_tail=3) as office:
        writers = [await office.join() for _ in range(3)]
        for number in range(40):
            await chance.choice(writers).put(f"q{number}", number)
            for _ in range(chance.randrange(4)):
                await anyio.lowlevel.checkpoint()
        for writer in writers:
            await writer.saved()
        entries = (await store.inner.load(DRAFT)).entries
    assert store.compacted
    log = store.inner._documents[DRAFT].entries  # type: ignore[attr-defined] # a MemoryStore's
    assert entries is not None
    for snapshot in store.compacted:
        replica = Replica()
        for entry in log:
            if entry.position <= snapshot.position:
                replica.apply(entry.edit.update)
        assert replica.encode() == snapshot.update, f"seed {seed}, at {snapshot.position}"


async def test_one_that_fails_its_verification_leaves_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(TakenSnapshot, "verify", lambda _: False)
    store = TroubledStore()
    async with open_office(store, unload_seconds=0.001) as office:
        await edit_many(office, 3)
        await eventually(lambda: office.hub.statistics().rooms == 0)
    stored = await store.load(DRAFT)
    assert (stored.snapshot, len(stored.entries)) == (None, 3)
    assert "failed its verification" in caplog.text


async def test_one_that_nobody_can_verify_leaves_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rehearsal_module, "VERIFY_SECONDS", 0)
    monkeypatch.setattr(snapshots_module, "SMALL", 0)
    store = TroubledStore()
    async with open_office(store, unload_seconds=0.001) as office:
        await edit_many(office, 3)
        await eventually(lambda: office.hub.statistics().rooms == 0)
    stored = await store.load(DRAFT)
    assert (stored.snapshot, len(stored.entries)) == (None, 3)
    assert "no snapshot" in caplog.text


async def test_one_that_the_library_cannot_make_leaves_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_room: Room) -> TakenSnapshot:
        raise NativeFailure("PanicException: injected")

    store = TroubledStore()
    async with open_office(store, unload_seconds=0.001) as office:
        client = await office.join()
        await client.put("q", 1)
        await client.saved()
        monkeypatch.setattr(Room, "snapshot", fail)
        office.leave(client)
        await eventually(lambda: office.hub.statistics().rooms == 0)
    assert (await store.load(DRAFT)).snapshot is None
    assert await stored_answers(store) == {"q": 1}


async def test_a_bug_in_making_them_costs_no_more_than_themselves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the server while it runs, nor the end of it: it was found to hang there."""

    def fail(_taken: TakenSnapshot) -> bool:
        raise RuntimeError("a bug")

    monkeypatch.setattr(TakenSnapshot, "verify", fail)
    store = TroubledStore()
    async with open_office(store, unload_seconds=0.001) as office:
        client = await office.join()
        await client.put("q", 1)
        await client.saved()
        office.leave(client)
        await eventually(lambda: office.hub.statistics().rooms == 0)
        await (await office.join()).saved()
    assert "no snapshot" in caplog.text
    assert await stored_answers(store) == {"q": 1}


@pytest.mark.parametrize("failure", [DISK_FULL, StoreUnavailable("locked"), ValueError("no entry")])
async def test_one_that_the_store_does_not_take_costs_nothing(failure: Exception) -> None:
    store = TroubledStore()
    async with open_office(store, unload_seconds=0.001) as office:
        client = await office.join()
        await client.put("q", 1)
        await client.saved()
        store.failure = failure
        office.leave(client)
        await eventually(lambda: office.hub.statistics().rooms == 0)
        store.failure = None
        assert (await office.join()).peer.answers == {"q": 1}


async def test_large_ones_are_verified_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    async def verify(_: object, taken: TakenSnapshot) -> bool:
        asked.append(len(taken.update))
        await anyio.lowlevel.checkpoint()
        return True

    monkeypatch.setattr(rehearsal_module.Rehearsal, "verify", verify)
    monkeypatch.setattr(snapshots_module, "SMALL", 1_000)
    store = TroubledStore()
    async with open_office(store, unload_seconds=0.001) as office:
        client = await office.join()
        await client.put("q", "x" * 2_000)
        await client.saved()
        office.leave(client)
        await eventually(lambda: office.hub.statistics().rooms == 0)
    assert len(asked) == 1
    assert (await store.load(DRAFT)).head != NOWHERE
