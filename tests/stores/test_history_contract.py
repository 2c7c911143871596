"""What every store tells of a document's history: see persistence/store.py."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from persistence.history import MOST_BYTES, read_page
from persistence.sqlite import open_sqlite, open_sqlite_readonly
from persistence.store import (
    NOWHERE,
    Damage,
    EntryInfo,
    History,
    Position,
    Reader,
    Store,
    StoreError,
)
from tests.stores.support import LATER, NOON, edit, edits, entries, snapshot


async def pages(reader: Reader, limit: int, document: str = "drafts/1") -> list[History]:
    found = [await reader.history(document, 0, limit)]
    while (after := found[-1].next) is not None:
        found.append(await reader.history(document, after, limit))
    return found


async def positions(reader: Reader, limit: int = 1_000, after: int = 0) -> list[int]:
    page = await reader.history("drafts/1", after, limit)
    return [each.position for each in page.entries]


async def test_an_unknown_document_has_no_history(store: Store) -> None:
    assert await store.history("drafts/1") == History("drafts/1", (), (), NOWHERE, None)


async def test_who_edited_when_and_how_much(store: Store) -> None:
    await store.append(
        [
            edit(update=b"a", author="alice", received_at=NOON + 0.0004),
            edit("drafts/2"),
            edit(update=b"long", author="bob", received_at=NOON - 1),
        ]
    )
    page = await store.history("drafts/1")
    assert page.entries == (
        EntryInfo(Position(1), "alice", NOON, 1),
        EntryInfo(Position(3), "bob", NOON - 1, 4),
    )
    assert (page.damaged, page.thinned, page.next) == ((), NOWHERE, None)


async def test_what_a_snapshot_covers_is_history_too(store: Store) -> None:
    await store.append(edits(5))
    await store.compact(snapshot(4))
    assert len((await store.load("drafts/1")).entries) == 1
    assert await positions(store) == [1, 2, 3, 4, 5]


async def test_what_retention_removed_is_said(store: Store) -> None:
    await store.append([*edits(3), edit(received_at=LATER)])
    await store.compact(snapshot(4))
    await store.thin("drafts/1", LATER)
    page = await store.history("drafts/1")
    assert [each.position for each in page.entries] == [4]
    assert (page.thinned, page.damaged, page.next) == (3, (), None)


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 100])
async def test_pages_are_the_whole_without_a_gap(store: Store, limit: int) -> None:
    await store.append([both for n in range(7) for both in (*edits(1, start=n), edit("other"))])
    found = await pages(store, limit)
    assert [each.position for page in found for each in page.entries] == [*range(1, 15, 2)]
    assert all(len(page.entries) <= limit for page in found)
    assert not [damage for page in found for damage in page.damaged]
    assert [page.next is None for page in found] == [False] * (len(found) - 1) + [True]


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 5, 6, 99])
async def test_a_page_begins_behind_any_position(store: Store, after: int) -> None:
    """Also behind one that is another document's."""
    await store.append([edit("other" if number % 2 else "drafts/1") for number in range(5)])
    page = await store.history("drafts/1", after)
    assert [each.position for each in page.entries] == [n for n in (1, 3, 5) if n > after]
    assert (page.damaged, page.next) == ((), None)


async def test_a_page_of_nothing_has_one(store: Store) -> None:
    await store.append(edits(2))
    assert await positions(store, limit=0) == [1]


async def test_large_updates_make_small_pages(store: Store) -> None:
    large = edit(update=bytes(MOST_BYTES // 2))
    await store.append([large, large, large])
    found = await pages(store, 1_000)
    assert [[each.position for each in page.entries] for page in found] == [[1, 2], [3]]


def test_no_more_is_looked_at_than_a_page_and_whether_there_is_another() -> None:
    looked_at = iter(entries(1, edits(50)))
    assert len(read_page("drafts/1", looked_at, 10, NOWHERE).entries) == 10
    assert next(looked_at).position == 12


async def test_a_closed_store_tells_nothing(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreError):
        await store.history("drafts/1")


# -- what is damaged: only on disk


async def _made(database: Path) -> None:
    async with open_sqlite(database) as store:
        await store.append(edits(6))
        await store.append([edit("other")])


def _execute(database: Path, sql: str) -> None:
    with closing(sqlite3.connect(database)) as raw:
        assert raw.execute(sql).rowcount == 1
        raw.commit()


async def _pages(database: Path, limit: int) -> tuple[list[int], list[Damage]]:
    async with open_sqlite_readonly(database) as reader:
        found = await pages(reader, limit)
    entries = [int(each.position) for page in found for each in page.entries]
    return entries, [damage for page in found for damage in page.damaged]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("damaged", [1, 3, 4, 6])
async def test_a_row_that_does_not_fit_is_left_out_and_told(
    database: Path, damaged: int, limit: int
) -> None:
    await _made(database)
    _execute(database, f"UPDATE entries SET author = author + 1 WHERE position = {damaged}")
    found, damage = await _pages(database, limit)
    assert found == [n for n in range(1, 7) if n != damaged]
    assert damage == [Damage(Position(damaged), "entry", "its checksum does not fit")]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("missing", [1, 3, 4, 6])
async def test_a_row_that_is_gone_is_missed(database: Path, missing: int, limit: int) -> None:
    await _made(database)
    _execute(database, f"DELETE FROM entries WHERE position = {missing}")
    found, damage = await _pages(database, limit)
    assert found == [n for n in range(1, 7) if n != missing]
    assert damage == [Damage(Position(missing), "entry", "its row is missing")]


@pytest.mark.parametrize("limit", [2, 100])
async def test_a_row_that_strayed_is_missed(database: Path, limit: int) -> None:
    await _made(database)
    _execute(database, "UPDATE entries SET position = 3000 WHERE position = 3")
    found, damage = await _pages(database, limit)
    assert found == [1, 2, 4, 5, 6]
    assert {(each.position, each.reason) for each in damage} == {
        (3, "its row is missing"),
        (3_000, "its checksum does not fit"),
    }


async def test_a_damaged_tally_is_told(database: Path) -> None:
    await _made(database)
    _execute(database, "UPDATE tallies SET edits = 9 WHERE head = 6")
    found, [damage] = await _pages(database, 100)
    assert (found, damage.what) == ([1, 2, 3, 4, 5, 6], "document")


async def test_a_name_with_one_copy_is_told(database: Path) -> None:
    await _made(database)
    _execute(database, "UPDATE names SET name = 'mallory' WHERE name = 'alice'")
    found, [damage] = await _pages(database, 100)
    assert (found, damage.what) == ([1, 2, 3, 4, 5, 6], "name")


async def test_the_history_is_what_was_appended(store: Store) -> None:
    batch = edits(50)
    await store.append(batch)
    page = await store.history("drafts/1")
    assert [(each.position, each.author, each.received_at, each.size) for each in page.entries] == [
        (position, one.author, one.received_at, len(one.update))
        for position, one in entries(1, batch)
    ]
