"""Fault 27 (tokens that were revoked are refused): what a revocation means, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.access import Identity, Tickets, Verifier
from auth.errors import TokenInvalid, TokenRevoked
from auth.revocation import Kind, Revocations, UnrevokedTickets, UnrevokedVerifier
from auth.tickets import MemoryTickets
from tests.auth.test_access import identity
from tests.auth.test_tickets import Clock

MOMENT, LATER = 500.0, 5_000.0


def token_of(
    subject: str = "alice", token_id: str | None = "t1", issued_at: float | None = 400.0
) -> Identity:
    usual = identity()
    return Identity(
        subject=subject,
        name=usual.name,
        administrator=False,
        documents=usual.documents,
        sessions=usual.sessions,
        expires_at=1e9,
        token_id=token_id,
        issued_at=issued_at,
    )


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = MOMENT
    return clock


@pytest.fixture
def revocations(clock: Clock) -> Revocations:
    return Revocations(clock)


@pytest.mark.parametrize(
    ("issued_at", "covered"),
    [(None, True), (0, True), (499.9, True), (MOMENT, True), (500.000_001, False), (501, False)],
)
def test_a_subject_is_revoked_up_to_a_moment(
    revocations: Revocations, issued_at: float | None, covered: bool
) -> None:
    revocations.add("sub", "alice", at=MOMENT, until=LATER)
    assert revocations.covers(token_of(issued_at=issued_at)) is covered
    assert revocations.covers(token_of(issued_at=issued_at, token_id=None)) is covered
    assert not revocations.covers(token_of("bob", issued_at=issued_at))


@pytest.mark.parametrize("issued_at", [None, 0.0, 501.0])
def test_an_id_is_revoked_whenever_it_was_given(
    revocations: Revocations, issued_at: float | None
) -> None:
    revocations.add("jti", "t1", at=MOMENT, until=LATER)
    assert revocations.covers(token_of(issued_at=issued_at))
    assert revocations.covers(token_of("bob", issued_at=issued_at))
    assert not revocations.covers(token_of(token_id="t2"))
    assert not revocations.covers(token_of(token_id=None))


def test_an_id_is_no_subject(revocations: Revocations) -> None:
    revocations.add("jti", "alice", at=MOMENT, until=LATER)
    revocations.add("sub", "t1", at=MOMENT, until=LATER)
    assert not revocations.covers(token_of())


@given(st.lists(st.floats(0, 1_000), min_size=1))
def test_the_last_moment_holds_in_whatever_order_they_come(moments: list[float]) -> None:
    revocations = Revocations(lambda: 0.0)
    for moment in moments:
        revocations.add("sub", "alice", at=moment, until=LATER)
    assert revocations.covers(token_of(issued_at=max(moments)))
    assert not revocations.covers(token_of(issued_at=max(moments) + 1))
    assert len(revocations) == 1


@pytest.mark.parametrize("kind", ["jti", "sub"])
def test_what_has_expired_anyway_is_forgotten(
    revocations: Revocations, clock: Clock, kind: Kind
) -> None:
    for number in range(100):
        revocations.add(kind, f"old {number}", at=MOMENT, until=600)
    clock.now = 599.0
    revocations.add(kind, "alice", at=MOMENT, until=LATER)
    assert len(revocations) == 101
    clock.now = 600.0
    revocations.add(kind, "bob", at=600, until=550)  # a shorter one than is known, and over
    revocations.add(kind, "alice", at=600, until=LATER - 1)
    clock.now = LATER - 0.5
    revocations.add(kind, "carol", at=LATER, until=2 * LATER)
    assert len(revocations) == 2, "alice's longer one, and carol's"
    clock.now = LATER
    revocations.add(kind, "dave", at=LATER, until=3 * LATER)
    clock.now = 2 * LATER
    revocations.add(kind, "erin", at=LATER, until=3 * LATER)
    assert len(revocations) == 2, "dave's and erin's"


def test_nothing_is_revoked_at_first(revocations: Revocations) -> None:
    revocations.check(token_of(token_id=None, issued_at=None))


class OneToken:
    """A verifier that knows one token."""

    async def verify(self, token: str) -> Identity:
        if token != "good":
            raise TokenInvalid("this token is unknown")
        return token_of()


async def test_a_verifier_takes_no_revoked_token(revocations: Revocations) -> None:
    verifier: Verifier = UnrevokedVerifier(OneToken(), revocations)
    assert await verifier.verify("good") == token_of()
    with pytest.raises(TokenInvalid):
        await verifier.verify("bad")
    revocations.add("jti", "t1", at=MOMENT, until=LATER)
    with pytest.raises(TokenRevoked, match="revoked"):
        await verifier.verify("good")


def test_a_ticket_is_worth_nothing_once_its_token_is_revoked(
    revocations: Revocations, clock: Clock
) -> None:
    tickets: Tickets = UnrevokedTickets(MemoryTickets(clock=clock), revocations)
    before, after = tickets.issue(token_of()), tickets.issue(token_of())
    assert tickets.redeem(before.text) == token_of()
    revocations.add("sub", "alice", at=MOMENT, until=LATER)
    with pytest.raises(TokenRevoked):
        tickets.redeem(after.text)
    with pytest.raises(TokenInvalid):
        tickets.redeem(after.text)  # and it is used up
