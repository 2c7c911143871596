"""Whole WebSocket frames, made ahead of time.

Source: RFC 6455, section 5.2. A client masks what it sends; here with a mask that is the same each
time, so that many frames can be made before the clock runs and be written as one block of bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

MASK = b"\x37\xfa\x21\x3d"  # the RFC's own example
_BINARY_AND_FINAL = 0x82
_MASKED = 0x80


def frame(payload: bytes) -> bytes:
    """One binary message of a client's, as it is on the wire."""
    return _header(len(payload)) + MASK + _masked(payload)


def frames(payloads: Iterable[bytes]) -> tuple[bytes, ...]:
    """Each payload as :func:`frame` makes it."""
    return tuple(map(frame, payloads))


def _header(size: int) -> bytes:
    if size < 126:
        return bytes((_BINARY_AND_FINAL, _MASKED | size))
    if size < 1 << 16:
        return bytes((_BINARY_AND_FINAL, _MASKED | 126)) + size.to_bytes(2, "big")
    return bytes((_BINARY_AND_FINAL, _MASKED | 127)) + size.to_bytes(8, "big")


def _masked(payload: bytes) -> bytes:
    size = len(payload)
    mask = (MASK * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
