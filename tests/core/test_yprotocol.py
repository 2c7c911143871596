"""The y-websocket protocol: frames in, messages out, and back."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.errors import MalformedMessage
from sync.core.wire import MAX_INTEGER, encode_bytes, encode_string, encode_uint
from sync.core.yprotocol import (
    EMPTY_UPDATE,
    MAX_BARRIER,
    Awareness,
    AwarenessEntry,
    Barrier,
    Message,
    QueryAwareness,
    RenewToken,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    awareness_frame,
    decode,
    decode_state_vector,
    denied_frame,
    encode_state_vector,
    renewed_frame,
    saved_frame,
    step1_frame,
    step2_frame,
    update_frame,
)

entries = st.builds(
    AwarenessEntry, st.integers(0, MAX_INTEGER), st.integers(0, MAX_INTEGER), st.text(max_size=20)
)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("00000100", SyncStep1(b"\x00")),
        ("0001020000", SyncStep2(EMPTY_UPDATE)),
        ("0002020000", SyncUpdate(EMPTY_UPDATE)),
        ("000200", SyncUpdate(b"")),
        ("010100", Awareness(())),
        ("0106016501027b7d", Awareness((AwarenessEntry(101, 1, "{}"),))),
        ("03", QueryAwareness()),
        ("0201026162", RenewToken("ab")),
        ("660101", Barrier(b"\x01")),
        ("6600", Barrier(b"")),
    ],
)
def test_what_stock_clients_send(frame: str, message: Message) -> None:
    assert decode(bytes.fromhex(frame)) == message


@given(st.binary())
def test_sync_frames_round_trip(payload: bytes) -> None:
    assert decode(step1_frame(payload)) == SyncStep1(payload)
    assert decode(step2_frame(payload)) == SyncStep2(payload)
    assert decode(update_frame(payload)) == SyncUpdate(payload)


@given(st.binary(max_size=MAX_BARRIER))
def test_barriers_come_back_as_they_were(payload: bytes) -> None:
    assert decode(saved_frame(payload)) == Barrier(payload)


@given(st.lists(entries, max_size=8))
def test_presence_round_trips(listed: list[AwarenessEntry]) -> None:
    assert decode(awareness_frame(listed)) == Awareness(tuple(listed))


@given(st.dictionaries(st.integers(0, MAX_INTEGER), st.integers(0, MAX_INTEGER), max_size=8))
def test_state_vectors_round_trip(clocks: dict[int, int]) -> None:
    assert decode_state_vector(encode_state_vector(clocks)) == clocks


@given(st.binary())
def test_any_frame_is_a_message_or_refused(frame: bytes) -> None:
    with suppress(MalformedMessage):
        decode(frame)


@given(st.sampled_from([0, 1, 2, 3, 102]), st.integers(0, 3), st.binary(max_size=30))
def test_any_frame_of_a_known_type_is_a_message_or_refused(
    kind: int, sub: int, rest: bytes
) -> None:
    with suppress(MalformedMessage):
        decode(bytes([kind, sub]) + rest)


@given(st.binary())
def test_any_state_vector_is_read_or_refused(data: bytes) -> None:
    with suppress(MalformedMessage):
        decode_state_vector(data)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "in the middle"),
        (b"\x04", "type 4 is unknown"),
        (b"\x65\x00", "type 101 is unknown"),
        (b"\x00\x03\x00", "sync message 3 is unknown"),
        (b"\x00\x00\x01\x00\x00", "1 bytes follow"),
        (b"\x00\x01\x02\x00\x00\x00", "1 bytes follow"),
        (b"\x00\x02\x02\x00\x00\x00", "1 bytes follow"),
        (b"\x00\x02\x03\x00\x00", "says 3 bytes"),
        (b"\x02\x00\x01a", "2/1"),
        (b"\x02\x01\x01\xff", "UTF-8"),
        (b"\x03\x00", "1 bytes follow"),
        (saved_frame(b"x" * (MAX_BARRIER + 1)), "at most 1024"),
        (b"\x01" + encode_bytes(encode_uint(4_097) + b"\x00" * 40_000), "4097 entries"),
        (b"\x01" + encode_bytes(encode_uint(3) + b"\x00" * 8), "3 entries"),
        (b"\x01" + encode_bytes(b"\x00\x00"), "1 bytes follow"),
    ],
)
def test_bad_frames_are_refused_with_what_was_expected(frame: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        decode(frame)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02\x01\x01", b"\x00\x00", b"\xff\xff\xff\x7f"])
def test_bad_state_vectors_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_state_vector(data)


def test_the_servers_own_frames_are_what_clients_read() -> None:
    assert denied_frame("no") == b"\x02\x00" + encode_string("no")
    assert renewed_frame("2026-11-22T00:00:00Z") == b"\x02\x01" + encode_string(
        "2026-11-22T00:00:00Z"
    )
