"""A snapshot proves itself before it may replace anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync.core.document import Document
from sync.core.guard import inspect
from sync.core.snapshot import TakenSnapshot
from tests.core.authors import EMPTY, Author
from tests.core.test_guard import TRAFFIC


def taken(*updates: bytes) -> TakenSnapshot:
    document = Document()
    for update in updates:
        document.apply(update, inspect(update))
    return TakenSnapshot.of(document)


@pytest.mark.parametrize("kind", TRAFFIC)
def test_a_good_snapshot_is_verified(kind: str) -> None:
    assert taken(*TRAFFIC[kind]).verify()


def test_one_of_everything_is_verified() -> None:
    assert taken(*(update for updates in TRAFFIC.values() for update in updates)).verify()


def test_objects_whose_keys_come_in_any_order_are_verified() -> None:
    many = {f"{n}": n for n in range(9)}
    assert all(taken(Author(7).put("k", many)).verify() for _ in range(20))
    author = Author(7)
    made = author.edit(lambda: author.text.insert_embed(0, {"video": many}))
    assert all(taken(made).verify() for _ in range(20))


@pytest.mark.parametrize("bad", [b"", EMPTY, b"\xff\xff", b"\x01\x00\x05\x07\x00"])
def test_a_damaged_snapshot_is_not(bad: bytes) -> None:
    assert not replace(taken(Author(7).put("a")), update=bad).verify()


def test_a_lost_edit_or_deletion_is_noticed() -> None:
    author = Author(7)
    made = author.put("a")
    whole = taken(made, author.drop("a"))
    assert not replace(whole, update=made).verify()
    assert not replace(taken(made), update=whole.update).verify()
