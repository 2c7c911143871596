"""A stock client that does nothing at all stays connected."""

import anyio

from tests.support.node import NodeClient, NodeDriver

SILENCE = 35.0
"""Seconds. Providers drop a socket that brought no message for 30 s, and look every 3 s."""


async def test_a_silent_reader_stays_connected(
    node: NodeDriver, silent_readers: list[NodeClient]
) -> None:
    """Each has a document to itself, and was opened when the session began: see conftest.py."""
    assert silent_readers
    for reader in silent_readers:
        opened = reader.happened("status")[0].at
        await anyio.sleep(max(0, opened + SILENCE - await node.now()))
        statuses = [event.data["status"] for event in reader.happened("status")]
        assert statuses == ["connecting", "connected"]
        assert (await reader.counts()).connections == 1
