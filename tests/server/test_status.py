"""Who is in a session, on which draft, and how far they have come; and what looking costs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pycrdt import Array, Map

from auth.access import Access, Grants
from persistence.store import (
    Damage,
    Entry,
    Position,
    Snapshot,
    StoredDocument,
    StoreUnavailable,
)
from sync.core.names import DocumentName
from sync.core.session import SessionId, Step
from sync.core.yprotocol import update_frame
from sync.server import draft_answers, status, status_view
from sync.server.meters import Meters
from sync.server.sessions import LiveSession
from tests.server.parts import DISK_FULL, TroubledStore, eventually, feed, opened
from tests.server.watching import (
    ADA,
    BEN,
    CARL,
    FORM,
    OLGA,
    Watch,
    answered,
    case_of,
    channel,
    commented,
    draft,
    draft_of,
    member_of,
    shares,
    somebody,
    stored,
    watching,
)
from tests.support.client import Peer


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    async with watching() as watch:
        yield watch


# -- who


async def test_members_come_first_and_then_those_who_are_only_connected(watch: Watch) -> None:
    live = await watch.session(BEN)
    await watch.office.join(BEN, draft())
    await watch.office.join(OLGA, draft())
    watch.events.open = [channel("zoe")]
    told = await watch.board.status(live)
    assert [
        (each["subject"], each["role"], each["member"], each["online"]) for each in told["members"]
    ] == [
        ("ada", "lead", True, False),
        ("ben", "evaluator", True, True),
        ("olga", None, False, True),
        ("zoe", None, False, True),
    ]
    assert told["connections"] == 3
    assert member_of(told, "zoe")["name"] == "Zoe"


async def test_somebody_who_is_invited(watch: Watch) -> None:
    live = await watch.session()
    await watch.sessions.step("s1", Step.JOIN, BEN)
    await watch.sessions.step("s1", Step.LEAVE, BEN)
    told = await watch.board.status(live)
    assert [each["subject"] for each in told["members"]] == ["ada"]


async def test_a_connection_to_a_draft(watch: Watch) -> None:
    live = await watch.session(BEN)
    before = time.time()
    await watch.office.join(BEN, draft())
    reader = replace(CARL, documents=Grants({"*": Access.READ}))
    await watch.office.join(reader, draft("b"))
    told = await watch.board.status(live)
    (connection,) = member_of(told, "ben")["connections"]
    assert connection["kind"] == "document"
    assert (connection["document"], connection["access"]) == ("drafts/s1/a", "write")
    assert (connection["unsaved"], connection["latency_ms"]) == (0, None)
    assert iso_seconds(connection["since"]) == pytest.approx(before, abs=5)
    assert iso_seconds(connection["last_seen"]) >= iso_seconds(connection["since"]) - 0.002
    (other,) = member_of(told, "carl")["connections"]
    assert (other["document"], other["access"]) == ("drafts/s1/b", "read")
    assert (case_of(told)["open"], case_of(told, "b")["open"]) == (["ben"], ["carl"])


def iso_seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def test_the_access_of_a_writer_when_the_session_is_stopped(watch: Watch) -> None:
    live = await watch.session(BEN)
    await watch.sessions.step("s1", Step.STOP, ADA)
    await opened(watch.office.hub, draft(), BEN)
    told = await watch.board.status(live)
    assert told["state"] == "stopped"
    assert member_of(told, "ben")["connections"][0]["access"] == "read"


async def test_a_connection_to_the_events(watch: Watch) -> None:
    live = await watch.session(BEN)
    watch.events.open = [channel("ben", in_flight=3, round_trip=0.0123, opened_at=1.5e9)]
    told = await watch.board.status(live)
    (connection,) = member_of(told, "ben")["connections"]
    assert connection | {"last_seen": None} == {
        "kind": "events",
        "document": None,
        "access": None,
        "since": "2017-07-14T02:40:00.000Z",
        "last_seen": None,
        "unsaved": 3,
        "latency_ms": 12.3,
    }


async def test_what_is_not_on_disk_is_unsaved() -> None:
    store = TroubledStore()
    async with watching(store) as watch:
        live = await watch.session(BEN)
        ben = await opened(watch.office.hub, draft(), BEN)
        carl = await opened(watch.office.hub, draft(), CARL)
        store.hold()
        peer = Peer()
        for number in range(3):
            feed(watch.office.hub, ben, update_frame(peer.put("k", number)))
        feed(watch.office.hub, carl, update_frame(Peer().put("c", 1)))
        told = await watch.board.status(live)
        assert unsaved(told) == {"ben": 3, "carl": 1}
        assert member_of(told, "ben")["last_committed"] is None
        store.release()
        await watch.settled()
        told = await watch.board.status(live)
        assert unsaved(told) == {"ben": 0, "carl": 0}
        assert member_of(told, "ben")["last_committed"]["position"] == 3
        assert member_of(told, "carl")["last_committed"]["position"] == 4


async def test_what_is_held_for_others_that_never_came_is_unsaved(watch: Watch) -> None:
    live = await watch.session(BEN)
    ben = await opened(watch.office.hub, draft(), BEN)
    peer = Peer()
    peer.put("first", 1)
    feed(watch.office.hub, ben, update_frame(peer.put("second", 2)))
    assert unsaved(await watch.board.status(live)) == {"ben": 1}


def unsaved(told: dict[str, Any]) -> dict[str, int]:
    return {
        member["subject"]: sum(each["unsaved"] for each in member["connections"])
        for member in told["members"]
        if member["connections"]
    }


async def test_the_last_edit_of_everybody_on_disk(watch: Watch) -> None:
    live = await watch.session(BEN, CARL)
    for case, who in (("a", BEN), ("a", CARL), ("b", BEN)):
        client = await watch.office.join(who, draft(case))
        await client.put("k", 1)
        await client.saved()
        watch.office.leave(client)
    told = await watch.board.status(live)
    last = member_of(told, "ben")["last_committed"]
    assert (last["document"], last["position"]) == ("drafts/s1/b", 3)
    last = member_of(told, "carl")["last_committed"]
    assert (last["document"], last["position"]) == ("drafts/s1/a", 2)
    assert iso_seconds(last["at"]) == pytest.approx(time.time(), abs=10)


async def test_many_who_wrote_in_one_turn(watch: Watch) -> None:
    live = await watch.session(BEN, CARL)
    connections = [await opened(watch.office.hub, draft(), who) for who in (BEN, CARL, OLGA, ADA)]
    peers = [Peer() for _ in connections]
    for number in range(8):
        at = number % 4
        feed(watch.office.hub, connections[at], update_frame(peers[at].put("k", number)))
    told = await watch.board.status(live)
    assert unsaved(told) == {"ada": 2, "ben": 2, "carl": 2, "olga": 2}
    await watch.settled()
    told = await watch.board.status(live)
    assert {each["subject"]: each["last_committed"]["position"] for each in told["members"]} == {
        "ben": 5,
        "carl": 6,
        "olga": 7,
        "ada": 8,
    }


async def test_whose_last_edit_is_only_known_from_the_disk(watch: Watch) -> None:
    live = await watch.session(BEN)
    await stored(watch.store, draft(), Peer().put("k", 1), author="ben")
    await stored(watch.store, draft("b"), Peer().put("k", 1), author="ben")
    told = await watch.board.status(live)
    assert member_of(told, "ben")["last_committed"] == {
        "document": "drafts/s1/b",
        "position": 2,
        "at": "2001-09-09T01:46:40.000Z",
    }


async def test_what_is_on_disk_of_somebody_may_be_older_than_what_they_did(watch: Watch) -> None:
    live = await watch.session(BEN)
    await stored(watch.store, draft("b"), Peer().put("k", 1), author="ben")
    ben = await watch.office.join(BEN, draft())
    await ben.put("k", 1)
    await ben.saved()
    last = member_of(await watch.board.status(live), "ben")["last_committed"]
    assert (last["document"], last["position"]) == ("drafts/s1/a", 2)


async def test_what_was_acknowledged_and_completed(watch: Watch) -> None:
    live = await watch.session(BEN)
    watch.sessions.acknowledge(live, "ben", 2)
    await watch.sessions.complete("s1", "b", "ben", BEN, done=True)
    told = await watch.board.status(live)
    assert told["top"] == 4
    assert member_of(told, "ben")["acknowledged"] == 2
    assert not case_of(told, "a")["evaluators"][0]["completed"]
    done = case_of(told, "b")["evaluators"][0]
    assert done["completed"]
    assert iso_seconds(done["completed_at"]) == pytest.approx(time.time(), abs=5)


# -- how far


async def test_progress_as_it_is_made(watch: Watch) -> None:
    live = await watch.session(BEN, CARL)
    assert shares(await watch.board.status(live)) == {"ben": 0, "carl": 0}
    ben = await watch.office.join(BEN, draft())
    await ben.send(update_frame(answered(ben.peer, "ben/q1", "carl/q1", "ben/q5")))
    await ben.send(update_frame(answered(ben.peer, "q2", root="fields")))
    await ben.saved()
    assert shares(await watch.board.status(live)) == {"ben": 0.5, "carl": 0.5}
    await ben.send(update_frame(commented(ben.peer, "q3", "because")))
    await ben.send(update_frame(answered(ben.peer, "ben/q4")))
    await ben.saved()
    told = await watch.board.status(live)
    assert shares(told) == {"ben": 1.0, "carl": 0.75}
    assert case_of(told)["evaluators"][0]["progress"] == {
        "answered": 4, "required": 4, "optional_answered": 1, "share": 1.0,
    }  # fmt: skip
    assert shares(told, "b") == {"ben": 0, "carl": 0}


async def test_progress_that_is_not_on_disk_yet() -> None:
    store = TroubledStore()
    async with watching(store) as watch:
        live = await watch.session(BEN)
        ben, peer = await opened(watch.office.hub, draft(), BEN), Peer()
        store.hold()
        for number, share in enumerate((0.25, 0.5, 0.75), 1):
            feed(watch.office.hub, ben, update_frame(answered(peer, f"ben/q{number}")))
            assert shares(await watch.board.status(live)) == {"ben": share}


async def test_a_session_that_was_made_anew_has_its_own_form(watch: Watch) -> None:
    live = await watch.session(BEN)
    await stored(watch.store, draft(), answered(Peer(), "ben/q1"))
    assert shares(await watch.board.status(live)) == {"ben": 0.25}
    (section,) = FORM["sections"]
    form = FORM | {"sections": [section | {"questions": section["questions"][1:]}]}
    live.current = replace(live.current, epoch="another", form=form)
    assert shares(await watch.board.status(live)) == {"ben": 0}


async def test_ones_own_draft_and_the_shared_one_add_up(watch: Watch) -> None:
    live = await watch.session(BEN, CARL)
    await stored(watch.store, draft(), answered(Peer(), "q1", root="fields"))
    await stored(watch.store, draft("a", "ben"), answered(Peer(), "q2", "q3", root="fields"))
    await stored(watch.store, draft("a", "carl"), answered(Peer(), "carl/q4"), author="carl")
    told = await watch.board.status(live)
    assert shares(told) == {"ben": 0.75, "carl": 0.5}
    assert [(each["document"], each["evaluator"]) for each in case_of(told)["documents"]] == [
        ("drafts/s1/a", None), ("drafts/s1/a/ben", "ben"), ("drafts/s1/a/carl", "carl"),
    ]  # fmt: skip


async def test_drafts_on_disk_are_read_without_a_room_and_once(watch: Watch) -> None:
    live = await watch.session(BEN)
    await stored(watch.store, draft(), answered(Peer(), "ben/q1"))
    await stored(watch.store, draft("b"), answered(Peer(), "ben/q1", "ben/q2"))
    told = await watch.board.status(live)
    assert (shares(told), shares(told, "b")) == ({"ben": 0.25}, {"ben": 0.5})
    assert (watch.rooms, watch.loads) == (0, 2)
    await watch.board.status(live)
    assert (watch.rooms, watch.loads) == (0, 2)


async def test_a_draft_is_read_again_when_it_has_changed_on_disk(watch: Watch) -> None:
    """A room came and went between two looks."""
    live = await watch.session(BEN)
    peer = Peer()
    await stored(watch.store, draft(), answered(peer, "ben/q1"))
    await watch.board.status(live)
    ben = await watch.office.join(BEN, draft(), peer=peer)
    await ben.send(update_frame(answered(peer, "ben/q2")))
    await ben.saved()
    assert shares(await watch.board.status(live)) == {"ben": 0.5}
    await ben.send(update_frame(answered(peer, "ben/q3")))
    await ben.saved()
    watch.office.leave(ben)
    hub = watch.office.hub
    await eventually(lambda: not hub.rooms[draft()].room.members)
    hub.rooms.unload(hub.rooms[draft()])
    await eventually(lambda: len(hub.rooms) == 0)
    told = await watch.board.status(live)
    assert shares(told) == {"ben": 0.75}
    assert draft_of(told, draft())["edits"] == 3


async def test_without_a_form_there_is_no_progress(watch: Watch) -> None:
    live = await watch.session(BEN, form=None)
    await stored(watch.store, draft(), answered(Peer(), "ben/q1"))
    told = await watch.board.status(live)
    assert shares(told) == {"ben": None}
    assert draft_of(told, draft())["edits"] == 1
    assert watch.loads == 0


async def test_a_form_that_nobody_can_read_costs_the_progress(watch: Watch) -> None:
    live = await watch.session(BEN, form={"questions": "of another version"})
    assert shares(await watch.board.status(live)) == {"ben": None}


async def test_who_is_shown_with_a_test_case(watch: Watch) -> None:
    """Evaluators; and who else has answered it or completed it, or has a draft of their own."""
    live = await watch.session(BEN)
    names = ("ada/q1", "nobody/q1", *(f"made-up-{n}/q1" for n in range(50)))
    await stored(watch.store, draft(), answered(Peer(), *names))
    await stored(watch.store, draft("a", "carl"), answered(Peer(), "q1", root="fields"))
    assert [*shares(await watch.board.status(live))] == ["ben", "ada", "carl"]


async def test_no_more_rows_than_anybody_reads(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_view, "MOST_ROWS", 5)
    live = await watch.session(BEN, CARL, cases=["a", "b", "c"])
    await stored(watch.store, draft("b"), answered(Peer(), "carl/q1"))
    told = await watch.board.status(live)
    assert [shares(told, case) for case in "abc"] == [{}, {"carl": 0.25}, {}]


# -- what there is


async def test_edits_are_counted_once(watch: Watch) -> None:
    """Those on disk before, those since the room is in memory, and after it has gone."""
    live = await watch.session(BEN)
    peer = Peer()
    await stored(watch.store, draft(), *(peer.put("k", n) for n in range(3)))
    assert draft_of(await watch.board.status(live), draft())["edits"] == 3
    ben = await watch.office.join(BEN, draft(), peer=peer)
    for number in range(4):
        await ben.put("k", number)
    await ben.saved()
    told = await watch.board.status(live)
    assert draft_of(told, draft())["edits"] == case_of(told)["edits"] == 7
    watch.board._shelves.clear()
    assert draft_of(await watch.board.status(live), draft())["edits"] == 7
    await ben.put("k", 9)
    await ben.saved()
    told = await watch.board.status(live)
    assert draft_of(told, draft())["edits"] == 8
    assert draft_of(told, draft())["last_edit"]["by"] == "ben"
    assert case_of(told)["last_edit"]["position"] == 8


async def test_a_draft_that_is_open_and_empty_is_there_while_it_is(watch: Watch) -> None:
    live = await watch.session(BEN)
    ben = await watch.office.join(BEN, draft())
    told = await watch.board.status(live)
    assert draft_of(told, draft()) == {
        "document": "drafts/s1/a",
        "evaluator": None,
        "open": ["ben"],
        "edits": 0,
        "last_edit": None,
        "note": None,
    }
    watch.office.leave(ben)
    hub = watch.office.hub
    await eventually(lambda: not hub.rooms[draft()].room.members)
    assert case_of(await watch.board.status(live))["documents"] == []


async def test_documents_of_no_test_case(watch: Watch) -> None:
    live = await watch.session(BEN)
    await stored(watch.store, DocumentName("drafts/s1/elsewhere"), Peer().put("k", 1))
    await stored(watch.store, DocumentName("drafts/s10/a"), Peer().put("k", 1))
    told = await watch.board.status(live)
    assert [each["document"] for each in told["other_documents"]] == ["drafts/s1/elsewhere"]
    assert case_of(told)["documents"] == []


async def test_delivery(watch: Watch) -> None:
    live = await watch.session()
    assert (await watch.board.status(live))["delivery"] is None
    watch.events.of_session = Meters()
    watch.events.of_session.deliver(99, 0.003)
    watch.events.of_session.undelivered = 1
    told = (await watch.board.status(live))["delivery"]
    assert (told["delivered"], told["success"]) == (99, 0.99)
    assert 2 < told["latency_ms"]["p50"] <= told["latency_ms"]["p99"] < 5


# -- drafts that make trouble


async def test_a_draft_that_is_damaged_has_a_note(watch: Watch) -> None:
    live = await watch.session(BEN)
    store = troubled(watch)
    good = answered(Peer(), "ben/q1")
    await stored(store, draft(), good, Peer().put("k", 1))
    whole = await store.inner.load(draft())
    rotten = Entry(Position(2), whole.entries[1].edit._replace(update=b"\xff\xff\xff"))
    damage = Damage(Position(9), "entry", "its checksum is wrong")
    store.replaced[draft()] = replace(whole, entries=(whole.entries[0], rotten), damaged=(damage,))
    told = await watch.board.status(live)
    assert shares(told) == {"ben": 0.25}
    assert draft_of(told, draft())["note"] == "2 of its edits are damaged, and left out"


async def test_a_snapshot_that_cannot_be_loaded(watch: Watch) -> None:
    live = await watch.session(BEN)
    await stored(watch.store, draft(), answered(Peer(), "ben/q1"))
    rotten = Snapshot(draft(), Position(1), b"\x01\x09rotten", b"\x00", 1e9)
    troubled(watch).replaced[draft()] = StoredDocument(draft(), rotten, (), Position(1))
    told = await watch.board.status(live)
    assert shares(told) == {"ben": None}
    assert draft_of(told, draft())["note"] == "it is damaged, and cannot be read"
    assert shares(told, "b") == {"ben": 0}


def troubled(watch: Watch) -> TroubledStore:
    assert isinstance(watch.store, TroubledStore)
    return watch.store


async def test_a_draft_that_is_too_large_is_not_looked_into(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_answers, "HUGE", 1_000)
    live = await watch.session(BEN)
    await stored(watch.store, draft(), Peer().put("k", "x" * 2_000))
    told = await watch.board.status(live)
    assert draft_of(told, draft())["note"] == "it is too large to be looked into here"
    assert shares(told) == {"ben": None}


async def test_a_draft_of_too_many_edits_is_not_looked_into(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_answers, "MOST_ENTRIES", 3)
    live = await watch.session(BEN)
    peer = Peer()
    await stored(watch.store, draft(), *(peer.put("k", n) for n in range(4)))
    told = await watch.board.status(live)
    assert draft_of(told, draft())["note"] == "it is too large to be looked into here"


@pytest.mark.usefixtures("uncollected")
async def test_a_large_draft_is_read_in_another_process(watch: Watch) -> None:
    live = await watch.session(BEN)
    peer = Peer()
    answer = answered(peer, "ben/q1")
    text = commented(peer, "q3", "x" * 2 * draft_answers.INLINE)
    await stored(watch.store, draft(), answer, text)
    ben = await watch.office.join(BEN, draft("b"))
    await ben.send(update_frame(commented(ben.peer, "q3", "x" * 60_000)))
    await ben.saved()
    longest = Longest()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(longest.run)
        told = await watch.board.status(live)
        tasks.cancel_scope.cancel()
    assert (shares(told), shares(told, "b")) == ({"ben": 0.5}, {"ben": 0.25})
    assert longest.seconds < 0.1


class Longest:
    """How long the loop worked before it got to us, at most: in CPU time, not by the clock."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def run(self) -> None:
        while True:
            began = time.thread_time()
            await anyio.sleep(0.001)
            self.seconds = max(self.seconds, time.thread_time() - began)


async def test_a_draft_that_takes_too_long_in_that_process(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_answers, "WORKER_SECONDS", 0.0)
    live = await watch.session(BEN)
    await stored(watch.store, draft(), commented(Peer(), "q3", "x" * 2 * draft_answers.INLINE))
    told = await watch.board.status(live)
    assert draft_of(told, draft())["note"] == "it takes too long to be read"


async def test_a_draft_that_is_slow_to_read_is_read_now_and_then(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await watch.session(BEN)
    ben = await opened(watch.office.hub, draft(), BEN)
    peer = Peer()
    feed(watch.office.hub, ben, update_frame(answered(peer, "ben/q1")))
    await watch.settled()
    with monkeypatch.context() as patch:
        patch.setattr(draft_answers, "SLOW_SECONDS", 0.0)
        patch.setattr(draft_answers, "SLOW_FACTOR", 1e9)
        assert shares(await watch.board.status(live)) == {"ben": 0.25}
    feed(watch.office.hub, ben, update_frame(answered(peer, "ben/q2")))
    await watch.settled()
    assert shares(await watch.board.status(live)) == {"ben": 0.25}
    assert not watch.board._shelves["s1"].complete


async def test_while_the_disk_cannot_be_read(watch: Watch) -> None:
    """The list is needed; a single draft is not."""
    live = await watch.session(BEN)
    store = troubled(watch)
    await stored(store, draft(), answered(Peer(), "ben/q1"))
    store.failure = DISK_FULL
    told = await watch.board.status(live)
    assert draft_of(told, draft())["note"] == "it cannot be read from the disk now"
    store.failure = None
    assert shares(await watch.board.status(live)) == {"ben": 0.25}


async def test_without_the_list_there_is_no_status(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await watch.session(BEN)

    async def heads(_prefix: str) -> list[object]:
        await anyio.lowlevel.checkpoint()
        raise DISK_FULL

    with monkeypatch.context() as patch:
        patch.setattr(watch.store, "heads", heads)
        with pytest.raises(StoreUnavailable):
            await watch.board.status(live)
    assert (await watch.board.status(live))["state"] == "running"


async def test_roots_of_another_kind(watch: Watch) -> None:
    live = await watch.session(BEN)
    peer = Peer()
    wrong = peer.edit(lambda doc: doc.get("fields", type=Array).append("q1"))
    nested = peer.edit(lambda doc: doc.get("ratings", type=Map).update({"ben/q2": Map({"k": 1})}))
    await stored(watch.store, draft(), wrong, nested)
    assert shares(await watch.board.status(live)) == {"ben": 0.25}


async def test_drafts_for_which_there_was_no_time_come_with_the_next_look(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await watch.session(BEN, cases=["a", "b", "c"])
    for case in "abc":
        await stored(watch.store, draft(case), answered(Peer(), "ben/q1"))
    with monkeypatch.context() as patch:
        patch.setattr(status, "READ_SECONDS", 0.0)
        told = await watch.board.status(live)
        assert draft_of(told, draft("b"))["note"] == "it was not read yet: ask again in a moment"
        assert shares(told, "b") == {"ben": None}
    monkeypatch.setattr(status, "PUSH_SECONDS", 0.0)
    monkeypatch.setattr(status, "PUSH_FACTOR", 0.0)
    told = dict(await watch.board.shown(live))  # though nothing has changed
    assert [shares(told, case) for case in "abc"] == [{"ben": 0.25}] * 3


# -- looking


async def test_those_who_ask_at_once_get_one_status(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await watch.session(BEN)
    made = 0
    make = watch.board._make

    async def counted(*args: Any) -> dict[str, Any]:
        nonlocal made
        made += 1
        return await make(*args)

    monkeypatch.setattr(watch.board, "_make", counted)
    await stored(watch.store, draft(), answered(Peer(), "ben/q1"))
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(watch.board.status, live)
    assert made == 2  # the others came after the first had begun


async def test_who_asks_and_goes_does_not_keep_others_waiting(watch: Watch) -> None:
    live = await watch.session(BEN)
    store = troubled(watch)
    await stored(store, draft(), answered(Peer(), "ben/q1"))
    store.hold()
    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()
        tasks.start_soon(cancelled, scope, watch.board, live)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(watch.board.status, live)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        store.release()
    assert scope.cancelled_caught


async def cancelled(scope: anyio.CancelScope, board: status.StatusBoard, live: LiveSession) -> None:
    with scope:
        await board.status(live)


async def test_what_is_shown_is_the_same_until_something_changes(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "PUSH_SECONDS", 0.0)
    monkeypatch.setattr(status, "PUSH_FACTOR", 0.0)
    live = await watch.session(BEN)
    first = await watch.board.shown(live)
    assert await watch.board.shown(live) is first
    await watch.sessions.step("s1", Step.PAUSE, ADA)
    second = await watch.board.shown(live)
    assert second is not first
    assert second["state"] == "paused"


async def test_it_is_made_anew_once_in_a_while_at_most(watch: Watch) -> None:
    live = await watch.session(BEN)
    first = await watch.board.shown(live)
    await watch.sessions.step("s1", Step.PAUSE, ADA)
    assert await watch.board.shown(live) is first
    assert (await watch.board.status(live))["state"] == "paused"  # but who asks is told


async def test_everything_that_is_shown_makes_another_version(watch: Watch) -> None:
    live = await watch.session(BEN)
    seen = {watch.board.version(live)}

    def is_new() -> bool:
        version = watch.board.version(live)
        new = version not in seen
        seen.add(version)
        return new and version == watch.board.version(live)

    assert not is_new()
    ben = await opened(watch.office.hub, draft(), BEN)
    assert is_new()
    feed(watch.office.hub, ben, update_frame(answered(Peer(), "ben/q1")))
    assert is_new()
    await watch.settled()
    assert is_new()
    watch.sessions.acknowledge(live, "ben", 1)
    assert is_new()
    watch.events.open = [channel("ben")]
    assert is_new()
    watch.events.open = [channel("ben", in_flight=1)]
    assert is_new()
    await watch.sessions.complete("s1", "a", "ben", BEN, done=True)
    assert is_new()
    watch.office.hub.close(ben)
    assert is_new()


async def test_other_sessions_do_not_matter(watch: Watch) -> None:
    live = await watch.session(BEN)
    await watch.session(BEN, name=SessionId("s2"))
    before = watch.board.version(live)
    await opened(watch.office.hub, DocumentName("drafts/s2/a"), BEN)
    await opened(watch.office.hub, DocumentName("drafts/s10/a"), BEN)
    await watch.sessions.step("s2", Step.PAUSE, ADA)
    assert watch.board.version(live) == before


async def test_only_so_much_is_kept(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "MOST_SHELVES", 3)
    monkeypatch.setattr(draft_answers, "MOST_KEPT", 2)
    for number in range(5):
        name = SessionId(f"s{number}")
        live = await watch.session(BEN, name=name)
        for case in "ab":
            document = DocumentName(f"drafts/{name}/{case}")
            await stored(watch.store, document, answered(Peer(), "ben/q1"))
        assert shares(await watch.board.status(live), "b") == {"ben": 0.25}
    assert len(watch.board._shelves) == 3
    assert len(watch.board._answers._kept) == 2


# -- what it costs


@pytest.mark.usefixtures("uncollected")
async def test_what_a_session_of_20_members_and_50_cases_costs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Half of the drafts are in memory, with 20 people's answers to 40 questions in each."""
    questions = [
        {"id": f"q{n}", "kind": "score", "label": "?", "min": 1, "max": 5, "required": True}
        for n in range(40)
    ]
    form = FORM | {"sections": [{"id": "s", "title": "s", "questions": questions}]}
    people = [somebody(f"person-{n}") for n in range(19)]
    cases = [f"case-{n}" for n in range(50)]
    async with watching() as watch:
        live = await watch.session(*people, cases=cases, form=form)
        for number, case in enumerate(cases):
            peer = Peer()
            names = [f"person-{p}/q{q}" for p in range(19) for q in range(0, 40, 4)]
            await stored(watch.store, draft(case), answered(peer, *names))
            if number % 2:
                await opened(watch.office.hub, draft(case), people[number % 19])
        longest = Longest()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(longest.run)
            first, told = await timed(watch, live)
            again = min([(await timed(watch, live))[0] for _ in range(5)])
            tasks.cancel_scope.cancel()
        peer = Peer()
        connection = watch.office.hub.rooms[draft("case-1")].connections
        feed(
            watch.office.hub,
            next(iter(connection.values())),
            update_frame(answered(peer, "person-0/q1")),
        )
        await watch.settled()
        changed, _ = await timed(watch, live)
        began = time.thread_time()
        for _ in range(100):
            watch.board.version(live)
        version = (time.thread_time() - began) / 100
    assert all(share == 0.25 for share in shares(told, "case-0").values())
    assert len(shares(told, "case-0")) == 19
    with capsys.disabled():
        print(
            f"\nstatus of 20 members and 50 cases: first {first * 1e3:.0f} ms, again "
            f"{again * 1e3:.1f} ms, one draft changed {changed * 1e3:.1f} ms, version "
            f"{version * 1e6:.0f} µs, loop held {longest.seconds * 1e3:.0f} ms at most"
        )
    assert first < 3
    assert again < 0.2


async def timed(watch: Watch, live: LiveSession) -> tuple[float, dict[str, Any]]:
    for shelf in watch.board._shelves.values():
        shelf.seconds = 0.0  # or it is good for a while
    await anyio.lowlevel.checkpoint()
    began = time.thread_time()
    told = await watch.board.status(live)
    return time.thread_time() - began, told
