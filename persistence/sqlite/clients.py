"""The client ranges of an edit in a few bytes: one, for a keystroke.

Each range is the number of its clocks (times two, plus one where it was introduced), its client id
and its first clock, as variable-length integers. Of a single range only the number is kept, where
the update tells the rest. It does nearly always: a Yjs v1 update begins with the number of clients,
the number of structs of the first one, its id and its clock (github.com/yjs/yjs,
``src/utils/encoding.js``, ``writeClientsStructs``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from persistence.checks import check_range
from persistence.store import ClientRange


def pack(clients: tuple[ClientRange, ...], update: bytes) -> bytes:
    """Pack the ranges of an edit with this update. Raises ValueError for a range that is none."""
    for one in clients:
        check_range(one)
    if len(clients) == 1:
        [only] = clients
        if _begins(update, _where(only)):
            return _extent(only)
    return b"".join(_extent(one) + _where(one) for one in clients)


def unpack(packed: bytes, update: bytes) -> tuple[ClientRange, ...]:
    """Return what was packed. Raises ValueError or IndexError where these are no packed ranges."""
    if not packed:
        return ()
    extent, at = _number(packed, 0)
    if at == len(packed):
        client, at = _number(update, 2)
        start, _ = _number(update, at)
        return (ClientRange(client, start, start + (extent >> 1), bool(extent & 1)),)
    return tuple(_ranges(packed))


def _ranges(packed: bytes) -> Iterator[ClientRange]:
    at = 0
    while at < len(packed):
        extent, at = _number(packed, at)
        client, at = _number(packed, at)
        start, at = _number(packed, at)
        yield ClientRange(client, start, start + (extent >> 1), bool(extent & 1))


def _begins(update: bytes, where: bytes) -> bool:
    """Whether the update has one client, fewer than 128 structs, and these begin there."""
    return update[:1] == b"\x01" and update[1:2] < b"\x80" and update.startswith(where, 2)


def _extent(one: ClientRange) -> bytes:
    return _varint((one.end - one.start) << 1 | one.introduced)


def _where(one: ClientRange) -> bytes:
    return _varint(one.client) + _varint(one.start)


@lru_cache(maxsize=4_096)  # a client's id comes again with each of its edits
def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _number(encoded: bytes, at: int) -> tuple[int, int]:
    """Read a variable-length integer; return it, and where the next one begins."""
    number = shift = 0
    while (byte := encoded[at]) > 0x7F:
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    return number | byte << shift, at + 1
