from __future__ import annotations

import re

import pytest

from auth.access import Identity, Tickets
from auth.errors import TokenExpired, TokenInvalid, TooManyTickets
from auth.tickets import TICKET_SECONDS, MemoryTickets
from tests.auth.test_access import identity


class Clock:
    """It goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def somebody(subject: str = "alice", expires_at: float = 1e9) -> Identity:
    usual = identity()
    return Identity(
        subject=subject,
        name=usual.name,
        administrator=False,
        documents=usual.documents,
        sessions=usual.sessions,
        expires_at=expires_at,
        token_id="t1",
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tickets(clock: Clock) -> MemoryTickets:
    return MemoryTickets(most=5, most_of_subject=3, clock=clock)


def test_it_is_what_the_server_asks_for(tickets: MemoryTickets) -> None:
    asked: Tickets = tickets
    assert asked is tickets


def test_a_ticket_stands_for_who_asked_for_it(tickets: MemoryTickets) -> None:
    alice, bob = somebody(), somebody("bob")
    first, second = tickets.issue(alice), tickets.issue(bob)
    assert tickets.redeem(second.text) is bob
    assert tickets.redeem(first.text) is alice


def test_it_is_good_once(tickets: MemoryTickets) -> None:
    ticket = tickets.issue(somebody())
    tickets.redeem(ticket.text)
    with pytest.raises(TokenInvalid, match="ticket"):
        tickets.redeem(ticket.text)


def test_it_is_good_for_half_a_minute(tickets: MemoryTickets, clock: Clock) -> None:
    early, late = tickets.issue(somebody()), tickets.issue(somebody())
    assert early.expires_at == clock.now + TICKET_SECONDS == clock.now + 30
    clock.now += 29.9
    tickets.redeem(early.text)
    clock.now += 0.1
    with pytest.raises(TokenInvalid):
        tickets.redeem(late.text)


def test_it_is_no_better_than_its_token(tickets: MemoryTickets, clock: Clock) -> None:
    ticket = tickets.issue(somebody(expires_at=clock.now + 5))
    assert ticket.expires_at == clock.now + 5
    clock.now += 5
    with pytest.raises(TokenExpired):
        tickets.redeem(ticket.text)


@pytest.mark.parametrize("text", ["", "x", "é", "\x00", "a" * 10_000])
def test_any_other_text_is_no_ticket(tickets: MemoryTickets, text: str) -> None:
    with pytest.raises(TokenInvalid):
        tickets.redeem(text)


def test_it_cannot_be_guessed_and_is_not_shown(tickets: MemoryTickets) -> None:
    ticket = tickets.issue(somebody())
    assert re.fullmatch("[A-Za-z0-9_-]{43}", ticket.text)  # 256 bits
    assert ticket.text != tickets.issue(somebody()).text
    assert ticket.text not in repr(ticket)


def test_one_has_only_so_many(tickets: MemoryTickets) -> None:
    held = [tickets.issue(somebody()) for _ in range(3)]
    with pytest.raises(TooManyTickets, match="3 tickets of yours"):
        tickets.issue(somebody())
    tickets.issue(somebody("bob"))
    tickets.redeem(held[0].text)
    tickets.issue(somebody())


def test_all_have_only_so_many(tickets: MemoryTickets, clock: Clock) -> None:
    for number in range(5):
        tickets.issue(somebody(f"s{number}"))
    with pytest.raises(TooManyTickets, match="on this server"):
        tickets.issue(somebody())
    clock.now += TICKET_SECONDS
    tickets.issue(somebody())


def test_nothing_is_kept_of_old_tickets(tickets: MemoryTickets, clock: Clock) -> None:
    for _ in range(3):
        tickets.issue(somebody())
    clock.now += TICKET_SECONDS
    with pytest.raises(TokenInvalid):
        tickets.redeem("x")
    assert not tickets._waiting
    assert not tickets._subjects
