"""The two ways to say the same thing: y-websocket's frames, and Hocuspocus 4's.

Sources: github.com/yjs/y-protocols ``sync.js``, ``awareness.js``; github.com/ueberdosis/hocuspocus
``packages/server/src`` 4.7.0 (``ClientConnection.ts``, ``MessageReceiver.ts``). A Hocuspocus frame
begins with the document's name; it takes an authentication message first also where no hook asks
for one, and keeps everything else waiting until it has come.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import Protocol
from urllib.parse import quote

from sync.core.wire import encode_bytes, encode_uint
from tests.bench.updates import read_uint

EMPTY_UPDATE = b"\x00\x00"
EMPTY_STATE = b"\x00"


class _Type(IntEnum):
    """The first number of a message; both protocols number alike."""

    SYNC = 0
    AWARENESS = 1
    AUTH = 2
    SYNC_REPLY = 4
    CLOSE = 7
    SAVED = 102


class _Sync(IntEnum):
    """The second number of a message of type SYNC."""

    STEP1 = 0
    STEP2 = 1
    UPDATE = 2


_TOKEN = 0
_AUTHENTICATED = 2


class Kind(Enum):
    """What a frame is to a client of ours."""

    STEP1 = auto()
    STEP2 = auto()
    UPDATE = auto()
    AWARENESS = auto()
    SAVED = auto()
    REFUSAL = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Message:
    """A frame that was read: its body is the update, the states, the barrier or the reason."""

    kind: Kind
    body: bytes = b""


OTHER = Message(Kind.OTHER)


class Dialect(Protocol):
    """How one room's frames are written and read. Everything is the payload of one message."""

    def path(self, room: str) -> str:
        """The path and query to connect to, without a token."""

    def greeting(self, room: str, awareness: bytes) -> tuple[bytes, ...]:
        """What a client with nothing of its own sends first: step1 and its awareness."""

    def answer(self, room: str) -> bytes:
        """The answer of such a client to the server's step1."""

    def update(self, room: str, update: bytes) -> bytes: ...

    def step2(self, room: str, update: bytes) -> bytes:
        """A client's answer that brings content: the way for a document made offline."""

    def awareness(self, room: str, states: bytes) -> bytes: ...

    def read(self, payload: bytes) -> Message: ...


class YWebsocket:
    """y-websocket's protocol, with the SAVED barrier where the server knows it."""

    def __init__(self, prefix: str = "/") -> None:
        self._prefix = prefix

    def path(self, room: str) -> str:
        return f"{self._prefix}{quote(room)}"

    def greeting(self, room: str, awareness: bytes) -> tuple[bytes, ...]:
        return _sync(_Sync.STEP1, EMPTY_STATE), self.awareness(room, awareness)

    def answer(self, room: str) -> bytes:  # noqa: ARG002 -- the address says it
        return _sync(_Sync.STEP2, EMPTY_UPDATE)

    def update(self, room: str, update: bytes) -> bytes:  # noqa: ARG002
        return _sync(_Sync.UPDATE, update)

    def step2(self, room: str, update: bytes) -> bytes:  # noqa: ARG002
        return _sync(_Sync.STEP2, update)

    def awareness(self, room: str, states: bytes) -> bytes:  # noqa: ARG002
        return encode_uint(_Type.AWARENESS) + encode_bytes(states)

    def read(self, payload: bytes) -> Message:
        return _read(payload, 0)


class Hocuspocus:
    """Hocuspocus 4: all rooms on one path, each frame with its room's name."""

    def path(self, room: str) -> str:  # noqa: ARG002
        return "/"

    def greeting(self, room: str, awareness: bytes) -> tuple[bytes, ...]:
        token = (
            _name(room)
            + encode_uint(_Type.AUTH)
            + encode_uint(_TOKEN)
            + encode_bytes(b"token")
            + encode_bytes(b"4.7.0")
        )
        step1 = _name(room) + _sync(_Sync.STEP1, EMPTY_STATE)
        return token, step1, self.awareness(room, awareness)

    def answer(self, room: str) -> bytes:
        return _name(room) + _sync(_Sync.STEP2, EMPTY_UPDATE)

    def update(self, room: str, update: bytes) -> bytes:
        return _name(room) + _sync(_Sync.UPDATE, update)

    def step2(self, room: str, update: bytes) -> bytes:
        return _name(room) + _sync(_Sync.STEP2, update)

    def awareness(self, room: str, states: bytes) -> bytes:
        return _name(room) + encode_uint(_Type.AWARENESS) + encode_bytes(states)

    def read(self, payload: bytes) -> Message:
        size, at = read_uint(payload, 0)
        return _read(payload, at + size)


def saved(number: int) -> bytes:
    """The barrier: it comes back when everything sent before it is on disk."""
    return encode_uint(_Type.SAVED) + encode_bytes(number.to_bytes(4, "big"))


def barrier_number(body: bytes) -> int:
    """The number that :func:`saved` was given."""
    return int.from_bytes(body, "big")


def states(entries: dict[int, tuple[int, bytes]]) -> bytes:
    """An awareness update: for each Yjs client its clock and its state as JSON."""
    parts = [encode_uint(len(entries))]
    for client, (clock, state) in entries.items():
        parts += encode_uint(client), encode_uint(clock), encode_bytes(state)
    return b"".join(parts)


def clocks_of(awareness: bytes) -> dict[int, int]:
    """The clients and clocks of an awareness update."""
    found: dict[int, int] = {}
    count, at = read_uint(awareness, 0)
    for _ in range(count):
        client, at = read_uint(awareness, at)
        found[client], at = read_uint(awareness, at)
        size, at = read_uint(awareness, at)
        at += size
    return found


def _name(room: str) -> bytes:
    return encode_bytes(room.encode())


def _sync(step: _Sync, data: bytes) -> bytes:
    return bytes((_Type.SYNC, step)) + encode_bytes(data)


_KINDS = {_Sync.STEP1: Kind.STEP1, _Sync.STEP2: Kind.STEP2, _Sync.UPDATE: Kind.UPDATE}


def _read(payload: bytes, at: int) -> Message:
    """What follows the room's name, if there was one."""
    match payload[at]:
        case _Type.SYNC | _Type.SYNC_REPLY:
            return Message(_KINDS[_Sync(payload[at + 1])], _blob_at(payload, at + 2))
        case _Type.AWARENESS:
            return Message(Kind.AWARENESS, _blob_at(payload, at + 1))
        case _Type.AUTH if payload[at + 1] != _AUTHENTICATED:
            return Message(Kind.REFUSAL, _blob_at(payload, at + 2))
        case _Type.CLOSE:
            return Message(Kind.REFUSAL, _blob_at(payload, at + 1))
        case _Type.SAVED:
            return Message(Kind.SAVED, _blob_at(payload, at + 1))
        case _:
            return OTHER


def _blob_at(payload: bytes, at: int) -> bytes:
    size, at = read_uint(payload, at)
    return payload[at : at + size]
