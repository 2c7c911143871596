"""Awareness, as a client keeps it."""

from __future__ import annotations

import pytest

from sync.client.presence import OUTDATED_SECONDS, RENEW_SECONDS, Presence
from sync.core.errors import MalformedMessage
from sync.core.yprotocol import Awareness, AwarenessEntry, decode

US, THEM = 1, 2


def presence() -> Presence:
    return Presence(US, lambda: None)


def entry(frame: bytes | None) -> AwarenessEntry:
    assert frame is not None
    message = decode(frame)
    assert isinstance(message, Awareness)
    (only,) = message.entries
    return only


def test_who_shows_nothing_sends_nothing() -> None:
    here = presence()
    here.opened(0.0)
    assert here.flush() is None
    assert here.farewell() is None


def test_a_state_is_shown_once_and_taken_away_at_the_end() -> None:
    here = presence()
    here.set({"name": "Ada"})
    shown = entry(here.flush())
    assert (shown.client, shown.state) == (US, '{"name": "Ada"}')
    assert here.flush() is None
    gone = entry(here.farewell())
    assert gone.state == "null"
    assert gone.clock > shown.clock


def test_a_state_is_shown_again_on_a_new_connection_and_before_it_is_outdated() -> None:
    here = presence()
    here.set({})
    here.flush()
    here.closed()
    here.opened(100.0)
    first = entry(here.flush())
    here.tick(100.0 + RENEW_SECONDS)
    assert entry(here.flush()).clock > first.clock


def test_a_clock_that_the_server_raised_is_ours_from_then_on() -> None:
    here = presence()
    here.set({})
    here.receive([AwarenessEntry(US, 41, "{}")], 0.0)
    here.set({"a": 1})
    assert entry(here.flush()).clock == 42


def test_nobody_else_takes_our_state_away() -> None:
    here = presence()
    here.set({})
    sent = entry(here.flush())
    here.receive([AwarenessEntry(US, sent.clock + 1, "null")], 0.0)
    assert entry(here.flush()).clock > sent.clock + 1


def test_others_come_change_and_go() -> None:
    here = presence()
    here.receive([AwarenessEntry(THEM, 5, '"new"')], 0.0)
    here.receive([AwarenessEntry(THEM, 4, '"old"')], 0.0)
    assert here.others == {THEM: "new"}
    here.receive([AwarenessEntry(THEM, 5, "null")], 0.0)
    assert here.others == {}


def test_others_who_are_silent_are_dropped_and_so_is_everyone_at_the_end() -> None:
    here = presence()
    here.receive([AwarenessEntry(THEM, 1, "1"), AwarenessEntry(3, 1, "1")], 0.0)
    here.receive([AwarenessEntry(THEM, 2, "1")], OUTDATED_SECONDS - 1)
    here.tick(OUTDATED_SECONDS)
    assert here.others == {THEM: 1}
    here.closed()
    assert here.others == {}


def test_what_is_not_json_is_refused_both_ways() -> None:
    here = presence()
    with pytest.raises(MalformedMessage):
        here.receive([AwarenessEntry(THEM, 1, "{")], 0.0)
    with pytest.raises(ValueError, match="JSON"):
        here.set({"x": float("nan")})
