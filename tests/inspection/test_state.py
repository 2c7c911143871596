"""What a document was."""

from __future__ import annotations

from persistence.store import Damage, Position
from sync.inspection.state import state
from tests.core.authors import Author
from tests.inspection.pasts import DOCUMENT, Log


def test_a_document_that_never_was() -> None:
    nothing = state(Log().past())
    assert (nothing.content, nothing.position, nothing.damaged) == ({}, 0, ())


def test_a_document_at_a_position() -> None:
    log, alice = Log(), Author(7)
    log.add("alice", alice.put("score", 1))
    then = alice.state_vector
    log.add("alice", alice.put("score", 2))
    told = state(log.past(1))
    assert (told.content, told.position, told.head) == ({"form": {"score": 1}}, 1, 2)
    assert told.state_vector == then
    assert told.to_json() == {
        "name": DOCUMENT, "position": 1, "head": 2, "size": len(told.update),
        "content": {"form": {"score": 1}}, "damaged": [],
    }  # fmt: skip


def test_what_cannot_be_read_is_told_in_words() -> None:
    log, alice = Log(), Author(7)
    log.add("alice", alice.put("score", 1))
    log.add("alice", alice.put("score", 2))
    log.entries[1] = log.entries[1]._replace(edit=log.entries[1].edit._replace(update=b"\xff"))
    past = log.past()
    damage = Damage(Position(9), "entry", "its checksum differs")
    told = state(type(past)(DOCUMENT, None, past.entries, past.position, past.head, (damage,)))
    assert told.content == {"form": {"score": 1}}
    assert told.damaged[0] == "entry 9: its checksum differs"
    assert told.damaged[1].startswith("entry 2: ")
