"""What a Yjs update brings: for each client, from which clock to which.

Source: github.com/yjs/yjs, ``utils/encoding.js`` and ``structs/Content*.js`` (format V1). Only as
much is read as is needed to know where a struct ends; the delete set is not looked at.

pycrdt's ``get_state(update)`` cannot serve here: it answers with nothing for any update that does
not begin at clock 0 (0.14.13), as almost all do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

_GC, _SKIP = 0, 10
_HAS_ORIGIN, _HAS_RIGHT_ORIGIN, _HAS_PARENT_SUB = 0x80, 0x40, 0x20


class Span(NamedTuple):
    """``client``'s structs with clocks ``start <= clock < end``."""

    client: int
    start: int
    end: int


def spans(update: bytes) -> tuple[Span, ...]:
    """What ``update`` brings, in its own order; adjoining structs of a client are one span."""
    found: list[Span] = []
    clients, at = read_uint(update, 0)
    for _ in range(clients):
        at = _read_client(update, at, found)
    return tuple(found)


def read_uint(data: bytes, at: int) -> tuple[int, int]:
    """A lib0 varUint at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _read_client(data: bytes, at: int, found: list[Span]) -> int:
    structs, at = read_uint(data, at)
    client, at = read_uint(data, at)
    clock, at = read_uint(data, at)
    start = clock
    for _ in range(structs):
        info = data[at]
        if info == _SKIP:
            if clock > start:
                found.append(Span(client, start, clock))
            length, at = read_uint(data, at + 1)
            start = clock + length
        elif info == _GC:
            length, at = read_uint(data, at + 1)
        else:
            length, at = _CONTENT[info & 31](data, _skip_place(data, at + 1, info))
        clock += length
    if clock > start:
        found.append(Span(client, start, clock))
    return at


def _skip_place(data: bytes, at: int, info: int) -> int:
    """Skip where the struct hangs: its neighbours or, having none, its parent and key."""
    if info & _HAS_ORIGIN:
        at = _skip_id(data, at)
    if info & _HAS_RIGHT_ORIGIN:
        at = _skip_id(data, at)
    if info & (_HAS_ORIGIN | _HAS_RIGHT_ORIGIN):
        return at
    named, at = read_uint(data, at)
    at = _skip_bytes(data, at) if named == 1 else _skip_id(data, at)
    return _skip_bytes(data, at) if info & _HAS_PARENT_SUB else at


def _skip_uint(data: bytes, at: int) -> int:
    while data[at] > 127:
        at += 1
    return at + 1


def _skip_id(data: bytes, at: int) -> int:
    return _skip_uint(data, _skip_uint(data, at))


def _skip_bytes(data: bytes, at: int) -> int:
    length, at = read_uint(data, at)
    return at + length


# Each of these reads one struct's content: its length in clocks, and where it ends.


def _deleted(data: bytes, at: int) -> tuple[int, int]:
    return read_uint(data, at)


def _json(data: bytes, at: int) -> tuple[int, int]:
    length, at = read_uint(data, at)
    for _ in range(length):
        at = _skip_bytes(data, at)
    return length, at


def _one_blob(data: bytes, at: int) -> tuple[int, int]:
    return 1, _skip_bytes(data, at)


def _string(data: bytes, at: int) -> tuple[int, int]:
    size, at = read_uint(data, at)
    text = data[at : at + size]
    length = size if text.isascii() else len(text.decode().encode("utf-16-le")) // 2
    return length, at + size


def _format(data: bytes, at: int) -> tuple[int, int]:
    return 1, _skip_bytes(data, _skip_bytes(data, at))


def _type(data: bytes, at: int) -> tuple[int, int]:
    kind, at = read_uint(data, at)
    return 1, _skip_bytes(data, at) if kind in {3, 5} else at  # XmlElement and XmlHook have a name


def _any(data: bytes, at: int) -> tuple[int, int]:
    length, at = read_uint(data, at)
    for _ in range(length):
        at = _skip_any(data, at)
    return length, at


def _doc(data: bytes, at: int) -> tuple[int, int]:
    return 1, _skip_any(data, _skip_bytes(data, at))


_CONTENT: dict[int, Callable[[bytes, int], tuple[int, int]]] = {
    1: _deleted,
    2: _json,
    3: _one_blob,
    4: _string,
    5: _one_blob,
    6: _format,
    7: _type,
    8: _any,
    9: _doc,
}

_ANY_SIZES = {127: 0, 126: 0, 124: 4, 123: 8, 122: 8, 121: 0, 120: 0}


def _skip_any(data: bytes, at: int) -> int:
    kind = data[at]
    at += 1
    if kind in _ANY_SIZES:
        return at + _ANY_SIZES[kind]
    match kind:
        case 125:
            return _skip_uint(data, at)
        case 119 | 116:
            return _skip_bytes(data, at)
        case 118 | 117:
            return _skip_entries(data, at, keyed=kind == 118)
        case _:
            raise ValueError(f"lib0 knows no value of kind {kind}")


def _skip_entries(data: bytes, at: int, *, keyed: bool) -> int:
    length, at = read_uint(data, at)
    for _ in range(length):
        at = _skip_any(data, _skip_bytes(data, at) if keyed else at)
    return at
