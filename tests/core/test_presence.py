"""Who is here: the contract's rules and clients.md's, and that every exchange comes to rest."""

from __future__ import annotations

import json
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.core.errors import MalformedMessage
from sync.core.presence import MAX_CLOCK, MAX_LEAP, MAX_REMEMBERED, Presence
from sync.core.wire import Reader
from sync.core.yprotocol import Awareness, AwarenessEntry, decode
from tests.core.awareness import StockAwareness

ALICE, BOB, CAROL = 1, 2, 3
A, B, C = 101, 102, 103  # their Yjs client ids


def entry(client: int, clock: int, state: object = "here") -> AwarenessEntry:
    return AwarenessEntry(client, clock, json.dumps(state))


def told(frame: bytes | None) -> list[tuple[int, int, object]]:
    """What a frame says: (client, clock, state)."""
    if frame is None:
        return []
    message = decode(frame)
    assert isinstance(message, Awareness)
    return [(e.client, e.clock, json.loads(e.state)) for e in message.entries]


class Here:
    """A presence, and how connections speak to it."""

    def __init__(self, **limits: int) -> None:
        self.presence = Presence(**limits)

    def show(self, connection: int, *entries: AwarenessEntry, subject: str = "") -> list[str]:
        return self.presence.receive(connection, subject or f"s{connection}", entries, 0.0)

    def expect(self, *expected: tuple[int, int, object]) -> None:
        """The next frame for everybody says exactly this."""
        assert told(self.presence.flush()) == list(expected)

    def expect_here(self, *clients: int) -> None:
        assert [client for client, _, _ in told(self.presence.everyone())] == list(clients)


@pytest.fixture
def here() -> Here:
    """Alice and bob are here and have been announced."""
    here = Here()
    here.show(ALICE, entry(A, 1))
    here.show(BOB, entry(B, 1))
    here.expect((A, 2, "here"), (B, 2, "here"))
    return here


# -- showing oneself


def test_a_newcomer_is_announced_above_the_clock_that_peers_take_for_granted() -> None:
    """A peer counts an unknown client as clock 0, and would not hear a first clock of 0."""
    here = Here()
    here.show(ALICE, entry(A, 0))
    here.expect((A, 1, "here"))
    here.expect()


def test_a_change_is_announced_with_its_own_clock(here: Here) -> None:
    here.show(ALICE, entry(A, 3, "moved"))
    here.expect((A, 3, "moved"))


def test_a_renewal_is_announced_so_that_nobody_times_it_out(here: Here) -> None:
    here.show(ALICE, entry(A, 3))
    here.expect((A, 3, "here"))


def test_a_change_made_before_the_raised_clock_was_heard_is_not_lost(here: Here) -> None:
    here.show(ALICE, entry(A, 2, "moved"))
    here.expect((A, 3, "moved"))


def test_changes_gather_until_the_flush(here: Here) -> None:
    for clock in range(3, 9):
        here.show(ALICE, entry(A, clock, clock))
    here.expect((A, 8, 8))


@pytest.mark.parametrize("clock", [0, 1])
def test_an_older_clock_says_nothing(here: Here, clock: int) -> None:
    here.show(ALICE, entry(A, clock, "old"))
    here.expect()


def test_the_owner_sending_on_what_it_heard_is_no_news(here: Here) -> None:
    here.show(ALICE, entry(A, 2))
    here.expect()


def test_an_old_announcement_sent_back_is_no_change(here: Here) -> None:
    """It crossed a change of the owner's on the wire; y-protocols sends it on all the same."""
    here.show(CAROL, entry(C, 1), subject="s3")
    here.presence.leave(CAROL, 0)
    here.show(4, entry(C, 1), subject="s3")  # a return: everybody's clock is raised
    here.expect((C, 3, "here"), (A, 3, "here"), (B, 3, "here"))
    here.show(ALICE, entry(A, 2, "moved"))
    here.expect((A, 4, "moved"))
    here.show(ALICE, entry(A, 3, "here"))
    here.expect()


def test_a_null_state_removes_at_once(here: Here) -> None:
    here.show(ALICE, entry(A, 3, None))
    here.expect((A, 3, None))
    here.expect_here(B)


def test_a_null_state_with_the_same_clock_removes_too(here: Here) -> None:
    here.show(ALICE, entry(A, 1, None))
    here.expect((A, 3, None))


def test_a_null_state_of_an_unknown_id_says_nothing(here: Here) -> None:
    here.show(CAROL, entry(C, 5, None))
    here.expect()


# -- whose id it is


def test_entries_for_others_ids_are_dropped_silently(here: Here) -> None:
    assert here.show(BOB, entry(A, 9, "forged"), entry(A, 9, None)) == []
    here.expect()
    assert here.presence.owner(A) == ALICE


def test_a_new_socket_of_the_subject_takes_over_in_its_first_message(here: Here) -> None:
    here.show(4, entry(A, 1), subject="s1")
    here.expect((A, 3, "here"), (B, 3, "here"))
    assert here.presence.owner(A) == 4
    here.presence.leave(ALICE, 0)  # the old socket is found dead later
    here.presence.tick(60)
    here.expect()
    here.expect_here(A, B)


def test_a_second_tab_does_not_take_over_later(here: Here) -> None:
    """It hears its sister's state and sends it on, as y-websocket does."""
    here.show(4, entry(C, 0), subject="s1")
    here.show(4, entry(A, 2), entry(A, 9), subject="s1")
    assert here.presence.owner(A) == ALICE


def test_another_subject_never_takes_over(here: Here) -> None:
    here.show(4, entry(A, 50), subject="mallory")
    here.expect()
    assert here.presence.owner(A) == ALICE


def test_another_subject_does_not_take_over_in_the_grace(here: Here) -> None:
    here.presence.leave(ALICE, 0)
    here.show(4, entry(A, 50), subject="mallory")
    assert here.presence.owner(A) is None
    here.expect()


# -- going and coming back


def test_who_left_goes_after_the_grace(here: Here) -> None:
    here.presence.leave(ALICE, 10)
    assert here.presence.deadline == 13
    here.presence.tick(12.9)
    here.expect()
    here.presence.tick(13)
    here.expect((A, 3, None))
    assert here.presence.deadline is None
    assert len(here.presence) == 1


def test_who_returns_within_the_grace_is_never_removed(here: Here) -> None:
    here.presence.leave(ALICE, 10)
    here.show(4, entry(A, 2), subject="s1")
    here.presence.tick(99)
    here.expect((A, 3, "here"), (B, 3, "here"))
    here.expect_here(A, B)


def test_who_returns_after_removal_is_announced_above_the_removal(here: Here) -> None:
    here.presence.leave(ALICE, 10)
    here.presence.tick(13)
    here.expect((A, 3, None))
    here.show(4, entry(A, 2), subject="s1")
    here.expect((A, 4, "here"), (B, 3, "here"))


@pytest.mark.parametrize("clock", [1, 2, 3])
def test_a_late_echo_does_not_bring_back_who_is_gone(here: Here, clock: int) -> None:
    here.show(ALICE, entry(A, 3, None))
    here.expect((A, 3, None))
    here.show(BOB, entry(A, clock))
    here.expect()
    here.expect_here(B)


def test_a_late_echo_in_the_grace_makes_nobody_the_owner(here: Here) -> None:
    here.show(4, entry(C, 0), subject="s1")
    here.presence.leave(ALICE, 10)
    here.show(4, entry(A, 2), subject="s1")
    assert here.presence.owner(A) is None


def test_leaving_takes_all_ids_of_the_connection(here: Here) -> None:
    here.show(ALICE, entry(C, 1))
    here.presence.flush()
    here.presence.leave(ALICE, 0)
    here.presence.tick(3)
    here.expect((A, 3, None), (C, 3, None))


def test_only_so_many_who_left_are_remembered() -> None:
    here = Here(max_ids=MAX_REMEMBERED * 2)
    for client in range(MAX_REMEMBERED + 5):
        here.show(ALICE, entry(client, 1), entry(client, 2, None))
    here.presence.flush()
    frame = here.presence.everyone(gone=True)
    assert frame is not None
    assert Reader(Reader(frame, 1).read_bytes()).read_uint() == MAX_REMEMBERED


# -- bounds


@pytest.mark.parametrize(
    ("clock", "taken"),
    [(MAX_CLOCK + MAX_LEAP, True), (MAX_CLOCK + MAX_LEAP + 1, False), (2**53 - 1, False)],
)
def test_a_clock_bomb_is_refused(clock: int, taken: bool) -> None:
    here = Here()
    refusals = here.show(ALICE, entry(A, clock))
    assert bool(refusals) is not taken
    assert len(here.presence) == taken


def test_a_bombed_id_can_still_be_taken_by_its_person() -> None:
    here = Here()
    here.show(4, entry(A, MAX_CLOCK + MAX_LEAP), entry(A, MAX_CLOCK + MAX_LEAP, None))
    here.presence.flush()
    here.show(ALICE, entry(A, 1))
    ((client, clock, state),) = told(here.presence.flush())
    assert (client, state) == (A, "here")
    assert clock > MAX_CLOCK + MAX_LEAP


@pytest.mark.parametrize(("size", "taken"), [(8_192, True), (8_193, False)])
def test_a_state_has_so_many_bytes(size: int, taken: bool) -> None:
    here = Here()
    state = json.dumps("ä" * ((size - 2) // 2) + "x" * (size % 2), ensure_ascii=False)
    refusals = here.show(ALICE, AwarenessEntry(A, 1, state))
    assert len(state.encode()) == size
    assert bool(refusals) is not taken
    assert all("8192" in reason for reason in refusals)


def test_a_connection_has_so_many_ids() -> None:
    here = Here()
    refusals = here.show(ALICE, *(entry(client, 1) for client in range(18)))
    assert len(refusals) == 2
    assert "16" in refusals[0]
    assert len(here.presence) == 16
    assert here.show(BOB, entry(B, 1)) == []


@pytest.mark.parametrize("state", ["", "{", "NaN", "[1,]", "'x'", "[" * 4_000, "-Infinity"])
def test_a_state_is_json(state: str) -> None:
    with pytest.raises(MalformedMessage):
        Here().show(ALICE, AwarenessEntry(A, 1, state))


def test_nobody_is_here_at_first() -> None:
    presence = Presence()
    assert presence.everyone() is None
    assert presence.flush() is None
    assert presence.owner(A) is None
    assert not presence.due


# -- stock clients


class Party:
    """Stock clients and a presence, with frames on their way in both directions."""

    def __init__(self, count: int) -> None:
        self.presence = Presence()
        self.clients = [StockAwareness(100 + n) for n in range(count)]
        self.connections: dict[int, int] = {}  # client -> connection
        self.up: dict[int, deque[tuple[AwarenessEntry, ...]]] = {}
        self.down: dict[int, deque[bytes]] = {}
        self.opened = 0
        self.exchanged = 0
        self.now = 0.0
        for client in self.clients:
            self.open(client)

    def open(self, client: StockAwareness) -> None:
        self.opened += 1
        self.connections[client.client] = self.opened
        self.up[client.client] = deque()
        self.down[client.client] = deque()
        if (frame := self.presence.everyone()) is not None:
            self.down[client.client].append(frame)
        self.say(client, client.open())

    def close(self, client: StockAwareness) -> None:
        self.presence.leave(self.connections.pop(client.client), self.now)
        self.up.pop(client.client)
        self.down.pop(client.client)
        client.close()

    def say(self, client: StockAwareness, entries: tuple[AwarenessEntry, ...]) -> None:
        if entries and client.client in self.up:
            self.up[client.client].append(entries)

    def arrive(self, client: StockAwareness) -> None:
        if self.up.get(client.client):
            self.exchanged += 1
            connection = self.connections[client.client]
            entries = self.up[client.client].popleft()
            self.presence.receive(connection, f"s{client.client}", entries, self.now)

    def flush(self) -> None:
        if (frame := self.presence.flush()) is not None:
            for frames in self.down.values():
                frames.append(frame)

    def deliver(self, client: StockAwareness) -> None:
        if self.down.get(client.client):
            message = decode(self.down[client.client].popleft())
            assert isinstance(message, Awareness)
            self.say(client, client.hear(message.entries))

    def rest(self, most: int) -> None:
        """Let everything arrive. It must come to rest within so many messages to the server."""
        before = self.exchanged
        while any(self.up.values()) or any(self.down.values()) or self.presence.due:
            for client in self.clients:
                self.arrive(client)
            self.flush()
            for client in self.clients:
                self.deliver(client)
            assert self.exchanged - before <= most, "an echo storm"

    def expect_all_see_all(self) -> None:
        online = {client.client: client for client in self.clients if client.client in self.up}
        states = {number: client.states[number] for number, client in online.items()}
        assert all(client.states == states for client in online.values())


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_the_exchange_of_stock_clients_comes_to_rest(count: int) -> None:
    party = Party(count)
    party.rest(most=4 * count * count)
    party.expect_all_see_all()


@pytest.mark.parametrize("count", [2, 5])
def test_it_rests_after_a_change_and_after_a_renewal(count: int) -> None:
    party = Party(count)
    party.rest(most=100)
    party.say(party.clients[0], party.clients[0].show({"cursor": 1}))
    party.rest(most=1 + count)
    for client in party.clients:
        party.say(client, client.renew())
    party.rest(most=count + count * count)
    party.expect_all_see_all()


@pytest.mark.parametrize("away", [0.2, 5.0, 60.0])
def test_who_returns_sees_all_and_is_seen_at_once(away: float) -> None:
    """Measured with stock clients: 9.5 to 16.5 s of seeing nobody, without the raised clocks."""
    party = Party(4)
    party.rest(most=100)
    party.close(party.clients[0])
    party.now += away
    party.presence.tick(party.now)
    party.rest(most=100)
    party.open(party.clients[0])
    party.rest(most=100)
    party.expect_all_see_all()


def test_after_a_server_restart_all_see_all() -> None:
    party = Party(4)
    party.rest(most=100)
    for client in party.clients:
        party.close(client)
    party.presence = Presence()
    for client in party.clients:
        party.open(client)
    party.rest(most=100)
    party.expect_all_see_all()


def test_a_change_that_crosses_two_raised_clocks_makes_no_storm() -> None:
    """Found by the simulation: two states chased each other for ever."""
    party = Party(2)
    party.rest(most=20)
    alice, bob = party.clients
    for _ in range(2):  # bob comes back twice, so that alice's clock is raised twice
        party.close(bob)
        party.open(bob)
        party.arrive(bob)
        party.flush()
    party.say(alice, alice.show({"cursor": 1}))
    party.rest(most=40)
    party.expect_all_see_all()
    assert bob.states[alice.client] == {"cursor": 1}


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=40))
def test_whatever_happens_it_comes_to_rest(happenings: list[tuple[int, int]]) -> None:
    party = Party(4)
    for what, who in happenings:
        client = party.clients[who]
        match what:
            case 0:
                party.arrive(client)
            case 1:
                party.deliver(client)
            case 2:
                party.flush()
            case 3:
                party.say(client, client.show({"cursor": len(happenings) + who}))
            case 4 if client.client in party.up:
                party.close(client)
            case _:
                party.now += 1
                party.presence.tick(party.now)
                if client.client not in party.up:
                    party.open(client)
    for client in party.clients:
        if client.client not in party.up:
            party.open(client)
    party.rest(most=500)
    for _ in range(2):  # stock clients renew every 15 seconds; that heals what crossed on the wire
        for client in party.clients:
            party.say(client, client.renew())
        party.rest(most=500)
    party.expect_all_see_all()


# -------------------------------------------------------------------------------- at most so often


def test_the_first_change_is_told_at_once_and_the_next_ones_together() -> None:
    presence = Presence(interval=0.1)

    def show(client: int, clock: int, state: str, now: float) -> None:
        presence.receive(client, f"s{client}", [AwarenessEntry(client, clock, f'"{state}"')], now)

    show(A, 1, "a1", now=5.0)
    assert told(presence.flush()) == [(A, 2, "a1")]
    show(A, 3, "a2", now=5.01)
    show(B, 1, "b1", now=5.02)
    show(A, 4, "a3", now=5.09)
    assert not presence.due
    assert presence.flush() is None
    assert presence.deadline == pytest.approx(5.1)
    presence.tick(5.1)
    assert presence.due
    assert told(presence.flush()) == [(A, 4, "a3"), (B, 2, "b1")]  # a2 nobody needs to see
    assert presence.deadline is None


def test_after_a_pause_nobody_waits() -> None:
    presence = Presence(interval=0.1)
    for number in range(1, 4):
        presence.receive(A, "s", [AwarenessEntry(A, 2 * number, f'"{number}"')], now=float(number))
        assert [state for _, _, state in told(presence.flush())] == [str(number)]


def test_a_removal_waits_no_longer_than_a_change() -> None:
    presence = Presence(grace=3.0, interval=0.1)
    presence.receive(A, "s", [AwarenessEntry(A, 1, '"a"')], now=1.0)
    presence.flush()
    presence.leave(A, now=1.05)
    assert presence.deadline == pytest.approx(4.05)
    presence.tick(4.05)
    assert told(presence.flush()) == [(A, 3, None)]
