"""Shared types inside shared types: a bound, however they are sent."""

import pytest
from pycrdt import Map

from sync.core.document import Document
from sync.core.errors import MalformedMessage
from sync.core.guard import inspect
from sync.core.nesting import MAX_NESTING
from sync.core.wire import encode_uint
from tests.core.authors import Author
from tests.core.test_guard import TRAFFIC

ROOT = bytes([0x27, 1, 1, ord("m"), 1, ord("k"), 1])  # a map at key k of the root m


def child(client: int, clock: int) -> bytes:
    """A map at key k of that map."""
    return b"\x27\x00" + encode_uint(client) + encode_uint(clock) + b"\x01k\x01"


def update(client: int, clock: int, *structs: bytes) -> bytes:
    head = b"\x01" + encode_uint(len(structs)) + encode_uint(client) + encode_uint(clock)
    return head + b"".join(structs) + b"\x00"


def tower(first: int, height: int) -> bytes:
    """Client 1's maps within maps, from one clock on."""
    levels = [ROOT if n == 0 else child(1, n - 1) for n in range(first, first + height)]
    return update(1, first, *levels)


def take(document: Document, each: bytes) -> None:
    footprint = inspect(each)
    document.check(each, footprint)
    document.apply(each, footprint)


def test_as_deep_as_is_allowed() -> None:
    take(Document(), tower(0, MAX_NESTING + 1))


def test_in_one_update() -> None:
    with pytest.raises(MalformedMessage, match="nests"):
        take(Document(), tower(0, MAX_NESTING + 2))


@pytest.mark.parametrize("reloaded", [False, True])
def test_by_many_updates(reloaded: bool) -> None:
    document = Document()
    for level in range(MAX_NESTING + 1):
        take(document, tower(level, 1))
    if reloaded:
        document = Document(document.encode())
    with pytest.raises(MalformedMessage, match="nests"):
        take(document, tower(MAX_NESTING + 1, 1))
    take(document, update(2, 0, child(1, MAX_NESTING - 1)))  # one level less is well


def test_beside_a_neighbour_that_says_nothing_of_the_depth() -> None:
    """A map in an array: the second child has an origin and no parent."""
    array = bytes([0x07, 1, 1, ord("a"), 0])
    first = b"\x07\x00" + b"\x01\x00" + b"\x00"
    document = Document()
    take(document, update(1, 0, array, first))
    clock = 1
    for _ in range(MAX_NESTING - 1):
        sibling = b"\x87" + b"\x01" + encode_uint(clock) + b"\x00"
        inside = b"\x07\x00" + b"\x01" + encode_uint(clock + 1) + b"\x00"
        take(document, update(1, clock + 1, sibling, inside))
        clock += 2
    sibling = b"\x87" + b"\x01" + encode_uint(clock) + b"\x00"
    inside = b"\x07\x00" + b"\x01" + encode_uint(clock + 1) + b"\x00"
    deeper = b"\x07\x00" + b"\x01" + encode_uint(clock + 2) + b"\x00"
    with pytest.raises(MalformedMessage, match="nests"):
        take(document, update(1, clock + 1, sibling, inside, deeper))


def test_a_thousand_types_side_by_side_are_no_depth() -> None:
    author = Author(7)
    document = Document()
    for number in range(1_000):
        take(document, author.put(f"k{number}", Map()))


@pytest.mark.parametrize("kind", TRAFFIC)
def test_genuine_traffic_is_not_deep(kind: str) -> None:
    document = Document(tower(0, MAX_NESTING + 1))
    for each in TRAFFIC[kind]:
        take(document, each)
