"""Stopped sessions: what was accepted is on disk before, and evaluators write no more after."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pycrdt import Map

from auth.access import Access, Grants, Identity, SessionAccess
from persistence.store import Edit, Position, Record
from sync.core.crdt import Replica
from sync.core.footprint import Footprint
from sync.core.guard import inspect
from sync.core.names import DocumentName
from sync.core.session import Outline, SessionId, State, Step, TestCase
from sync.core.yprotocol import saved_frame, update_frame
from sync.server import event_journal, journal
from sync.server import sessions as sessions_module
from sync.server.rehearsal import LARGE, Rehearsal
from sync.server.sessions import Sessions, open_sessions
from tests.server.parts import (
    DISK_FULL,
    POISON,
    Office,
    Tokens,
    TroubledStore,
    an_edit,
    eventually,
    fail_on_poison,
    feed,
    identity,
    open_office,
    opened,
    stored_answers,
)
from tests.support.client import ROOT, Client, Closed, Peer, renewal

S1 = SessionId("s1")
OUTLINE = Outline("Chatbot", "Round 1", (TestCase("c1", "The first"), TestCase("c2", "The second")))
SHARED = DocumentName("drafts/s1/c1")
OWN = DocumentName("drafts/s1/c2/eve")
ELSEWHERE = [DocumentName(f"drafts/{name}") for name in ("s1", "s10/c1", "s2/c1", "42")]

SEALED = Closed(4409, "the session is stopped: its drafts are read-only")


def somebody(subject: str, access: Access = Access.WRITE) -> Identity:
    who = identity(subject, access)
    return replace(who, sessions=Grants({"*": SessionAccess.JOIN}))


LEA = replace(identity("lea"), sessions=Grants({"*": SessionAccess.LEAD}))
EVE, BEN = somebody("eve"), somebody("ben")
ADA = replace(identity("ada"), administrator=True)
OLGA = somebody("olga", Access.READ)


class Store(TroubledStore):
    """Notes every edit and every event in the order in which they came to disk."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[tuple[str, str]] = []  # a document and its author, or a session and a kind
        self.refused: str | None = None  # kind

    async def append(self, batch: Sequence[Edit]) -> Position:
        position = await super().append(batch)
        self.order += [(each.document, each.author) for each in batch]
        return position

    async def record(self, batch: Sequence[Record]) -> list[int]:
        await anyio.lowlevel.checkpoint()
        if any(each.event.kind == self.refused for each in batch):
            raise ValueError("refused by a bug")
        offsets = await super().record(batch)
        self.order += [(each.session, each.event.kind) for each in batch]
        return offsets

    def after_the_stop(self, session: str = "s1") -> set[tuple[str, str]]:
        """The edits that came to disk after a session was stopped: documents and authors."""
        return set(self.order[self.order.index((session, "session.stopped")) + 1 :])


@dataclass
class House:
    """A running service: its documents and its sessions."""

    office: Office
    sessions: Sessions
    store: Store

    async def stop(self) -> None:
        await self.sessions.step("s1", Step.STOP, LEA)

    async def state(self) -> State:
        return (await self.sessions.get("s1")).current.state

    async def accepts(self, client: Client, key: str, value: Any) -> None:
        """A client makes an edit, and the store cannot take it yet."""
        journal = self.office.hub.journal
        before = journal.unsaved_bytes
        await client.put(key, value)
        await eventually(lambda: journal.unsaved_bytes > before)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_journal, "_RETRY_SECONDS", (0.001,))
    monkeypatch.setattr(journal, "_RETRY_SECONDS", (0.001,))


@asynccontextmanager
async def open_house(
    store: Store | None = None, tokens: Tokens | None = None
) -> AsyncIterator[House]:
    """Run a service with a session that runs."""
    store = store or Store()
    async with (
        open_office(store, tokens, connections_per_subject=1_000) as office,
        open_sessions(store, office.hub) as sessions,
    ):
        if await store.session("s1") is None:
            await sessions.create(S1, LEA, OUTLINE)
            await sessions.step("s1", Step.START, LEA)
        try:
            yield House(office, sessions, store)
        finally:
            store.failure = None
            store.release()


@asynccontextmanager
async def stopping(house: House) -> AsyncIterator[None]:
    """Begin a stop that has to wait; at the end it is done."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(house.stop)
        await eventually(lambda: "s1" in house.office.hub.sealing.sessions)
        yield


# -- those who write


async def test_writers_are_closed_when_their_edits_are_saved_and_readers_are_not() -> None:
    async with open_house() as house:
        eve = await house.office.join(EVE, SHARED)
        ben = await house.office.join(BEN, OWN)
        olga = await house.office.join(OLGA, SHARED)
        house.store.hold()
        await house.accepts(eve, "q", "last")
        await eve.send(saved_frame(b"mine"))
        await eve.received()
        async with stopping(house):
            await anyio.wait_all_tasks_blocked()
            assert (eve.closed, ben.closed, eve.peer.saved) == (None, None, [])
            assert await house.state() is State.RUNNING
            await ben.send(saved_frame(b"asked while it stops"))
            await ben.until(lambda: len(ben.peer.saved) == 1)
            house.store.release()
        assert [await eve.ended(), await ben.ended()] == [SEALED, SEALED]
        assert (eve.peer.saved, ben.peer.saved) == ([b"mine"], [b"asked while it stops"])
        assert str(await house.state()) == "stopped"
        assert olga.closed is None
        assert house.store.after_the_stop() == set()
        assert await stored_answers(house.store, SHARED) == {"q": "last"}


@pytest.mark.parametrize("seed", range(5))
async def test_a_stop_while_everybody_types(seed: int) -> None:
    """What readers saw, what was saved, and what is on disk at the stop, are one."""
    chance = random.Random(seed)
    async with open_house() as house:
        saved: dict[str, set[str]] = {}

        async def type_on(who: Identity, document: DocumentName) -> None:
            client = await house.office.join(who, document)
            mine = saved[f"{document} {who.subject}"] = set()
            sent: dict[bytes, str] = {}
            while client.closed is None:
                key = f"{who.subject}-{len(sent)}"
                await client.put(key, 1)
                payload, frame = client.peer.barrier()
                sent[payload] = key
                await client.send(frame)
                for _ in range(chance.randrange(4)):
                    await anyio.lowlevel.checkpoint()
            mine.update(sent[payload] for payload in client.peer.saved)
            assert client.closed == SEALED

        olga = await house.office.join(OLGA, SHARED)
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                for document in (SHARED, OWN):
                    tasks.start_soon(type_on, somebody(f"w{number}"), document)
            await olga.until(lambda: len(olga.peer.answers) > chance.randrange(20, 200))
            await house.stop()
            seen = {
                document: await stored_answers(house.store, document) for document in (SHARED, OWN)
            }
            assert house.store.after_the_stop() == set()
        for document in (SHARED, OWN):
            assert await stored_answers(house.store, document) == seen[document]
            for number in range(5):
                assert saved[f"{document} w{number}"] <= set(seen[document])
        await olga.until(lambda: olga.peer.answers == seen[SHARED])
        assert olga.closed is None
        assert sum(len(keys) for keys in saved.values()) > 20


async def test_what_came_in_the_turn_of_the_seal_is_on_disk_when_it_is_done() -> None:
    async with open_house() as house:
        hub = house.office.hub
        eve = await opened(hub, SHARED, EVE)
        feed(hub, eve, update_frame(Peer().put("q", 1)))
        await hub.sealing.seal("s1")
        assert await stored_answers(house.store, SHARED) == {"q": 1}


async def test_a_stop_while_nobody_is_there() -> None:
    async with open_house() as house:
        await house.stop()
        assert house.store.order[-1] == ("s1", "session.stopped")


async def test_other_documents_do_not_notice() -> None:
    async with open_house() as house:
        clients = [await house.office.join(EVE, document) for document in ELSEWHERE]
        await house.stop()
        for client, document in zip(clients, ELSEWHERE, strict=True):
            await client.put("q", 1)
            await client.saved()
            assert await stored_answers(house.store, document) == {"q": 1}


async def test_administrators_write_on() -> None:
    async with open_house() as house:
        ada, olga = await house.office.join(ADA, SHARED), await house.office.join(OLGA, SHARED)
        house.store.hold()
        await house.accepts(ada, "before", 1)
        async with stopping(house):
            await ada.put("meanwhile", 1)
            house.store.release()
        await ada.put("after", 1)
        await ada.saved()
        await olga.sees("after", 1)
        late = await house.office.join(ADA, SHARED)
        await late.put("late", 1)
        await late.saved()
        assert set(await stored_answers(house.store, SHARED)) == {
            "before", "meanwhile", "after", "late",
        }  # fmt: skip
        assert [ada.closed, late.closed, olga.closed] == [None] * 3


async def test_a_stop_ends_though_others_type_all_the_time() -> None:
    """Administrators in the very draft, and everybody everywhere else."""
    async with open_house() as house, anyio.create_task_group() as tasks:
        typed = dict.fromkeys(range(12), 0)

        async def type_on(number: int, client: Client) -> None:
            while True:
                await client.put(f"{number}-{typed[number] % 10}", typed[number])
                typed[number] += 1
                await anyio.lowlevel.checkpoint()

        for number in typed:
            document = [SHARED, OWN, *ELSEWHERE][number % 6]
            client = await house.office.join(ADA, document)
            tasks.start_soon(type_on, number, client)
        eve = await house.office.join(EVE, SHARED)
        await eve.put("q", 1)
        await eve.received()
        with anyio.fail_after(10):
            await house.stop()
        assert await eve.ended() == SEALED
        before = dict(typed)
        await eventually(lambda: all(typed[number] > before[number] for number in typed))
        tasks.cancel_scope.cancel()
    assert (await stored_answers(house.store, SHARED))["q"] == 1


# -- those who come later


@pytest.mark.parametrize("document", [SHARED, OWN])
async def test_later_writers_are_readers_until_they_write(document: DocumentName) -> None:
    async with open_house() as house:
        first = await house.office.join(EVE, document)
        await first.put("q", 1)
        await first.saved()
        await house.stop()
        late = await house.office.join(EVE, document)
        assert late.peer.answers == {"q": 1}
        await late.saved()  # nothing: its barriers are answered at once
        ada = await house.office.join(ADA, document)
        await ada.put("q", 2)
        await late.sees("q", 2)  # and it reads on
        await ada.saved()
        assert (late.closed, late.peer.denied) == (None, [])
        await late.put("q", 3)
        assert await late.ended() == SEALED
        assert await stored_answers(house.store, document) == {"q": 2}


async def test_who_was_offline_at_the_stop_is_told_when_they_bring_edits() -> None:
    async with open_house() as house:
        eve, ben = Peer(), Peer()
        for peer in (eve, ben):
            client = await house.office.join(EVE, SHARED, peer=peer)
            await client.put("q", 1)
            await client.saved()
            house.office.leave(client)
        eve.put("offline", 1)
        await house.stop()
        assert await house.office.enter(EVE, SHARED, peer=eve).ended() == SEALED
        back = await house.office.join(EVE, SHARED, peer=ben)  # with what all have already
        await back.saved()
        assert back.closed is None
        assert await stored_answers(house.store, SHARED) == {"q": 1}


async def test_copies_of_what_is_there_are_no_edits() -> None:
    """y-indexeddb sends all that it has as an update, deletions too."""
    async with open_house() as house:
        eve = await house.office.join(EVE, SHARED)
        update = await eve.put("q", "long")
        await eve.put("q", "short")
        await eve.saved()
        await house.stop()
        late = await house.office.join(EVE, SHARED)
        for frame in (update_frame(update), update_frame(late.peer.doc.get_update())):
            await late.send(frame)
        await late.saved()
        assert (late.closed, late.peer.denied) == (None, [])


async def test_a_deletion_is_an_edit() -> None:
    async with open_house() as house:
        eve = await house.office.join(EVE, SHARED)
        await eve.put("q", 1)
        await eve.saved()
        await house.stop()
        late = await house.office.join(BEN, SHARED)
        await late.edit(lambda doc: doc.get(ROOT, type=Map).pop("q"))
        assert await late.ended() == SEALED


async def test_a_draft_that_nobody_had_open_is_sealed_as_well() -> None:
    store = Store()
    await store.inner.append([an_edit(OWN, "q", 1)])
    async with open_house(store) as house:
        await house.stop()
        assert house.office.hub.statistics().rooms == 0
        eve = await house.office.join(EVE, OWN)
        await eve.put("q", 2)
        assert await eve.ended() == SEALED
        new = await house.office.join(EVE, SHARED)  # nor is a new one begun
        await new.put("q", 2)
        assert await new.ended() == SEALED
        assert await stored_answers(store, SHARED) == {}


async def test_a_draft_that_is_being_loaded_at_the_stop_is_sealed_as_well() -> None:
    async with open_house() as house:
        house.store.hold()
        eve = house.office.enter(EVE, SHARED, peer=(peer := Peer()))
        peer.put("offline", 1)
        await eventually(lambda: house.store.loads == 1)
        async with stopping(house):
            house.store.release()
        assert await eve.ended() == SEALED
        assert await stored_answers(house.store, SHARED) == {}


async def test_who_comes_while_the_session_stops_writes_nothing() -> None:
    async with open_house() as house:
        first = await house.office.join(EVE, SHARED)
        house.store.hold()
        await house.accepts(first, "q", 1)
        async with stopping(house):
            writer, reader = [await house.office.join(BEN, SHARED) for _ in range(2)]
            await writer.put("q", 2)
            assert await writer.ended() == SEALED
            assert reader.closed is None
            house.store.release()
        assert await stored_answers(house.store, SHARED) == {"q": 1}


async def test_stopped_sessions_are_sealed_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions_module, "_PAGE", 2)
    store = Store()
    async with open_house(store) as house:
        for number in range(2, 9):
            session = SessionId(f"s{number}")
            await house.sessions.create(session, LEA, OUTLINE)
            await house.sessions.step(session, Step.START, LEA)
            if number != 5:
                await house.sessions.step(session, Step.STOP, LEA)
        await house.stop()
    async with open_house(store) as house:
        stopped = {f"s{number}" for number in (1, 2, 3, 4, 6, 7, 8)}
        assert house.office.hub.sealing.sessions == stopped
        for number in range(1, 9):
            eve = await house.office.join(EVE, DocumentName(f"drafts/s{number}/c1"))
            await eve.put("q", 1)
            if number == 5:
                await eve.saved()
            else:
                assert await eve.ended() == SEALED


# -- what was sent and is not accepted


async def test_a_held_edit_is_let_go_and_nobody_says_that_it_is_saved() -> None:
    async with open_house() as house:
        peer = Peer()
        first, second = peer.put("q", "first"), peer.put("q", "second")
        eve = house.office.enter(EVE, SHARED, peer=Peer())
        await eve.synced()
        ada = await house.office.join(ADA, SHARED)
        await eve.send(update_frame(second))  # stands on what never came
        await eve.send(saved_frame(b"behind it"))
        await eventually(lambda: eve.peer.asked == 2)
        house.store.hold()
        await house.accepts(ada, "ada", 1)
        async with stopping(house):
            await eve.send(saved_frame(b"later"))
            await ada.send(update_frame(first))  # now it could be applied
            await ada.sees("ada", 1)
            await anyio.wait_all_tasks_blocked()
            house.store.release()
        assert await eve.ended() == SEALED
        assert eve.peer.saved == []
        await ada.saved()
        assert await stored_answers(house.store, SHARED) == {"ada": 1, "q": "first"}


async def test_a_barrier_sent_after_a_held_edit_was_let_go_is_not_answered() -> None:
    async with open_house() as house:
        peer = Peer()
        peer.put("q", "first")
        second = peer.put("q", "second")
        eve, ben = await house.office.join(EVE, SHARED), await house.office.join(BEN, SHARED)
        await eve.send(update_frame(second))
        await eventually(lambda: eve.peer.asked == 2)
        house.store.hold()
        await house.accepts(ben, "ben", 1)
        async with stopping(house):
            await eve.send(saved_frame(b"is it?"))
            await anyio.wait_all_tasks_blocked()
            assert eve.peer.saved == []
            house.store.release()
        assert await eve.ended() == SEALED
        assert (eve.peer.saved, await stored_answers(house.store, SHARED)) == ([], {"ben": 1})


async def test_a_large_edit_that_is_tried_out_at_the_stop_is_not_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trying, tried = anyio.Event(), anyio.Event()

    async def try_out(_self: Rehearsal, update: bytes, most: int, _document: bytes) -> Footprint:
        trying.set()
        await tried.wait()
        return inspect(update, most)

    monkeypatch.setattr(Rehearsal, "inspect", try_out)
    async with open_house() as house:
        eve = await house.office.join(EVE, SHARED)
        await eve.put("q", "x" * 2 * LARGE)
        await trying.wait()
        await eve.send(saved_frame(b"mine"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.office.hub.sealing.seal, "s1")
            await anyio.wait_all_tasks_blocked()
            tried.set()
        assert await eve.ended() == SEALED
        assert (eve.peer.saved, await stored_answers(house.store, SHARED)) == ([], {})


async def test_a_room_that_broke_is_made_again_before_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Replica, "apply", fail_on_poison)
    async with open_house() as house:
        eve, ben = await house.office.join(EVE, SHARED), await house.office.join(BEN, SHARED)
        await eve.put("q", "good")
        await eve.saved()
        house.store.hold()
        await house.accepts(ben, "ben", 1)
        await eve.put("q", POISON)
        assert (await eve.ended()).code == 4400
        await ben.send(saved_frame(b"mine"))
        async with stopping(house):
            await anyio.wait_all_tasks_blocked()
            assert ben.closed is None
            house.store.release()
        assert await ben.ended() == SEALED
        assert await stored_answers(house.store, SHARED) == {"q": "good", "ben": 1}
        late = await house.office.join(OLGA, SHARED)
        assert late.peer.answers == {"q": "good", "ben": 1}


# -- new tokens


RIGHTS: dict[str, Identity] = {
    "write": EVE,
    "read": somebody("eve", Access.READ),
    "admin": replace(EVE, administrator=True),
}


@pytest.mark.parametrize("before", RIGHTS)
@pytest.mark.parametrize("renewed", RIGHTS)
async def test_a_new_token_opens_no_seal_unless_it_is_an_administrators(
    before: str, renewed: str
) -> None:
    async with open_house(tokens=Tokens(**RIGHTS)) as house:
        await house.stop()
        eve = await house.office.join(RIGHTS[before], SHARED)
        await eve.send(renewal(renewed))
        await eve.until(lambda: len(eve.peer.renewed) == 1)
        await eve.put("q", 1)
        match renewed:
            case "admin":
                await eve.saved()
                assert await stored_answers(house.store, SHARED) == {"q": 1}
            case "write":
                assert await eve.ended() == SEALED
            case "read":
                await eve.until(lambda: len(eve.peer.denied) == 1)
                assert eve.closed is None
                assert "read-only" in eve.peer.denied[0]


async def test_a_reader_with_a_new_token_writes_while_the_session_runs() -> None:
    async with open_house(tokens=Tokens(**RIGHTS)) as house:
        eve = await house.office.join(RIGHTS["read"], SHARED)
        await eve.send(renewal("write"))
        await eve.until(lambda: len(eve.peer.renewed) == 1)
        await eve.put("q", 1)
        await eve.saved()
        await house.stop()
        assert await eve.ended() == SEALED


# -- stops that meet with trouble


async def test_a_stop_waits_for_a_disk_that_fails() -> None:
    async with open_house() as house:
        eve = await house.office.join(EVE, SHARED)
        house.store.failure = DISK_FULL
        await house.accepts(eve, "q", 1)
        await eve.send(saved_frame(b"mine"))
        await eve.received()
        async with stopping(house):
            await eventually(lambda: house.store.appends > 3)
            assert (eve.closed, eve.peer.saved) == (None, [])
            house.store.failure = None
        assert await eve.ended() == SEALED
        await eve.until(lambda: eve.peer.saved == [b"mine"])
        assert house.store.after_the_stop() == set()


async def test_a_stop_whose_caller_goes_is_carried_out() -> None:
    async with open_house() as house:
        eve = await house.office.join(EVE, SHARED)
        house.store.hold()
        await house.accepts(eve, "q", 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.stop)
            await eventually(lambda: "s1" in house.office.hub.sealing.sessions)
            tasks.cancel_scope.cancel()
        house.store.release()
        assert await eve.ended() == SEALED
        assert await house.state() is State.STOPPED
        assert await stored_answers(house.store, SHARED) == {"q": 1}


async def test_a_stop_that_the_store_refuses_seals_nothing() -> None:
    async with open_house() as house:
        eve, ben = await house.office.join(EVE, SHARED), await house.office.join(OLGA, SHARED)
        house.store.refused = "session.stopped"
        with pytest.raises(ValueError, match="refused by a bug"):
            await house.stop()
        closed = await eve.ended()
        assert closed.code == 1011  # come again
        assert ben.closed is None
        assert house.office.hub.sealing.sessions == set()
        again = await house.office.join(EVE, SHARED)
        await again.put("q", 1)
        await again.saved()
        house.store.refused = None
        await house.stop()
        assert await again.ended() == SEALED


async def test_a_killed_server_has_not_stopped_what_was_not_on_disk() -> None:
    """The seal is nothing but memory: what counts is the event."""
    async with open_house() as house:
        eve = await house.office.join(EVE, SHARED)
        house.store.hold()
        await house.accepts(eve, "q", 1)
        async with stopping(house):
            stored = await house.store.inner.session("s1")
            assert stored is not None
            assert stored.current.state == "running"
            house.store.release()
        stored = await house.store.inner.session("s1")
        assert stored is not None
        assert stored.current.state == "stopped"
