"""Rooms and their lives: loading, unloading, slow readers, failing disks, broken libraries."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

import anyio
import pytest
from pycrdt import Doc, Map

from auth.access import Access, Grants
from persistence.memory import MemoryStore
from persistence.store import StoreUnavailable
from sync.core.crdt import Replica
from sync.core.names import DocumentName
from sync.core.snapshot import TakenSnapshot
from sync.core.yprotocol import (
    AwarenessEntry,
    awareness_frame,
    encode_state_vector,
    saved_frame,
    step1_frame,
    update_frame,
)
from sync.server import journal as journal_module
from sync.server.channel import ChannelOutbox, serve
from sync.server.connection import Connection, Wait
from sync.server.hub import open_hub
from sync.server.limits import HubLimits
from sync.server.snapshots import Snapshots
from tests.server.parts import (
    DISK_FULL,
    DRAFT,
    POISON,
    Office,
    Tokens,
    TroubledStore,
    an_edit,
    channel_pair,
    eventually,
    fail_on_poison,
    feed,
    identity,
    open_office,
    opened,
    stored_answers,
)
from tests.support.client import ROOT, Client, Peer, awareness, renewal

# ------------------------------------------------------------------------------------- the promise


async def test_an_edit_reaches_peers_and_disk() -> None:
    store = MemoryStore()
    async with open_office(store) as office:
        alice, bob = await office.join(), await office.join(identity("bob"))
        await alice.put("q1", "good")
        await bob.sees("q1", "good")
        await alice.saved()
        assert await stored_answers(store) == {"q1": "good"}


async def test_no_echo_and_no_barrier_before_the_disk_has_it() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice, bob = await office.join(), await office.join(identity("bob"))
        store.hold()
        update = await alice.put("q1", "good")
        await alice.send(saved_frame(b"mine"))
        await bob.sees("q1", "good")  # peers need not wait for the disk
        await anyio.wait_all_tasks_blocked()
        assert (alice.peer.saved, update in alice.peer.updates) == ([], False)
        store.release()
        await alice.until(lambda: alice.peer.saved == [b"mine"])
        await alice.until(lambda: update in alice.peer.updates)


async def test_a_barrier_of_a_reader_is_answered_at_once() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice, bob = await office.join(), await office.join(identity("bob", Access.READ))
        store.hold()
        await alice.put("q1", 1)
        await bob.saved()
        store.release()


async def test_the_last_client_edits_and_closes_in_one_turn() -> None:
    """Fault 4: what was read from the socket is stored, whatever becomes of its sender."""
    store = TroubledStore()
    async with open_office(store, unload_seconds=0) as office:
        for number in range(200):
            draft = DocumentName(f"drafts/{number}")
            connection = await opened(office.hub, draft, identity())
            feed(office.hub, connection, update_frame(Peer().put("q", number)))
            office.hub.close(connection)
        await eventually(lambda: not office.hub.statistics().rooms)
    for number in range(200):
        assert await stored_answers(store, f"drafts/{number}") == {"q": number}


# ----------------------------------------------------------------------------------------- loading


async def test_a_thousand_joins_are_one_load() -> None:
    """Fault 22: single flight, and all are served."""
    store = TroubledStore()
    await store.inner.append([an_edit(key="q", value="old")])
    store.hold()
    async with open_office(store, connections_per_subject=1_000) as office:
        clients = [office.enter(identity(f"s{n % 40}")) for n in range(1_000)]
        await eventually(lambda: store.loads > 0)
        store.release()
        for client in clients:
            await client.synced()
            assert client.peer.answers == {"q": "old"}
        assert (store.loads, office.hub.statistics().connections) == (1, 1_000)


async def test_a_load_that_fails_is_1013_for_all_and_never_an_empty_room() -> None:
    """Fault 6: 100 clients that hold the document's past must not meet an empty one."""
    store = TroubledStore()
    await store.inner.append([an_edit(key="q", value="old")])
    store.failure = StoreUnavailable("the disk fails")
    async with open_office(store, connections_per_subject=1_000) as office:
        clients = [office.enter() for _ in range(100)]
        assert {(await client.ended()).code for client in clients} == {1013}
        assert not any(client.peer.frames for client in clients)
        assert office.hub.statistics().rooms == 0
        store.failure = None
        late = await office.join()
        assert late.peer.answers == {"q": "old"}
    assert await stored_answers(store) == {"q": "old"}


async def test_a_store_with_a_bug_costs_the_join_and_not_the_server() -> None:
    store = TroubledStore()
    store.failure = RuntimeError("a bug in the store")
    async with open_office(store) as office:
        assert (await office.enter().ended()).code in (1011, 1013)
        store.failure = None
        await office.join()


# --------------------------------------------------------------------------------------- unloading


async def test_an_idle_room_is_unloaded_and_comes_back_whole() -> None:
    store = TroubledStore()
    async with open_office(store, unload_seconds=0.01) as office:
        alice = await office.join()
        await alice.put("q", 1)
        await alice.saved()
        office.leave(alice)
        await eventually(lambda: office.hub.statistics().rooms == 0)
        bob = await office.join(identity("bob"))
        assert (bob.peer.answers, store.loads) == ({"q": 1}, 2)


async def test_a_room_stays_while_its_edits_are_not_on_disk() -> None:
    store = TroubledStore()
    async with open_office(store, unload_seconds=0.001) as office:
        alice = await office.join()
        store.hold()
        await alice.put("q", 1)
        await eventually(lambda: office.hub.statistics().unsaved_bytes > 0)
        office.leave(alice)
        await eventually(lambda: office.hub.statistics().connections == 0)
        await anyio.sleep(0.02)  # twenty times what an idle room has
        assert office.hub.statistics().rooms == 1
        store.release()
        await eventually(lambda: office.hub.statistics().rooms == 0)
    assert await stored_answers(store) == {"q": 1}


async def test_a_join_keeps_a_room_from_being_unloaded() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        first = await office.join()
        office.leave(first)
        await eventually(lambda: office.hub.statistics().connections == 0)
        resident = office.hub.rooms[DRAFT]
        timer = resident.unload_timer
        assert timer is not None
        await office.join()
        assert timer.cancelled()
        office.hub.rooms.unload(resident)
        assert (office.hub.statistics().rooms, store.loads) == (1, 1)


async def test_edits_between_the_decision_to_unload_and_the_snapshot() -> None:
    """A snapshot holds what is committed up to its position, and nothing beyond."""
    store = TroubledStore()
    async with open_office(store, unload_seconds=3600) as office:
        hub, peer = office.hub, Peer()
        first = await opened(hub, DRAFT, identity())
        feed(hub, first, update_frame(peer.put("old", 1)))
        await eventually(lambda: hub.rooms[DRAFT].room.saved == 1)
        hub.close(first)
        hub.rooms.unload(hub.rooms[DRAFT])
        second = await opened(hub, DRAFT, identity())
        feed(hub, second, update_frame(peer.put("new", 1)))
        await eventually(lambda: hub.rooms[DRAFT].room.saved == 2)
        hub.close(second)
    for snapshot in store.compacted:
        entries = store.inner._documents[DRAFT].entries  # type: ignore[attr-defined] # a MemoryStore
        replica = Replica()
        for entry in entries:
            if entry.position <= snapshot.position:
                replica.apply(entry.edit.update)
        assert replica.encode() == snapshot.update
    assert await stored_answers(store) == {"old": 1, "new": 1}


@pytest.mark.parametrize("seed", range(30))
async def test_joining_while_unloading(seed: int) -> None:
    """Fault 23: 30 x 100 visits, rooms unloaded at once; one room per document, nothing lost.

    Every visitor edits as the same person's next session would, without waiting for a barrier, and
    leaves when chance says so; the disk takes its time.
    """
    chance = random.Random(seed)
    store, expected = TroubledStore(), dict[str, int]()
    async with open_office(store, unload_seconds=0, connections_per_subject=10_000) as office:
        hub = office.hub

        async def visit(number: int) -> None:
            for _ in range(chance.randrange(6)):
                await anyio.lowlevel.checkpoint()
            connection = await opened(hub, DRAFT, identity())
            assert hub.rooms[DRAFT].connections[connection.id] is connection
            for _ in range(chance.randrange(3)):
                await anyio.lowlevel.checkpoint()
            expected[f"q{number}"] = number
            feed(hub, connection, update_frame(Peer().put(f"q{number}", number)))
            for _ in range(chance.randrange(3)):
                await anyio.lowlevel.checkpoint()
            hub.close(connection)

        for batch in range(10):
            async with anyio.create_task_group() as visitors:
                for number in range(10):
                    visitors.start_soon(visit, batch * 10 + number)
            if chance.random() < 0.5:
                await eventually(lambda: hub.statistics().rooms == 0)
        await eventually(lambda: hub.statistics().rooms == 0)
    assert await stored_answers(store) == expected, f"seed {seed}"


# ------------------------------------------------------------------------------- a disk that fails


async def test_a_disk_that_fails_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 5: no acknowledgement meanwhile, a reason for operators, recovery by itself, 0 lost."""
    monkeypatch.setattr(journal_module, "_RETRY_SECONDS", (0.001,))
    store = TroubledStore()
    async with open_office(store) as office:
        alice = await office.join()
        store.failure = DISK_FULL
        for number in range(50):
            await alice.put(f"q{number}", number)
        await alice.send(saved_frame(b"all"))
        await eventually(lambda: store.appends > 20)
        assert alice.peer.saved == []
        assert office.hub.statistics().failing == "the disk is full"
        store.failure = None
        await alice.until(lambda: alice.peer.saved == [b"all"])
        assert office.hub.statistics().failing is None
    assert await stored_answers(store) == {f"q{n}": n for n in range(50)}


async def test_senders_wait_when_too_much_waits_for_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Back-pressure: sockets are not read, so memory stays bounded; then everything goes on."""
    monkeypatch.setattr(journal_module, "FULL_BYTES", 20_000)
    store = TroubledStore()
    async with open_office(store) as office:
        alice = await office.join()
        store.hold()
        for number in range(100):
            await alice.put(f"q{number}", "x" * 1_000)
        await eventually(lambda: office.hub.statistics().unsaved_bytes > 20_000)
        await anyio.wait_all_tasks_blocked()
        assert office.hub.statistics().unsaved_bytes < 24_000
        await alice.send(saved_frame(b"all"))
        store.release()
        await alice.until(lambda: alice.peer.saved == [b"all"])
    assert len(await stored_answers(store)) == 100


async def test_barriers_that_wait_for_the_disk_are_bounded() -> None:
    store = TroubledStore()
    async with open_office(store, barrier_bytes=10_000) as office:
        alice = await office.join()
        store.hold()
        await alice.put("q", 1)
        for _ in range(50):
            await alice.send(saved_frame(b"x" * 1_000))
        await anyio.wait_all_tasks_blocked()
        connection = next(iter(office.hub._connections.values()))
        assert connection.received < 20
        store.release()
        await alice.until(lambda: len(alice.peer.saved) == 50)


async def test_nor_are_they_unbounded_for_who_has_to_wait_anyway() -> None:
    """The message rate makes a wait of its own, and the bound has to hold all the same."""
    store = TroubledStore()
    async with open_office(
        store, barrier_bytes=10_000, message_rate=10_000, message_burst=1
    ) as office:
        alice = await office.join()
        store.hold()
        await alice.put("q", 1)
        for _ in range(50):
            await alice.send(saved_frame(b"x" * 1_000))
        connection = next(iter(office.hub._connections.values()))
        await eventually(lambda: connection.resident.room.unsaved_barrier_bytes(connection.id) > 0)
        await anyio.wait_all_tasks_blocked()
        await anyio.sleep(0.1)  # ten times what all of them wait for the rate
        assert connection.received < 20
        store.release()
        await alice.until(lambda: len(alice.peer.saved) == 50)


# ------------------------------------------------------------------------------------ slow readers


def updates_of(client: Client) -> int:
    return len(client.peer.updates)


async def test_a_reader_stuck_for_20_000_updates_gets_one_diff(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fault 21: bounded memory, nobody else affected, never disconnected."""
    monkeypatch.setattr(ChannelOutbox.__init__, "__defaults__", (64 * 1024,))
    store = MemoryStore()
    async with open_office(store) as office:
        writer, other = await office.join(), await office.join(identity("other"))
        stuck = office.enter(identity("stuck"), reading=False, buffer=4)
        await eventually(lambda: office.hub.statistics().connections == 3)
        boxes = [c.outbox for c in office.hub._connections.values()]
        largest = 0
        frames = [update_frame(writer.peer.put("q", number)) for number in range(20_000)]
        for number, frame in enumerate(frames):
            await writer.send(frame)
            if number % 20 == 0:  # so that turns are many, and frames too
                await anyio.lowlevel.checkpoint()
                largest = max(largest, *(box.queued_bytes for box in boxes))
        await writer.saved()
        await other.sees("q", 19_999)
        assert largest < 128 * 1024
        assert stuck.closed is None
        async with anyio.create_task_group() as reading:
            reading.start_soon(office.read, stuck)
            await stuck.sees("q", 19_999)
            assert stuck.peer.answers == writer.peer.answers
            assert updates_of(stuck) < updates_of(other)
            await writer.put("after", 1)
            await stuck.sees("after", 1)
            reading.cancel_scope.cancel()


async def test_who_was_slow_and_has_caught_up_is_slow_no_more() -> None:
    """The answer to a step1 of a large document fills the outbox, and is read in one go.

    Nothing may take that client for slow afterwards: its own edits come back to it, and others'.
    """
    store = MemoryStore()
    await store.append([an_edit(key="large", value="x" * 2**21)])
    async with open_office(store) as office:
        alice = await office.join()
        await anyio.wait_all_tasks_blocked()
        update = await alice.put("mine", 1)
        await alice.until(lambda: update in alice.peer.updates)
        bob = await office.join(identity("bob"))
        await bob.put("his", 2)
        await alice.sees("his", 2)


async def test_who_asks_and_never_reads_waits_for_its_own_answers() -> None:
    """Fault 34: each answer is the whole document, made anew: they must not pile up."""
    store = TroubledStore()
    await store.inner.append([an_edit(key="large", value="x" * 300_000)])
    async with open_office(store) as office:
        greedy = office.enter(identity("greedy"), reading=False, buffer=0)
        await eventually(lambda: office.hub.statistics().connections == 1)
        (connection,) = office.hub._connections.values()
        for client in range(1, 101):
            await greedy.send(step1_frame(encode_state_vector({client: 1})))
        await greedy.send(saved_frame(b"behind them"))
        await anyio.wait_all_tasks_blocked()
        assert connection.outbox.queued_bytes < 2 * 2**20
        assert connection.received < 10
        alice = await office.join()
        await alice.put("q", 1)
        await alice.saved()  # nobody else waits
        async with anyio.create_task_group() as reading:
            reading.start_soon(office.read, greedy)
            await greedy.until(lambda: greedy.peer.saved == [b"behind them"])
            assert len(greedy.peer.updates) >= 100
            reading.cancel_scope.cancel()


# ------------------------------------------------------------------------------------------ limits


async def test_a_message_rate_slows_and_never_drops() -> None:
    async with open_office(message_rate=1_000.0, message_burst=10.0) as office:
        alice = await office.join()
        began = time.monotonic()
        for number in range(210):
            await alice.put(f"q{number}", number)
        await alice.saved()
        assert time.monotonic() - began > 0.15
        bob = await office.join(identity("bob"))
        assert len(bob.peer.answers) == 210


async def test_one_person_has_so_many_connections() -> None:
    async with open_office(connections_per_subject=3) as office:
        clients = [await office.join() for _ in range(3)]
        refused = await office.enter().ended()
        assert refused.code == 1013
        assert "3 connections" in refused.reason
        await office.join(identity("bob"))
        office.leave(clients[0])
        await eventually(lambda: office.hub.statistics().connections == 3)
        await office.join()


async def test_the_cap_holds_for_those_who_wait_for_one_load() -> None:
    store = TroubledStore()
    store.hold()
    async with open_office(store, connections_per_subject=3) as office:
        clients = [office.enter() for _ in range(10)]
        await anyio.wait_all_tasks_blocked()
        store.release()
        await eventually(lambda: sum(client.closed is not None for client in clients) == 7)
        assert office.hub.statistics().connections == 3


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", 4400),
        (b"\x63", 4400),
        (b"\x00\x02\x05abc", 4400),
        (step1_frame(b"\x00") + b"!", 4400),
        (update_frame(bytes(2_000)), 1009),
    ],
)
async def test_a_frame_that_is_none_costs_its_sender_only(frame: bytes, code: int) -> None:
    async with open_office(message=1_024) as office:
        alice, mallory = await office.join(), await office.join(identity("mallory"))
        await mallory.send(frame)
        assert (await mallory.ended()).code == code
        await alice.put("q", 1)
        await alice.saved()


async def test_no_grant_no_room() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        verdict = await office.enter(identity("eve", Access.NONE)).ended()
        assert (verdict.code, store.loads) == (4403, 0)


async def test_a_reader_does_not_write() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        reader = await office.join(identity("rita", Access.READ))
        await reader.put("q", 1)
        await reader.until(lambda: len(reader.peer.denied) == 1)
        assert reader.peer.denied[0].startswith("read-only")
        await reader.saved()
        assert (store.appends, reader.closed) == (0, None)


# ------------------------------------------------------------------------------------------ tokens


async def test_a_token_that_expires_closes_the_connection() -> None:
    async with open_office() as office:
        verdict = await office.enter(identity(ttl=0.1)).ended()
        assert (verdict.code, verdict.reason) == (4401, "token-expired")
        assert office.hub.statistics().connections == 0


async def test_a_token_is_replaced_on_the_open_connection() -> None:
    later = identity(ttl=3600)
    async with open_office(verifier=Tokens(fresh=later)) as office:
        alice = await office.join(identity(ttl=60))
        [first] = office.hub._expiries.values()
        await alice.send(renewal("fresh"))
        await alice.until(lambda: len(alice.peer.renewed) == 1)
        expected = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(later.expires_at))
        assert alice.peer.renewed == [expected]
        [second] = office.hub._expiries.values()
        assert first.cancelled()
        assert second.when() - anyio.current_time() > 3_000
        await alice.put("q", 1)
        await alice.saved()


@pytest.mark.parametrize(
    ("token", "code"), [("unknown", 4401), ("bobs", 4403), ("without-rights", 4403)]
)
async def test_a_token_that_does_not_fit_ends_the_connection(token: str, code: int) -> None:
    known = {"bobs": identity("bob"), "without-rights": identity("alice", Access.NONE)}
    async with open_office(verifier=Tokens(**known)) as office:
        alice = await office.join()
        await alice.send(renewal(token))
        assert (await alice.ended()).code == code


async def test_a_token_may_take_the_right_to_write_away() -> None:
    store = TroubledStore()
    reading = identity("alice", Access.READ)
    async with open_office(store, verifier=Tokens(reading=reading)) as office:
        alice = await office.join()
        await alice.put("q", 1)
        await alice.send(renewal("reading"))
        await alice.put("q", 2)
        await alice.until(lambda: len(alice.peer.denied) == 1)
        await alice.saved()
    assert await stored_answers(store) == {"q": 1}


async def test_a_large_update_of_a_token_that_only_reads_now() -> None:
    """The way of large updates checks the rights of the token that is there, not of the first."""
    store = TroubledStore()
    reading = replace(identity(), documents=Grants({"*": Access.READ}))
    async with open_office(store, verifier=Tokens(reading=reading)) as office:
        alice = await office.join()
        await alice.send(renewal("reading"))
        await alice.put("q", "x" * 100_000)
        await alice.until(lambda: len(alice.peer.denied) == 1)
        assert store.appends == 0


# ---------------------------------------------------------------------------- a library that fails


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Replica, "apply", fail_on_poison)


@pytest.mark.usefixtures("poison")
async def test_a_room_is_rebuilt_under_honest_editors() -> None:
    """Fault 15: the poisoner is refused, nobody else notices, nothing is lost."""
    store = TroubledStore()
    async with open_office(store) as office:
        editors = [await office.join(identity(name)) for name in ("ann", "bob", "cyd")]
        mallory = await office.join(identity("mallory"))
        for number, editor in enumerate(editors):
            await editor.put(f"before{number}", number)
        await mallory.put("evil", POISON)
        for number, editor in enumerate(editors):
            await editor.put(f"after{number}", number)
        assert (await mallory.ended()).code == 4400
        for editor in editors:
            await editor.saved()
        expected = {f"{w}{n}": n for w in ("before", "after") for n in range(3)}
        assert (await office.join()).peer.answers == expected
        assert [editor.closed for editor in editors] == [None] * 3
    assert await stored_answers(store) == expected


@pytest.mark.usefixtures("poison")
async def test_who_sends_in_the_very_turn_of_the_failure_is_served() -> None:
    """Before the rebuilding began, too: it is a task, and begins a turn later."""
    store = TroubledStore()
    async with open_office(store) as office:
        hub = office.hub
        honest = await opened(hub, DRAFT, identity())
        mallory = await opened(hub, DRAFT, identity("mallory"))
        feed(hub, mallory, update_frame(Peer().put("evil", POISON)))
        waiting = feed(hub, honest, update_frame(Peer().put("q", 1)))
        assert waiting is not None
        with anyio.fail_after(2):
            await waiting
        await eventually(lambda: hub.rooms[DRAFT].room.saved == 1)
    assert await stored_answers(store) == {"q": 1}


@pytest.mark.usefixtures("poison")
@pytest.mark.parametrize("pause", range(12))
async def test_what_was_held_breaks_the_room_again(pause: int) -> None:
    """The rebuilt room releases what it held, fails again, and is rebuilt once more.

    One rebuilding at a time: a replica that was loaded before another one was put in place lacks
    the edits that were accepted since.
    """
    store = TroubledStore()
    async with open_office(store) as office:
        hub = office.hub
        friend, honest = (
            await opened(hub, DRAFT, identity()),
            await opened(hub, DRAFT, identity("h")),
        )
        author: Doc[Any] = Doc(client_id=7)
        first = _put(author, "base", 1)
        for number in range(3):
            mallory = await opened(hub, DRAFT, identity(f"mallory{number}"))
            feed(hub, mallory, update_frame(_standing_on(first, 8 + number)))
        feed(hub, friend, update_frame(first))
        assert hub.rooms[DRAFT].room.broken
        for number in range(10):
            await _feed(office, honest, Peer().put(f"q{number}", number))
            for _ in range(pause):
                await anyio.lowlevel.checkpoint()
        await eventually(lambda: hub.rooms[DRAFT].room.settled)
        await anyio.wait_all_tasks_blocked()
        assert hub.rooms[DRAFT].room.encode() == (await _replayed(store)).encode()
    assert await stored_answers(store) == {"base": 1} | {f"q{n}": n for n in range(10)}


def _standing_on(first: bytes, client: int) -> bytes:
    """An edit that is held until ``first`` is there, and then breaks the room."""
    doc: Doc[Any] = Doc(client_id=client)
    doc.apply_update(first)
    return _put(doc, "base", POISON)


async def _feed(office: Office, connection: Connection, update: bytes) -> None:
    waiting = feed(office.hub, connection, update_frame(update))
    if waiting is not None:
        with anyio.fail_after(5):
            await waiting


def _put(doc: Doc[Any], key: str, value: object) -> bytes:
    before = doc.get_state()
    doc.get(ROOT, type=Map)[key] = value
    return doc.get_update(before)


async def _replayed(store: TroubledStore) -> Replica:
    stored = await store.inner.load(DRAFT)
    replica = Replica(stored.snapshot.update if stored.snapshot else None)
    for entry in stored.entries:
        replica.apply(entry.edit.update)
    return replica


@pytest.mark.usefixtures("poison")
async def test_two_rebuildings_never_put_an_older_replica_in_place() -> None:
    """Whatever fails while a room is renewed: one rebuilding at a time, the last one counts."""
    store = TroubledStore()
    async with open_office(store) as office:
        hub = office.hub
        honest = await office.join(identity("honest"))
        expected = {}
        for number in range(30):
            mallory = await office.join(identity(f"m{number}"))
            await mallory.put("evil", POISON)
            await honest.put(f"q{number}", number)
            expected[f"q{number}"] = number
            assert (await mallory.ended()).code == 4400
        await honest.saved()
        assert hub.rooms[DRAFT].room.encode() == (await _replayed(store)).encode()
    assert await stored_answers(store) == expected


@pytest.mark.usefixtures("poison")
async def test_a_rebuilding_waits_for_a_store_that_cannot_read() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice, mallory = await office.join(), await office.join(identity("mallory"))
        await alice.put("q", 1)
        await alice.saved()
        store.failure = StoreUnavailable("the disk fails")
        await mallory.put("evil", POISON)
        assert (await mallory.ended()).code == 4400
        await alice.put("r", 2)
        await eventually(lambda: store.loads == 2)
        store.failure = None
        await alice.saved()
    assert await stored_answers(store) == {"q": 1, "r": 2}


@pytest.mark.usefixtures("poison")
async def test_a_broken_room_makes_no_snapshot() -> None:
    """Unloading was decided, and then the last one to come broke the room."""
    store = TroubledStore()
    async with open_office(store, unload_seconds=3600) as office:
        hub = office.hub
        first = await opened(hub, DRAFT, identity())
        feed(hub, first, update_frame(Peer().put("q", 1)))
        await eventually(lambda: hub.rooms[DRAFT].room.saved == 1)
        hub.close(first)
        hub.rooms.unload(hub.rooms[DRAFT])
        mallory = await opened(hub, DRAFT, identity("mallory"))
        feed(hub, mallory, update_frame(Peer().put("evil", POISON)))
        assert hub.rooms[DRAFT].room.broken
        await anyio.wait_all_tasks_blocked()
        assert not store.compacted
    assert await stored_answers(store) == {"q": 1}


# ------------------------------------------------------------------------------------ the last turn


async def test_draining_under_load() -> None:
    """Everything accepted is on disk, its barriers are answered, everyone hears 1012."""
    store = TroubledStore()
    async with anyio.create_task_group() as tasks, open_office(store) as office:
        clients = [await office.join(identity(f"s{n}")) for n in range(5)]
        sent = [0] * 5

        async def write(number: int) -> None:
            client = clients[number]
            while client.closed is None:
                await client.put(f"{number}-{sent[number]}", 1)
                await client.send(saved_frame(b"%d" % sent[number]))
                sent[number] += 1
                await anyio.lowlevel.checkpoint()

        for number in range(5):
            tasks.start_soon(write, number)
        await eventually(lambda: min(len(client.peer.saved) for client in clients) > 40)
        await office.hub.drain()
        assert {(await client.ended()).code for client in clients} == {1012}
        tasks.cancel_scope.cancel()
    on_disk = await stored_answers(store)
    for number, client in enumerate(clients):
        assert {f"{number}-{int(payload)}" for payload in client.peer.saved} <= on_disk.keys()


async def test_draining_answers_what_waits_for_the_disk() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice = await office.join()
        store.hold()
        await alice.put("q", 1)
        await alice.send(saved_frame(b"mine"))
        [connection] = office.hub.connections
        await eventually(lambda: connection.resident.room.unsaved_barrier_bytes(connection.id) > 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(office.hub.drain)
            await anyio.wait_all_tasks_blocked()
            assert office.hub.statistics().draining
            assert (await office.enter(identity("late")).ended()).code == 1012
            assert alice.closed is None
            store.release()
        assert (await alice.ended()).code == 1012
        await alice.until(lambda: alice.peer.saved == [b"mine"])
    assert await stored_answers(store) == {"q": 1}


async def test_draining_while_a_document_loads() -> None:
    store = TroubledStore()
    store.hold()
    async with open_office(store) as office:
        client = office.enter()
        await eventually(lambda: store.loads == 1)
        await office.hub.drain()
        store.release()
        assert (await client.ended()).code == 1012


async def test_leaving_the_block_stores_and_snapshots_everything() -> None:
    store = TroubledStore()
    async with open_hub(store, Tokens(), HubLimits(message_rate=0)) as hub:
        for number in range(10):
            connection = await opened(hub, DocumentName(f"drafts/{number}"), identity())
            feed(hub, connection, update_frame(Peer().put("q", number)))
    for number in range(10):
        stored = await store.load(f"drafts/{number}")
        assert stored.snapshot is not None
        assert stored.entries == ()
        assert await stored_answers(store, f"drafts/{number}") == {"q": number}


async def test_the_last_snapshots_do_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of megabytes one takes many seconds to verify; the log is whole without it."""

    async def never(_snapshots: Snapshots, _taken: TakenSnapshot) -> bool:
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    monkeypatch.setattr(Snapshots, "_verify", never)
    store = TroubledStore()
    with anyio.fail_after(5):
        async with open_hub(store, Tokens(), HubLimits(message_rate=0, last_snapshots=0.05)) as hub:
            for number in range(3):
                connection = await opened(hub, DocumentName(f"drafts/{number}"), identity())
                feed(hub, connection, update_frame(Peer().put("q", number)))
    for number in range(3):
        assert await stored_answers(store, f"drafts/{number}") == {"q": number}


async def test_cancelling_the_server_loses_nothing_that_was_accepted() -> None:
    store = TroubledStore()
    with anyio.CancelScope() as scope:
        async with open_hub(store, Tokens(), HubLimits()) as hub:
            connection = await opened(hub, DRAFT, identity())
            feed(hub, connection, update_frame(Peer().put("q", 1)))
            scope.cancel()
            await anyio.sleep_forever()
    assert await stored_answers(store) == {"q": 1}


async def test_a_client_that_does_not_read_is_left_at_a_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sync.server.patience.CLOSE_SECONDS", 0.05)
    async with open_office() as office:
        stuck = office.enter(identity("stuck"), reading=False, buffer=0)
        writer = await office.join()
        await writer.put("q", 1)
        await writer.saved()
        await office.hub.drain()
        assert (await stuck.ended()).code == 1012


# ---------------------------------------------------------------------------------------- presence


async def test_presence_comes_back_to_its_owner_and_goes_after_the_grace() -> None:
    limits = HubLimits()
    room = replace(limits.room, awareness_grace=0.05)
    async with open_office(room=room) as office:
        alice, bob = await office.join(), await office.join(identity("bob"))
        await alice.send(awareness(7, 1, '{"name":"Alice"}'))
        for client in (alice, bob):
            await client.until(lambda c=client: any(b'"Alice"' in f for f in c.peer.frames))  # type: ignore[misc]
        office.leave(alice)
        await bob.until(lambda: any(b"null" in frame for frame in bob.peer.frames))


# ---------------------------------------------------------------------------------------- channels


async def test_a_bug_in_a_channel_costs_one_connection() -> None:
    """serve lets it out, to whoever made the channel, and leaves the room in order."""

    class Broken:
        def __aiter__(self) -> Broken:
            return self

        async def __anext__(self) -> bytes:
            raise OSError("the network is gone")

        async def send(self, _message: bytes, /) -> None:
            await anyio.lowlevel.checkpoint()

    async with open_office() as office:
        alice = await office.join()
        with pytest.raises(ExceptionGroup):
            await serve(office.hub, Broken(), DRAFT, identity("bob"))
        assert office.hub.statistics().connections == 1
        await alice.put("q", 1)
        await alice.saved()


async def test_serving_ends_when_the_client_has_gone() -> None:
    async with open_office() as office:
        server_end, client_end = channel_pair()
        client_end.close()
        assert await serve(office.hub, server_end, DRAFT, identity()) is None
        server_end.close()
        assert isinstance(office, Office)


async def test_who_costs_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a message rate nobody waits; but a message that took long makes its sender."""
    async with open_office() as office:
        connection = await opened(office.hub, DRAFT, identity())
        peer = Peer()
        assert feed(office.hub, connection, update_frame(peer.put("cheap", 1))) is None
        monkeypatch.setattr("sync.server.connection.SLOW_SECONDS", 0)
        wait = feed(office.hub, connection, update_frame(peer.put("dear", 1)))
        assert isinstance(wait, Wait)
        assert wait.seconds > 0
        office.hub.close(connection)


async def test_presence_is_told_ten_times_a_second_and_the_latest_of_each() -> None:
    """Many who move their cursors cost as many frames as one."""
    async with open_office() as office:
        watcher = await office.join(identity("watcher"))
        people = [await office.join(identity(f"s{number}")) for number in range(20)]
        began = anyio.current_time()
        for clock in range(1, 31):
            for number, client in enumerate(people):
                state = f'"{clock}"'
                await client.send(awareness_frame([AwarenessEntry(900 + number, clock, state)]))
            await anyio.sleep(0.01)
        await watcher.until(lambda: b"".join(watcher.peer.frames).count(b'"30"') == 20)
        frames = [frame for frame in watcher.peer.frames if frame[:1] == b"\x01"]
        assert 2 <= len(frames) <= (anyio.current_time() - began) / 0.1 + 2
