"""What reads bytes from the network raises MalformedMessage, or nothing; by Hypothesis.

Plain Python, so it runs in this process. What the guard lets pass meets native code in
`tests/fuzz/test_native.py`.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sync.core.errors import InvalidName, MalformedMessage
from sync.core.footprint import Footprint, missing
from sync.core.guard import MAX_CLIENTS_STEP2, MAX_CLOCK, inspect
from sync.core.names import document_name, name_from_path, path_from_name
from sync.core.yprotocol import decode, decode_state_vector, encode_state_vector
from tests.fuzz.histories import edited, handmade
from tests.fuzz.mutation import mutant
from tests.support import hostile

UPDATES = [update for seed in range(8) for update in edited(seed)]
UPDATES += [update for history in handmade() for update in history]
FRAMES = [hostile.sync_update(update) for update in UPDATES]
FRAMES += [hostile.step2(update) for update in UPDATES[:40]]
FRAMES += [hostile.step1(b"\x02\x05\x07\x06\x01")]
FRAMES += [hostile.awareness((7, 1, chr(34) + "é" + chr(34)), (8, 2, "null"))]
FRAMES += [hostile.barrier(b"x"), b"\x03", b"\x02\x01" + hostile.string("token")]

quick = settings(
    max_examples=600, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
clocks = st.dictionaries(st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1), max_size=20)


def near(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes that are nearly one of these."""
    return st.integers(0, 2**64).map(
        lambda seed: mutant(Random(seed), Random(seed ^ 1).choice(seeds), seeds)
    )


@quick
@given(st.binary(max_size=200) | near(FRAMES))
@example(b"")
def test_a_frame(frame: bytes) -> None:
    with suppress(MalformedMessage):
        decode(frame)


@quick
@given(st.binary(max_size=200) | near(UPDATES))
@example(b"\x00\x00")
def test_an_update(update: bytes) -> None:
    try:
        footprint = inspect(update, MAX_CLIENTS_STEP2)
    except MalformedMessage:
        return
    expect_sane(footprint)


def expect_sane(footprint: Footprint) -> None:
    """What the causal gate goes by, whatever the update says."""
    for first, end in footprint.writes.values():
        assert 0 <= first <= end < MAX_CLOCK
    have = {client: end for client, (_, end) in footprint.writes.items()}
    for client, end in footprint.needs.items():
        assert 0 < end <= MAX_CLOCK
        have[client] = max(end, have.get(client, 0))
    assert not missing(footprint, have)
    assert not footprint.news(have)


@quick
@given(near(UPDATES), clocks)
def test_the_gate_names_only_what_is_lacking(update: bytes, have: dict[int, int]) -> None:
    try:
        footprint = inspect(update, MAX_CLIENTS_STEP2)
    except MalformedMessage:
        return
    lacking = missing(footprint, have)
    assert all(end > have.get(client, 0) for client, end in lacking.items())


def test_every_genuine_update_passes() -> None:
    for seed in range(60):
        for update in edited(seed):
            inspect(update)


def test_every_prefix_of_an_update_is_refused() -> None:
    """An update that was cut short anywhere is noticed."""
    for update in sorted(set(UPDATES), key=len)[:150]:
        for end in range(len(update)):
            try:
                inspect(update[:end])
            except MalformedMessage:
                continue
            raise AssertionError(f"{update.hex()} cut to {end} bytes passed")


@quick
@given(st.binary(max_size=100))
def test_a_state_vector(data: bytes) -> None:
    with suppress(MalformedMessage):
        decode_state_vector(data)


@quick
@given(clocks)
def test_a_state_vector_there_and_back(have: dict[int, int]) -> None:
    assert decode_state_vector(encode_state_vector(have)) == have


@quick
@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda name: name.encode()))
def test_a_name(path: bytes) -> None:
    """One canonical form: what was decoded once is written so that it decodes to itself."""
    try:
        name = name_from_path(path)
    except InvalidName:
        return
    assert document_name(name) == name
    assert name_from_path(path_from_name(name).encode()) == name
