"""Rounds: each server has its turn at a scenario before any has its second."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.counting import Failed
from tests.bench.process import Cores
from tests.bench.scenario import Figures, Scenario
from tests.bench.servers import Peer, Setting


@dataclass(frozen=True)
class Run:
    """One server's turn: figures, or why there are none."""

    scenario: str
    peer: str
    round: int
    seconds: float
    figures: Figures = field(default_factory=dict)
    failure: str = ""


async def rounds(
    scenario: Scenario,
    peers: Sequence[Peer],
    count: int,
    *,
    cores: Cores,
    seed: int,
    quiet: float,
    tell: Callable[[Run], None],
) -> list[Run]:
    """Run ``scenario`` on each peer ``count`` times; each round begins with the next of them.

    ``quiet`` is how many seconds without work make a server idle. A failure is one run's; the
    others go on. This process is the load: it keeps to its core, and collects garbage between
    runs only.
    """
    os.sched_setaffinity(0, {cores.load})
    gc.disable()
    runs = []
    with tempfile.TemporaryDirectory(prefix="draftsync-bench-", dir=_disk()) as shelf:
        for number in range(count):
            turn = number % len(peers)
            for peer in (*peers[turn:], *peers[:turn]):
                with tempfile.TemporaryDirectory(dir=shelf) as data:
                    setting = Setting(cores, seed + number, Path(data), Path(shelf), quiet)
                    runs.append(await _run(scenario, peer, number, setting))
                tell(runs[-1])
                gc.collect()
    return runs


async def _run(scenario: Scenario, peer: Peer, number: int, setting: Setting) -> Run:
    began = time.perf_counter()
    figures: Figures = {}
    failure = ""
    try:
        figures = await scenario.run(peer, setting)
    except Failed as failed:
        failure = str(failed)
    return Run(scenario.name, peer.name, number, time.perf_counter() - began, figures, failure)


def _disk() -> str:
    """Where data goes: a disk, also where /tmp is none."""
    return os.environ.get("TMPDIR", "/var/tmp")
