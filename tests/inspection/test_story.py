"""A past, read entry by entry."""

from __future__ import annotations

import pytest

from persistence.store import Past, Snapshot
from sync.core.changes import ABSENT, Place
from sync.core.chronicle import BASE
from sync.core.errors import NativeFailure
from sync.inspection.blame import blames
from sync.inspection.state import state
from sync.inspection.story import Story, retell
from tests.core.authors import Author
from tests.core.test_replay import BREAKS
from tests.inspection.pasts import DOCUMENT, Log

SCORE = Place("form", "score")


def test_values_are_read_where_they_stood() -> None:
    log, alice = Log(), Author(7)
    for value in (1, 2, 3):
        log.add("alice", alice.put("score", value))
    story = Story(log.past(), {})
    assert [story.before(SCORE, index) for index in range(4)] == [BASE, 0, 1, 2]
    read = story.read((index, SCORE) for index in (BASE, 0, 2))
    assert read.values == {(BASE, SCORE): ABSENT, (0, SCORE): 1, (2, SCORE): 3}
    assert read.document.encode() == alice.everything()


def test_what_cannot_be_applied_is_left_out_and_told() -> None:
    """Malformed, or standing on what is not there, or what the library fails on."""
    log, alice, bob = Log(), Author(7), Author(8)
    log.add("alice", alice.put("score", 1))
    log.add("mallory", BREAKS)
    bob.put("lost", 1)
    log.add("bob", bob.put("more", 1))
    log.add("alice", alice.put("score", 2))
    log.add("alice", alice.put("score", 3))
    log.entries[4] = log.entries[4]._replace(edit=log.entries[4].edit._replace(update=b"\xff"))
    fields, damaged = retell(log.past(), lambda story: (blames(story), story.damaged))
    assert [(each.place, each.value, each.position) for each in fields] == [(SCORE, 2, 4)]
    assert [each.split(":")[0] for each in damaged] == ["entry 2", "entry 3", "entry 5"]
    assert damaged == state(log.past()).damaged


def test_a_base_that_cannot_be_read() -> None:
    base = Snapshot(DOCUMENT, Log().head, b"\xff", b"\x00", 0.0)
    with pytest.raises(NativeFailure):
        retell(Past(DOCUMENT, base, (), Log().head, Log().head), blames)
