"""lib0's encoding: what goes in comes out, and nothing is read that is not there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.errors import MalformedMessage
from sync.core.wire import MAX_INTEGER, Reader, encode_bytes, encode_string, encode_uint

READS: list[Callable[[Reader], object]] = [Reader.read_uint, Reader.read_bytes, Reader.read_string]


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2**32, "8080808010"),
        (MAX_INTEGER, "ffffffffffffff0f"),
    ],
)
def test_integers_are_lib0s(value: int, encoded: str) -> None:
    assert encode_uint(value).hex() == encoded
    assert Reader(bytes.fromhex(encoded)).read_uint() == value


@given(st.integers(0, MAX_INTEGER), st.binary())
def test_integers_round_trip(value: int, rest: bytes) -> None:
    reader = Reader(encode_uint(value) + rest)
    assert reader.read_uint() == value
    assert reader.left == len(rest)


@given(st.binary(), st.binary())
def test_bytes_round_trip(value: bytes, rest: bytes) -> None:
    reader = Reader(encode_bytes(value) + rest)
    assert reader.read_bytes() == value
    assert reader.left == len(rest)


@given(st.text(), st.binary())
def test_strings_round_trip(value: str, rest: bytes) -> None:
    reader = Reader(encode_string(value) + rest)
    assert reader.read_string() == value
    assert reader.left == len(rest)


@given(st.integers(0, MAX_INTEGER), st.data())
def test_every_cut_is_noticed(value: int, data: st.DataObject) -> None:
    encoded = encode_bytes(encode_uint(value))
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(MalformedMessage):
        Reader(encoded[:cut]).read_bytes()


@pytest.mark.parametrize("read", READS)
@given(frame=st.binary(), at=st.integers(0, 8))
def test_any_bytes_are_read_or_refused(
    read: Callable[[Reader], object], frame: bytes, at: int
) -> None:
    reader = Reader(frame, min(at, len(frame)))
    try:
        read(reader)
    except MalformedMessage:
        return
    assert 0 <= reader.at <= len(frame)
    assert reader.left == len(frame) - reader.at


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("", "in the middle of an integer"),
        ("80", "in the middle of an integer"),
        ("8080808080808080", "longer than the 8 bytes"),
        ("808080808080808001", "longer than the 8 bytes"),
        ("ffffffffffffff1f", "above 2^53 - 1"),
    ],
)
def test_bad_integers_are_refused(frame: str, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason.replace("^", r"\^")):
        Reader(bytes.fromhex(frame)).read_uint()


@pytest.mark.parametrize("length", [1, 5, 2**31, MAX_INTEGER])
def test_a_length_beyond_the_frame_is_refused_before_it_is_used(length: int) -> None:
    with pytest.raises(MalformedMessage, match=f"says {length} bytes"):
        Reader(encode_uint(length)).read_bytes()


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80"])
def test_strings_are_strict_utf8(text: bytes) -> None:
    with pytest.raises(MalformedMessage, match="not UTF-8"):
        Reader(encode_bytes(text)).read_string()


def test_finish_wants_everything_read() -> None:
    reader = Reader(b"\x01\x02")
    reader.read_uint()
    with pytest.raises(MalformedMessage, match="1 bytes follow"):
        reader.finish()
    reader.read_uint()
    reader.finish()
