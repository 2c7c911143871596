"""Deletion: nothing that was taken is lost, nobody is told before it is true, nobody undoes it."""

from __future__ import annotations

import random
from dataclasses import replace

import anyio
import pytest
from anyio.abc import TaskGroup
from pycrdt import Map

from auth.access import Identity
from persistence.memory import MemoryStore
from persistence.store import StoreUnavailable
from sync.core.errors import Deleted, Draining, NotDeleted, Overloaded, UnknownDocument
from sync.core.names import DocumentName
from sync.core.yprotocol import update_frame
from sync.server.connection import Verdict
from sync.server.deleting import Deleting
from sync.server.rehearsal import LARGE, Rehearsal
from sync.server.resident import Resident
from tests.server.parts import (
    DISK_FULL,
    DRAFT,
    Office,
    Tokens,
    TroubledStore,
    an_edit,
    eventually,
    identity,
    open_office,
    opened,
    stored_answers,
)
from tests.support.client import ROOT, Closed, Peer, renewal

DELETED = Closed(4404, Deleted().close_reason)
ALICE, BOB = identity("alice"), identity("bob")


def deleting(office: Office) -> Deleting:
    return office.hub.deleting


async def begun(office: Office, store: TroubledStore, tasks: TaskGroup) -> Resident:
    """A deletion of the draft that waits for the disk: until `store.release()`."""
    store.hold()
    tasks.start_soon(deleting(office).delete, DRAFT, "ada")
    resident = office.hub.rooms[DRAFT]
    await eventually(lambda: resident.going)
    return resident


async def test_who_has_it_open_is_told_so_when_it_is_on_disk() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice, bob = await office.join(ALICE), await office.join(BOB)
        await alice.put("a", 1)
        await bob.sees("a", 1)
        await deleting(office).delete(DRAFT, "ada")
        assert await alice.ended() == DELETED
        assert await bob.ended() == DELETED
        assert alice.peer.denied == [] == bob.peer.denied  # the transport's to say
        assert len(office.hub.rooms) == 0
        [deletion] = await store.deletions()
        assert (deletion.document, deletion.by, deletion.purged) == (DRAFT, "ada", False)
    assert await stored_answers(store) == {"a": 1}, "what was taken is on disk"


async def test_what_was_taken_is_said_to_be_saved_before_the_end() -> None:
    store = TroubledStore()
    async with open_office(store) as office, anyio.create_task_group() as tasks:
        alice, bob = await office.join(ALICE), await office.join(BOB)
        store.hold()
        await alice.put("a", 1)
        payload, frame = alice.peer.barrier()
        await alice.send(frame)
        await bob.sees("a", 1)
        resident = office.hub.rooms[DRAFT]
        [asks] = [c.id for c in resident.connections.values() if c.identity is ALICE]
        await eventually(lambda: resident.room.unsaved_barrier_bytes(asks) > 0)
        tasks.start_soon(deleting(office).delete, DRAFT, "ada")
        await eventually(lambda: resident.going)
        assert alice.closed is None
        store.release()
        assert await alice.ended() == DELETED
        assert alice.peer.saved == [payload]
    assert await stored_answers(store) == {"a": 1}


async def test_what_is_asked_for_meanwhile_is_done_when_it_is_over() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice, bob = await office.join(ALICE), await office.join(BOB)
        store.hold()
        await alice.put("a", 1)
        await bob.sees("a", 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deleting(office).delete, DRAFT, "ada")
            await eventually(lambda: office.hub.rooms[DRAFT].going)
            tasks.start_soon(deleting(office).bring_back, DRAFT)
            await anyio.wait_all_tasks_blocked()
            store.release()
        assert await alice.ended() == DELETED
        assert await store.deletions() == []
        carol = await office.join(identity("carol"))
        assert carol.peer.answers == {"a": 1}


async def test_nothing_is_taken_once_it_has_begun() -> None:
    store = TroubledStore()
    async with open_office(store) as office, anyio.create_task_group() as tasks:
        alice = await office.join(ALICE)
        await alice.put("a", 1)
        await alice.saved()
        resident = await begun(office, store, tasks)
        version = resident.room.version
        await alice.put("b", 2)  # short, and long
        await alice.edit(lambda doc: doc.get(ROOT, type=Map).__setitem__("c", "x" * 1_000))
        bob = office.enter(BOB)
        assert (await bob.ended()).code == 1013, "for now: it is not known yet"
        assert resident.room.version == version
        store.release()
        assert await alice.ended() == DELETED
        assert alice.peer.saved == [b"1"]
    assert await stored_answers(store) == {"a": 1}


async def test_a_large_update_that_is_tried_out_meanwhile_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried, go_on = anyio.Event(), anyio.Event()
    inspect = Rehearsal.inspect

    async def slowly(self: Rehearsal, update: bytes, most: int, document: bytes) -> object:
        footprint = await inspect(self, update, most, document)
        tried.set()
        await go_on.wait()
        return footprint

    monkeypatch.setattr(Rehearsal, "inspect", slowly)
    store = TroubledStore()
    async with open_office(store) as office, anyio.create_task_group() as tasks:
        alice = await office.join(ALICE)
        await alice.put("a", 1)
        await alice.saved()
        await alice.put("b", "x" * (LARGE + 1))
        await tried.wait()
        resident = await begun(office, store, tasks)
        go_on.set()
        await anyio.wait_all_tasks_blocked()
        assert resident.room.settled
        store.release()
        assert await alice.ended() == DELETED
    assert await stored_answers(store) == {"a": 1}


async def test_a_token_that_is_renewed_meanwhile_lets_nobody_write() -> None:
    asked, go_on = anyio.Event(), anyio.Event()

    class Slow(Tokens):
        async def verify(self, token: str) -> Identity:
            asked.set()
            await go_on.wait()
            return await super().verify(token)

    store = TroubledStore()
    async with (
        open_office(store, Slow(fresh=ALICE)) as office,
        anyio.create_task_group() as tasks,
    ):
        alice = await office.join(ALICE)
        await alice.put("a", 1)
        await alice.saved()
        await alice.send(renewal("fresh"))
        await alice.put("b", 2)
        await asked.wait()
        resident = await begun(office, store, tasks)
        go_on.set()
        await alice.until(lambda: bool(alice.peer.renewed))
        await anyio.wait_all_tasks_blocked()
        assert resident.room.settled
        store.release()
        assert await alice.ended() == DELETED
    assert await stored_answers(store) == {"a": 1}


async def test_what_waits_for_other_edits_is_let_go_of() -> None:
    """Or it would be taken when somebody whose edits it waits for is closed."""
    store = TroubledStore()
    async with open_office(store) as office:
        alice, bob = office.enter(ALICE, reading=False), await office.join(BOB)
        first, second = Peer(client_id=7), Peer(client_id=7)
        await alice.send(update_frame(first.put("b", 2)))  # 7 is Alice's now, and she is silent
        await bob.sees("b", 2)
        second.doc.apply_update(first.doc.get_update())
        before = second.doc.get_state()
        with second.doc.transaction():
            second.doc.get(ROOT, type=Map)["c"] = 3
        await bob.send(update_frame(second.doc.get_update(before)))
        resident = office.hub.rooms[DRAFT]
        [held] = [c.id for c in resident.connections.values() if c.identity is BOB]
        await eventually(lambda: bool(resident.room.held(held)))
        await deleting(office).delete(DRAFT, "ada")
        assert await bob.ended() == DELETED
        await anyio.wait_all_tasks_blocked()
        assert resident.room.settled
    assert await stored_answers(store) == {"b": 2}


async def test_nobody_brings_it_back_with_a_copy() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice = await office.join(ALICE)
        await alice.put("a", 1)
        await alice.saved()
        await deleting(office).delete(DRAFT, "ada")
        alice.peer.put("offline", True)
        again = office.enter(ALICE, peer=alice.peer)
        assert await again.ended() == DELETED
        assert again.peer.asked == 1, "in the first life: nothing was asked for in the second"
        assert await stored_answers(store) == {"a": 1}
    async with open_office(store) as office:  # after a restart
        again = office.enter(ALICE, peer=alice.peer)
        assert await again.ended() == DELETED
        await deleting(office).bring_back(DRAFT)
        alice = await office.join(ALICE, peer=alice.peer)
        await alice.saved()
    assert await stored_answers(store) == {"a": 1, "offline": True}


async def test_it_is_as_it_was_when_it_cannot_be_written() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice = await office.join(ALICE)
        await alice.put("a", 1)
        await alice.saved()

        async def full(_deletion: object) -> bool:
            raise DISK_FULL

        store.delete = full  # type: ignore[method-assign,assignment] # a disk
        with pytest.raises(StoreUnavailable):
            await deleting(office).delete(DRAFT, "ada")
        assert (await alice.ended()).code == 1013, "come again"
        again = await office.join(ALICE, peer=alice.peer)
        await again.put("b", 2)
        await again.saved()
    assert await stored_answers(store) == {"a": 1, "b": 2}


async def test_who_asks_may_go_and_it_is_done_all_the_same() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice = await office.join(ALICE)
        await alice.put("a", 1)
        await alice.saved()
        store.hold()
        with anyio.move_on_after(0.05):
            await deleting(office).delete(DRAFT, "ada")
        store.release()
        assert await alice.ended() == DELETED
        await deleting(office).delete(DRAFT, "eve")  # once more is no harm
        [deletion] = await store.deletions()
        assert deletion.by == "ada"


async def test_a_server_that_stops_meanwhile_says_so() -> None:
    store = TroubledStore()
    errors: list[Exception] = []

    async def delete(office: Office) -> None:
        try:
            await deleting(office).delete(DRAFT, "ada")
        except Draining as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks, open_office(store) as office:
        alice = await office.join(ALICE)
        await alice.put("a", 1)
        await alice.saved()
        disk = anyio.Event()

        async def stuck(_deletion: object) -> bool:
            await disk.wait()
            return True

        store.delete = stuck  # type: ignore[method-assign,assignment] # a disk
        tasks.start_soon(delete, office)
        await eventually(lambda: office.hub.rooms[DRAFT].going)
    assert len(errors) == 1


@pytest.mark.parametrize("open_first", [False, True])
async def test_what_was_never_written_cannot_be_deleted(open_first: bool) -> None:
    async with open_office() as office:
        if open_first:
            alice = await office.join(ALICE)
        with pytest.raises(UnknownDocument):
            await deleting(office).delete(DRAFT, "ada")
        with pytest.raises(UnknownDocument):
            await deleting(office).bring_back(DRAFT)
        with pytest.raises(UnknownDocument):
            await deleting(office).purge(DRAFT)
        if open_first:
            await alice.put("a", 1)
            await alice.saved()


async def test_what_is_not_on_disk_yet_can_be_deleted() -> None:
    store = TroubledStore()
    async with open_office(store) as office, anyio.create_task_group() as tasks:
        alice = await office.join(ALICE)
        store.hold()
        await alice.put("a", 1)
        resident = office.hub.rooms[DRAFT]
        await eventually(lambda: resident.room.version == 1)
        tasks.start_soon(deleting(office).delete, DRAFT, "ada")
        store.release()
        assert await alice.ended() == DELETED
    assert await stored_answers(store) == {"a": 1}


async def test_only_what_is_deleted_is_brought_back_or_purged() -> None:
    store = MemoryStore()
    await store.append([an_edit()])
    async with open_office(store) as office:
        with pytest.raises(NotDeleted, match="not deleted"):
            await deleting(office).bring_back(DRAFT)
        with pytest.raises(NotDeleted, match="delete it first"):
            await deleting(office).purge(DRAFT)
        assert await stored_answers(store) == {"q": 1}


async def test_what_is_purged_is_gone_and_its_name_is_kept() -> None:
    store = MemoryStore()
    for number in range(3):
        await store.append([an_edit(value=number)])
    await store.append([an_edit("drafts/2", value=2)])
    async with open_office(store) as office:
        await deleting(office).delete(DRAFT, "ada")
        await deleting(office).purge(DRAFT)
        await deleting(office).purge(DRAFT)  # once more is no harm
        await deleting(office).delete(DRAFT, "ada")
        assert await store.head(DRAFT) is None
        assert (await store.load(DRAFT)).entries == ()
        assert [each.document for each in await store.heads()] == ["drafts/2"]
        alice = office.enter(ALICE)
        assert await alice.ended() == DELETED
        assert await deleting(office).bring_back(DRAFT) == 0
        alice = await office.join(ALICE)
        assert alice.peer.answers == {}
        await alice.put("new", 1)
        await alice.saved()
    assert await stored_answers(store) == {"new": 1}
    assert await stored_answers(store, "drafts/2") == {"q": 2}


async def test_it_comes_back_where_it_stood() -> None:
    store = MemoryStore()
    await store.append([an_edit("drafts/2")])
    await store.append([an_edit(value="kept")])
    async with open_office(store) as office:
        await deleting(office).delete(DRAFT, "ada")
        with pytest.raises(Deleted):
            await opened(office.hub, DRAFT, ALICE)
        assert await deleting(office).bring_back(DRAFT) == 2
        alice = await office.join(ALICE)
        await alice.sees("q", "kept")


async def test_a_document_on_its_way_into_memory_is_deleted_too() -> None:
    store = TroubledStore()
    await store.inner.append([an_edit()])
    async with open_office(store) as office, anyio.create_task_group() as tasks:
        store.hold()
        alice = office.enter(ALICE)
        await eventually(lambda: store.loads == 1)
        tasks.start_soon(deleting(office).delete, DRAFT, "ada")
        await anyio.wait_all_tasks_blocked()
        store.release()
        closed = await alice.ended()
        assert closed == DELETED or closed.code == 1013
    assert await store.inner.deletions()


async def test_two_hundred_rounds_of_joining_while_it_is_deleted() -> None:
    """Whatever the order: what was said to be saved is there when it is brought back."""
    store = TroubledStore()
    saved: set[str] = set()
    rounds = 200

    async def come_and_write(office: Office, key: str, pause: int) -> None:
        for _ in range(pause):
            await anyio.lowlevel.checkpoint()
        client = office.enter(replace(ALICE, subject=f"s{key}"))
        await client.until(lambda: client.peer.synced or client.closed is not None)
        if client.closed is None:
            await client.put(key, 1)
            _, frame = client.peer.barrier()
            await client.send(frame)
            await client.until(lambda: bool(client.peer.saved) or client.closed is not None)
        if client.peer.saved:
            saved.add(key)
        if client.closed is not None:
            assert client.closed == DELETED or client.closed.code == 1013, client.closed
        office.leave(client)

    async def delete(office: Office, pause: int) -> None:
        for _ in range(pause):
            await anyio.lowlevel.checkpoint()
        await deleting(office).delete(DRAFT, "ada")
        assert (await store.load(DRAFT)).deleted is not None
        found = await stored_answers(store)
        assert saved <= found.keys()
        head = await store.head(DRAFT)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert await store.head(DRAFT) == head, "nothing is taken once it is deleted"

    async with open_office(store) as office:
        first = await office.join(ALICE)
        await first.put("first", 1)
        await first.saved()
        office.leave(first)
        for number in range(rounds):
            chance = random.Random(number)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(delete, office, chance.randrange(60))
                for each in range(3):
                    key = f"{number}.{each}"
                    tasks.start_soon(come_and_write, office, key, chance.randrange(60))
            await deleting(office).bring_back(DRAFT)
        assert saved, "somebody was in time"
    assert saved <= (await stored_answers(store)).keys()


async def test_a_connection_is_told_to_come_back_while_nobody_knows() -> None:
    async with open_office() as office:
        office.hub.deleting._going.add(DRAFT)
        with pytest.raises(Overloaded):
            await opened(office.hub, DRAFT, ALICE)
        await opened(office.hub, DocumentName("drafts/2"), ALICE)


async def test_who_is_on_the_way_when_it_begins_is_not_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_office() as office:
        load = office.hub.rooms.open

        async def slowly(document: DocumentName) -> Resident:
            resident = await load(document)
            office.hub.deleting._going.add(document)
            return resident

        monkeypatch.setattr(office.hub.rooms, "open", slowly)
        with pytest.raises(Overloaded):
            await opened(office.hub, DRAFT, ALICE)


def test_who_was_let_in_is_closed_at_once() -> None:
    assert Verdict.of(Deleted()).held
    assert not Verdict.at_once(Deleted()).held
    assert Verdict.at_once(Deleted()).final
