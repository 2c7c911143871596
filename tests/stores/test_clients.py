"""Client ranges in a few bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Text

from persistence.sqlite.clients import pack, unpack
from persistence.store import ClientRange

_ranges = st.builds(
    lambda client, start, clocks, introduced: ClientRange(
        client, start, start + clocks, introduced
    ),
    st.integers(0, 2**53),
    st.integers(0, 2**31),
    st.integers(0, 2**31),
    st.booleans(),
)


def keystrokes(count: int) -> list[tuple[bytes, ClientRange]]:
    """Updates as a Yjs client makes them, and the range that each brings."""
    doc: Doc[Any] = Doc()
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    text = doc.get("text", type=Text)
    for _ in range(count):
        text += "x"
    return [(update, ClientRange(doc.client_id, n, n + 1)) for n, update in enumerate(updates)]


def test_a_keystroke_takes_one_byte() -> None:
    for update, brought in keystrokes(300):
        assert len(pack((brought,), update)) == 1
        assert unpack(pack((brought,), update), update) == (brought,)


def test_what_the_update_does_not_tell_is_kept() -> None:
    [_, (update, second)] = keystrokes(2)
    later = ClientRange(second.client, second.start + 1, second.end + 1)
    introduced = ClientRange(second.client, second.start, second.end, introduced=True)
    for clients in [(), (later,), (introduced,), (second, later)]:
        assert unpack(pack(clients, update), update) == clients


@given(st.lists(_ranges, max_size=4).map(tuple), st.binary(max_size=40))
def test_any_ranges_come_back(clients: tuple[ClientRange, ...], update: bytes) -> None:
    assert unpack(pack(clients, update), update) == clients


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_what_is_no_ranges_is_refused(packed: bytes, update: bytes) -> None:
    try:
        found = unpack(packed, update)
    except (ValueError, IndexError):
        return
    assert all(isinstance(one, ClientRange) for one in found)


@pytest.mark.parametrize(
    "bad", [ClientRange(1, 2, 1), ClientRange(-1, 0, 1), ClientRange(1, -1, 1)]
)
def test_a_range_that_is_none_is_refused(bad: ClientRange) -> None:
    with pytest.raises(ValueError, match="no range"):
        pack((bad,), b"")
