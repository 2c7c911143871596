"""Rows that one byte is wrong of: found again by their checksum.

A checksum of 64 bits tells not only that a row is damaged, but, where one byte is wrong, which: of
all rows that differ from it in a byte, one fits. (The odds that one fits by chance are less than
one in a million million.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from persistence.sqlite.rows import Row

Fits = Callable[[Row], bool]

_EVERY_VALUE = 512
"""Bytes of a row up to which every value of a byte is tried; beyond, every bit."""

_LARGEST = 8_192  # bytes of a row that is tried at all: that takes half a second


def mended(row: Row, fits: Fits, fixed: tuple[int, ...] = ()) -> Row | None:
    """Return the row with the one byte put right, None where no byte does it.

    ``fixed`` are columns, by index, that are not to be changed.
    """
    size = sum(_size(value) for value in row)
    if size > _LARGEST:
        return None
    for index, value in enumerate(row):
        if index in fixed:
            continue
        for other in _variants(value, every=size <= _EVERY_VALUE):
            tried = (*row[:index], other, *row[index + 1 :])
            if fits(tried):
                return tried
    return None


def _size(value: object) -> int:
    return len(value) if isinstance(value, bytes) else 8


def _variants(value: object, *, every: bool) -> Iterator[object]:
    if isinstance(value, bytes):
        yield from changed_by_a_byte(value, every=every)
    elif isinstance(value, int):
        yield from numbers_near(value, every=every)


def numbers_near(number: int, *, every: bool = True) -> Iterator[int]:
    """Give the numbers of which, as SQLite stores them, one byte is another."""
    for changed in changed_by_a_byte(number.to_bytes(8, "little", signed=True), every=every):
        yield int.from_bytes(changed, "little", signed=True)


def changed_by_a_byte(whole: bytes, *, every: bool = True) -> Iterator[bytes]:
    """Give all that differ in one byte; unless ``every``, in one bit of it."""
    masks = range(1, 256) if every else [1 << bit for bit in range(8)]
    changed = bytearray(whole)
    for place, byte in enumerate(whole):
        for mask in masks:
            changed[place] = byte ^ mask
            yield bytes(changed)
        changed[place] = byte
