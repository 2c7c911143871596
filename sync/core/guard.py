"""The guard and the causal gate: what an update must be before native code may see it.

Source of the format: github.com/yjs/yjs, ``src/utils/encoding.js`` and ``src/structs`` (update
format v1). An update is, per client, a run of structs; then, per client, ranges of deleted clocks.

:func:`inspect` reads every byte once, in plain Python, and refuses what would make the CRDT
library panic, eat memory or keep what cannot be loaded again. What it learns on the way is the
:class:`Footprint`: which clocks an update brings, and which it stands on. The causal gate
(:func:`sync.core.footprint.missing`) holds that against a state vector: an update that stands on
something the document lacks must wait, because the library loses such updates (law I3 in
:mod:`sync.core.room`).
"""

from __future__ import annotations

import json
import math

from sync.core.errors import MalformedMessage
from sync.core.footprint import MAX_CLIENT, Footprint
from sync.core.stroke import read_stroke

MAX_CLOCK = 2**31
MAX_CLIENTS_UPDATE = 64
MAX_CLIENTS_STEP2 = 4_096
MAX_STRUCTS = 2**20
MAX_DEPTH = 64

GC, DELETED, JSON, BINARY, STRING = 0, 1, 2, 3, 4
EMBED, FORMAT, TYPE, ANY, DOC, SKIP = 5, 6, 7, 8, 9, 10
XML_ELEMENT, XML_HOOK, XML_TEXT = 3, 5, 6

ORIGIN, RIGHT_ORIGIN, PARENT_SUB, REF = 0x80, 0x40, 0x20, 0x1F

_SKIP = bytes((SKIP,))


def inspect(update: bytes, max_clients: int = MAX_CLIENTS_UPDATE) -> Footprint:
    """Read a whole update and tell what it brings and needs.

    Raises MalformedMessage for anything that no Yjs client writes, and for what would harm the CRDT
    library: an integer above 8 bytes, a length beyond the update, an empty struct, a clock above
    2^31, more than ``max_clients`` clients, values nested deeper than 64, JSON content (of Yjs
    before 13.0), an origin that comes after its item, text that is not UTF-8, bytes left over.
    """
    stroke = read_stroke(update)
    return stroke.footprint if stroke else Inspection(update).run(max_clients)


class Inspection:
    """One reading of one update: a cursor and the footprint so far.

    :mod:`sync.core.content` reads more out of an update by overriding what it wants to hear of.
    Of an item that was read it knows, where its bytes tell them, its neighbours ``origin`` and
    ``right``, its ``parent`` (the name of a root as bytes, or an id) and its ``key``; and of one
    that holds a type the ``kind`` of that. ``content`` is the first byte of what it holds.
    """

    __slots__ = (
        "astral",
        "at",
        "client",
        "clock",
        "content",
        "data",
        "deleted",
        "end",
        "key",
        "kind",
        "needs",
        "origin",
        "parent",
        "right",
        "structs",
        "types",
        "writes",
    )

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.end = len(data)
        self.at = 0
        self.client = 0  # whose structs are being read
        self.clock = 0  # of the struct being read
        self.structs = 0
        self.writes: dict[int, tuple[int, int]] = {}
        self.needs: dict[int, int] = {}
        self.deleted: list[tuple[int, int, int]] = []
        self.astral = False
        self.types = 0
        self.origin: tuple[int, int] | None = None
        self.right: tuple[int, int] | None = None
        self.parent: bytes | tuple[int, int] | None = None
        self.key: bytes | None = None
        self.kind = self.content = 0

    def run(self, max_clients: int) -> Footprint:
        count = self._uint()
        if count > max_clients:
            raise _bad(f"it holds edits of {count} clients, at most {max_clients} are taken")
        for _ in range(count):
            self._client_structs()
        self._delete_set(max_clients)
        if self.at != self.end:
            raise _bad(f"{self.end - self.at} bytes follow its end")
        return Footprint(
            self.writes, self.needs, self.structs, tuple(self.deleted), self.astral, self.types
        )

    # -- the two halves of an update

    def _client_structs(self) -> None:
        count, client, clock = self._uint(), self._uint(), self._uint()
        if count == 0 or count > self.end - self.at:
            raise _bad(f"a client with {count} structs")
        if client >= MAX_CLIENT or client in self.writes:
            raise _bad("a client id is above 2^53 or stands twice")
        self.structs += count
        if self.structs > MAX_STRUCTS:
            raise _bad(f"more than {MAX_STRUCTS} structs")
        self.client, self.clock = client, clock
        first = clock
        for _ in range(count):
            skipped = self.data[self.at : self.at + 1] == _SKIP
            self.clock += self._struct()
            if skipped:
                first = self.clock  # everything before must be there already
            if self.clock >= MAX_CLOCK:
                raise _bad("a clock above 2^31")
        self.writes[client] = (first, self.clock)

    def _struct(self) -> int:
        """Read one struct; return its length in clocks."""
        info = self._byte()
        length = self._uint() if info in (SKIP, GC) else self._item(info)
        if length <= 0:
            raise _bad("a struct of length 0")
        return length

    def _delete_set(self, max_clients: int) -> None:
        count = self._uint()
        if count > max(max_clients, MAX_CLIENTS_STEP2):
            raise _bad(f"it deletes edits of {count} clients")
        seen: set[int] = set()
        needs = self.needs
        for _ in range(count):
            client, ranges = self._uint(), self._uint()
            if client >= MAX_CLIENT or client in seen or ranges * 2 > self.end - self.at:
                raise _bad("a delete set with a client id above 2^53, or twice, or cut short")
            seen.add(client)
            for _ in range(ranges):
                start, length = self._uint(), self._uint()
                if length == 0 or start + length >= MAX_CLOCK:
                    raise _bad("a deleted range that is empty or above 2^31")
                self.deleted.append((client, start, start + length))
                if needs.get(client, 0) < start + length:
                    needs[client] = start + length

    # -- one item

    def _item(self, info: int) -> int:
        """Read an item behind its info byte; return its length in clocks."""
        self.origin = self._reference() if info & ORIGIN else None
        self.right = self._reference() if info & RIGHT_ORIGIN else None
        self.parent = self.key = None
        if self.origin is None and self.right is None:
            self._parent(info)
        elif self.origin == self.right:
            raise _bad("an item between another one and itself")
        self.content = self.at
        ref = info & REF
        if ref == STRING:
            return self._text_length()
        if ref == ANY:
            return self._values()
        if ref == DELETED:
            return self._uint()
        if ref == TYPE:
            return self._type()
        return self._rare_content(ref)

    def _rare_content(self, ref: int) -> int:
        if ref == FORMAT:
            self._string()
            self._json()
        elif ref == EMBED:
            self._json()
        elif ref == BINARY:
            self._skip(self._uint())
        elif ref == DOC:
            self._string()
            self._any()
        elif ref == JSON:
            raise _bad("JSON content, which only Yjs before 13.0 wrote: update the client")
        else:
            raise _bad(f"content of the unknown kind {ref}")
        return 1

    def _reference(self) -> tuple[int, int]:
        """Read the id of an item that must exist before this one."""
        client, clock = self._uint(), self._uint()
        if clock >= MAX_CLOCK:
            raise _bad("a reference to a clock above 2^31")
        if client != self.client:
            if self.needs.get(client, 0) <= clock:
                self.needs[client] = clock + 1
        elif clock >= self.clock:
            raise _bad("an item that refers to itself or to a later one")
        return client, clock

    def _parent(self, info: int) -> None:
        kind = self._uint()
        if kind == 1:
            self.parent = self._string()
        elif kind == 0:
            self.parent = self._reference()
        else:
            raise _bad("a parent that is neither a name nor an id")
        if info & PARENT_SUB:
            self.key = self._string()

    def _type(self) -> int:
        self.types += 1
        self.kind = kind = self._uint()
        if kind in (XML_ELEMENT, XML_HOOK):
            self._string()
        elif kind > XML_TEXT:
            raise _bad(f"a shared type of the unknown kind {kind}")
        return 1

    def _values(self) -> int:
        count = self._uint()
        if count > self.end - self.at:
            raise _bad("more values than bytes")
        for _ in range(count):
            self._any()
        return count

    def _any(self, depth: int = 0) -> None:
        """Read one value in lib0's ``any`` encoding."""
        if depth > MAX_DEPTH:
            raise _bad(f"a value nested deeper than {MAX_DEPTH}")
        tag = self._byte()
        if tag == 119:
            self._string()
        elif tag == 125:
            self._signed()
        elif tag in (127, 126, 121, 120):  # undefined, null, false, true
            return
        elif tag == 124:  # float32
            self._skip(4)
        elif tag in (123, 122):  # float64, bigint
            self._skip(8)
        elif tag in (118, 117):
            self._nested(depth + 1, keyed=tag == 118)
        elif tag == 116:
            self._skip(self._uint())
        else:
            raise _bad(f"a value with the unknown tag {tag}")

    def _nested(self, depth: int, *, keyed: bool) -> None:
        count = self._uint()
        if count > self.end - self.at:
            raise _bad("more values than bytes")
        for _ in range(count):
            if keyed:
                self._string()
            self._any(depth)

    # -- bytes

    def _byte(self) -> int:
        at = self.at
        if at >= self.end:
            raise _bad("it ends too early")
        self.at = at + 1
        return self.data[at]

    def _uint(self) -> int:
        data, end, at = self.data, self.end, self.at
        if at < end and (byte := data[at]) < 128:
            self.at = at + 1
            return byte
        value = shift = 0
        while at < end:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                self.at = at
                return value
            shift += 7
            if shift > 49:
                raise _bad("an integer longer than 8 bytes")
        raise _bad("it ends in the middle of an integer")

    def _signed(self) -> None:
        """Read a signed integer: six bits in its first byte, seven in the others."""
        for _ in range(8):
            if self._byte() < 128:
                return
        raise _bad("an integer longer than 8 bytes")

    def _skip(self, length: int) -> None:
        self.at += length
        if self.at > self.end:
            raise _bad("it ends too early")

    def _string(self) -> bytes:
        length = self._uint()
        start = self.at
        stop = start + length
        if stop > self.end:
            raise _bad("it ends in the middle of a string")
        text = self.data[start:stop]
        self.at = stop
        if not text.isascii():
            _decode(text)
        return text

    def _text_length(self) -> int:
        """Read a string; return its length as JavaScript counts, in UTF-16 code units."""
        text = self._string()
        if text.isascii():
            return len(text)
        decoded = _decode(text)
        length = len(decoded.encode("utf-16-le")) >> 1
        self.astral = self.astral or length != len(decoded)
        return length

    def _json(self) -> None:
        text = self._string()
        try:
            value = json.loads(
                text.decode(), parse_int=_number, parse_float=_number, parse_constant=_number
            )
            if b"\\u" in text:
                json.dumps(
                    value, ensure_ascii=False
                ).encode()  # the library takes no lone surrogates
        except (ValueError, RecursionError):
            raise _bad("an embed or a format whose value is not JSON") from None
        if len(text) > 2 * MAX_DEPTH and _json_depth(text) > MAX_DEPTH:
            raise _bad(f"an embed or a format nested deeper than {MAX_DEPTH}")


def _number(text: str) -> float:
    """A number as the library reads it: Python's JSON knows more of them."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise _bad("text that is not UTF-8") from None


def _json_depth(text: bytes) -> int:
    """How deep well-formed JSON nests."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in text:
        if in_string:
            in_string = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _bad(what: str) -> MalformedMessage:
    return MalformedMessage(f"this Yjs update was refused: {what}")
