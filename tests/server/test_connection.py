"""Verdicts, the message rate, and the end of a connection."""

from __future__ import annotations

import random

import pytest

from auth.access import TokenExpired, TokenInvalid
from sync.core.document import Document
from sync.core.errors import Draining, Forbidden, MalformedMessage, ProtocolError
from sync.core.room import Room
from sync.server.channel import ChannelOutbox
from sync.server.connection import Connection, Pace, Verdict
from sync.server.resident import Resident
from tests.server.parts import DRAFT, identity


def waits(pace: Pace, times: list[float]) -> list[float]:
    return [pace.delay(now) for now in times]


def test_a_burst_costs_nothing() -> None:
    assert waits(Pace(10, 5), [100.0] * 5) == [0.0] * 5


def test_beyond_the_burst_each_message_waits_its_turn() -> None:
    delays = waits(Pace(10, 5), [100.0] * 8)
    assert delays[5:] == pytest.approx([0.1, 0.2, 0.3])


def test_after_a_pause_there_is_a_burst_again() -> None:
    pace = Pace(10, 5)
    waits(pace, [100.0] * 8)
    assert waits(pace, [102.0] * 5) == [0.0] * 5


def test_any_number() -> None:
    assert waits(Pace(0, 1), [0.0] * 10_000) == [0.0] * 10_000


@pytest.mark.parametrize("seed", range(20))
def test_a_sender_who_waits_as_told_keeps_to_the_rate(seed: int) -> None:
    chance = random.Random(seed)
    pace, now, began = Pace(50, 20), 1_000.0, 1_000.0
    for count in range(1, 1_000):
        now += pace.delay(now) + (chance.random() / 10 if chance.random() < 0.1 else 0)
        assert count <= 50 * (now - began) + 20 + 1, f"seed {seed}"


@pytest.mark.parametrize(
    ("error", "code", "final"),
    [
        (MalformedMessage("m"), 4400, True),
        (Forbidden("f"), 4403, True),
        (TokenInvalid("t"), 4401, True),
        (Draining("d"), 1012, False),
    ],
)
def test_only_verdicts_of_44xx_are_final(error: ProtocolError, code: int, final: bool) -> None:
    """y-websocket 3.1 comes back after anything else."""
    verdict = Verdict.of(error)
    assert (verdict.code, verdict.final, verdict.reason) == (code, final, error.reason)


def test_the_close_reason_of_an_expired_token_is_a_word_that_clients_know() -> None:
    assert Verdict.of(TokenExpired()).close_reason == "token-expired"


def test_a_close_reason_fits_its_frame() -> None:
    assert len(Verdict(4400, "ü" * 200).close_reason.encode()) <= 123


def a_resident() -> Resident:
    return Resident(DRAFT, Room(Document(), 0))


async def test_the_first_verdict_stands() -> None:
    stops: list[bool] = []
    outbox = ChannelOutbox()
    connection = Connection(
        a_resident(), identity(), Pace(0, 1), outbox, lambda: stops.append(True)
    )
    connection.end(Verdict(4401, "first"))
    connection.end(Verdict(1012, "second"))
    outbox.put(b"too late")
    assert connection.verdict == Verdict(4401, "first")
    assert outbox.queued_bytes == 0
    assert stops == [True]
