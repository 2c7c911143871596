"""What every store makes of deletions and revocations: see persistence/store.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from persistence.memory import MemoryStore
from persistence.past import MOST_PURGED
from persistence.store import (
    NOWHERE,
    Deletion,
    Past,
    Revocation,
    Store,
    StoredDocument,
    StoreError,
)
from tests.stores.support import LATER, NOON, Opening, edit, edits, entries, snapshot

DELETED = Deletion("drafts/1", "root", NOON)
PURGED = replace(DELETED, purged=True)


async def purge(store: Store, document: str = "drafts/1") -> int:
    total = 0
    while gone := await store.purge(document):
        total += gone
    return total


async def test_nothing_is_deleted_at_first(store: Store) -> None:
    assert await store.deletions() == []
    assert await store.undelete("drafts/1") is False


async def test_a_deleted_document_says_so_and_keeps_everything(store: Store) -> None:
    await store.append([*edits(3), edit("other")])
    await store.compact(snapshot(2))
    before = await store.load("drafts/1")
    past = await store.past("drafts/1", 2)
    assert await store.delete(replace(DELETED, at=NOON + 0.0004))
    assert await store.load("drafts/1") == replace(before, deleted=DELETED)
    assert await store.past("drafts/1", 2) == replace(past, deleted=DELETED)
    head = await store.head("drafts/1")
    assert head is not None
    assert head.deleted == DELETED
    assert [one.deleted for one in await store.heads()] == [DELETED, None]
    assert await store.heads("drafts") == [head]
    assert len((await store.history("drafts/1")).entries) == 3
    assert await store.deletions() == [DELETED]


async def test_who_deleted_it_first_stays(store: Store) -> None:
    assert await store.delete(DELETED) is True
    assert await store.delete(Deletion("drafts/1", "other", LATER)) is False
    assert await store.deletions() == [DELETED]


async def test_a_deleted_document_is_brought_back(store: Store) -> None:
    await store.append(edits(3))
    before = await store.load("drafts/1")
    await store.delete(DELETED)
    assert await store.undelete("drafts/1") is True
    assert await store.undelete("drafts/1") is False
    assert await store.load("drafts/1") == before
    assert await store.deletions() == []


async def test_what_was_never_written_can_be_deleted(store: Store) -> None:
    await store.delete(DELETED)
    assert await store.load("drafts/1") == StoredDocument(
        "drafts/1", None, (), NOWHERE, deleted=DELETED
    )
    assert (await store.past("drafts/1")).deleted == DELETED
    assert await store.head("drafts/1") is None
    assert await store.heads() == []
    assert await purge(store) == 0
    assert await store.deletions() == [PURGED]
    assert await store.undelete("drafts/1") is True
    await store.append(edits(1))
    assert (await store.load("drafts/1")).head == 1


async def test_deletions_are_in_the_order_of_their_names(store: Store) -> None:
    for name in ("b", "é", "a", "B"):
        await store.delete(Deletion(name, "root", NOON))
    assert [one.document for one in await store.deletions()] == ["B", "a", "b", "é"]


async def test_names_that_are_none_are_refused(store: Store) -> None:
    for name in ("", "n" * 256, "\ud800"):
        with pytest.raises(ValueError, match=r"255 bytes|surrogates"):
            await store.delete(Deletion(name, "root", NOON))
    with pytest.raises(ValueError, match="surrogates"):
        await store.delete(Deletion("a", "\ud800", NOON))
    with pytest.raises(ValueError, match="not a time"):
        await store.delete(Deletion("a", "root", float("nan")))
    assert await store.deletions() == []


async def test_only_what_is_deleted_can_be_purged(store: Store) -> None:
    await store.append(edits(3))
    with pytest.raises(ValueError, match="not deleted"):
        await store.purge("drafts/1")
    assert len((await store.load("drafts/1")).entries) == 3


async def test_nothing_is_left_of_a_purged_document_but_its_name(store: Store) -> None:
    await store.append([*edits(3), edit("other"), *edits(2)])
    await store.compact(snapshot(2))
    await store.delete(DELETED)
    assert await purge(store) == 6
    assert await store.load("drafts/1") == StoredDocument(
        "drafts/1", None, (), NOWHERE, deleted=PURGED
    )
    assert await store.past("drafts/1", 2) == Past(
        "drafts/1", None, (), NOWHERE, NOWHERE, deleted=PURGED
    )
    assert await store.head("drafts/1") is None
    assert [one.document for one in await store.heads()] == ["other"]
    assert (await store.history("drafts/1")).entries == ()
    assert await store.position_at("drafts/1", LATER) == NOWHERE
    assert await store.deletions() == [PURGED]
    assert await store.delete(DELETED) is False
    assert (await store.load("other")).entries == entries(4, [edit("other")])
    assert await store.last_position() == 6


async def test_a_purged_document_begins_anew(store: Store) -> None:
    await store.append(edits(3))
    await store.compact(snapshot(3))
    await store.delete(DELETED)
    await purge(store)
    assert await store.undelete("drafts/1") is True
    assert await store.load("drafts/1") == StoredDocument("drafts/1", None, (), NOWHERE)
    assert (await store.head("drafts/1"), await store.heads()) == (None, [])
    with pytest.raises(ValueError, match="no entry"):
        await store.compact(snapshot(3))
    assert await store.append([edit(author="bob", received_at=LATER)]) == 4
    stored = await store.load("drafts/1")
    assert (stored.entries[0].position, stored.head, stored.damaged) == (4, 4, ())
    head = await store.head("drafts/1")
    assert head is not None
    assert (head.edits, head.created_at, head.last_author, head.thinned) == (1, LATER, "bob", 0)


async def test_a_purge_is_done_in_parts_and_hidden_from_the_first_on(opening: Opening) -> None:
    async with opening.open() as store:
        await store.append(edits(MOST_PURGED + 5))
        await store.delete(DELETED)
        assert await store.purge("drafts/1") == MOST_PURGED
        assert (await store.load("drafts/1")).head == NOWHERE
        assert (await store.head("drafts/1"), await store.heads()) == (None, [])
        assert await store.tail(0) == []
        if isinstance(store, MemoryStore):
            return
    async with opening.open() as store:
        assert await store.deletions() == [PURGED]
        assert await store.purge("drafts/1") == 5
        assert await store.purge("drafts/1") == 1
        assert await store.purge("drafts/1") == 0
        assert await store.append([edit("other")]) == MOST_PURGED + 6


async def test_what_is_left_of_an_interrupted_purge_does_not_come_back(store: Store) -> None:
    await store.append(edits(MOST_PURGED + 5))
    await store.delete(DELETED)
    await store.purge("drafts/1")
    await store.undelete("drafts/1")
    assert await store.load("drafts/1") == StoredDocument("drafts/1", None, (), NOWHERE)
    await store.append([edit(update=b"new")])
    assert [one.edit.update for one in (await store.past("drafts/1")).entries] == [b"new"]


async def test_deletions_outlive_the_process(opening: Opening) -> None:
    async with opening.open() as store:
        if isinstance(store, MemoryStore):
            return
        await store.append(edits(2))
        await store.delete(DELETED)
        await store.revoke(Revocation("sub", "mallory", NOON, LATER, "root"))
    async with opening.open() as store:
        assert await store.deletions() == [DELETED]
        assert (await store.load("drafts/1")).deleted == DELETED
        assert await store.revocations() == [Revocation("sub", "mallory", NOON, LATER, "root")]
        assert await purge(store) == 3
    async with opening.open() as store:
        await store.undelete("drafts/1")
        assert await store.append(edits(1)) == 3
    async with opening.open() as store:
        assert (await store.load("drafts/1")).entries == entries(3, edits(1))
        assert (await store.load("drafts/1")).damaged == ()


# -- revocations


async def test_revocations_are_kept_until_they_expired(store: Store) -> None:
    assert await store.revocations() == []
    one = Revocation("jti", "token 1", NOON, NOON + 10, "root")
    other = Revocation("sub", "mallory", NOON + 5.0004, NOON + 100, "root")
    await store.revoke(one)
    await store.revoke(other)
    assert await store.revocations() == [one, other._replace(at=NOON + 5)]
    last = Revocation("jti", "token 2", NOON + 11, NOON + 12, "alice")
    await store.revoke(last)
    assert await store.revocations() == [last, other._replace(at=NOON + 5)]


async def test_a_revocation_takes_the_place_of_an_earlier_one(store: Store) -> None:
    await store.revoke(Revocation("sub", "mallory", NOON, LATER, "root"))
    await store.revoke(Revocation("jti", "mallory", NOON, LATER, "root"))
    again = Revocation("sub", "mallory", NOON + 1, LATER + 1, "alice")
    await store.revoke(again)
    assert await store.revocations() == [Revocation("jti", "mallory", NOON, LATER, "root"), again]


@pytest.mark.parametrize("value", ["", "v" * 1_025, "é" * 513, "\ud800"])
async def test_what_cannot_be_revoked(store: Store, value: str) -> None:
    with pytest.raises(ValueError, match=r"1024 bytes|surrogates"):
        await store.revoke(Revocation("sub", value, NOON, LATER, "root"))
    with pytest.raises(ValueError, match="jti or its sub"):
        await store.revoke(Revocation("aud", "x", NOON, LATER, "root"))  # type: ignore[arg-type]  # to be refused
    assert await store.revocations() == []


async def test_a_closed_store_does_nothing(store: Store) -> None:
    await store.close()
    for call in (
        store.deletions(), store.delete(DELETED), store.undelete("a"), store.purge("a"),
        store.revocations(), store.revoke(Revocation("sub", "a", NOON, LATER, "root")),
    ):  # fmt: skip
        with pytest.raises(StoreError):
            await call
