"""A snapshot in parts is the same document."""

from __future__ import annotations

from random import Random

import pytest

from sync.core.content import content
from sync.core.document import Document
from sync.core.footprint import missing
from sync.core.guard import inspect
from sync.core.replay import replay
from sync.core.split import split
from tests.core.authors import Author
from tests.support.corpus import Recording, recordings


def written_by_many(seed: int, edits: int = 400) -> bytes:
    """A document in which everybody's edits stand on everybody's."""
    random = Random(seed)
    authors = [Author(7 + 1_000 * number) for number in range(4)]
    for _ in range(edits):
        author = random.choice(authors)
        letter = random.choice("abcdefg")
        update = author.write(letter) if random.random() < 0.5 else author.put(letter)
        if random.random() < 0.8:
            for other in authors:
                other.hear(update)
    everything = authors[0]
    for other in authors[1:]:
        everything.hear(other.everything())
    return everything.everything()


def expect_the_same(snapshot: bytes, parts: list[bytes]) -> None:
    whole, joined = Document(snapshot), Document()
    for part in parts:
        footprint = inspect(part, max_clients=2**31)
        assert not missing(footprint, joined.clocks)
        joined.load(part)
    assert joined.clocks == whole.clocks
    assert joined.deletions() == whole.deletions()
    assert content(joined.encode()) == content(whole.encode())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("part_bytes", [1, 50, 1_000, 10**6])
def test_in_any_size(seed: int, part_bytes: int) -> None:
    snapshot = written_by_many(seed)
    parts = split(snapshot, part_bytes)
    expect_the_same(snapshot, parts)
    assert len(parts) > 5 or part_bytes >= 1_000


@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.name)
def test_documents_of_real_editors(recording: Recording) -> None:
    snapshot = replay(None, recording.updates).document.encode()
    expect_the_same(snapshot, split(snapshot, 200))


def test_parts_are_of_the_size_that_was_asked_for() -> None:
    author = Author(7)
    for number in range(2_000):
        author.put(str(number), "x" * 40)
    parts = split(author.everything(), 4_096)
    assert all(3_000 < len(part) < 5_000 for part in parts[:-2])


def test_what_has_no_order_stays_whole() -> None:
    """Two texts of which each stands on the other's: no document has that, and nothing may hang."""
    knot = bytes.fromhex("02 01 07 00 84 08 00 01 61 01 08 00 84 07 00 01 62 00".replace(" ", ""))
    assert split(knot, 10) == [knot]
