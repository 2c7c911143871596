"""The recorded traffic of real editors passes through the server unharmed."""

from functools import partial

import pytest
from anyio.to_thread import run_sync

from tests.support.corpus import Recording, names, recording, recordings
from tests.support.oracle import Oracle, Verdict
from tests.wire.party import Party


async def test_the_corpus_is_large_and_small_enough() -> None:
    updates = [update for one in recordings() for update in one.updates]
    assert len(updates) > 4000
    assert 200_000 < sum(len(update) for update in updates) < 400_000


def judged(updates: list[bytes], one: Recording) -> Verdict:
    """What npm yjs makes of updates."""
    with Oracle() as oracle:
        return oracle.merge([updates], one.roots)[0]


FLOATS = pytest.mark.xfail(reason="yrs makes numbers of bigints that a float can hold", strict=True)
CASES = [pytest.param(name, marks=FLOATS if name == "bigints" else ()) for name in names()]


@pytest.mark.parametrize("name", CASES)
async def test_a_recording_survives_the_server(party: Party, name: str) -> None:
    """Sent byte for byte as it was recorded; then a newcomer must get all of it."""
    one = recording(name)
    sender = await party.join("editor", roots=one.roots)
    await sender.adopt(*one.updates)
    await sender.send(*(sync_update(update) for update in one.updates))
    await sender.saved()
    assert not sender.happened("denied")
    newcomer = await party.join("newcomer", roots=one.roots)
    state = await newcomer.state()
    assert state.vector == one.vector
    assert not state.pending
    expected = await run_sync(partial(judged, list(one.updates), one))
    assert state.roots == expected.roots


def sync_update(update: bytes) -> bytes:
    """A frame of type 0 (sync), 2 (update)."""
    return bytes([0, 2]) + varint(len(update)) + update


def varint(number: int) -> bytes:
    """lib0's: seven bits at a time, the lowest first."""
    head = b""
    while number > 127:
        head += bytes([number & 127 | 128])
        number >>= 7
    return head + bytes([number])
