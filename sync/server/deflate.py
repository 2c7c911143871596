"""permessage-deflate, without context takeover (RFC 7692).

Every message stands alone: no window of 32 KiB is kept per connection, and what goes to many is
deflated once. What a message inflates to is bounded.
"""

from __future__ import annotations

import re
import zlib

from sync.core.errors import MalformedMessage, MessageTooLarge

MIN_BYTES = 1_024
"""Shorter messages are sent as they are."""

MAX_BYTES = 256 * 2**10
"""Longer ones too: deflating one would hold the event loop for more than some 3 ms."""

RESPONSE = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"

_LEVEL = 1
_TAIL = b"\x00\x00\xff\xff"
_LAST_BLOCK = b"\x01\x00\x00\xff\xff"  # and empty: reached only where the message was whole
_SPARE = {b"", _TAIL + _LAST_BLOCK, b"\x00" + _TAIL + _LAST_BLOCK}  # RFC 7692 section 7.2.3.4
_PARAMETER = re.compile(
    rb"(server_no_context_takeover|client_no_context_takeover|client_max_window_bits)"
    rb'(?:(?<=bits)[ \t]*=[ \t]*("?)(?:[89]|1[0-5])\2)?'
)


def accepts(offers: bytes) -> bool:
    """One of a client's offers (``Sec-WebSocket-Extensions``) is one that we take.

    Taken are offers that leave us the whole window; the client's it may choose.
    """
    return any(map(_accepts, offers.split(b",")))


def _accepts(offer: bytes) -> bool:
    name, *parameters = (part.strip() for part in offer.split(b";"))
    known = [_PARAMETER.fullmatch(parameter) for parameter in parameters]
    names = {parameter[1] for parameter in known if parameter is not None}
    return name == b"permessage-deflate" and len(names) == len(parameters)


def worth_deflating(message: bytes) -> bool:
    return MIN_BYTES < len(message) <= MAX_BYTES


def deflate(message: bytes) -> bytes:
    """The payload of a message's one frame, whose bit RSV1 is to be set."""
    compressor = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return deflated.removesuffix(_TAIL)


def inflate(payload: bytes, max_bytes: int) -> bytes:
    """Undo :func:`deflate`. Raises MessageTooLarge, and MalformedMessage where it is none."""
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        message = decompressor.decompress(payload + _TAIL + _LAST_BLOCK, max_bytes + 1)
    except zlib.error:
        raise MalformedMessage("a compressed message is not what RFC 7692 says") from None
    if len(message) > max_bytes:
        raise MessageTooLarge(f"a message is at most {max_bytes} bytes, inflated")
    if not decompressor.eof or decompressor.unused_data not in _SPARE:
        raise MalformedMessage("a compressed message ends too early, or goes on behind its end")
    return message
