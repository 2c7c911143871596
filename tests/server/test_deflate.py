"""permessage-deflate: which offers are taken, messages there and back, and bombs."""

from __future__ import annotations

import contextlib
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.errors import MalformedMessage, MessageTooLarge
from sync.server.deflate import (
    MAX_BYTES,
    MIN_BYTES,
    accepts,
    deflate,
    inflate,
    worth_deflating,
)

TAIL = b"\x00\x00\xff\xff"


def deflated(message: bytes, flush: int = zlib.Z_SYNC_FLUSH, wbits: int = -15) -> bytes:
    """As clients do it, tail and all."""
    compressor = zlib.compressobj(wbits=wbits)
    return compressor.compress(message) + compressor.flush(flush)


@pytest.mark.parametrize(
    "offers",
    [
        b"permessage-deflate",
        b"permessage-deflate; client_max_window_bits",
        b"permessage-deflate;client_max_window_bits=10",
        b'permessage-deflate; client_max_window_bits="10"',
        b"permessage-deflate; client_max_window_bits = 15",
        b"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        b"permessage-deflate; client_no_context_takeover; client_max_window_bits=8",
        b"permessage-deflate; server_max_window_bits=10, permessage-deflate",
        b"x-webkit-deflate-frame, permessage-deflate",
        b"permessage-bzip2; quality=9 , permessage-deflate ; client_max_window_bits ",
    ],
)
def test_offers_that_are_taken(offers: bytes) -> None:
    assert accepts(offers)


@pytest.mark.parametrize(
    "offers",
    [
        b"",
        b",",
        b"deflate",
        b"permessage-deflate-2",
        b"x-webkit-deflate-frame",
        b"permessage-deflate; server_max_window_bits=10",  # we keep to no smaller window
        b"permessage-deflate; server_max_window_bits",
        b"permessage-deflate; unknown",
        b"permessage-deflate;",
        b"permessage-deflate; client_max_window_bits=7",
        b"permessage-deflate; client_max_window_bits=16",
        b"permessage-deflate; client_max_window_bits=010",
        b"permessage-deflate; client_max_window_bits=",
        b'permessage-deflate; client_max_window_bits="10',
        b"permessage-deflate; client_no_context_takeover=1",
        b"permessage-deflate; server_no_context_takeover=true",
        b"permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        b"permessage-deflate; client_max_window_bits=9; client_max_window_bits=10",
    ],
)
def test_offers_that_must_be_declined(offers: bytes) -> None:
    """RFC 7692 section 7.1: unknown, invalid or doubled parameters."""
    assert not accepts(offers)


@given(st.binary(max_size=100))
def test_no_offer_raises(offers: bytes) -> None:
    accepts(offers)


@given(st.binary(max_size=5_000))
def test_there_and_back(message: bytes) -> None:
    assert inflate(deflate(message), len(message)) == message


@given(st.binary(max_size=2_000), st.integers(9, 15))
def test_whatever_window_the_client_chose(message: bytes, bits: int) -> None:
    payload = deflated(message, wbits=-bits).removesuffix(TAIL)
    assert inflate(payload, len(message)) == message


def test_with_a_last_block() -> None:
    """RFC 7692 section 7.2.3.4, its example: a message need not end in a sync flush."""
    assert inflate(bytes.fromhex("f348cdc9c9070000"), 5) == b"Hello"
    assert inflate(deflated(b"Hello", zlib.Z_FINISH), 5) == b"Hello"


def test_in_several_blocks() -> None:
    """RFC 7692 section 7.2.3.5, its example."""
    assert inflate(bytes.fromhex("f248050000 00ffff cac9c90700".replace(" ", "")), 5) == b"Hello"


@given(st.binary(max_size=300))
def test_garbage_is_malformed_and_nothing_else(payload: bytes) -> None:
    with contextlib.suppress(MalformedMessage, MessageTooLarge):
        inflate(payload, 10_000)


def test_a_message_cut_short_is_none() -> None:
    """zlib would give what there is, and be content."""
    payload = deflate(" ".join(str(n * n) for n in range(500)).encode())
    assert len(payload) > 1_000
    for end in range(len(payload)):
        with pytest.raises(MalformedMessage):
            inflate(payload[:end], 10_000)


@pytest.mark.parametrize("behind", [b"x", b"\x00x", TAIL, b"\x00" * 100])
def test_bytes_behind_the_end(behind: bytes) -> None:
    with pytest.raises(MalformedMessage):
        inflate(deflated(b"Hello", zlib.Z_FINISH) + behind, 1_000)


def test_the_bound_is_exact() -> None:
    payload = deflate(bytes(10_000))
    assert len(inflate(payload, 10_000)) == 10_000
    with pytest.raises(MessageTooLarge, match="9999"):
        inflate(payload, 9_999)


def test_a_bomb_costs_what_was_allowed() -> None:
    """1 GiB of zeros in a megabyte."""
    compressor = zlib.compressobj(9, wbits=-15)
    zeros = bytes(2**24)
    payload = b"".join(compressor.compress(zeros) for _ in range(16)) + compressor.flush()
    tracemalloc.start()
    try:
        with pytest.raises(MessageTooLarge):
            inflate(payload, 2**20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


@pytest.mark.parametrize(
    ("size", "worth"),
    [
        (0, False),
        (MIN_BYTES, False),
        (MIN_BYTES + 1, True),
        (MAX_BYTES, True),
        (MAX_BYTES + 1, False),
    ],
)
def test_what_is_worth_it(size: int, worth: bool) -> None:
    assert worth_deflating(bytes(size)) is worth
