"""The law at the top of room.py, sentence by sentence."""

from __future__ import annotations

from random import Random

import pycrdt
import pytest

from sync.core.crdt import Replica, merge
from sync.core.document import Document
from sync.core.errors import (
    DocumentTooLarge,
    Forbidden,
    InternalError,
    MalformedMessage,
    NativeFailure,
    Overloaded,
)
from sync.core.guard import inspect
from sync.core.room import RoomLimits
from sync.core.yprotocol import (
    Awareness,
    AwarenessEntry,
    Barrier,
    QueryAwareness,
    RenewToken,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode_state_vector,
)
from tests.core.authors import EMPTY, Author, content
from tests.core.scene import Denied, Scene

NOTHING = b"\x00"  # an empty state vector
ALICE, BOB, CAROL, DAVE = 1, 2, 3, 4


@pytest.fixture
def scene() -> Scene:
    """Three members who are in, and up to date with an empty document."""
    return Scene().joined(ALICE, BOB, CAROL)


@pytest.fixture
def alice() -> Author:
    return Author(101)


@pytest.fixture
def bob() -> Author:
    return Author(102)


# -- joining and leaving


def test_a_newcomer_is_asked_for_what_it_has() -> None:
    scene = Scene()
    scene.join(ALICE)
    scene.expect(ALICE, SyncStep1(NOTHING))


def test_a_newcomer_is_shown_who_is_here(scene: Scene) -> None:
    scene.show(ALICE, 101, clock=4, state='{"name":"Alice"}')
    scene.flush()
    scene.join(DAVE)
    states = Awareness((AwarenessEntry(101, 5, '{"name":"Alice"}'),))
    scene.expect(DAVE, SyncStep1(NOTHING), states)


def test_step1_is_answered_even_when_there_is_nothing(scene: Scene) -> None:
    scene.step1(ALICE)
    scene.expect(ALICE, SyncStep2(EMPTY))


def test_step2_brings_what_the_client_lacks(scene: Scene, alice: Author) -> None:
    had = alice.put("a")
    vector = alice.state_vector
    new = alice.put("b")
    scene.update(ALICE, had, new)
    scene.step1(BOB, vector)
    scene.expect(BOB, SyncStep2(new))


def test_step2_for_those_with_nothing_is_encoded_once_per_version(alice: Author) -> None:
    replica = CountingReplica()
    scene = Scene(replica=replica).joined(ALICE, BOB)
    for version in (1, 2):
        scene.update(ALICE, alice.put(f"key{version}"))
        scene.step1(BOB)
        scene.step1(BOB)
        assert replica.encoded == version
    assert scene.hears(BOB)[-1] == SyncStep2(alice.everything())


def test_a_bad_state_vector_costs_the_connection(scene: Scene) -> None:
    scene.step1(ALICE, b"\x05\x01")
    scene.expect_closed(ALICE, MalformedMessage)


def test_who_left_is_sent_nothing(scene: Scene, alice: Author) -> None:
    scene.leave(BOB)
    scene.update(ALICE, alice.put("a"))
    scene.settle()
    scene.expect_nothing(BOB)
    assert scene.room.members == 2


def test_what_who_left_had_sent_stays(scene: Scene, alice: Author) -> None:
    scene.update(ALICE, alice.put("a"))
    scene.leave(ALICE)
    scene.settle()
    scene.expect_updates(BOB, alice.everything())
    assert scene.log[0].author == "s1"


def test_leaving_twice_is_leaving_once(scene: Scene) -> None:
    scene.leave(BOB)
    scene.leave(BOB)
    assert scene.room.members == 2


def test_presence_is_answered_to_who_asks(scene: Scene) -> None:
    scene.receive(ALICE, QueryAwareness())
    scene.expect_nothing(ALICE)
    scene.show(BOB, 102)
    scene.receive(ALICE, QueryAwareness())
    scene.expect(ALICE, Awareness((AwarenessEntry(102, 2, "{}"),)))


def test_tokens_are_the_shells(scene: Scene) -> None:
    with pytest.raises(TypeError):
        scene.receive(ALICE, RenewToken("t"))


# -- an edit: to the log, to the peers, and back once it is on disk


def test_an_edit_goes_to_the_log_before_it_goes_to_anybody(scene: Scene, alice: Author) -> None:
    scene.update(ALICE, alice.put("a"))
    kinds = [type(action).__name__ for action in scene.room.flush()]
    assert kinds == ["Persist", "Send"]


def test_nothing_happens_before_the_flush(scene: Scene, alice: Author) -> None:
    scene.update(ALICE, alice.put("a"))
    scene.expect_nothing(ALICE, BOB, CAROL)
    assert scene.room.dirty
    assert not scene.log
    assert not scene.room.settled


def test_readers_get_one_frame_per_flush_and_the_same(scene: Scene, alice: Author) -> None:
    edits = [alice.put("a"), alice.put("b"), alice.write("hello")]
    scene.update(ALICE, *edits)
    scene.flush()
    assert [send.to for send in scene.sends] == [(BOB, CAROL)]
    scene.expect_updates(BOB, *edits)
    scene.expect_updates(CAROL, *edits)


def test_the_log_has_every_update_as_it_was_applied(scene: Scene, alice: Author) -> None:
    edits = [alice.put("a"), alice.put("b")]
    scene.update(ALICE, *edits)
    scene.flush()
    assert [entry.update for entry in scene.log] == edits
    assert [
        (c.client, c.start, c.end, c.introduced) for entry in scene.log for c in entry.clients
    ] == [(101, 0, 1, False), (101, 1, 2, False)]


def test_the_echo_comes_after_commit_and_is_exactly_ones_own(
    scene: Scene, alice: Author, bob: Author
) -> None:
    hers, his = [alice.put("a"), alice.put("b")], bob.put("c")
    scene.update(ALICE, *hers)
    scene.update(BOB, his)
    scene.flush()
    scene.expect_updates(ALICE, his)
    scene.commit(2)
    scene.expect_updates(ALICE, *hers)
    scene.expect_updates(BOB, *hers)
    scene.commit(1)
    scene.expect_nothing(ALICE)
    scene.expect_updates(BOB, his)


def test_writers_of_one_turn_get_the_others_edits_only(
    scene: Scene, alice: Author, bob: Author
) -> None:
    carol = Author(103)
    a, b, c = alice.put("a"), bob.put("b"), carol.put("c")
    scene.joined(DAVE)
    scene.update(ALICE, a)
    scene.update(BOB, b)
    scene.update(CAROL, c)
    scene.flush()
    scene.expect_updates(ALICE, b, c)
    scene.expect_updates(BOB, a, c)
    scene.expect_updates(CAROL, a, b)
    scene.expect_updates(DAVE, a, b, c)


class Crowd:
    """Many who write in one turn, and somebody who listens."""

    def __init__(self, *writers: int) -> None:
        self.scene = Scene(RoomLimits(few_writers=3)).joined(*writers, DAVE)
        self.authors = {number: Author(100 + number) for number in writers}

    def turn(self, *writers: int, key: str) -> list[bytes]:
        updates = [self.authors[number].put(key) for number in writers]
        for number, update in zip(writers, updates, strict=True):
            self.scene.update(number, update)
        self.scene.flush()
        return updates


MANY = (11, 12, 13, 14)


def test_of_a_turn_with_many_writers_all_is_one_frame_when_it_is_on_disk() -> None:
    crowd = Crowd(*MANY)
    edits = crowd.turn(*MANY, key="a")
    crowd.scene.expect_updates(DAVE, *edits)
    crowd.scene.expect_nothing(*MANY)
    crowd.scene.commit(2)  # of the first two writers
    for writer in MANY[:2]:
        crowd.scene.expect_updates(writer, *edits)
    crowd.scene.expect_nothing(*MANY[2:])
    crowd.scene.commit(2)
    for writer in MANY[2:]:
        crowd.scene.expect_updates(writer, *edits)


def test_nothing_overtakes_a_turn_that_waits_for_the_disk() -> None:
    """Who wrote in it hears of later turns behind it, though others hear of them at once."""
    crowd = Crowd(*MANY, 15)
    first = crowd.turn(*MANY, key="a")
    crowd.scene.forget(15, DAVE)
    later = crowd.turn(15, key="b")
    crowd.scene.expect_updates(DAVE, *later)
    crowd.scene.expect_nothing(*MANY)
    crowd.scene.commit(4)
    for writer in MANY:
        crowd.scene.expect(writer, SyncUpdate(merge(first)), SyncUpdate(later[0]))
    crowd.scene.commit(1)
    crowd.scene.expect_updates(15, *later)
    at_once = crowd.turn(15, key="c")
    crowd.scene.expect_updates(11, *at_once)


def test_who_falls_behind_while_a_turn_waits_gets_all_of_it_later() -> None:
    crowd = Crowd(*MANY)
    crowd.turn(*MANY, key="a")
    crowd.scene.room.fall_behind(11)
    crowd.scene.commit()
    crowd.scene.expect_nothing(11)
    crowd.scene.do(crowd.scene.room.catch_up(11))
    (diff,) = crowd.scene.hears(11)
    assert isinstance(diff, SyncUpdate)
    assert content(diff.update) == content(crowd.scene.room.encode())


def test_small_edits_taken_together_are_what_they_are_one_by_one() -> None:
    """Gaps, repeats, other people's client ids, readers: the log, the frames, the verdicts."""
    accepted = sum(_taken_together_and_apart(Random(seed)) for seed in range(60))
    assert accepted > 500


def _taken_together_and_apart(random: Random) -> int:
    """Return how many edits were accepted, both ways."""
    together, apart = Scene(), Scene()
    authors = [Author(101), Author(102), Author(2**31), Author(104)]
    for scene in (together, apart):
        scene.joined(ALICE, BOB, CAROL)
        scene.joined(DAVE, writable=False)
    for _ in range(25):
        member = random.choice((ALICE, BOB, CAROL, DAVE))
        made = [_made(random, authors, member) for _ in range(random.randint(1, 6))]
        if random.random() < 0.2:
            random.shuffle(made)
        if member in together.closed:
            continue
        together.take(member, *made)
        for update in made:
            if member not in apart.closed:
                apart.update(member, update)
        if random.random() < 0.7:
            together.settle()
            apart.settle()
    assert together.log == apart.log
    assert together.sends == apart.sends
    assert together.closed.keys() == apart.closed.keys()
    return len(together.log)


def _made(random: Random, authors: list[Author], member: int) -> bytes:
    author = authors[member - 1] if random.random() < 0.95 else random.choice(authors)
    match random.randrange(8):
        case 0:
            update = author.drop("a") if "a" in author.map else author.put("a")
        case 1:
            update = author.write("😀" if random.random() < 0.1 else "x")
        case 2:
            return author.everything()
        case 3 | 4:
            update = author.put("a", random.randrange(9))
        case _:
            update = author.put(str(random.randrange(5)))
    if random.random() < 0.5:
        for other in authors:
            other.hear(update)
    return update


def test_interleaved_writers_keep_their_order_in_the_log(scene: Scene) -> None:
    """I1: bob's edit stands between alice's, and stands on the first."""
    alice, bob = Author(101), Author(102)
    first = alice.write("one ")
    bob.hear(first)
    second = bob.write("two ")
    alice.hear(second)
    third = alice.write("three")
    scene.update(ALICE, first)
    scene.update(BOB, second)
    scene.update(ALICE, third)
    scene.settle()
    assert scene.stored == [first, second, third]
    scene.expect(CAROL, SyncUpdate(merge([first, second, third])))


def test_commits_are_counted_in_order(scene: Scene, alice: Author) -> None:
    first, second = alice.put("a"), alice.put("b")
    for edit in (first, second):
        scene.update(ALICE, edit)
        scene.flush()
    scene.commit(1)
    scene.expect_updates(ALICE, first)
    scene.commit(1)
    scene.expect_updates(ALICE, second)
    assert scene.room.settled


def test_an_edit_seen_before_is_neither_stored_nor_sent(scene: Scene, alice: Author) -> None:
    edit = alice.put("a")
    scene.update(ALICE, edit)
    scene.settle()
    scene.forget()
    scene.update(ALICE, edit)
    scene.update(BOB, edit)
    scene.settle()
    assert len(scene.log) == 1
    scene.expect_nothing(ALICE, BOB, CAROL)


def test_the_new_part_of_a_half_known_edit_is_taken(scene: Scene, alice: Author) -> None:
    first = alice.put("a")
    alice.put("b")
    scene.update(ALICE, first)
    scene.update(ALICE, alice.everything())
    scene.settle()
    assert content(*scene.stored) == alice.content
    assert [(c.start, c.end) for entry in scene.log for c in entry.clients] == [(0, 1), (1, 2)]


def test_a_deletion_is_stored_once(scene: Scene, alice: Author) -> None:
    made, gone = alice.put("a"), alice.drop("a")
    scene.update(ALICE, made)
    scene.settle()
    for _ in range(2):
        scene.update(ALICE, gone)
        scene.settle()
    assert scene.stored == [made, gone]


def test_the_empty_update_is_nothing(scene: Scene) -> None:
    version = scene.room.version
    scene.update(ALICE, EMPTY)
    scene.settle()
    scene.expect_nothing(ALICE, BOB)
    assert scene.room.version == version
    assert not scene.log


def test_edits_introduced_for_another_are_marked(scene: Scene, alice: Author, bob: Author) -> None:
    first, second = alice.put("a"), alice.put("b")
    scene.update(ALICE, first)
    scene.leave(ALICE)
    scene.update(BOB, second)
    scene.update(BOB, bob.put("c"))
    scene.flush()
    brought = [(e.author, c.client, c.introduced) for e in scene.log for c in e.clients]
    assert [each[1:] for each in brought] == [(101, False), (101, True), (102, False)]
    assert brought[0][0] != brought[1][0] == brought[2][0]


def test_what_was_made_before_a_connection_is_marked_as_made_offline(alice: Author) -> None:
    scene = Scene()
    offline = alice.put("a")
    scene.join(ALICE)
    scene.step2(ALICE, offline)
    scene.update(ALICE, alice.put("b"))
    scene.step2(ALICE, merge([offline, alice.put("c")]))  # it was asked again, and is still here
    scene.flush()
    assert [(e.connection, e.offline) for e in scene.log] == [
        (ALICE, True),
        (ALICE, False),
        (ALICE, False),
    ]


def test_small_edits_tell_their_connection_too(scene: Scene, alice: Author, bob: Author) -> None:
    scene.take(ALICE, alice.put("a"))
    scene.take(BOB, bob.put("b"))
    scene.flush()
    assert [(e.connection, e.offline) for e in scene.log] == [(ALICE, False), (BOB, False)]


def test_what_waited_for_what_was_made_offline_was_not_made_offline(alice: Author) -> None:
    scene = Scene()
    first, second = alice.put("a"), alice.put("b")
    scene.join(ALICE)
    scene.update(ALICE, second)
    scene.step2(ALICE, first)
    scene.flush()
    assert [(e.update, e.offline) for e in scene.log] == [(first, True), (second, False)]


def test_updates_that_do_not_merge_stay_as_they_are(
    scene: Scene, alice: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(updates: list[bytes]) -> bytes:
        raise NativeFailure(f"cannot merge {len(updates)}")

    monkeypatch.setattr("sync.core.room.merge", fail)
    edits = [alice.put("a"), alice.put("b")]
    scene.update(ALICE, *edits)
    scene.settle()
    scene.expect(BOB, *map(SyncUpdate, edits))


# -- I2: no update is skipped


@pytest.mark.parametrize("bad", [b"", b"\x01\x00\x05\x07\x00", b"\x00\x00\x00"])
def test_a_bad_update_costs_its_connection_alone(scene: Scene, alice: Author, bad: bytes) -> None:
    scene.update(BOB, bad)
    scene.expect_closed(BOB, MalformedMessage)
    scene.update(ALICE, alice.put("a"))
    scene.settle()
    scene.expect_updates(CAROL, alice.everything())
    assert list(scene.closed) == [BOB]


def test_holding_too_many_sets_the_client_adrift_until_it_sends_everything() -> None:
    scene = Scene(RoomLimits(held_updates=2)).joined(ALICE, BOB)
    alice = Author(101)
    lost = alice.write("1")
    scene.update(ALICE, *(alice.write(letter) for letter in "23"))
    scene.expect_asked(ALICE)
    scene.update(ALICE, alice.write("4"))
    scene.expect_asked(ALICE)  # overflow: everything is asked for again
    assert scene.room.held(ALICE) == 0
    scene.update(ALICE, lost, alice.write("5"))  # would fit, but something was dropped before it
    scene.settle()
    assert not scene.log
    scene.step2(ALICE, EMPTY)  # answers the first question, made before the overflow
    scene.update(ALICE, alice.write("6"))
    scene.settle()
    assert not scene.log
    scene.step2(ALICE, alice.everything())
    scene.update(ALICE, alice.write("7"))
    scene.settle()
    assert content(*scene.stored) == alice.content
    scene.expect_open()


def test_held_bytes_are_bounded_too() -> None:
    scene = Scene(RoomLimits(held_bytes=1_000)).joined(ALICE)
    alice = Author(101)
    alice.write("lost")
    scene.update(ALICE, alice.write("x" * 600))
    assert scene.room.held(ALICE) == 1
    scene.update(ALICE, alice.write("x" * 600))
    assert scene.room.held(ALICE) == 0
    scene.step2(ALICE, alice.everything())
    scene.settle()
    assert content(*scene.stored) == alice.content


def test_a_client_adrift_that_never_answers_is_closed() -> None:
    scene = Scene(RoomLimits(held_updates=1)).joined(ALICE)
    alice = Author(101)
    alice.write("lost")
    scene.update(ALICE, alice.write("2"), alice.write("3"))
    scene.wait(9.9)
    scene.expect_open()
    scene.wait(0.1)
    scene.expect_closed(ALICE, Overloaded)


# -- I3: nothing is applied before what it stands on


def test_an_update_with_a_gap_is_held_and_asked_for_once(scene: Scene, alice: Author) -> None:
    alice.write("lost ")
    scene.update(ALICE, alice.write("two "), alice.write("three"))
    scene.expect_asked(ALICE)
    assert scene.room.held(ALICE) == 2
    scene.settle()
    assert not scene.log
    scene.expect_nothing(ALICE, BOB)


def test_what_was_held_is_released_in_order(scene: Scene, alice: Author) -> None:
    one, two, three = alice.write("one "), alice.write("two "), alice.write("three")
    scene.update(ALICE, two, three)
    scene.forget()
    scene.step2(ALICE, one)
    scene.settle()
    scene.expect_updates(BOB, one, two, three)
    scene.expect_updates(ALICE, one, two, three)
    assert scene.room.held(ALICE) == 0
    assert scene.room.deadline is None


def test_another_member_may_close_the_gap(scene: Scene, alice: Author, bob: Author) -> None:
    first = alice.write("a")
    bob.hear(first)
    second = bob.write("b")
    scene.update(BOB, second)
    assert scene.room.held(BOB) == 1
    scene.update(ALICE, first)
    scene.settle()
    assert scene.stored == [first, second]
    scene.expect_updates(CAROL, first, second)


def test_one_release_releases_the_next(scene: Scene) -> None:
    authors = [Author(client) for client in (101, 102, 103)]
    edits: list[bytes] = []
    for author in authors:
        author.hear(*edits)
        edits.append(author.write("x"))
    scene.update(CAROL, edits[2])
    scene.update(BOB, edits[1])
    scene.update(ALICE, edits[0])
    scene.settle()
    assert scene.stored == edits


def test_a_fitting_update_waits_behind_a_held_one(scene: Scene) -> None:
    """I1: the second would fit, but is not taken before the first."""
    alice, other = Author(101), Author(201)
    alice.write("lost")
    gapped, fitting = alice.write("2"), other.put("free")
    scene.update(ALICE, gapped, fitting)
    scene.settle()
    assert not scene.log
    assert scene.room.held(ALICE) == 2


def test_a_deletion_waits_for_what_it_deletes(scene: Scene, alice: Author, bob: Author) -> None:
    made = alice.put("a")
    bob.hear(made)
    gone = bob.drop("a")
    scene.update(BOB, gone)
    assert scene.room.held(BOB) == 1
    scene.update(ALICE, made)
    scene.settle()
    assert content(*scene.stored)["form"] == {}


def test_a_gap_that_stays_closes_the_connection_after_ten_seconds(
    scene: Scene, alice: Author
) -> None:
    alice.write("lost")
    scene.update(ALICE, alice.write("2"))
    assert scene.room.deadline == scene.now + 10
    scene.wait(9.9)
    scene.expect_open()
    scene.wait(0.1)
    scene.expect_closed(ALICE, Overloaded)
    assert scene.room.deadline is None


def test_a_step2_that_does_not_close_the_gap_waits_too(scene: Scene, alice: Author) -> None:
    alice.write("lost")
    scene.update(ALICE, alice.write("2"))
    scene.forget()
    scene.step2(ALICE, alice.write("3"))
    scene.expect_nothing(ALICE)
    assert scene.room.held(ALICE) == 2


def test_who_leaves_takes_its_held_updates_along(scene: Scene, alice: Author) -> None:
    one, two = alice.write("1"), alice.write("2")
    scene.update(ALICE, two)
    scene.leave(ALICE)
    scene.update(BOB, one)
    scene.settle()
    assert scene.stored == [one]
    assert scene.room.deadline is None


SEGFAULT = """
0103e907002701016d03615272000100e9070001000501e907010106
0101e907092801016d0161017d0100
0103e907000601017404626f6c64047472756584e907000b68656c6c6f20776f726c6486e9070b04627b6c64046e756c6c00
"""
POISON = "0101e907412801016d0162017601017875037d017d02760101797e00"


@pytest.mark.parametrize("sequence", [SEGFAULT, POISON])
def test_sequences_that_kill_the_library_meet_the_gate(
    scene: Scene, sequence: str, alice: Author
) -> None:
    """reliability.md, section 1: each update is well-formed; without the gate the process dies."""
    scene.update(ALICE, *map(bytes.fromhex, sequence.split()))
    scene.update(BOB, alice.put("a"))
    scene.settle()
    assert replays(scene)["form"] == {"a": True}


# -- SAVED barriers


def test_a_readers_barrier_comes_back_at_once(scene: Scene) -> None:
    scene.join(DAVE, writable=False)
    scene.forget()
    scene.barrier(DAVE, b"7")
    scene.expect(DAVE, Barrier(b"7"))


def test_a_writers_barrier_waits_for_the_disk(scene: Scene, alice: Author) -> None:
    edit = alice.put("a")
    scene.update(ALICE, edit)
    scene.barrier(ALICE, b"7")
    scene.flush()
    scene.expect_nothing(ALICE)
    scene.commit()
    scene.expect(ALICE, SyncUpdate(edit), Barrier(b"7"))
    scene.barrier(ALICE, b"8")
    scene.expect(ALICE, Barrier(b"8"))


def test_a_barrier_waits_for_its_own_edit_only(scene: Scene, alice: Author, bob: Author) -> None:
    scene.update(ALICE, alice.put("a"))
    scene.barrier(ALICE)
    scene.flush()
    scene.update(BOB, bob.put("b"))
    scene.barrier(BOB)
    scene.flush()
    scene.forget()
    scene.commit(1)
    assert Barrier(b"b") in scene.hears(ALICE)
    assert Barrier(b"b") not in scene.hears(BOB)


def test_barriers_keep_their_order_and_their_edits(scene: Scene, alice: Author) -> None:
    for number in range(3):
        scene.update(ALICE, alice.put(f"{number}"))
        scene.barrier(ALICE, b"%d" % number)
        scene.flush()
    for number in range(3):
        scene.commit(1)
        assert scene.hears(ALICE)[1:] == [Barrier(b"%d" % number)]


def test_a_barrier_behind_a_held_update_waits_for_it(scene: Scene, alice: Author) -> None:
    one, two = alice.write("1"), alice.write("2")
    scene.update(ALICE, two)
    scene.barrier(ALICE)
    scene.forget()
    scene.settle()
    scene.expect_nothing(ALICE)
    scene.step2(ALICE, one)
    scene.expect_nothing(ALICE)
    scene.settle()
    assert Barrier(b"b") in scene.hears(ALICE)


def test_a_barrier_of_a_client_adrift_waits_for_everything() -> None:
    scene = Scene(RoomLimits(held_updates=1)).joined(ALICE)
    alice = Author(101)
    alice.write("lost")
    scene.update(ALICE, alice.write("2"), alice.write("3"))
    scene.barrier(ALICE)
    scene.step2(ALICE, EMPTY)
    scene.forget()
    scene.settle()
    scene.expect_nothing(ALICE)
    scene.step2(ALICE, alice.everything())
    scene.expect_nothing(ALICE)
    scene.settle()
    assert Barrier(b"b") in scene.hears(ALICE)


def test_a_barrier_behind_a_duplicate_waits_for_the_original(scene: Scene, alice: Author) -> None:
    """Bob hands on an edit of alice's that is not on disk yet: for him too it is not saved."""
    edit = alice.put("a")
    scene.update(ALICE, edit)
    scene.flush()
    scene.forget()
    scene.update(BOB, edit)
    scene.barrier(BOB)
    scene.expect_nothing(BOB)
    scene.commit()
    scene.expect(BOB, Barrier(b"b"))


def test_a_barrier_behind_a_duplicate_in_the_same_turn_waits(scene: Scene, alice: Author) -> None:
    edit = alice.put("a")
    scene.update(ALICE, edit)
    scene.update(BOB, edit)
    scene.barrier(BOB)
    scene.expect_nothing(BOB)
    scene.flush()
    scene.commit()
    assert Barrier(b"b") in scene.hears(BOB)


def test_a_barrier_behind_step2_waits_for_it(scene: Scene, alice: Author) -> None:
    alice.put("a")
    scene.step2(ALICE, alice.everything())
    scene.barrier(ALICE)
    scene.flush()
    scene.expect_nothing(ALICE)
    scene.commit()
    assert Barrier(b"b") in scene.hears(ALICE)


def test_a_barrier_waits_for_what_our_step1_said_we_have(alice: Author) -> None:
    """Alice's edit came by a connection that was lost; on the new one she need not send it."""
    scene = Scene().joined(ALICE)
    scene.update(ALICE, edit := alice.put("a"))
    scene.leave(ALICE)
    scene.join(DAVE, "s1")
    scene.step2(DAVE, EMPTY)
    scene.barrier(DAVE)
    scene.flush()
    scene.forget()
    scene.barrier(DAVE, b"2")
    scene.expect_nothing(DAVE)
    scene.commit()
    scene.expect(DAVE, Barrier(b"b"), Barrier(b"2"))
    assert scene.stored == [edit]


def test_a_readers_barrier_waits_for_what_it_wrote_before_it_was_one(alice: Author) -> None:
    """The session was stopped in between, and the disk is slow: nothing is saved yet."""
    scene = Scene().joined(ALICE)
    scene.update(ALICE, alice.put("a"))
    scene.leave(ALICE)
    scene.join(DAVE, "s1", writable=False)
    scene.step2(DAVE, EMPTY)
    scene.flush()
    scene.forget()
    scene.barrier(DAVE)
    scene.expect_nothing(DAVE)
    scene.commit()
    scene.expect(DAVE, Barrier(b"b"))


def test_a_barrier_after_rights_were_given_waits_for_all(scene: Scene, alice: Author) -> None:
    scene.join(DAVE, writable=False)
    scene.update(ALICE, alice.put("a"))
    scene.flush()
    scene.room.allow_writing(DAVE, writable=True)
    scene.forget()
    scene.barrier(DAVE)
    scene.expect_nothing(DAVE)


def test_waiting_barriers_are_measured(scene: Scene, alice: Author) -> None:
    scene.update(ALICE, alice.put("a"))
    scene.barrier(ALICE, b"12345")
    assert scene.room.unsaved_barrier_bytes(ALICE) == 5 + 64
    scene.settle()
    assert scene.room.unsaved_barrier_bytes(ALICE) == 0


# -- rights


@pytest.mark.parametrize("message", [SyncUpdate, SyncStep2])
def test_a_read_only_members_edits_are_dropped_with_a_reason(
    scene: Scene, alice: Author, message: type[SyncUpdate | SyncStep2]
) -> None:
    scene.join(DAVE, writable=False)
    scene.forget()
    scene.receive(DAVE, message(alice.put("a")))
    (denied,) = scene.hears(DAVE)
    assert isinstance(denied, Denied)
    assert "read-only" in denied.reason
    scene.settle()
    assert not scene.log
    scene.expect_open()


@pytest.mark.parametrize("message", [SyncUpdate, SyncStep2])
def test_a_read_only_member_with_nothing_new_hears_no_reproach(
    scene: Scene, message: type[SyncUpdate | SyncStep2]
) -> None:
    scene.join(DAVE, writable=False)
    scene.forget()
    scene.receive(DAVE, message(EMPTY))
    scene.expect_nothing(DAVE)


def test_a_read_only_member_may_be_present(scene: Scene) -> None:
    scene.join(DAVE, writable=False)
    scene.forget()
    scene.show(DAVE, 104)
    scene.flush()
    scene.expect(ALICE, Awareness((AwarenessEntry(104, 2, "{}"),)))


def test_rights_can_change_while_connected(scene: Scene, alice: Author) -> None:
    scene.room.allow_writing(ALICE, writable=False)
    scene.update(ALICE, alice.put("a"))
    assert isinstance(scene.hears(ALICE)[0], Denied)
    scene.room.allow_writing(ALICE, writable=True)
    scene.step2(ALICE, alice.everything())
    scene.settle()
    assert content(*scene.stored) == alice.content


# -- presence in the room


def test_presence_goes_to_everyone_the_sender_too(scene: Scene) -> None:
    scene.show(ALICE, 101)
    scene.flush()
    for member in (ALICE, BOB, CAROL):
        scene.expect(member, Awareness((AwarenessEntry(101, 2, "{}"),)))


def test_presence_goes_after_the_grace_and_the_room_says_when(scene: Scene) -> None:
    scene.show(ALICE, 101)
    scene.flush()
    scene.leave(ALICE)
    assert scene.room.deadline == scene.now + 3
    scene.forget()
    scene.wait(3)
    scene.flush()
    scene.expect(BOB, Awareness((AwarenessEntry(101, 3, "null"),)))


def test_refused_presence_is_answered_with_the_reason(scene: Scene) -> None:
    scene.show(ALICE, 101, state='"' + "x" * 9_000 + '"')
    (denied,) = scene.hears(ALICE)
    assert isinstance(denied, Denied)
    assert "8192" in denied.reason
    scene.expect_open()


# -- client ids of live peers


@pytest.fixture
def forged(scene: Scene, alice: Author) -> bytes:
    """An edit under the client id of alice, who is here, that she has not sent."""
    scene.show(ALICE, 101)
    scene.flush()
    scene.forget()
    return alice.put("made up")


def test_a_forged_edit_is_refused_once_the_owner_has_answered(scene: Scene, forged: bytes) -> None:
    scene.update(BOB, forged)
    assert scene.room.held(BOB) == 1
    scene.expect_asked(ALICE)
    scene.step2(ALICE, EMPTY)
    scene.expect_closed(BOB, Forbidden)
    scene.settle()
    assert not scene.log


def test_an_id_is_protected_before_its_owner_shows_presence(scene: Scene, alice: Author) -> None:
    scene.update(ALICE, alice.put("a"))
    scene.update(BOB, alice.put("forged"))
    scene.step2(ALICE, EMPTY)
    scene.expect_closed(BOB, Forbidden)


def test_a_genuine_edit_handed_on_is_released_when_the_owner_sends_it(
    scene: Scene, forged: bytes
) -> None:
    scene.update(BOB, forged)
    scene.step2(ALICE, forged)
    scene.settle()
    assert scene.stored == [forged]
    assert scene.log[0].author == "s1"
    scene.expect_open()


def test_a_genuine_edit_is_not_mistaken_for_a_forgery_by_an_older_answer(alice: Author) -> None:
    """Alice's first step2 was on its way before she made the edit that bob hands on."""
    scene = Scene().joined(BOB)
    scene.join(ALICE)
    scene.show(ALICE, 101)
    edit = alice.put("a")
    scene.update(BOB, edit)
    scene.step2(ALICE, EMPTY)  # answers the join
    scene.expect_open()
    scene.step2(ALICE, edit)  # answers the question about the edit
    scene.settle()
    assert scene.stored == [edit]
    scene.expect_open()


def test_it_is_released_when_the_owner_leaves(scene: Scene, forged: bytes) -> None:
    scene.update(BOB, forged)
    scene.leave(ALICE)
    scene.settle()
    assert scene.stored == [forged]
    scene.expect_open()


def test_another_connection_of_the_owner_is_no_forger(scene: Scene, forged: bytes) -> None:
    scene.join(DAVE, "s1")
    scene.update(DAVE, forged)
    scene.settle()
    assert scene.stored == [forged]


def test_what_is_known_already_may_be_handed_on(scene: Scene, forged: bytes) -> None:
    scene.update(ALICE, forged)
    scene.step2(BOB, forged)
    assert scene.room.held(BOB) == 0
    scene.expect_open()


def test_a_forger_is_refused_though_the_owner_may_only_read(scene: Scene, alice: Author) -> None:
    scene.room.allow_writing(ALICE, writable=False)
    scene.show(ALICE, 101)
    scene.update(BOB, alice.put("made up"))
    scene.step2(ALICE, EMPTY)
    scene.expect_closed(BOB, Forbidden)


def test_presence_shows_which_ids_are_ones_own(scene: Scene, alice: Author) -> None:
    """Bob handed alice's edit on before he showed himself: her id is not his after that."""
    scene.update(BOB, alice.put("a"))
    scene.show(BOB, 102)
    scene.update(ALICE, alice.put("b"))
    scene.settle()
    assert content(*scene.stored) == alice.content


def test_handing_on_in_step2_makes_nobody_the_owner(alice: Author) -> None:
    """After a crash a peer without presence brings alice's edit back; she goes on under her id."""
    scene = Scene()
    scene.join(BOB)
    scene.step2(BOB, alice.put("a"))
    scene.joined(ALICE)
    scene.update(ALICE, alice.put("b"))
    scene.settle()
    assert content(*scene.stored) == alice.content
    scene.expect_open()


def test_after_a_crash_everyone_brings_everyones_edits_back() -> None:
    """Each step2 holds edits of the others, who are here: nobody waits for ever or is a forger."""
    authors = [Author(client) for client in (101, 102, 103)]
    for author in authors:
        author.hear(*(other.put(f"{other.client}") for other in authors))
    scene = Scene()
    for member, author in enumerate(authors, 1):
        scene.join(member)
        scene.show(member, author.client)
    for member, author in enumerate(authors, 1):
        author.hear(*(other.everything() for other in authors))
        scene.step2(member, author.everything())
    for member, author in enumerate(authors, 1):
        scene.step2(member, author.everything())
    scene.settle()
    scene.expect_open()
    assert content(*scene.stored) == authors[0].content
    assert not any(scene.room.held(member) for member in (ALICE, BOB, CAROL))


def test_an_edit_handed_on_before_its_author_is_seen_binds_nobody(alice: Author) -> None:
    scene = Scene().joined(ALICE, BOB)
    first, second = alice.put("a"), alice.put("b")
    scene.update(ALICE, first)
    scene.leave(ALICE)
    scene.update(BOB, second)
    scene.join(DAVE, "s1")
    scene.update(DAVE, alice.put("c"))
    scene.settle()
    assert content(*scene.stored) == alice.content
    scene.expect_open()


# -- the document's limit


def test_an_edit_that_outgrows_the_limit_is_refused_and_reading_goes_on(alice: Author) -> None:
    scene = Scene(RoomLimits(document=1_000)).joined(ALICE, BOB)
    fits = alice.put("a", "x" * 500)
    scene.update(ALICE, fits)
    scene.update(ALICE, alice.put("b", "x" * 500))
    scene.expect_closed(ALICE, DocumentTooLarge)
    scene.settle()
    scene.expect_updates(BOB, fits)
    scene.step1(BOB)
    scene.expect(BOB, SyncStep2(fits))


def test_the_limit_is_for_the_document_not_for_its_history(alice: Author) -> None:
    scene = Scene(RoomLimits(document=2_000)).joined(ALICE)
    for _ in range(10):
        scene.update(ALICE, alice.put("a", "x" * 900))
        scene.settle()
    scene.expect_open()


def test_deleting_is_open_when_the_document_is_full(alice: Author) -> None:
    scene = Scene(RoomLimits(document=600)).joined(ALICE)
    scene.update(ALICE, alice.put("a", "x" * 580), alice.drop("a"))
    scene.settle()
    assert len(scene.log) == 2
    scene.expect_open()


def test_a_held_edit_that_outgrows_the_limit_costs_its_sender_alone(bob: Author) -> None:
    scene = Scene(RoomLimits(document=1_000)).joined(ALICE, BOB)
    alice = Author(101)
    first = alice.write("a")
    bob.hear(first)
    scene.update(BOB, bob.write("x" * 2_000))
    scene.update(ALICE, first)
    scene.settle()
    scene.expect_closed(BOB, DocumentTooLarge)
    assert scene.stored == [first]
    assert list(scene.closed) == [BOB]


# -- slow readers


def test_a_reader_behind_gets_one_diff_for_all_it_missed(scene: Scene, alice: Author) -> None:
    scene.update(ALICE, alice.put("before"))
    scene.flush()
    scene.forget()
    scene.room.fall_behind(BOB)
    vector = alice.state_vector
    for number in range(5):
        scene.update(ALICE, alice.put(f"{number}"))
        scene.flush()
    scene.expect_nothing(BOB)
    scene.do(scene.room.catch_up(BOB))
    scene.expect_updates(BOB, alice.lacking(vector))
    scene.update(ALICE, last := alice.put("after"))
    scene.flush()
    scene.expect_updates(BOB, last)


def test_a_reader_that_missed_nothing_gets_nothing(scene: Scene) -> None:
    scene.room.fall_behind(BOB)
    scene.do(scene.room.catch_up(BOB))
    scene.do(scene.room.catch_up(BOB))
    scene.expect_nothing(BOB)


def test_catching_up_in_a_turn_waits_for_its_end(scene: Scene, alice: Author) -> None:
    scene.room.fall_behind(BOB)
    scene.update(ALICE, edit := alice.put("a"))
    scene.do(scene.room.catch_up(BOB))
    scene.expect_nothing(BOB)
    scene.flush()
    scene.expect_updates(BOB, edit)


def test_presence_missed_is_made_up_for(scene: Scene) -> None:
    scene.room.fall_behind(BOB)
    scene.show(ALICE, 101)
    scene.flush()
    scene.expect_nothing(BOB)
    scene.do(scene.room.catch_up(BOB))
    scene.expect(BOB, Awareness((AwarenessEntry(101, 2, "{}"),)))


def test_ones_own_uncommitted_edits_are_not_in_the_diff(scene: Scene, alice: Author) -> None:
    scene.room.fall_behind(ALICE)
    scene.update(ALICE, edit := alice.put("a"))
    scene.flush()
    scene.do(scene.room.catch_up(ALICE))
    scene.expect_nothing(ALICE)
    scene.commit()
    scene.expect_updates(ALICE, edit)


def test_an_edit_sent_before_falling_behind_comes_back_too(scene: Scene, alice: Author) -> None:
    scene.update(ALICE, edit := alice.put("a"))
    scene.flush()
    scene.room.fall_behind(ALICE)
    scene.commit()
    scene.do(scene.room.catch_up(ALICE))
    scene.expect_updates(ALICE, edit)


def test_catching_up_waits_for_the_original_of_a_duplicate(scene: Scene, alice: Author) -> None:
    """Bob sent nothing new, so nothing of his is committed; he still gets what he missed."""
    scene.room.fall_behind(BOB)
    scene.update(ALICE, edit := alice.put("a"))
    scene.flush()
    scene.update(BOB, edit)
    scene.do(scene.room.catch_up(BOB))
    scene.expect_nothing(BOB)
    scene.commit()
    scene.expect_updates(BOB, edit)


def test_barriers_come_back_to_who_is_behind(scene: Scene, alice: Author) -> None:
    scene.room.fall_behind(ALICE)
    scene.update(ALICE, alice.put("a"))
    scene.barrier(ALICE)
    scene.settle()
    scene.expect(ALICE, Barrier(b"b"))


def test_who_was_behind_hears_who_left(scene: Scene) -> None:
    scene.show(ALICE, 101)
    scene.flush()
    scene.room.fall_behind(BOB)
    scene.show(ALICE, 101, clock=3, state="null")
    scene.flush()
    scene.forget()
    scene.do(scene.room.catch_up(BOB))
    scene.expect(BOB, Awareness((AwarenessEntry(101, 3, "null"),)))


def test_who_left_cannot_fall_behind(scene: Scene) -> None:
    scene.leave(BOB)
    scene.room.fall_behind(BOB)
    assert scene.room.catch_up(BOB) == []


# -- the library fails


class CountingReplica(Replica):
    """Counts how often the whole document is encoded."""

    __slots__ = ("encoded",)

    def __init__(self) -> None:
        super().__init__()
        self.encoded = 0

    def encode(self) -> bytes:
        self.encoded += 1
        return super().encode()


class BadReplica(Replica):
    """Fails on one update, half applied, and is not to be used after."""

    __slots__ = ("bad", "failed")

    def __init__(self, bad: bytes) -> None:
        super().__init__()
        self.bad, self.failed = bad, False

    def apply(self, update: bytes) -> None:
        assert not self.failed, "the replica was used after it had failed"
        if update == self.bad:
            self.failed = True
            raise NativeFailure("PanicException: injected")
        super().apply(update)


def broken(bad: bytes, *members: int) -> Scene:
    return Scene(replica=BadReplica(bad)).joined(*members)


def test_a_failure_of_the_library_costs_the_sender_and_the_replica(bob: Author) -> None:
    bad = bob.put("bad")
    scene = broken(bad, ALICE, BOB)
    scene.update(BOB, bad)
    scene.expect_closed(BOB, MalformedMessage)
    assert scene.room.broken
    (rebuild,) = scene.rebuilds
    assert rebuild.update == bad
    assert "injected" in rebuild.failure


def test_after_a_failure_nothing_accepted_is_lost(alice: Author, bob: Author) -> None:
    bad = bob.put("bad")
    scene = broken(bad, ALICE, BOB, CAROL)
    stored, in_turn = alice.put("stored"), alice.put("in the turn")
    scene.update(ALICE, stored)
    scene.flush()
    scene.update(ALICE, in_turn)
    scene.barrier(ALICE)
    scene.update(BOB, bad)
    scene.renew()
    assert not scene.room.broken
    assert scene.hears(ALICE)[-1] == Barrier(b"b")
    scene.update(ALICE, alice.put("after"))
    scene.settle()
    assert content(scene.room.encode()) == content(*scene.stored) == alice.content


def test_step2_is_encoded_again_after_a_failure(alice: Author, bob: Author) -> None:
    """What was made of the broken replica is not sent any more."""
    bad = bob.put("bad")
    scene = broken(bad, ALICE, BOB)
    scene.update(ALICE, alice.put("a"))
    scene.step1(ALICE)
    scene.update(BOB, bad)
    scene.settle()
    other = Author(103).put("of the log")
    scene.do(scene.room.renew(Document(other), len(other)))
    scene.forget()
    scene.step1(ALICE)
    scene.expect(ALICE, SyncStep2(other))


def test_a_failure_among_held_updates_stops_the_release(alice: Author) -> None:
    """The replica is used no more, and who had nothing to do with it is not closed."""
    first = alice.write("a")
    bob, carol = Author(102, first), Author(103, first)
    bad, good = bob.write("bad"), carol.write("good")
    scene = broken(bad, ALICE, BOB, CAROL)
    scene.update(BOB, bad)
    scene.update(CAROL, good)
    scene.update(ALICE, first)
    scene.expect_closed(BOB, MalformedMessage)
    assert list(scene.closed) == [BOB]
    assert len(scene.rebuilds) == 1
    scene.renew()
    scene.settle()
    assert scene.stored == [first, good]


def test_a_slow_reader_catches_up_after_a_failure(alice: Author, bob: Author) -> None:
    bad = bob.put("bad")
    scene = broken(bad, ALICE, BOB, CAROL)
    scene.room.fall_behind(CAROL)
    scene.update(ALICE, edit := alice.put("a"))
    scene.flush()
    scene.update(BOB, bad)
    scene.do(scene.room.catch_up(CAROL))
    scene.expect_nothing(CAROL)
    scene.renew()
    scene.expect_updates(CAROL, edit)


class Unreadable(Replica):
    """Fails on whatever would tell what is in it."""

    def diff(self, state_vector: bytes) -> bytes:
        raise NativeFailure(f"PanicException: injected at {state_vector!r}")

    def encode(self) -> bytes:
        raise NativeFailure("PanicException: injected")


@pytest.mark.parametrize("vector", [NOTHING, b"\x01\x01\x01"])
def test_a_failure_of_an_answer_rebuilds_too(alice: Author, vector: bytes) -> None:
    scene = Scene(replica=Unreadable()).joined(ALICE, BOB)
    scene.update(ALICE, alice.put("a"))
    scene.step1(BOB, vector)
    scene.expect_closed(BOB, InternalError)
    assert len(scene.rebuilds) == 1
    scene.renew()
    scene.step1(ALICE)
    assert scene.hears(ALICE)[-1] == SyncStep2(alice.everything())


def test_a_failure_of_catching_up_loses_nothing_of_the_turn(alice: Author) -> None:
    scene = Scene(replica=Unreadable()).joined(ALICE, BOB)
    scene.room.fall_behind(BOB)
    scene.update(ALICE, edit := alice.put("a"))
    scene.do(scene.room.catch_up(BOB))
    scene.settle()
    assert scene.stored == [edit]
    assert len(scene.rebuilds) == 1
    scene.renew()
    scene.expect_updates(BOB, edit)


def test_leaving_a_broken_room_applies_nothing(alice: Author, bob: Author) -> None:
    bad = bob.put("bad")
    scene = broken(bad, ALICE, BOB, CAROL)
    alice.put("lost")
    scene.update(ALICE, alice.put("held"))
    scene.update(BOB, bad)
    scene.leave(CAROL)
    scene.leave(ALICE)
    scene.renew()
    assert scene.room.members == 0


def test_structs_in_a_circle_are_found(scene: Scene, alice: Author) -> None:
    """Two clients' structs that stand on each other pass the gate; the library drops both."""
    scene.update(ALICE, alice.put("a"))
    circle = in_a_circle()
    assert inspect(circle).needs == {1: 1, 2: 1}
    scene.update(BOB, circle)
    scene.expect_closed(BOB, MalformedMessage)
    assert "circle" in scene.rebuilds[0].failure
    scene.renew()
    scene.update(ALICE, alice.put("b"))
    scene.settle()
    assert replays(scene)["form"] == alice.content["form"]
    assert list(decode_state_vector(scene.state_vector)) == [101]


def in_a_circle() -> bytes:
    """Client 2's letter comes after client 1's, and client 1's after client 2's."""
    return bytes.fromhex("020102008401000178010100840200017900")


def replays(scene: Scene) -> dict[str, object]:
    """What the log says, which must load."""
    document = pycrdt.merge_updates(*scene.stored)
    assert Replica(document).state_vector() == scene.state_vector
    return content(document)


def test_barriers_behind_a_held_update_are_not_waited_for_by_the_shell(alice: Author) -> None:
    """What releases them is the client's answer, which the shell must go on reading."""
    scene = Scene().joined(ALICE)
    alice.put("a")
    scene.update(ALICE, alice.put("b"))
    scene.barrier(ALICE, b"behind")
    assert scene.room.held(ALICE) == 1
    assert scene.room.unsaved_barrier_bytes(ALICE) == 0


# -- what is not on disk


@pytest.mark.parametrize("writers", range(1, 7))
def test_everybodys_edits_that_are_not_on_disk(writers: int) -> None:
    """However they are sent to others: alone, apart, or as a whole turn."""
    scene = Scene().joined(*range(1, writers + 1))
    authors = {n: Author(n) for n in range(1, writers + 1)}
    for _turn in range(3):
        for n, author in authors.items():
            scene.take(n, *[author.put("k", edit) for edit in range(n)])
        scene.flush()
    scene.take(1, authors[1].put("k", "gathered"))
    assert [scene.room.unsaved(n) for n in authors] == [3 * n + (n == 1) for n in authors]
    per_turn = sum(authors)
    scene.commit(per_turn)
    assert [scene.room.unsaved(n) for n in authors] == [2 * n + (n == 1) for n in authors]
    scene.settle()
    assert [scene.room.unsaved(n) for n in authors] == [0] * writers


def test_who_waits_for_a_whole_turn_wrote_no_more_than_that() -> None:
    """Many wrote at once; then others, before that was on disk."""
    scene = Scene().joined(*range(1, 6))
    authors = {n: Author(n) for n in range(1, 6)}
    for n, author in authors.items():
        scene.take(n, author.put("k", 1))
    scene.flush()
    scene.take(1, authors[1].put("k", 2))
    scene.flush()
    assert [scene.room.unsaved(n) for n in authors] == [2, 1, 1, 1, 1]


def test_a_reader_has_nothing_that_is_not_on_disk(scene: Scene, alice: Author) -> None:
    scene.update(ALICE, alice.write("a"))
    scene.flush()
    assert (scene.room.unsaved(ALICE), scene.room.unsaved(BOB)) == (1, 0)


def test_what_is_held_is_not_on_disk(scene: Scene, alice: Author) -> None:
    alice.write("lost ")
    scene.update(ALICE, alice.write("two "), alice.write("three"))
    assert scene.room.unsaved(ALICE) == 2


def test_who_may_write_until_the_session_is_stopped(scene: Scene) -> None:
    scene.join(7, writable=False)
    assert (scene.room.may_write(ALICE), scene.room.may_write(7)) == (True, False)
    scene.room.seal(ALICE)
    assert not scene.room.may_write(ALICE)
