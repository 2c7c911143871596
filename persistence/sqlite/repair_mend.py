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
        yield from _changed(value, every)
    elif isinstance(value, int):
        encoded = value.to_bytes(8, "little", signed=True)
        for changed in _changed(encoded, every):
            yield int.from_bytes(changed, "little", signed=True)


def _changed(whole: bytes, every: bool) -> Iterator[bytes]:
    masks = range(1, 256) if every else [1 << bit for bit in range(8)]
    changed = bytearray(whole)
    for place, byte in enumerate(whole):
        for mask in masks:
            changed[place] = byte ^ mask
            yield bytes(changed)
        changed[place] = byte
