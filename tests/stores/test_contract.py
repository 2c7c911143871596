"""What every store promises: see persistence/store.py."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persistence.memory import MemoryStore
from persistence.store import (
    NOWHERE,
    ClientRange,
    Deletion,
    Edit,
    Entry,
    Head,
    Position,
    Store,
    StoredDocument,
    StoreError,
)
from tests.stores.conftest import ON_DISK
from tests.stores.support import LATER, NOON, Opening, assert_holds, edit, edits, entries, snapshot


async def test_a_new_store_is_empty(store: Store) -> None:
    assert await store.load("drafts/1") == StoredDocument("drafts/1", None, (), NOWHERE)
    assert await store.heads() == []
    assert len(store.epoch) >= 16


async def test_positions_count_from_one_without_a_gap(store: Store) -> None:
    assert [await store.append(edits(count)) for count in (1, 3, 1, 10, 1)] == [1, 2, 5, 6, 16]


async def test_what_was_appended_is_loaded_in_order(store: Store) -> None:
    batch = edits(50)
    await store.append(batch[:20])
    await store.append(batch[20:])
    await assert_holds(store, entries(1, batch))


async def test_documents_in_one_batch_share_the_positions(store: Store) -> None:
    one, two = edits(5, "one"), edits(5, "two")
    await store.append([both for pair in zip(one, two, strict=True) for both in pair])
    await assert_holds(store, [Entry(Position(1 + 2 * n), one[n]) for n in range(5)], "one")
    await assert_holds(store, [Entry(Position(2 + 2 * n), two[n]) for n in range(5)], "two")


async def test_time_orders_nothing(store: Store) -> None:
    day = 86_400
    batch = [edit(received_at=NOON + shift) for shift in (0, day, -day, 0, -day)]
    await store.append(batch)
    await assert_holds(store, entries(1, batch))
    [head] = await store.heads()
    assert (head.head, head.created_at, head.updated_at) == (5, NOON, NOON - day)


async def test_times_are_kept_to_the_millisecond(store: Store) -> None:
    await store.append([edit(received_at=time) for time in (NOON + 0.0004, NOON + 0.9996, -0.0016)])
    stored = await store.load("drafts/1")
    assert [entry.edit.received_at for entry in stored.entries] == [NOON, NOON + 1, -0.002]


async def test_an_empty_batch_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="empty"):
        await store.append([])
    assert await store.append(edits(1)) == 1


@pytest.mark.parametrize(
    "bad",
    [
        edit(""),
        edit("x" * 256),
        edit("é" * 128),
        edit("\ud800"),
        edit(author="\udfff"),
        edit(received_at=float("nan")),
        edit(received_at=float("inf")),
        edit(received_at=1e14),
        edit(clients=(ClientRange(7, 2, 1),)),
        edit(clients=(ClientRange(7, -1, 1),)),
        edit(clients=(ClientRange(-7, 0, 1),)),
    ],
    ids=[
        *("nameless", "long", "long-utf8", "surrogate", "author", "nan", "inf", "far"),
        *("backwards", "before-zero", "client"),
    ],
)
async def test_one_bad_edit_refuses_the_whole_batch(store: Store, bad: Edit) -> None:
    with pytest.raises(ValueError):
        await store.append([*edits(2), bad])
    assert await store.heads() == []
    assert await store.append(edits(1)) == 1


NAMES = ["a" * 255, "é" * 127, "a/B", "A/b", "a b", "100%", "a_b", "aXb", "🙂/🙃", "e\u0301", "é", "'", '"', "a\0b"]  # fmt: skip # noqa: E501


async def test_any_name_is_its_own_document(store: Store) -> None:
    await store.append([edit(name, name.encode()) for name in NAMES])
    for position, name in enumerate(NAMES, 1):
        await assert_holds(store, entries(position, [edit(name, name.encode())]), name)
    assert [head.document for head in await store.heads()] == sorted(NAMES)


async def test_a_prefix_is_taken_literally(store: Store) -> None:
    names = ["a%/1", "a_/1", "ab/1", "A%/1", "a", "a%", "é/1", "z\U0010ffff", "\U0010ffff/1"]
    names += ["\ud7ff/1", "\ue000/1"]  # neighbours: what is in between are no characters
    await store.append([edit(name) for name in names])
    asked = ("", "a", "a%", "a_", "A", "é", "%", "*", "z", "z\U0010ffff", "zz")
    for prefix in (*asked, "\U0010ffff", "\ud7ff", "\ue000"):
        found = [head.document for head in await store.heads(prefix)]
        assert found == sorted(name for name in names if name.startswith(prefix))


@pytest.mark.parametrize("size", [0, 1, 4_000, 16 * 2**20])
async def test_updates_of_any_size(store: Store, size: int) -> None:
    batch = [edit(update=b"\xa5" * size), edit(update=b"after")]
    await store.append(batch)
    await assert_holds(store, entries(1, batch))


async def test_everything_of_an_edit_is_kept(store: Store) -> None:
    clients = (ClientRange(0, 0, 1), ClientRange(2**53 - 1, 5, 2**31), ClientRange(9, 1, 2, True))
    batch = [edit(clients=clients), edit(clients=()), edit(author=""), edit(received_at=-0.0)]
    await store.append(batch)
    await assert_holds(store, entries(1, batch))


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_of_the_list_are_the_list(store: Store, limit: int) -> None:
    await store.append([edit(name) for name in NAMES])
    for name in NAMES[::3]:
        await store.delete(Deletion(name, "root", NOON))
        await store.purge(name)
    for prefix in ("", "a"):
        found: list[Head] = []
        while page := await store.heads(
            prefix, after=found[-1].document if found else "", limit=limit
        ):
            assert len(page) <= limit
            found += page
        assert found == await store.heads(prefix)
    assert len(await store.heads()) < len(NAMES)


async def test_a_page_of_the_list_begins_behind_any_name(store: Store) -> None:
    await store.append([edit(name) for name in ("a", "b", "ba", "c")])
    listed = await store.heads()
    assert await store.heads(after="ab") == listed[1:]
    assert await store.heads(after="b", limit=1) == listed[2:3]
    assert await store.heads("b", after="a") == listed[1:3]
    assert await store.heads("b", after="c", limit=9) == []
    assert await store.heads(limit=0) == []


async def test_heads_add_up(store: Store) -> None:
    await store.append([edit("two", b"1234", "ann", received_at=NOON + 1)])
    await store.append([edit("one", b"12"), edit("two", b"123", "bob", received_at=NOON + 2)])
    await store.compact(snapshot(1, "two"))
    assert await store.heads() == [
        Head("one", Position(2), 1, 2, "alice", NOON, NOON, NOWHERE),
        Head("two", Position(3), 2, 7, "bob", NOON + 1, NOON + 2, Position(1)),
    ]


# Snapshots


async def test_a_snapshot_stands_for_the_entries_up_to_it(store: Store) -> None:
    batch = edits(10)
    await store.append(batch)
    await store.compact(snapshot(7))
    stored = await store.load("drafts/1")
    assert stored == StoredDocument("drafts/1", snapshot(7), entries(1, batch)[7:], Position(10))


async def test_a_snapshot_of_everything_leaves_no_entries_to_load(store: Store) -> None:
    await store.append(edits(3))
    await store.compact(snapshot(3))
    assert await store.load("drafts/1") == StoredDocument("drafts/1", snapshot(3), (), Position(3))
    await store.append(edits(1))
    assert (await store.load("drafts/1")).entries == entries(4, edits(1))


async def test_only_a_newer_snapshot_takes_the_place_of_another(store: Store) -> None:
    await store.append(edits(3))
    await store.compact(snapshot(2, update=b"first"))
    await store.compact(snapshot(1, update=b"older"))
    await store.compact(snapshot(2, update=b"again"))
    assert (await store.load("drafts/1")).snapshot == snapshot(2, update=b"first")
    await store.compact(snapshot(3, update=b"newer"))
    assert (await store.load("drafts/1")).snapshot == snapshot(3, update=b"newer")


@pytest.mark.parametrize("position", [-1, 0, 2, 4, 5, 99])
async def test_a_snapshot_stands_on_an_entry_of_its_document(store: Store, position: int) -> None:
    await store.append([*edits(1), *edits(1, "other"), *edits(1), *edits(1, "other")])
    with pytest.raises(ValueError, match="which is no entry"):
        await store.compact(snapshot(position))
    assert (await store.load("drafts/1")).snapshot is None


async def test_a_snapshot_of_a_document_never_written_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="which is no entry"):
        await store.compact(snapshot(1))


# Retention


async def thin_all(store: Store, before: float = LATER, document: str = "drafts/1") -> int:
    """Thin until nothing is left to remove; return how many entries went."""
    total = 0
    while removed := await store.thin(document, before):
        total += removed
    return total


async def test_thinning_removes_what_the_snapshot_contains_and_changes_nothing(
    store: Store,
) -> None:
    await store.append(edits(10))
    await store.compact(snapshot(7))
    before = await store.load("drafts/1")
    assert await thin_all(store) == 7
    after = await store.load("drafts/1")
    assert after == replace(before, thinned=Position(7))
    assert after.entries == entries(1, edits(10))[7:]
    [head] = await store.heads()
    assert (head.edits, head.head, head.thinned) == (3, 10, 7)
    assert head.size == sum(len(entry.edit.update) for entry in after.entries)


async def test_a_document_thinned_to_its_snapshot_lives_on(store: Store) -> None:
    await store.append([edit(received_at=NOON - 1, author="ann")])
    await store.append([edit(received_at=NOON, author="bob")])
    await store.compact(snapshot(2))
    assert await thin_all(store) == 2
    assert await store.load("drafts/1") == StoredDocument(
        "drafts/1", snapshot(2), (), Position(2), thinned=Position(2)
    )
    assert await store.heads() == [
        Head("drafts/1", Position(2), 0, 0, "bob", NOON - 1, NOON, Position(2), Position(2))
    ]
    assert await store.append(edits(2)) == 3
    assert (await store.load("drafts/1")).entries == entries(3, edits(2))
    await store.compact(snapshot(4, update=b"new"))
    assert await thin_all(store) == 2
    assert (await store.load("drafts/1")).snapshot == snapshot(4, update=b"new")


async def test_without_a_snapshot_nothing_is_thinned(store: Store) -> None:
    await store.append(edits(5))
    assert await store.thin("drafts/1", LATER) == 0
    assert await store.thin("drafts/none", LATER) == 0
    await assert_holds(store, entries(1, edits(5)))


async def test_thinning_leaves_other_documents_alone(store: Store) -> None:
    await store.append([*edits(3, "one"), *edits(3, "two")])
    await store.compact(snapshot(3, "one"))
    await store.compact(snapshot(6, "two"))
    assert await thin_all(store, document="one") == 3
    assert [head.edits for head in await store.heads()] == [0, 3]


async def test_no_entry_younger_than_the_horizon_is_thinned(store: Store) -> None:
    """Nor any behind it, whatever the clock said: history has no holes."""
    await store.append([edit(received_at=NOON + shift) for shift in (0, 1, 5, 2, 3)])
    await store.compact(snapshot(5))
    assert await thin_all(store, NOON + 4) == 2
    assert (await store.load("drafts/1")).thinned == 2
    [head] = await store.heads()
    assert (head.edits, head.thinned) == (3, 2)
    assert await thin_all(store, NOON + 5) == 0
    assert await thin_all(store, NOON + 6) == 3


async def test_thinning_goes_in_bounded_steps(store: Store) -> None:
    await store.append(edits(5_000))
    await store.compact(snapshot(4_999))
    assert await thin_all(store) == 4_999
    stored = await store.load("drafts/1")
    assert (stored.damaged, stored.entries) == ((), entries(5_000, edits(1, start=4_999)))


async def test_a_snapshot_among_thinned_entries_is_older_than_the_one_there(store: Store) -> None:
    await store.append(edits(5))
    await store.compact(snapshot(5))
    await thin_all(store)
    await store.compact(snapshot(3, update=b"older"))
    assert (await store.load("drafts/1")).snapshot == snapshot(5)


async def test_space_is_given_back_until_there_is_none(store: Store) -> None:
    await store.append(edits(3_000))
    await store.compact(snapshot(3_000))
    await thin_all(store)
    while await store.reclaim():
        pass
    assert (await store.load("drafts/1")).snapshot == snapshot(3_000)


async def test_a_horizon_is_a_time(store: Store) -> None:
    with pytest.raises(ValueError, match="not a time"):
        await store.thin("drafts/1", float("nan"))


# Living together


async def test_loads_run_beside_appends_and_see_whole_batches(store: Store) -> None:
    sizes: list[int] = []

    async def read() -> None:
        while not sizes or sizes[-1] < 60:
            stored = await store.load("drafts/1")
            assert stored.damaged == ()
            assert [entry.position for entry in stored.entries] == [
                *range(1, len(stored.entries) + 1)
            ]
            sizes.append(len(stored.entries))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        for start in range(0, 60, 3):
            await store.append(edits(3, start=start))
            await anyio.lowlevel.checkpoint()
    assert {size % 3 for size in sizes} == {0}
    assert sizes == sorted(sizes)


async def test_appends_at_once_do_not_share_positions(store: Store) -> None:
    firsts: dict[int, int] = {}

    async def write(number: int) -> None:
        firsts[number] = await store.append(edits(4, f"drafts/{number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(write, number)
    assert sorted(firsts.values()) == [*range(1, 80, 4)]
    for number, first in firsts.items():
        batch = edits(4, f"drafts/{number}")
        await assert_holds(store, entries(first, batch), f"drafts/{number}")


async def test_the_same_batch_twice_is_two_batches(store: Store) -> None:
    assert await store.append(edits(2)) == 1
    assert await store.append(edits(2)) == 3


async def test_a_cancelled_append_is_whole_or_not_there(store: Store) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.append(edits(5))
    assert len((await store.load("drafts/1")).entries) in (0, 5)
    assert await store.append(edits(1)) in (1, 6)


# Closing and opening


@pytest.mark.parametrize("opening", ON_DISK, indirect=True)
async def test_reopening_continues_where_it_stopped(opening: Opening) -> None:
    async with opening.open() as store:
        epoch = store.epoch
        await store.append(edits(10))
        await store.compact(snapshot(4))
    async with opening.open() as store:
        assert store.epoch == epoch
        assert await store.append(edits(1, start=10)) == 11
        stored = await store.load("drafts/1")
    assert stored.snapshot == snapshot(4)
    assert stored.entries == entries(1, edits(11))[4:]


async def test_stores_have_different_epochs(store: Store) -> None:
    assert store.epoch != MemoryStore().epoch


async def test_a_closed_store_says_so(opening: Opening) -> None:
    async with opening.open() as store:
        await store.close()
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await store.append(edits(1))
        with pytest.raises(StoreError, match="closed"):
            await store.load("drafts/1")
        with pytest.raises(StoreError, match="closed"):
            await store.heads()
        with pytest.raises(StoreError, match="closed"):
            await store.compact(snapshot(1))
        with pytest.raises(StoreError, match="closed"):
            await store.thin("drafts/1", LATER)
        with pytest.raises(StoreError, match="closed"):
            await store.reclaim()


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_edits = st.builds(
    Edit,
    document=st.sampled_from(["a", "b", "ü"]),
    update=st.binary(max_size=200),
    author=_texts,
    clients=st.lists(
        st.builds(
            lambda client, start, clocks, introduced: ClientRange(
                client, start, start + clocks, introduced
            ),
            st.integers(0, 2**53),
            st.integers(0, 2**31),
            st.integers(0, 2**31),
            st.booleans(),
        ),
        max_size=3,
    ).map(tuple),
    received_at=st.integers(-(2**53) + 1, 2**53 - 1).map(lambda time: time / 1_000),
    connection=st.integers(0, 2**53 - 1),
    offline=st.booleans(),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batch=st.lists(_edits, min_size=1, max_size=8))
async def test_any_edit_comes_back_as_it_went(store: Store, batch: list[Edit]) -> None:
    first = await store.append(batch)
    for name in {one.document for one in batch}:
        stored = await store.load(name)
        assert stored.damaged == ()
        mine = [entry for entry in entries(first, batch) if entry.edit.document == name]
        assert list(stored.entries[-len(mine) :]) == mine
