"""How people name a point in a document's history."""

from __future__ import annotations

import pytest

from persistence.memory import MemoryStore
from persistence.store import Edit
from sync.inspection.asking import parse_at, resolve


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        (" 4711 ", 4711),
        ("2026-03-01", 1772323200.0),
        ("2026-03-01T12:00:00Z", 1772366400.0),
        ("2026-03-01 12:00:00.5", 1772366400.5),
        ("2026-03-01T12:00:00+02:00", 1772359200.0),
        ("2026-03-01T12:00:00 02:00", 1772359200.0),  # as a query string makes it
    ],
)
def test_a_position_or_a_time(text: str, expected: float) -> None:
    read = parse_at(text)
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize(
    "text", ["", "-1", "4.5", "soon", "1" * 20, "1" * 5_000, str(2**63), "2026-13-01", "٣"]
)
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="position"):
        parse_at(text)


@pytest.mark.anyio
async def test_the_position_that_is_meant() -> None:
    store = MemoryStore()
    for time in (10.0, 20.0):
        await store.append([Edit("a", b"\x00\x00", "alice", (), time)])
    assert await resolve(store, "a", None) is None
    assert await resolve(store, "a", 7) == 7
    assert [await resolve(store, "a", at) for at in (9.0, 10.0, 15.0, 99.0)] == [0, 1, 1, 2]
