"""Edits from elsewhere: tried out, recognised, or left out with a reason."""

from __future__ import annotations

import pytest

from persistence.store import NOWHERE, ClientRange, Edit, Entry, Position, StoredDocument
from sync.core.content import content
from sync.core.crdt import Replica
from sync.core.errors import NativeFailure
from sync.core.replay import replay
from sync.inspection.merging import Merged, merge
from tests.cli.databases import Person

LIMIT = 2**24
NOTHING = StoredDocument("x", None, (), NOWHERE)
POISON = "poison-for-the-library"


def stored(*edits: Edit) -> StoredDocument:
    entries = tuple(Entry(Position(n), edit) for n, edit in enumerate(edits, 1))
    return StoredDocument("x", None, entries, Position(len(edits)))


def result(merged: Merged) -> dict[str, object]:
    return content(replay(None, [each.update for each in merged.edits]).document.encode())


def test_all_that_is_new_is_taken_as_it_is() -> None:
    alice = Person("x", "alice", 7)
    edits = [alice.rate("q", value, value, connection=3, offline=True) for value in (1, 2)]
    assert merge(NOTHING, edits, LIMIT) == Merged(tuple(edits))


def test_what_is_known_is_recognised() -> None:
    alice = Person("x", "alice", 7)
    first, second = alice.rate("q", 1, 0), alice.rate("q", 2, 0)
    assert merge(stored(first), [first, second, second], LIMIT) == Merged((second,), known=2)


def test_who_wrote_what_nobody_tells_of() -> None:
    """It was handed on; and of an edit only the clocks that are new are brought."""
    alice = Person("x", "alice", 7)
    first, second = alice.rate("q", 1, 0), alice.rate("q", 2, 0)
    whole = Edit("x", alice.doc.get_update(), "operator", (), 0.0)
    [taken] = merge(stored(first), [whole], LIMIT).edits
    [(_, start, end, _)] = second.clients
    assert taken.clients == (ClientRange(7, start, end, introduced=True),)


def test_a_gap_and_a_malformed_edit_are_left_out() -> None:
    alice, bob = Person("x", "alice", 7), Person("x", "bob", 8)
    alice.rate("q", 1, 0)
    late, good = alice.rate("q", 2, 0), bob.rate("q", 3, 0)
    bad = Edit("x", b"\x01", "mallory", (), 0.0)
    merged = merge(NOTHING, [late, bad, good], LIMIT)
    assert merged.edits == (good,)
    assert [reason.split(":")[0] for reason in merged.refused] == [
        "edit 1 by 'alice'",
        "edit 2 by 'mallory'",
    ]


def test_what_the_library_fails_on_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been applied in part: the document is made again without it."""
    usual = Replica.apply

    def apply(replica: Replica, update: bytes) -> None:
        usual(replica, update)
        if POISON.encode() in update:
            raise NativeFailure("PanicException: injected")

    monkeypatch.setattr(Replica, "apply", apply)
    alice, bob, carol = (Person("x", name, n) for n, name in enumerate(("a", "b", "c"), 7))
    first, last = alice.rate("q", 1, 0), carol.rate("q", 3, 0)
    merged = merge(NOTHING, [first, bob.rate("q", POISON, 0), last], LIMIT)
    assert merged.edits == (first, last)
    assert result(merged) == {"ratings": {"a/q": 1, "c/q": 3}}
    assert "it cannot be applied: PanicException" in merged.refused[0]


def test_nothing_is_taken_of_what_grows_too_large() -> None:
    alice = Person("x", "alice", 7)
    merged = merge(NOTHING, [alice.rate("q", 1, 0), alice.note("x" * 2_000, 0)], 1_024)
    assert merged.edits == ()
    assert "documents are of no more than 1,024" in merged.refused[0]
