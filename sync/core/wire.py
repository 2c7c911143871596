"""lib0's variable-length encoding, as y-protocols and Yjs use it.

Source: github.com/dmonad/lib0, ``encoding.js`` and ``decoding.js``. Reading never goes past the
frame, and never allocates what a length merely claims: every length is held against the bytes that
are there before it is used. All failures are :class:`MalformedMessage`.
"""

from __future__ import annotations

from sync.core.errors import MalformedMessage

MAX_INTEGER = 2**53 - 1
"""The largest integer that JavaScript counts exactly; lib0 writes none above it."""

_ONE_BYTE = [bytes([n]) for n in range(128)]


def encode_uint(value: int) -> bytes:
    """Encode ``0 <= value <= 2**53 - 1``, seven bits a byte, the lowest first."""
    if value < 128:
        return _ONE_BYTE[value]
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_bytes(value: bytes) -> bytes:
    """Encode a byte array behind its length (lib0's ``varUint8Array``)."""
    return encode_uint(len(value)) + value


def encode_string(value: str) -> bytes:
    """Encode a string as UTF-8 behind its length in bytes (lib0's ``varString``)."""
    return encode_bytes(value.encode())


class Reader:
    """A cursor over one frame.

    Each ``read_…`` returns a value and moves on, or raises MalformedMessage; :meth:`finish` must be
    called when the message is read, and raises when bytes are left.
    """

    __slots__ = ("_data", "_end", "at")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._end = len(data)
        self.at = at

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return self._end - self.at

    def read_uint(self) -> int:
        data, end, at = self._data, self._end, self.at
        value = shift = 0
        while True:
            if at >= end:
                raise MalformedMessage("the message ends in the middle of an integer")
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 49:
                raise MalformedMessage("an integer is longer than the 8 bytes that lib0 writes")
        if value > MAX_INTEGER:
            raise MalformedMessage("an integer is above 2^53 - 1")
        self.at = at
        return value

    def read_bytes(self) -> bytes:
        length = self.read_uint()
        start = self.at
        if length > self._end - start:
            raise MalformedMessage(
                f"a length says {length} bytes, but the message has {self._end - start} left"
            )
        self.at = start + length
        return self._data[start : self.at]

    def read_string(self) -> str:
        try:
            return self.read_bytes().decode()
        except UnicodeDecodeError:
            raise MalformedMessage("a string is not UTF-8") from None

    def finish(self) -> None:
        if self.at != self._end:
            raise MalformedMessage(f"{self._end - self.at} bytes follow the message's end")
