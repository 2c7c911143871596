"""Random histories over a real server, with broken connections and repeats, against npm yjs."""

from uuid import uuid4

import pytest

from tests.support.node import NodeDriver
from tests.support.service import ServiceProcess

LANES = 12
HISTORIES = 300


@pytest.mark.parametrize("first", range(0, HISTORIES, 100))
async def test_no_history_diverges(node: NodeDriver, service: ServiceProcess, first: int) -> None:
    """A failure names its seed: run that one alone by `node.replay(..., [seed], ...)`."""
    tokens = [service.token(f"author-{first}-{number}") for number in range(4 * LANES)]
    seeds = range(first, first + 100)
    found = await node.replay(service.sync_url, f"histories/{uuid4()}/", seeds, tokens, within=15)
    await service.check()
    assert found.failures == [], "\n".join(found.failures)
    assert found.histories == len(seeds)
    assert found.updates > 2000
    assert found.drops > 200
    assert found.repeats > 200
