"""Edits of who has no document open: they take the way of all edits."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import anyio
import pytest
from pycrdt import Array, Doc, Map, Text

from auth.access import Access
from persistence.memory import MemoryStore
from persistence.store import Position
from sync.core.content import content
from sync.core.errors import Draining, Forbidden
from sync.core.names import DocumentName
from sync.core.room import RoomLimits
from sync.server.document_edits import Ended, Incomplete, edit, restore, update_of
from sync.server.rehearsal import LARGE
from tests.server.parts import (
    DRAFT,
    Office,
    TroubledStore,
    eventually,
    identity,
    open_office,
    stored_answers,
    stored_content,
)
from tests.support.client import ROOT, Peer

ALICE, BOB = identity("alice"), identity("bob")


async def test_nothing_is_left_of_it_but_the_edit() -> None:
    store = MemoryStore()
    async with open_office(store) as office:
        assert await edit(office.hub, DRAFT, ALICE, Peer().put("a", 1)) == 1
        resident = office.hub.rooms[DRAFT]
        assert (resident.places, resident.connections) == ({}, {})
        statistics = office.hub.statistics()
        assert (statistics.connections, statistics.opened) == (0, 1)
    assert await stored_answers(store) == {"a": 1}


async def test_who_may_only_read_is_refused_before_anything_is_loaded() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        with pytest.raises(Forbidden, match="write"):
            await edit(office.hub, DRAFT, identity("olga", Access.READ), b"\x00\x00")
        assert store.loads == 0


@pytest.mark.parametrize("size", [1, LARGE + 1])
async def test_nothing_is_held_of_what_is_incomplete(size: int) -> None:
    async with open_office() as office:
        peer = Peer()
        first, second = peer.put("a", 1), peer.put("b", "x" * size)
        with pytest.raises(Incomplete) as refused:
            await edit(office.hub, DRAFT, ALICE, second)
        assert refused.value.state_vector == b"\x00"
        bob = await office.join(BOB)
        await edit(office.hub, DRAFT, ALICE, first)
        await bob.sees("a", 1)
        await bob.saved()
        assert bob.peer.answers == {"a": 1}
        assert await edit(office.hub, DRAFT, ALICE, peer.doc.get_update()) == 2


def waits_for_the_disk(office: Office) -> bool:
    """An edit was taken, all of it, and its barrier behind it."""
    resident = office.hub.rooms[DRAFT]
    return any(map(resident.room.unsaved_barrier_bytes, resident.connections))


async def test_a_server_that_stops_saves_it_or_says_so() -> None:
    store = TroubledStore()
    told: list[Position | Exception] = []

    async def write(office: Office, peer: Peer) -> None:
        try:
            told.append(await edit(office.hub, DRAFT, ALICE, peer.put("a", 1)))
        except (Ended, Draining) as error:
            told.append(error)

    async with anyio.create_task_group() as tasks, open_office(store) as office:
        await edit(office.hub, DRAFT, ALICE, Peer().put("first", 1))
        store.hold()
        tasks.start_soon(write, office, Peer())
        await eventually(lambda: waits_for_the_disk(office))
        office.hub.take_no_more()
        with pytest.raises(Draining):
            await edit(office.hub, DRAFT, ALICE, Peer().put("b", 1))
        store.release()
    assert told == [2]
    assert await stored_answers(store) == {"first": 1, "a": 1}


async def test_a_document_that_is_deleted_meanwhile() -> None:
    """What was taken is answered as saved, and the rest is refused."""
    store = TroubledStore()
    told: dict[str, Position | int] = {}

    async def write(office: Office, key: str) -> None:
        try:
            told[key] = await edit(office.hub, DRAFT, ALICE, Peer().put(key, 1))
        except Ended as error:
            told[key] = -error.verdict.code

    async with open_office(store) as office, anyio.create_task_group() as tasks:
        await edit(office.hub, DRAFT, ALICE, Peer().put("first", 1))
        store.hold()
        tasks.start_soon(write, office, "taken")
        resident = office.hub.rooms[DRAFT]
        await eventually(lambda: waits_for_the_disk(office))
        tasks.start_soon(office.hub.deleting.delete, DRAFT, "ada")
        await eventually(lambda: resident.going)
        store.release()
    assert told == {"taken": 2}
    assert await stored_answers(store) == {"first": 1, "taken": 1}


async def test_a_session_that_is_stopped_ends_it() -> None:
    draft = DocumentName("drafts/s1/a")
    async with open_office() as office:
        peer = Peer()
        await edit(office.hub, draft, ALICE, peer.put("a", 1))
        await office.hub.sealing.seal("s1")
        with pytest.raises(Ended, match="stopped") as ended:
            await edit(office.hub, draft, ALICE, peer.put("b", 2))
        assert ended.value.verdict.code == 4409
        ada = replace(identity("ada"), administrator=True)
        assert await edit(office.hub, draft, ada, peer.doc.get_update()) == 2


async def test_an_edit_over_the_limit_ends_it() -> None:
    async with open_office(room=RoomLimits(document=1_000), message=500) as office:
        with pytest.raises(Ended) as ended:
            await edit(office.hub, DRAFT, ALICE, Peer().put("a", "x" * 2_000))
        assert ended.value.verdict.code == 1009
        await edit(office.hub, DRAFT, ALICE, Peer().put("a", "x" * 900))
        with pytest.raises(Ended) as ended:
            await edit(office.hub, DRAFT, ALICE, Peer().put("b", "x" * 900))
        assert ended.value.verdict.code == 4413


# -- restore


def some_edit(chance: random.Random, doc: Doc[Any]) -> None:
    """Anything that people do to a form."""
    text, tags, answers = (
        doc.get("comment/why", type=Text),
        doc.get("list", type=Array),
        doc.get(ROOT, type=Map),
    )
    match chance.randrange(5):
        case 0:
            answers[chance.choice("abcdef")] = chance.randrange(10)
        case 1 if len(answers):
            del answers[chance.choice(sorted(answers))]
        case 2:
            text.insert(chance.randint(0, len(text)), chance.choice(["yes ", "no ", "maybe "]))
        case 3 if len(text) > 4:
            at = chance.randrange(len(text) - 3)
            del text[at : at + 3]
        case _:
            tags.insert(chance.randint(0, len(tags)), chance.randrange(10))


@pytest.mark.parametrize("seed", range(10))
async def test_it_is_what_it_was_and_everybody_sees_the_same(seed: int) -> None:
    """Several write at random; then it is restored, at first in silence, and then among them."""
    chance = random.Random(seed)
    store = MemoryStore()
    async with open_office(store) as office:
        people = [await office.join(identity(name)) for name in ("alice", "bob", "carol")]
        for _ in range(40):
            await chance.choice(people).edit(lambda doc: some_edit(chance, doc))
        for each in people:
            await each.saved()
        positions = [each.position for each in (await store.past(DRAFT)).entries]
        wanted = await store.past(DRAFT, chance.choice(positions))
        update, _ = await update_of(wanted, None)
        then = content(update)
        position, changes = await restore(office.hub, DRAFT, BOB, wanted)
        now = await stored_content(store)
        assert _filled(now) == _filled(then), f"seed {seed}"
        assert await restore(office.hub, DRAFT, BOB, wanted) == (position, 0)
        assert bool(changes) is (position > positions[-1])

        async def write(number: int) -> None:
            for _ in range(5):
                await people[number].edit(lambda doc: some_edit(chance, doc))
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(write, number)
            tasks.start_soon(restore, office.hub, DRAFT, ALICE, await store.past(DRAFT, 5))
        for each in people:
            await each.saved()
        last = content(office.hub.rooms[DRAFT].room.encode())
        for each in people:
            await each.until(lambda: content(each.peer.doc.get_update()) == last)  # noqa: B023
        assert await stored_content(store) == last
        assert all(each.closed is None for each in people)


def _filled(held: dict[str, Any]) -> dict[str, Any]:
    """A root that was emptied is there no more, as far as people see."""
    return {name: value for name, value in held.items() if value}
