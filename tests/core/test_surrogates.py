"""What an update says of characters of two code units."""

import pytest

from sync.core.guard import inspect
from sync.core.surrogates import may_hold_pairs, mend, surrogates

EMOJI = bytes.fromhex("010101000401047465787404f09f998200")  # client 1 writes 🙂 into the root text


def deletion(start: int, length: int) -> bytes:
    return bytes([0, 1, 1, 1, start, length])


def insertion(left: int | None, right: int | None) -> bytes:
    """Client 2 inserts x between two clocks of client 1."""
    info = 4 | (0x80 if left is not None else 0) | (0x40 if right is not None else 0)
    places = b"".join(bytes([1, clock]) for clock in (left, right) if clock is not None)
    return bytes([1, 1, 2, 0, info]) + places + b"\x01x\x00"


def test_an_emoji_has_a_second_half() -> None:
    assert surrogates(EMOJI).halves == {(1, 1)}
    assert may_hold_pairs(EMOJI)


def test_other_text_has_none() -> None:
    plain = bytes.fromhex("010101000401047465787402c3a900")  # é
    assert surrogates(plain).halves == frozenset()
    assert not may_hold_pairs(plain)


@pytest.mark.parametrize(
    ("update", "parts"),
    [
        (deletion(0, 1), True),
        (deletion(1, 1), True),
        (deletion(0, 2), False),
        (insertion(0, 1), True),
        (insertion(0, None), True),
        (insertion(None, 1), True),
        (insertion(1, None), False),
        (insertion(None, 0), False),
    ],
)
def test_what_parts_it(update: bytes, parts: bool) -> None:
    assert bool(surrogates(update).cuts & {(1, 1)}) is parts


def test_a_parted_character_is_written_as_yjs_writes_it() -> None:
    mended = mend(EMOJI, {(1, 1)})
    assert mended == bytes.fromhex("010101000401047465787406") + "\ufffd\ufffd".encode() + b"\x00"
    assert inspect(mended).writes == inspect(EMOJI).writes
    assert mend(EMOJI, {(1, 2), (2, 1)}) == EMOJI
