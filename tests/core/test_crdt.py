"""The border to the library: documents in and out, and no foreign error across it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sync.core.crdt import (
    ARRAY,
    EMPTY_STATE_VECTOR,
    MAP,
    TEXT,
    XML,
    Replica,
    RootKind,
    merge,
)
from sync.core.errors import NativeFailure
from tests.core.authors import EMPTY, Author, content

POISON = bytes.fromhex("0102e907002701016d0361727200000000")
"""Is applied without a word; from then on the document cannot be exported."""


def test_a_replica_begins_empty() -> None:
    replica = Replica()
    assert replica.state_vector() == EMPTY_STATE_VECTOR
    assert replica.encode() == EMPTY


def test_what_is_applied_comes_out_again() -> None:
    author = Author(7)
    replica = Replica()
    for update in (author.put("a", 1), author.write("hello"), author.drop("a")):
        replica.apply(update)
    assert replica.state_vector() == author.state_vector
    assert content(replica.encode()) == author.content
    assert content(Replica(replica.encode()).encode()) == author.content


def test_a_diff_is_what_is_lacking() -> None:
    author = Author(7)
    author.put("a")
    vector = author.state_vector
    new = author.put("b")
    assert Replica(author.everything()).diff(vector) == new
    assert Replica(author.everything()).diff(author.state_vector) == EMPTY


def test_deletions_tell_whether_any_was_added() -> None:
    author = Author(7)
    made, gone = author.put("a"), author.drop("a")
    replica = Replica(made)
    before = replica.deletions()
    replica.apply(made)
    assert replica.deletions() == before
    replica.apply(gone)
    assert replica.deletions() != before


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [("form", MAP, {"a": 1}), ("notes", TEXT, "hi"), ("list", ARRAY, [1, 2]), ("none", XML, "")],
)
def test_roots_are_read_as_the_kind_that_is_asked_for(
    name: str, kind: RootKind, value: object
) -> None:
    author = Author(7)
    author.put("a", 1)
    author.write("hi")
    author.edit(lambda: author.array.extend([1, 2]))
    assert Replica(author.everything()).root(name, kind) == value


def test_merging_does_what_the_updates_do() -> None:
    author = Author(7)
    updates = [author.write("a"), author.write("b"), author.put("k")]
    assert content(merge(updates)) == author.content
    assert merge(updates[:1]) is updates[0]


NATIVE_FAILURES: dict[str, Callable[[], object]] = {
    "error of apply": lambda: Replica(b"\xff"),
    "panic of encode": lambda: Replica(POISON).encode(),
    "panic of diff": lambda: Replica(POISON).diff(b"\x00"),
    "error of diff": lambda: Replica().diff(b"\xff"),
    "error of merge": lambda: merge([EMPTY, b"\xff"]),
}


@pytest.mark.parametrize("fail", NATIVE_FAILURES.values(), ids=NATIVE_FAILURES)
def test_whatever_native_code_raises_is_a_native_failure(fail: Callable[[], object]) -> None:
    """Panics too, which are no Exception (style.md 15: a test checks that none is missed)."""
    with pytest.raises(NativeFailure):
        fail()


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_the_operators_interrupts_pass(
    signal: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: bytes) -> bytes:
        raise signal

    monkeypatch.setattr("pycrdt.merge_updates", interrupt)
    with pytest.raises(signal):
        merge([EMPTY, EMPTY])
