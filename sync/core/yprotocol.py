"""The y-websocket protocol: one message per binary frame.

Sources: github.com/yjs/y-protocols (``PROTOCOL.md``, ``sync.js``, ``awareness.js``, ``auth.js``),
github.com/yjs/y-websocket, and y-sweet for message 102. :func:`decode` turns a client's frame into
one of the message values; the ``…_frame`` functions make the server's.

An update travels as opaque bytes here; :mod:`sync.core.guard` looks inside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sync.core.errors import MalformedMessage
from sync.core.wire import Reader, encode_bytes, encode_string, encode_uint

SYNC, AWARENESS, AUTH, QUERY_AWARENESS, SAVED = 0, 1, 2, 3, 102
STEP1, STEP2, UPDATE = 0, 1, 2
PERMISSION_DENIED, TOKEN = 0, 1

MAX_AWARENESS_ENTRIES = 4_096
MAX_STATE_VECTOR_CLIENTS = 65_536  # of a client; a document may have come to more
MAX_BARRIER = 1_024
READ_ONLY = "read-only: this token may not edit the document"
"""The reason for dropped edits; by its first word clients know that the connection goes on."""

EMPTY_UPDATE = b"\x00\x00"

_SHORT_UPDATE = [bytes((SYNC, UPDATE, size)) for size in range(128)]


@dataclass(frozen=True, slots=True)
class SyncStep1:
    """'This is what I have, send me the rest.'"""

    state_vector: bytes


@dataclass(frozen=True, slots=True)
class SyncStep2:
    """The answer to a step1: everything the other side lacked."""

    update: bytes


@dataclass(frozen=True, slots=True)
class SyncUpdate:
    """One edit, as it happens."""

    update: bytes


@dataclass(frozen=True, slots=True)
class AwarenessEntry:
    """The presence of one client id: its clock and its state as JSON text (``null``: gone)."""

    client: int
    clock: int
    state: str


@dataclass(frozen=True, slots=True)
class Awareness:
    """Presence of one or more client ids."""

    entries: tuple[AwarenessEntry, ...]


@dataclass(frozen=True, slots=True)
class QueryAwareness:
    """'Send me everybody's presence.'"""


@dataclass(frozen=True, slots=True)
class RenewToken:
    """A fresh token for the open connection."""

    token: str


@dataclass(frozen=True, slots=True)
class Barrier:
    """'Echo this when everything I sent before it is on disk.'"""

    payload: bytes


Message = SyncStep1 | SyncStep2 | SyncUpdate | Awareness | QueryAwareness | RenewToken | Barrier


def decode(frame: bytes) -> Message:
    """Read one frame from a client. Raises MalformedMessage, with what was expected."""
    if (update := short_update(frame)) is not None:
        return SyncUpdate(update)
    reader = Reader(frame)
    message = _decode(reader)
    reader.finish()
    return message


def short_update(frame: bytes) -> bytes | None:
    """The update of a frame that holds one of less than 128 bytes, as nearly all do."""
    size = len(frame) - 3
    if size < 128 and frame[:3] == _SHORT_UPDATE[size]:
        return frame[3:]
    return None


def _decode(reader: Reader) -> Message:
    match reader.read_uint():
        case 0:
            return _decode_sync(reader)
        case 1:
            return Awareness(_decode_awareness(Reader(reader.read_bytes())))
        case 2:
            if reader.read_uint() != TOKEN:
                raise MalformedMessage("an auth message from a client is 2/1 with a token")
            return RenewToken(reader.read_string())
        case 3:
            return QueryAwareness()
        case 102:
            return Barrier(_decode_barrier(reader))
        case unknown:
            raise MalformedMessage(
                f"message type {unknown} is unknown; this server reads 0 sync, 1 awareness, "
                "2 auth, 3 query awareness and 102 saved"
            )


def _decode_sync(reader: Reader) -> Message:
    match reader.read_uint():
        case 0:
            return SyncStep1(reader.read_bytes())
        case 1:
            return SyncStep2(reader.read_bytes())
        case 2:
            return SyncUpdate(reader.read_bytes())
        case unknown:
            raise MalformedMessage(
                f"sync message {unknown} is unknown; expected 0 step1, 1 step2 or 2 update"
            )


def _decode_barrier(reader: Reader) -> bytes:
    payload = reader.read_bytes()
    if len(payload) > MAX_BARRIER:
        raise MalformedMessage(f"the payload of a saved barrier is at most {MAX_BARRIER} bytes")
    return payload


def _decode_awareness(reader: Reader) -> tuple[AwarenessEntry, ...]:
    count = reader.read_uint()
    if count > MAX_AWARENESS_ENTRIES or count * 3 > reader.left:
        raise MalformedMessage(f"an awareness message cannot hold {count} entries here")
    entries = tuple(
        AwarenessEntry(reader.read_uint(), reader.read_uint(), reader.read_string())
        for _ in range(count)
    )
    reader.finish()
    return entries


def decode_state_vector(state_vector: bytes, most: int = 2**53) -> dict[int, int]:
    """Read a Yjs state vector, of at most so many clients: the next clock expected of each id.

    Raises MalformedMessage.
    """
    reader = Reader(state_vector)
    count = reader.read_uint()
    if count > most or count * 2 > reader.left:
        raise MalformedMessage(f"a state vector cannot name {count} clients here")
    clocks = {reader.read_uint(): reader.read_uint() for _ in range(count)}
    reader.finish()
    return clocks


def encode_state_vector(clocks: dict[int, int]) -> bytes:
    """Write a Yjs state vector."""
    pairs = b"".join(encode_uint(client) + encode_uint(n) for client, n in clocks.items())
    return encode_uint(len(clocks)) + pairs


def step1_frame(state_vector: bytes) -> bytes:
    return b"\x00\x00" + encode_bytes(state_vector)


def step2_frame(update: bytes) -> bytes:
    return b"\x00\x01" + encode_bytes(update)


def update_frame(update: bytes) -> bytes:
    return b"\x00\x02" + encode_bytes(update)


def awareness_frame(entries: Iterable[AwarenessEntry]) -> bytes:
    listed = list(entries)
    body = b"".join(
        encode_uint(entry.client) + encode_uint(entry.clock) + encode_string(entry.state)
        for entry in listed
    )
    return b"\x01" + encode_bytes(encode_uint(len(listed)) + body)


def denied_frame(reason: str) -> bytes:
    """Message 2/0, 'permission denied': how a y-websocket client hears any reason."""
    return b"\x02\x00" + encode_string(reason)


def renewed_frame(expiry: str) -> bytes:
    """Message 2/1 back: the token was taken; ``expiry`` is its end in ISO 8601."""
    return b"\x02\x01" + encode_string(expiry)


def saved_frame(payload: bytes) -> bytes:
    return b"\x66" + encode_bytes(payload)
