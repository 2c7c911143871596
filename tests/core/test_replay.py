"""From the log to the document, by the law of live edits."""

from __future__ import annotations

import pytest

from sync.core.crdt import Replica
from sync.core.errors import NativeFailure
from sync.core.replay import Replay, replay
from tests.core.authors import Author, content

BREAKS = bytes.fromhex("0103e907002301016d03617272000100e9070001000501e907010106")
"""Well-formed, and the library fails on it half way (reliability.md, section 1)."""


def expect_content(replayed: Replay, *updates: bytes) -> None:
    assert content(replayed.document.encode()) == content(*updates)


def test_nothing_makes_an_empty_document() -> None:
    replayed = replay(None, [])
    assert replayed.size == 0
    expect_content(replayed)


def test_entries_are_applied_in_order() -> None:
    author = Author(7)
    log = [author.write("a"), author.write("b"), author.put("k"), author.drop("k")]
    replayed = replay(None, log)
    assert not replayed.left_out
    assert replayed.size == sum(map(len, log))
    expect_content(replayed, *log)


def test_a_snapshot_and_its_tail() -> None:
    author = Author(7)
    author.write("a")
    snapshot = author.everything()
    tail = [author.write("b"), author.write("c")]
    replayed = replay(snapshot, tail)
    assert replayed.size == len(snapshot) + sum(map(len, tail))
    expect_content(replayed, snapshot, *tail)


def test_entries_that_the_snapshot_holds_do_no_harm() -> None:
    author = Author(7)
    log = [author.write("a"), author.write("b")]
    expect_content(replay(author.everything(), log), author.everything())


@pytest.mark.parametrize("bad", [b"", b"\x00", b"\xff" * 20, b"\x01\x00\x05\x07\x00"])
def test_a_damaged_entry_is_left_out_and_named(bad: bytes) -> None:
    alice, bob = Author(7), Author(8)
    log = [alice.put("a"), bad, bob.put("b")]
    replayed = replay(None, log)
    assert list(replayed.left_out) == [1]
    assert replayed.size == len(log[0]) + len(log[2])
    expect_content(replayed, log[0], log[2])


def test_what_stands_on_a_damaged_entry_is_left_out_with_it() -> None:
    alice, bob = Author(7), Author(8)
    one, _, three = alice.write("a"), alice.write("b"), alice.write("c")
    log = [one, b"\xff", three, bob.put("b")]
    replayed = replay(None, log)
    assert list(replayed.left_out) == [1, 2]
    assert "[7]" in replayed.left_out[2]
    expect_content(replayed, one, log[3])


def test_an_entry_that_breaks_the_library_costs_itself_alone() -> None:
    alice = Author(7)
    log = [alice.put("a"), BREAKS, alice.put("b"), BREAKS]
    with pytest.raises(NativeFailure):
        Replica(BREAKS)
    replayed = replay(None, log)
    assert list(replayed.left_out) == [1, 3]
    expect_content(replayed, log[0], log[2])


def test_a_snapshot_that_cannot_be_loaded_is_an_error() -> None:
    with pytest.raises(NativeFailure):
        replay(BREAKS, [])


def test_an_entry_may_merge_any_number_of_authors() -> None:
    whole = Author(9, *(Author(client).put(f"{client}") for client in range(100, 200)))
    replayed = replay(None, [whole.everything()])
    assert not replayed.left_out
    expect_content(replayed, whole.everything())
