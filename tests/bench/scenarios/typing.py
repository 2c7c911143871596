"""Many small rooms in which everybody types: nothing can be merged, so each edit costs its own."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.bench.client import Pulse
from tests.bench.edits import Author
from tests.bench.evaluators import Evaluator, company, received, type_steadily
from tests.bench.process import Usage
from tests.bench.scenario import FIRST_CLIENT, Better, Figures, Measure
from tests.bench.servers import Peer, Server, Setting, running
from tests.bench.together import enter, gather, quantile, usage_figures


@dataclass(frozen=True)
class Typing:
    """``rooms`` rooms of ``people`` who make one edit each ``period`` seconds."""

    rooms: int = 50
    people: int = 5
    period: float = 0.5
    edits: int = 16
    warm_up_edits: int = 2
    ours_only: bool = False
    most_rounds: int = 9
    name: str = "typing"

    @property
    def title(self) -> str:
        rate = 1 / self.period
        return f"{self.rooms} rooms × {self.people} evaluators, each typing {rate:.0f} edits/s"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("cpu", "CPU % of a core", Better.LESS, digits=1, ratio=0.5),
            Measure("p50", "p50 delivery ms", Better.LESS, digits=2),
            Measure("p99", "p99 delivery ms", Better.LESS, digits=2, ratio=1.0),
        )

    async def run(self, peer: Peer, setting: Setting) -> Figures:
        """CPU is counted until the server is idle again, and told as a share of the typing."""
        count = self.warm_up_edits + self.edits
        streams = [Author(FIRST_CLIENT + n, setting.seed).write(count) for n in range(self.people)]
        pulse = Pulse()
        rooms = [company(f"typing-{n}", peer.dialect, pulse, streams) for n in range(self.rooms)]
        people = [each for room in rooms for each in room]
        random.Random(setting.seed).shuffle(people)
        async with running(peer, setting) as server:
            await enter(server, people, pulse)
            await type_steadily(people, self.warm_up_edits, self.period, saves=peer.saves)
            await received(people, pulse, saves=peer.saves)
            await server.settle(wait=0)
            return await self._measure(people, pulse, server)

    async def _measure(self, people: list[Evaluator], pulse: Pulse, server: Server) -> Figures:
        saves = server.peer.saves
        first = server.tree.read()
        await type_steadily(people, self.edits, self.period, saves=saves)
        last = server.tree.read()
        await received(people, pulse, saves=saves)
        await server.settle()
        cpu = server.tree.cpu() - first.server
        await gather(each.leave() for each in people)
        took = [
            arrival.took * 1e3
            for each in people
            for arrival in each.arrivals
            if arrival.sent > first.at
        ]
        return {
            "cpu": cpu / (last.at - first.at) * 100,
            "p50": quantile(took, 0.5),
            "p99": quantile(took, 0.99),
            "deliveries": len(took),
            **usage_figures(Usage.between(first, last)),
        }
