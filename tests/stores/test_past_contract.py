"""What every store tells of a document as it was, and of the edits of all: persistence/store.py."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persistence.memory import MemoryStore
from persistence.past import MOST_TAIL
from persistence.store import (
    NOWHERE,
    Deletion,
    EntryInfo,
    HistoryRemoved,
    Past,
    Position,
    Reader,
    Snapshot,
    Store,
    StoreError,
)
from tests.stores.support import LATER, NOON, Opening, edit, edits, entries, snapshot


async def append_between_others(store: Store, count: int) -> None:
    """Append edits at positions 1, 3, 5 ...; received a second apart."""
    for number in range(count):
        own = edit(update=b"update %d" % number, received_at=NOON + number)
        await store.append([own, edit("other")])


async def positions(reader: Reader, position: int | None = None) -> list[int]:
    return [entry.position for entry in (await reader.past("drafts/1", position)).entries]


# -- connections


async def test_an_entry_says_which_connection_brought_it_and_whether_it_was_made_offline(
    store: Store,
) -> None:
    batch = [
        edit(connection=2**53 - 1, offline=True),
        edit(connection=2**53 - 1),
        edit(connection=0, offline=True),
        edit(),
    ]
    await store.append(batch)
    stored = await store.load("drafts/1")
    assert stored.entries == entries(1, batch)
    page = await store.history("drafts/1")
    assert [each[4:] for each in page.entries] == [each[5:] for each in batch]
    assert isinstance(page.entries[0], EntryInfo)


@pytest.mark.parametrize("connection", [-1, 2**53])
async def test_a_connection_without_a_fit_number_is_refused(store: Store, connection: int) -> None:
    with pytest.raises(ValueError, match="number of a connection"):
        await store.append([edit(), edit(connection=connection)])
    assert await store.last_position() == NOWHERE


# -- head


async def test_one_line_of_the_list(store: Store) -> None:
    await append_between_others(store, 3)
    await store.compact(snapshot(3))
    assert await store.head("unknown") is None
    assert [await store.head("drafts/1"), await store.head("other")] == await store.heads()


# -- past


async def test_an_unknown_document_has_no_past(store: Store) -> None:
    assert await store.past("drafts/1") == Past("drafts/1", None, (), NOWHERE, NOWHERE)
    assert await store.past("drafts/1", 7) == Past("drafts/1", None, (), NOWHERE, NOWHERE)


@pytest.mark.parametrize(
    ("asked", "last"), [(-1, 0), (0, 0), (1, 1), (2, 1), (3, 3), (9, 9), (10, 9), (99, 9)]
)
async def test_a_document_as_it_was(store: Store, asked: int, last: int) -> None:
    await append_between_others(store, 5)
    await store.compact(snapshot(5))
    past = await store.past("drafts/1", asked)
    assert [entry.position for entry in past.entries] == list(range(1, last + 1, 2))
    assert (past.position, past.head, past.base, past.damaged) == (last, 9, None, ())


async def test_the_newest_past_is_the_whole_history(store: Store) -> None:
    await append_between_others(store, 5)
    await store.compact(snapshot(9))
    past = await store.past("drafts/1")
    assert [entry.edit.update for entry in past.entries] == [b"update %d" % n for n in range(5)]
    assert past.position == past.head == 9


async def test_before_its_first_entry_a_document_was_nothing(store: Store) -> None:
    await store.append([edit("other"), edit()])
    assert await store.past("drafts/1", 1) == Past("drafts/1", None, (), NOWHERE, Position(2))


# -- what retention leaves of it


async def thinned(store: Store, up_to: int, base: int | None = None) -> None:
    """Thin a document of five entries (1, 3 ... 9) with a snapshot at 7."""
    await append_between_others(store, 5)
    await store.compact(snapshot(7))
    if base is not None:
        await store.rebase(snapshot(base, update=b"base"))
    while await store.thin("drafts/1", NOON + (up_to + 1) / 2):
        pass


async def test_the_past_begins_with_the_base(store: Store) -> None:
    await thinned(store, 3, base=3)
    past = await store.past("drafts/1", 7)
    assert past.base == snapshot(3, update=b"base")
    assert [entry.position for entry in past.entries] == [5, 7]
    assert (await store.past("drafts/1", 4)).position == 3
    assert await positions(store) == [5, 7, 9]
    for asked in (1, 2):
        with pytest.raises(HistoryRemoved, match="ask for position 3 or later") as raised:
            await store.past("drafts/1", asked)
        assert raised.value.earliest == 3
    assert (await store.past("drafts/1", 0)).position == NOWHERE


async def test_without_a_base_it_begins_with_the_snapshot(store: Store) -> None:
    await thinned(store, 3)
    past = await store.past("drafts/1")
    assert past.base == snapshot(7)
    assert [entry.position for entry in past.entries] == [9]
    with pytest.raises(HistoryRemoved) as raised:
        await store.past("drafts/1", 6)
    assert raised.value.earliest == 7


async def test_while_nothing_is_thinned_a_base_makes_no_difference(store: Store) -> None:
    await append_between_others(store, 5)
    await store.compact(snapshot(7))
    await store.rebase(snapshot(3))
    past = await store.past("drafts/1", 5)
    assert (past.base, [entry.position for entry in past.entries]) == (None, [1, 3, 5])


async def test_a_base_behind_which_entries_are_gone_is_none(store: Store) -> None:
    await thinned(store, 5, base=3)
    assert (await store.past("drafts/1")).base == snapshot(7)


async def test_what_was_thinned_up_to_its_snapshot_begins_there(store: Store) -> None:
    await thinned(store, 7, base=7)
    past = await store.past("drafts/1")
    assert past.base == snapshot(7)
    assert [entry.position for entry in past.entries] == [9]


async def test_a_snapshot_that_history_begins_with_becomes_the_base(store: Store) -> None:
    await thinned(store, 7)
    await store.compact(snapshot(9, update=b"newer"))
    past = await store.past("drafts/1")
    assert past.base == snapshot(7)
    assert [entry.position for entry in past.entries] == [9]
    stored = await store.load("drafts/1")
    assert (stored.snapshot, stored.entries) == (snapshot(9, update=b"newer"), ())


async def test_a_newer_snapshot_leaves_the_base_as_it_is(store: Store) -> None:
    await thinned(store, 3, base=3)
    await store.compact(snapshot(9))
    assert (await store.past("drafts/1")).base == snapshot(3, update=b"base")


async def test_an_older_base_is_ignored_and_a_newer_one_kept(store: Store) -> None:
    await thinned(store, 3, base=3)
    await store.rebase(snapshot(3, update=b"other"))
    assert (await store.past("drafts/1")).base == snapshot(3, update=b"base")
    await store.rebase(snapshot(5, update=b"newer"))
    assert (await store.past("drafts/1")).base == snapshot(5, update=b"newer")


@pytest.mark.parametrize("position", [0, 2, 11])
async def test_a_base_stands_on_an_entry(store: Store, position: int) -> None:
    await append_between_others(store, 5)
    with pytest.raises(ValueError, match="no entry"):
        await store.rebase(snapshot(position))
    with pytest.raises(ValueError, match="no entry"):
        await store.rebase(snapshot(1, "unknown"))


async def test_a_base_outlives_the_process(opening: Opening) -> None:
    async with opening.open() as store:
        await thinned(store, 3, base=3)
        if isinstance(store, MemoryStore):
            return
    async with opening.open() as store:
        assert (await store.past("drafts/1")).base == snapshot(3, update=b"base")


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_whatever_retention_does_the_past_stays_what_it_was(
    opening: Opening, data: st.DataObject
) -> None:
    """Contents are the sets of updates, so that a snapshot is as easily made as checked."""
    name = str(uuid4())  # anew in each example: the database is the same
    async with opening.open() as store:
        contents: dict[int, frozenset[bytes]] = {}
        times: dict[int, float] = {}
        made: frozenset[bytes] = frozenset()

        def whole(position: int, time: float = NOON) -> Snapshot:
            update = b",".join(sorted(contents[position]))
            return Snapshot(name, Position(position), update, b"vector", time)

        for number in range(data.draw(st.integers(2, 10))):
            position = await store.append([edit(name, b"%d" % number, received_at=NOON + number)])
            made |= {b"%d" % number}
            contents[position], times[position] = made, NOON + number
            act = data.draw(st.sampled_from(["", "compact", "retain"]))
            if act == "compact":
                await store.compact(whole(position))
            if act == "retain":
                horizon = NOON + data.draw(st.integers(0, number + 1))
                head = await store.head(name)
                assert head is not None
                old = [p for p in contents if p <= head.snapshot and times[p] < horizon]
                if old and head.thinned < old[-1] < head.snapshot:
                    await store.rebase(whole(old[-1], times[old[-1]]))
                while await store.thin(name, horizon):
                    pass
        head = await store.head(name)
        assert head is not None
        for then, content in contents.items():
            if then < head.thinned:
                with pytest.raises(HistoryRemoved):
                    await store.past(name, then)
                continue
            past = await store.past(name, then)
            told = set(past.base.update.split(b",")) if past.base else set()
            assert told | {entry.edit.update for entry in past.entries} == content
            assert past.position == then
            assert await store.position_at(name, times[then]) == then


async def test_history_begins_where_it_was_chosen_to(store: Store) -> None:
    """Though a newer snapshot, which contains more old entries, was written since."""
    await append_between_others(store, 5)
    await store.compact(snapshot(5))
    await store.rebase(snapshot(3, update=b"base"))
    await store.compact(snapshot(9))
    assert await store.thin("drafts/1", LATER, until=3) == 2
    assert await store.thin("drafts/1", LATER, until=3) == 0
    past = await store.past("drafts/1")
    assert past.base == snapshot(3, update=b"base")
    assert [entry.position for entry in past.entries] == [5, 7, 9]


async def test_where_nothing_stands_that_history_could_begin_with_it_is_not_thinned(
    store: Store,
) -> None:
    """It was to begin with a snapshot in whose place there is a newer one."""
    await append_between_others(store, 5)
    await store.compact(snapshot(5))
    await store.compact(snapshot(9))
    assert await store.thin("drafts/1", LATER, until=5) == 0
    assert await store.thin("drafts/1", LATER, until=99) == 0
    assert await positions(store) == [1, 3, 5, 7, 9]
    assert await store.thin("drafts/1", NOON + 3, until=9) == 3
    assert (await store.past("drafts/1")).base == snapshot(9)


# -- position_at


@pytest.mark.parametrize(
    ("time", "position"),
    [(NOON - 1, 0), (NOON - 0.001, 0), (NOON, 1), (NOON + 1.999, 3), (NOON + 2, 5), (LATER, 9)],
)
async def test_the_position_at_a_time(store: Store, time: float, position: int) -> None:
    await append_between_others(store, 5)
    assert await store.position_at("drafts/1", time) == position
    assert await store.position_at("unknown", time) == NOWHERE


async def test_a_clock_that_was_set_back_orders_nothing(store: Store) -> None:
    await store.append([edit(received_at=NOON + step) for step in (0, 5, 1, 7)])
    assert await store.position_at("drafts/1", NOON + 2) == 3
    assert await store.position_at("drafts/1", NOON + 6) == 3


async def test_a_time_whose_edits_were_removed_is_told(store: Store) -> None:
    await append_between_others(store, 5)
    await store.compact(snapshot(7))
    await store.rebase(replace(snapshot(3), taken_at=NOON + 1))
    await store.thin("drafts/1", NOON + 2)
    assert await store.position_at("drafts/1", NOON + 1) == 3
    assert await store.position_at("drafts/1", NOON + 2) == 5
    assert await store.position_at("drafts/1", NOON - 1) == NOWHERE
    with pytest.raises(HistoryRemoved, match="2026") as raised:
        await store.position_at("drafts/1", NOON + 0.5)
    assert raised.value.earliest == 3


async def test_the_last_edit_is_known_though_all_are_thinned(store: Store) -> None:
    await append_between_others(store, 5)
    await store.compact(replace(snapshot(9), taken_at=LATER))
    await store.thin("drafts/1", LATER)
    assert await store.position_at("drafts/1", NOON + 4) == 9
    with pytest.raises(HistoryRemoved):
        await store.position_at("drafts/1", NOON + 3.9)


# -- tail and last_position


async def test_the_tail_is_of_all_documents_in_their_order(store: Store) -> None:
    assert await store.tail(0) == []
    batch = [edit(f"drafts/{number % 3}", b"%d" % number) for number in range(9)]
    await store.append(batch)
    assert await store.tail(0) == list(entries(1, batch))
    assert await store.tail(4) == list(entries(1, batch))[4:]
    assert await store.tail(4, limit=2) == list(entries(1, batch))[4:6]
    assert await store.tail(9) == []
    assert await store.tail(0, limit=0) == []
    await store.append(batch[:1])
    assert await store.tail(9) == list(entries(10, batch[:1]))


async def test_the_tail_of_some_documents(store: Store) -> None:
    await store.append([edit("a/1"), edit("b/1"), edit("a/2"), edit("A/1"), edit("a%1")])
    assert [one.position for one in await store.tail(0, "a/")] == [1, 3]
    assert [one.position for one in await store.tail(0, "a%")] == [5]
    assert [one.position for one in await store.tail(1, "a/", limit=1)] == [3]
    await store.append([edit("a\0b"), edit("a\U0010ffff")])
    assert [one.position for one in await store.tail(0, "a\0")] == [6]
    assert [one.position for one in await store.tail(0, "a\U0010ffff")] == [7]


async def test_the_tail_reaches_over_what_is_of_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.sqlite.tail.PAGE", 3)
    names = ["a", *["b"] * 7, "a", *["b"] * 20, "a", "a", *["b"] * 50, "a"]
    await store.append([edit(name) for name in names])
    own = [number for number, name in enumerate(names, 1) if name == "a"]
    for after in (0, 1, 8, 30, 81):
        found = [one.position for one in await store.tail(after, "a")]
        assert found == [number for number in own if number > after]
    assert [one.position for one in await store.tail(0)] == [*range(1, len(names) + 1)]


async def test_a_tail_of_large_updates_is_short_but_never_empty(store: Store) -> None:
    large = [edit(f"drafts/{number}", bytes(MOST_TAIL // 2)) for number in range(3)]
    huge = [edit("drafts/1", bytes(2 * MOST_TAIL))]
    await store.append([*large, *huge])
    assert [one.position for one in await store.tail(0)] == [1, 2]
    assert [one.position for one in await store.tail(2)] == [3, 4]
    assert [one.position for one in await store.tail(3)] == [4]


async def test_the_tail_tells_deleted_documents_but_not_purged_ones(store: Store) -> None:
    await store.append([edit("a"), edit("b"), edit("c")])
    await store.delete(Deletion("a", "root", NOON))
    await store.delete(Deletion("b", "root", NOON))
    await store.purge("b")
    assert [one.edit.document for one in await store.tail(0)] == ["a", "c"]


async def test_a_tail_that_was_empty_goes_on_when_there_is_more(store: Store) -> None:
    for number in range(1, 6):
        assert await store.tail(number - 1) == []
        assert await store.tail(number - 1, "other") == []
        assert await store.tail(number + 5) == []
        await store.append([edit("other" if number % 2 else "drafts/1")])
        assert [one.position for one in await store.tail(number - 1)] == [number]
        assert await store.tail(0, limit=0) == []
        assert len(await store.tail(0)) == number
        assert len(await store.tail(number - 1, "other")) == number % 2


async def test_the_last_position(store: Store) -> None:
    assert await store.last_position() == NOWHERE
    await store.append(edits(3))
    assert await store.last_position() == 3
    await store.append([edit("other")])
    assert await store.last_position() == 4
    await store.compact(snapshot(3))
    await store.thin("drafts/1", LATER)
    assert await store.last_position() == 4


async def test_a_closed_store_tells_nothing(store: Store) -> None:
    await store.close()
    for call in (
        store.head("a"), store.past("a"), store.position_at("a", NOON), store.tail(0),
        store.last_position(), store.rebase(snapshot(1)),
    ):  # fmt: skip
        with pytest.raises(StoreError):
            await call
