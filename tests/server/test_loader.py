"""From the store to a room: whole, or not at all, and never for the price of one bad row."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Map

from persistence.memory import MemoryStore
from persistence.sqlite import open_sqlite
from persistence.store import (
    Damage,
    Edit,
    Entry,
    Position,
    Snapshot,
    StoredDocument,
    StoreUnavailable,
)
from sync.core.content import content
from sync.core.errors import Overloaded
from sync.core.room import RoomLimits
from sync.server.loader import Loader
from sync.server.rehearsal import Rehearsal
from sync.server.resident import Resident
from tests.server.parts import DRAFT, TroubledStore, an_edit, identity, open_office
from tests.support.client import ROOT


def history(count: int) -> list[Edit]:
    """Edits of one client, each of which stands on the one before."""
    doc: Doc[Any] = Doc(client_id=7)
    edits = []
    for number in range(count):
        before = doc.get_state()
        doc.get(ROOT, type=Map)[f"q{number}"] = number
        edits.append(Edit(DRAFT, doc.get_update(before), "alice", (), 1.0))
    return edits


def answers(resident: Resident) -> dict[str, object]:
    held = content(resident.room.encode()).get(ROOT, {})
    assert isinstance(held, dict)
    return held


async def test_a_document_that_was_never_written_is_empty() -> None:
    resident = await Loader(MemoryStore(), RoomLimits(), Rehearsal()).load(DRAFT)
    assert (answers(resident), resident.position, resident.tail) == ({}, 0, 0)


async def test_a_log_is_played_again() -> None:
    store = MemoryStore()
    edits = history(10)
    await store.append(edits)
    resident = await Loader(store, RoomLimits(), Rehearsal()).load(DRAFT)
    assert answers(resident) == {f"q{n}": n for n in range(10)}
    assert (resident.position, resident.tail, resident.snapshot_size) == (10, 10, 0)
    assert resident.tail_size == sum(len(edit.update) for edit in edits)


async def test_a_snapshot_and_what_came_after() -> None:
    store = MemoryStore()
    edits = history(10)
    await store.append(edits[:6])
    loader = Loader(store, RoomLimits(), Rehearsal())
    taken = (await loader.load(DRAFT)).room.snapshot()
    whole = taken.update
    await store.compact(Snapshot(DRAFT, Position(6), whole, taken.state_vector, 1.0))
    await store.append(edits[6:])
    resident = await loader.load(DRAFT)
    assert answers(resident) == {f"q{n}": n for n in range(10)}
    assert (resident.position, resident.tail, resident.snapshot_size) == (10, 4, len(whole))


async def test_what_cannot_be_read_is_not_empty() -> None:
    store = TroubledStore()
    store.failure = StoreUnavailable("the disk fails")
    with pytest.raises(Overloaded):
        await Loader(store, RoomLimits(), Rehearsal()).load(DRAFT)


async def test_a_snapshot_that_cannot_be_imported_is_not_empty() -> None:
    """Fault 8: such a row is never written; if it is there, the document is not lost for it."""
    store = TroubledStore()
    bad = Snapshot(DRAFT, Position(1), b"\x01\x01\x00\x00\x00", b"\x00", 1.0)
    store.replaced[DRAFT] = StoredDocument(DRAFT, bad, (), Position(1))
    with pytest.raises(Overloaded):
        await Loader(store, RoomLimits(), Rehearsal()).load(DRAFT)


@pytest.mark.parametrize("bad", [b"", b"garbage", b"\x01\x01\x07\x00\xff", bytes(50)])
async def test_one_entry_that_cannot_be_applied_never_costs_the_document(
    bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    await store.append([*history(3), Edit(DRAFT, bad, "mallory", (), 1.0), an_edit(key="later")])
    resident = await Loader(store, RoomLimits(), Rehearsal()).load(DRAFT)
    assert answers(resident) == {"q0": 0, "q1": 1, "q2": 2, "later": 1}
    assert resident.position == 5
    left_out = [r for r in caplog.records if "left out" in r.getMessage()]
    assert [record.__dict__["position"] for record in left_out] == [4]


async def test_a_damaged_row_costs_itself_and_what_stands_on_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "drafts.db"
    async with open_sqlite(path) as store:
        await store.append([*history(4), an_edit(key="other")])
    other = sqlite3.connect(path)
    other.execute("UPDATE entries SET author = author + 1 WHERE position = 3")
    other.commit()
    other.close()
    async with open_sqlite(path) as store:
        resident = await Loader(store, RoomLimits(), Rehearsal()).load(DRAFT)
    assert answers(resident) == {"q0": 0, "q1": 1, "other": 1}
    assert "a damaged row was left out" in caplog.text


@pytest.mark.parametrize(("aside", "sound"), [(False, False), (True, True)])
async def test_what_is_in_quarantine_is_no_reason_to_write_no_snapshots(
    aside: bool, sound: bool
) -> None:
    """Of other damage a snapshot would hide that it is there."""
    store = TroubledStore()
    there = tuple(Entry(Position(n), an_edit(key=f"q{n}")) for n in (1, 3))
    lost = Damage(Position(2), "entry", "of a test", aside=aside)
    store.replaced[DRAFT] = StoredDocument(DRAFT, None, there, Position(3), (lost,))
    resident = await Loader(store, RoomLimits(), Rehearsal()).load(DRAFT)
    assert resident.sound is sound


@pytest.mark.parametrize("missing", [1, 3, 5])
async def test_the_server_outlives_a_document_of_which_a_row_is_missing(
    tmp_path: Path, missing: int
) -> None:
    """No snapshot can stand on an entry that is not there; that must cost no more than itself."""
    path = tmp_path / "drafts.db"
    async with open_sqlite(path) as store:
        await store.append([an_edit(key=f"q{n}") for n in range(5)])
    other = sqlite3.connect(path)
    other.execute("DELETE FROM entries WHERE position = ?", (missing,))
    other.commit()
    other.close()
    async with open_sqlite(path) as store, open_office(store, unload_seconds=0.001) as office:
        alice = await office.join()
        assert len(alice.peer.answers) == 4
        office.leave(alice)
        bob = await office.join(identity("bob"))
        await bob.put("new", 1)
        await bob.saved()
        assert len(bob.peer.answers) == 5


class Splitting(Rehearsal):
    """Notes what is taken in parts; what it makes of them may be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[int] = []
        self.instead: list[bytes] | None = None

    async def split(self, snapshot: bytes) -> list[bytes]:
        parts = self.instead or await super().split(snapshot)
        self.parts.append(len(parts))
        return parts


def large(count: int = 3, size: int = 400_000) -> list[Edit]:
    """A document of megabytes that somebody brought at once, and small edits after it."""
    doc: Doc[Any] = Doc(client_id=7)
    answers = doc.get(ROOT, type=Map)
    for number in range(count):
        answers[f"q{number}"] = f"{number}" * size
    first = Edit(DRAFT, doc.get_update(), "alice", (), 1.0)
    before = doc.get_state()
    answers["q0"] = "short"
    return [first, Edit(DRAFT, doc.get_update(before), "bob", (), 2.0)]


async def test_a_first_edit_of_megabytes_is_taken_in_parts() -> None:
    store, splitting = MemoryStore(), Splitting()
    edits = large()
    await store.append(edits)
    loaded = await Loader(store, RoomLimits(), splitting).load(DRAFT)
    assert splitting.parts[0] > 2
    assert answers(loaded) == {"q0": "short", "q1": "1" * 400_000, "q2": "2" * 400_000}
    assert (loaded.tail, loaded.sound) == (2, True)
    assert loaded.room.size >= sum(len(each.update) for each in edits)


async def test_parts_that_cannot_be_loaded_are_taken_as_they_came() -> None:
    store, splitting = MemoryStore(), Splitting()
    await store.append(large())
    splitting.instead = [b"\xff" * 10]
    loaded = await Loader(store, RoomLimits(), splitting).load(DRAFT)
    assert answers(loaded)["q0"] == "short"
    assert loaded.sound


async def test_an_edit_left_out_behind_parts_is_the_one_that_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, splitting = MemoryStore(), Splitting()
    first, second = large()
    other: Doc[Any] = Doc(client_id=9)
    other.get(ROOT, type=Map)["lost"] = 1
    before = other.get_state()
    other.get(ROOT, type=Map)["found"] = 2
    await store.append([first, Edit(DRAFT, other.get_update(before), "eve", (), 1.0), second])
    replayed = await Loader(store, RoomLimits(), splitting).replay(DRAFT)
    assert splitting.parts[0] > 2
    assert list(replayed.left_out) == [1]
    assert "left out" in caplog.text


async def test_what_stands_on_a_damaged_first_edit_is_not_taken_for_it() -> None:
    store, splitting = TroubledStore(), Splitting()
    first, *_ = large()
    stored = StoredDocument(
        DRAFT,
        None,
        (Entry(Position(2), first),),
        Position(2),
        (Damage(Position(1), "entry", "its checksum"),),
    )
    store.replaced[DRAFT] = stored
    await Loader(store, RoomLimits(), splitting).load(DRAFT)
    assert splitting.parts == []
