"""One connection's queues, by themselves."""

from __future__ import annotations

import pytest

from sync.core.guard import inspect
from sync.core.member import BARRIER_OVERHEAD, Echo, Edit, Member
from tests.core.authors import Author


@pytest.fixture
def member() -> Member:
    return Member(1, "alice", writable=True)


def edit(text: str) -> Edit:
    update = Author(7).write(text)
    return Edit(update, inspect(update))


def test_held_edits_are_released_in_order_and_counted(member: Member) -> None:
    first, second = edit("a"), edit("bc")
    member.hold(first, now=5)
    member.hold(second, now=6)
    assert member.held_since == 5
    assert member.held_bytes == len(first.update) + len(second.update)
    assert [member.release(), member.release()] == [first, second]
    assert member.held_bytes == 0
    assert not member.waiting


def test_the_clock_of_holding_starts_again(member: Member) -> None:
    member.hold(edit("a"), now=5)
    member.release()
    member.hold(edit("b"), now=9)
    assert member.held_since == 9


def test_adrift_until_the_last_question_is_answered(member: Member) -> None:
    member.asks = 2
    member.hold(edit("a"), now=5)
    member.forget_held()
    assert (len(member.held), member.held_bytes, member.waiting) == (0, 0, True)
    member.answered()
    assert member.adrift
    member.answered()
    assert not member.waiting


def test_an_answer_that_nobody_asked_for_counts_for_nothing(member: Member) -> None:
    member.answered()
    assert member.asks == 0


def test_it_vouches_for_what_it_has_sent(member: Member) -> None:
    member.hold(edit("abc"), now=5)
    assert member.vouches(7, 3)
    assert not member.vouches(7, 4)
    assert not member.vouches(8, 1)


def test_barriers_wait_for_their_ticket_in_order(member: Member) -> None:
    for ticket in (1, 1, 3):
        member.wrote_at = ticket
        member.await_saved(b"%d" % ticket)
    assert member.barriers_due(0) == []
    assert member.barriers_due(2) == [b"1", b"1"]
    assert member.barrier_bytes == 1 + BARRIER_OVERHEAD
    assert member.barriers_due(3) == [b"3"]
    assert member.barrier_bytes == 0


def test_a_barrier_behind_held_edits_has_no_ticket_yet(member: Member) -> None:
    member.hold(edit("a"), now=5)
    member.await_saved(b"x")
    member.settle_barriers()
    assert member.barriers_due(99) == []
    member.release()
    member.wrote_at = 4
    member.settle_barriers()
    assert member.barriers_due(3) == []
    assert member.barriers_due(4) == [b"x"]


def test_echoes_come_by_ticket(member: Member) -> None:
    member.echoes = [Echo(1, [b"a"], ()), Echo(2, [b"b"], ()), Echo(3, [b"d"], ())]
    assert [e.updates for e in member.echoes_due(2)] == [[b"a"], [b"b"]]
    assert [e.updates for e in member.echoes_due(2)] == []
    assert [e.updates for e in member.echoes_due(3)] == [[b"d"]]
