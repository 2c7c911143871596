"""Mutators: from bytes that are right to bytes that are nearly right. All by a seeded Random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.support.hostile import uint

INTERESTING = (0, 1, 2, 127, 128, 255, 2**14, 2**31 - 1, 2**31, 2**32 - 1, 2**53 - 1, 2**53, 2**63)
TAGS = bytes([*range(11), 0x27, 0x28, 0x81, 0x84, 0xC4, 0x44, *range(116, 128)])


def mutant(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Change one message in one to four places; `others` lend their parts."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(_MUTATORS)(random, data, others)
    return data[:100_000]


def _flip(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    if not data:
        return b"\x00"
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _set(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]


def _step(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """One up or down: counts and clocks that are off by one."""
    if not data:
        return b"\x01"
    at = random.randrange(len(data))
    changed = (data[at] + random.choice((-1, 1))) % 256
    return data[:at] + bytes([changed]) + data[at + 1 :]


def _tag(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + bytes([random.choice(TAGS)]) + data[at + 1 :]


def _insert(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.randbytes(random.randint(1, 4)) + data[at:]


def _integer(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + uint(random.choice(INTERESTING)) + data[at + 1 :]


def _cut(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _delete(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    start = random.randrange(len(data) + 1)
    return data[:start] + data[start + random.randint(1, 8) :]


def _repeat(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    start = random.randrange(len(data) + 1)
    stop = min(len(data), start + random.randint(1, 16))
    return data[:stop] + data[start:]


def _splice(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def _swap(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """Two stretches change places."""
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(3))
    return data[: cuts[0]] + data[cuts[1] : cuts[2]] + data[cuts[0] : cuts[1]] + data[cuts[2] :]


_MUTATORS: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    _flip,
    _set,
    _step,
    _step,
    _tag,
    _tag,
    _insert,
    _integer,
    _cut,
    _delete,
    _repeat,
    _splice,
    _swap,
)
