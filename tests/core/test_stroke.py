"""The guard's short way: whatever it takes, the long way takes too, and tells the same of it."""

from __future__ import annotations

from random import Random

import pytest

from sync.core.errors import MalformedMessage
from sync.core.footprint import Footprint
from sync.core.guard import Inspection
from sync.core.stroke import read_stroke
from tests.core.authors import Author
from tests.fuzz.mutation import mutant
from tests.support.corpus import recordings


def the_short_way(update: bytes) -> Footprint | None:
    stroke = read_stroke(update)
    return stroke.footprint if stroke else None


IDS = (1, 200, 0x0FEDCBA9, 0xFEDCBA98, 2**53 - 1)


def the_long_way(update: bytes) -> Footprint | None:
    try:
        return Inspection(update).run(max_clients=64)
    except MalformedMessage:
        return None


def strokes(client: int) -> list[bytes]:
    """Edits of somebody who fills in a form that somebody else began."""
    first = Author(client ^ 5 or 6)
    begun = [first.put("a"), first.put("b", 3), first.write("hello"), first.put("a", "x")]
    author = Author(client, *begun)
    return [
        *begun,
        author.put("a", 4.5),
        author.put("a", True),
        author.put("c", None),
        author.put("d", 2**40),
        author.put("d", -3),
        author.write("!"),
        *[author.write("x") for _ in range(300)],
    ]


@pytest.mark.parametrize("client", IDS)
def test_what_is_typed_goes_the_short_way(client: int) -> None:
    for update in strokes(client):
        assert the_short_way(update) == the_long_way(update) != None  # noqa: E711 - all three


def test_recordings_of_real_editors() -> None:
    updates = [update for recording in recordings() for update in recording.updates]
    short = [(update, taken) for update in updates if (taken := the_short_way(update)) is not None]
    assert all(the_long_way(update) == taken for update, taken in short)
    assert len(short) > len(updates) / 4


def test_nothing_is_taken_that_the_long_way_would_refuse() -> None:
    """Mutants of real edits; half of the mistakes they have no Yjs client would make."""
    random = Random(7)
    seeds = [update for client in IDS for update in strokes(client)[:14]]
    taken = 0
    for _ in range(60_000):
        update = mutant(random, random.choice(seeds), seeds)
        if (footprint := the_short_way(update)) is not None:
            assert footprint == the_long_way(update), update.hex()
            taken += 1
    assert taken > 6_000


def test_an_id_written_in_another_way() -> None:
    """0xe5 0x00 is 0x65 with a byte too many: the item would stand on itself."""
    update = bytes.fromhex("010165 0044 e500 05 017800".replace(" ", ""))
    assert read_stroke(update) is None
    assert the_long_way(update) is None
