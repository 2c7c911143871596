"""Documents replayed against their snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from persistence.store import Edit, Entry, Position, Snapshot
from sync.core.content import content
from sync.core.crdt import Replica
from sync.inspection.examination import Entries, examine, remade
from tests.support.ailing import NOON, updates

MADE = updates(7, 12)


def log(*left_out: int, made: list[bytes] = MADE) -> Entries:
    """The entries of a document, at the positions 10, 20, …, but for some."""

    def entries() -> Iterator[Entry]:
        for number, update in enumerate(made, 1):
            if 10 * number not in left_out:
                yield Entry(Position(10 * number), Edit("d", update, "alice", (), NOON))

    return entries


def taken(count: int, *, skip: int | None = None) -> Snapshot:
    """A snapshot of the first so many entries."""
    replica = Replica()
    for number, update in enumerate(MADE[:count], 1):
        if number != skip:
            replica.apply(update)
    return Snapshot("d", Position(10 * count), replica.encode(), replica.state_vector(), NOON)


def test_a_snapshot_that_is_what_its_entries_make() -> None:
    found = examine(taken(6), None, 0, whole=True, entries=log())
    assert found.compared
    assert (found.snapshot, found.lacking, found.pending, found.unread) == (None, False, {}, {})


def test_without_a_snapshot() -> None:
    found = examine(None, None, 0, whole=True, entries=log())
    assert (found.snapshot, found.pending, found.compared) == (None, {}, False)


def test_a_snapshot_that_lacks_an_edit() -> None:
    wrong = replace(taken(6), position=Position(70))
    found = examine(wrong, None, 0, whole=True, entries=log())
    assert found.snapshot == "it has other edits than the entries that it stands for"
    assert not found.unusable


def test_a_snapshot_that_lacks_a_deletion() -> None:
    base = updates(7, 9)
    replica = Replica()
    for update in base:
        replica.apply(update)
    before = replica.encode(), replica.state_vector()
    from pycrdt import Doc, Map

    doc = Doc[Map[str]](client_id=8)
    doc.apply_update(before[0])
    state = doc.get_state()
    answers = doc.get("answers", type=Map)
    del answers["q1"]
    entries = log(made=[*base, doc.get_update(state)])
    wrong = Snapshot("d", Position(100), *before, NOON)
    found = examine(wrong, None, 0, whole=True, entries=entries)
    assert found.snapshot == "it has other deletions than the entries that it stands for"


def test_a_snapshot_that_has_more_than_its_entries_is_not_wrong() -> None:
    found = examine(taken(12), None, 0, whole=True, entries=log(120))
    assert (found.snapshot, found.lacking) == (None, True)


def test_nothing_is_compared_where_something_is_missing() -> None:
    found = examine(taken(12), None, 0, whole=False, entries=log(120))
    assert (found.snapshot, found.lacking, found.compared) == (None, False, False)


@pytest.mark.parametrize("spoilt", ["update", "state_vector"])
def test_a_snapshot_that_cannot_be_loaded(spoilt: str) -> None:
    other = {"update": b"\x01\x02\x03\xff", "state_vector": taken(3).state_vector}
    wrong = (
        replace(taken(6), update=other["update"])
        if spoilt == "update"
        else replace(taken(6), state_vector=other["state_vector"])
    )
    found = examine(wrong, None, 0, whole=True, entries=log())
    assert found.unusable
    assert found.snapshot


def test_edits_behind_a_gap_are_pending_unless_the_snapshot_has_it() -> None:
    served = examine(taken(3), None, 0, whole=False, entries=log(50))
    assert sorted(served.pending) == [60, 70, 80, 90, 100, 110, 120]
    assert "it stands on edits that are not there, of clients [7]" in served.pending[60]
    covered = examine(taken(8), None, 0, whole=False, entries=log(50))
    assert covered.pending == {}
    assert sorted(covered.unread) == [60, 70, 80]


def test_a_thinned_history_begins_with_its_base() -> None:
    entries = log(10, 20, 30)
    found = examine(taken(8), taken(3), 30, whole=True, entries=entries)
    assert (found.compared, found.snapshot, found.base) == (True, None, None)
    assert not examine(taken(8), None, 30, whole=True, entries=entries).compared
    broken = replace(taken(3), update=b"\xff")
    assert examine(taken(8), broken, 30, whole=True, entries=entries).base


def test_a_snapshot_made_again() -> None:
    made = remade(None, None, 0, log())
    assert made is not None
    assert made[0] == 120
    assert content(made[1]) == content(taken(12).update)
    based = remade(None, taken(3), 30, log(10, 20, 30))
    assert based is not None
    assert content(based[1]) == content(taken(12).update)


def test_a_snapshot_is_not_made_again_with_something_missing() -> None:
    assert remade(None, None, 0, log(50)) is None
    assert remade(None, None, 30, log(10, 20, 30)) is None
    assert remade(None, taken(2), 30, log(10, 20, 30)) is None
    assert remade(None, None, 0, log(*range(10, 121, 10))) is None


def test_a_wrong_snapshot_is_merged_with_the_entries() -> None:
    """What only one of them has is in what is made of both."""
    made = remade(taken(12), None, 0, log(110, 120))
    assert made is not None
    assert content(made[1]) == content(taken(12).update)
    made = remade(replace(taken(4), position=Position(120)), None, 0, log())
    assert made is not None
    assert content(made[1]) == content(taken(12).update)
