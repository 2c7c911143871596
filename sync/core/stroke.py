"""The guard's short way, for what nearly every live edit is: one small struct of one client.

In a room a keystroke costs the long way (:class:`sync.core.guard.Inspection`) more than all the
rest. This takes only what the long way takes too, tells the same of it, and refuses nothing:
whatever is unusual or wrong is left to the long way, which knows why.
"""

from __future__ import annotations

from typing import NamedTuple

from sync.core.footprint import MAX_CLIENT, Footprint

_ID_BYTES = (5, 8)
"""How long nearly all client ids are written: Yjs draws them from 32 bits, yrs from 53."""

_MOST_IDS = 10_000

_ids: dict[bytes, int] = {}  # client ids as they are written

_STRING, _ANY = 4, 8
_ORIGIN, _RIGHT_ORIGIN, _PARENT_SUB, _CONTENT = 0x80, 0x40, 0x20, 0x1F
_TEXT, _INTEGER, _PLAIN, _SIZES = 119, 125, (120, 121, 126, 127), {124: 4, 123: 8}


class _Unusual(Exception):
    """Something that the long way is to read."""


class Stroke(NamedTuple):
    """An update of one small struct: what :class:`Footprint` tells of it."""

    client: int
    start: int  # clock
    end: int  # exclusive
    needs: dict[int, int]
    deleted: tuple[tuple[int, int, int], ...]

    @property
    def footprint(self) -> Footprint:
        writes = {self.client: (self.start, self.end)}
        return Footprint(writes, self.needs, 1, self.deleted, astral=False, types=0)


def read_stroke(update: bytes) -> Stroke | None:
    """Read an update of one small struct; None for any other, good or bad."""
    if update[:2] != b"\x01\x01":  # one client with one struct
        return None
    try:
        return _read(update)
    except (IndexError, _Unusual):
        return None


def _read(data: bytes) -> Stroke:
    client, at = _id(data, 2)
    written = data[2:at]
    clock, at = _clock(data, at)
    info = data[at]
    needs: dict[int, int] = {}
    if info & (_ORIGIN | _RIGHT_ORIGIN):
        at = _references(data, at + 1, (client, clock), written, needs)
    elif data[at + 1] == 1:  # in a root type: its name, and of a map the key
        at = _text(data, at + 2)
        if info & _PARENT_SUB:
            at = _text(data, at)
    else:
        raise _Unusual
    kind = info & _CONTENT
    if kind == _STRING:
        length = data[at]
        at = _text(data, at)
    elif kind == _ANY and data[at] == 1:
        length = 1
        at = _value(data, at + 1)
    else:
        raise _Unusual
    deleted = _deleted(data, at, needs) if data[at] or at + 1 != len(data) else ()
    if length == 0:
        raise _Unusual
    return Stroke(client, clock, clock + length, needs, deleted)


def _references(
    data: bytes, at: int, own: tuple[int, int], written: bytes, needs: dict[int, int]
) -> int:
    """Read the ids of the items that this one stands between, or of the one it is next to."""
    info = data[at - 1]
    left, at = _reference(data, at, own, written, needs)
    if info & _ORIGIN and info & _RIGHT_ORIGIN:
        right, at = _reference(data, at, own, written, needs)
        if left == right:
            raise _Unusual
    return at


def _reference(
    data: bytes, at: int, own: tuple[int, int], written: bytes, needs: dict[int, int]
) -> tuple[tuple[int, int], int]:
    """Read the id of an item that must exist before this one, which is ``own``."""
    client, clock = own
    if data.startswith(written, at):
        referred, at = _clock(data, at + len(written))
        if referred >= clock:
            raise _Unusual
        return (client, referred), at
    other, at = _id(data, at)
    referred, at = _clock(data, at)
    if other == client:  # written in another way
        raise _Unusual
    if needs.get(other, 0) <= referred:
        needs[other] = referred + 1
    return (other, referred), at


def _deleted(data: bytes, at: int, needs: dict[int, int]) -> tuple[tuple[int, int, int], ...]:
    """Read a delete set of one range, to the end."""
    clients = data[at]
    client, at = _id(data, at + 1)
    if clients != 1 or data[at] != 1:
        raise _Unusual
    start, at = _clock(data, at + 1)
    length, at = _clock(data, at)
    if length == 0 or at != len(data):
        raise _Unusual
    end = start + length
    if needs.get(client, 0) < end:
        needs[client] = end
    return ((client, start, end),)


def _clock(data: bytes, at: int) -> tuple[int, int]:
    """Read an integer of at most three bytes."""
    first = data[at]
    if first < 128:
        return first, at + 1
    second = data[at + 1]
    if second < 128:
        return first & 127 | second << 7, at + 2
    third = data[at + 2]
    if third < 128:
        return first & 127 | (second & 127) << 7 | third << 14, at + 3
    raise _Unusual


def _text(data: bytes, at: int) -> int:
    """Pass a short string of ASCII."""
    past = at + 1 + data[at]
    if data[at] > 127 or past > len(data) or not data[at + 1 : past].isascii():
        raise _Unusual
    return past


def _value(data: bytes, at: int) -> int:
    """Pass a value that holds no others."""
    tag = data[at]
    if tag == _TEXT:
        return _text(data, at + 1)
    if tag == _INTEGER:
        return _clock(data, at + 1)[1]
    if tag in _PLAIN:
        return at + 1
    if tag in _SIZES:
        return at + 1 + _SIZES[tag]
    raise _Unusual


def _id(data: bytes, at: int) -> tuple[int, int]:
    """Read a client id, mostly one that was read before."""
    for size in _ID_BYTES:
        client = _ids.get(data[at : at + size])
        if client is not None:
            return client, at + size
    return _learn(data, at)


def _learn(data: bytes, at: int) -> tuple[int, int]:
    client = shift = 0
    for past in range(at + 1, at + 9):
        byte = data[past - 1]
        client |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    else:
        raise _Unusual
    if client >= MAX_CLIENT:
        raise _Unusual
    if past - at in _ID_BYTES:
        if len(_ids) >= _MOST_IDS:
            _ids.clear()
        _ids[data[at:past]] = client
    return client, past
