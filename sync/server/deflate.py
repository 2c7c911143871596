"""permessage-deflate, without context takeover (RFC 7692).

Every message stands alone: no window of 32 KiB is kept per connection, and what goes to many is
deflated once. What a message inflates to is bounded.
"""

from __future__ import annotations

import zlib

from sync.core.errors import MalformedMessage, MessageTooLarge

MIN_BYTES = 1_024
"""Shorter messages are sent as they are."""

MAX_BYTES = 256 * 2**10
"""Longer ones too: deflating one would hold the event loop for more than some 3 ms."""

RESPONSE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

_LEVEL = 1
_TAIL = b"\x00\x00\xff\xff"
_KNOWN = {b"server_no_context_takeover", b"client_no_context_takeover", b"client_max_window_bits"}


def accepts(offers: bytes) -> bool:
    """One of a client's offers (``Sec-WebSocket-Extensions``) is one that we take.

    Taken are offers that leave us the whole window; the client's it may choose.
    """
    for offer in offers.split(b","):
        name, *parameters = (part.strip() for part in offer.split(b";"))
        names = [parameter.partition(b"=")[0].strip() for parameter in parameters]
        if name == b"permessage-deflate" and _KNOWN.issuperset(names):
            return True
    return False


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
        message = decompressor.decompress(payload + _TAIL, max_bytes + 1)
    except zlib.error:
        raise MalformedMessage("a compressed message is not what RFC 7692 says") from None
    if len(message) > max_bytes:
        raise MessageTooLarge(f"a message is at most {max_bytes} bytes, inflated")
    return message
