"""Everybody comes at once: what a join costs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from tests.bench.client import Pulse, Room
from tests.bench.dialects import states
from tests.bench.edits import Author, Stream
from tests.bench.process import Usage
from tests.bench.scenario import FIRST_CLIENT, Better, Figures, Measure
from tests.bench.servers import Peer, Server, Setting, running
from tests.bench.together import Joiner, gather, quantile, usage_figures, write_documents


@dataclass(frozen=True)
class Joining:
    """``clients`` clients join ``rooms`` rooms that hold a filled-in form."""

    clients: int = 2_000
    rooms: int = 400
    letters: int = 40
    ours_only: bool = False
    most_rounds: int = 9
    name: str = "joining"

    @property
    def title(self) -> str:
        return f"{self.clients:,} clients join {self.rooms} rooms at once"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("seconds", "s until all are synced", Better.LESS, digits=2, ratio=0.6),
            Measure("cpu", "CPU µs per client", Better.LESS, ratio=0.4),
            Measure("p99", "p99 join ms", Better.LESS),
        )

    async def run(self, peer: Peer, setting: Setting) -> Figures:
        """Whoever filled the forms in has left; whether they are in memory is the server's."""
        form = Author(FIRST_CLIENT, setting.seed).fill_in(self.letters)
        names = [f"joining-{n}" for n in range(self.rooms)]
        async with running(peer, setting) as server:
            await write_documents(server, names, form)
            return await self._join(server, names, form)

    async def _join(self, server: Server, names: list[str], form: Stream) -> Figures:
        pulse = Pulse()
        arrived: list[None] = []
        rooms = [Room(name, server.peer.dialect, pulse) for name in names]
        clients = [
            Joiner(
                room := rooms[n % len(rooms)],
                room.dialect.greeting(room.name, _presence(n)),
                {form.client: form.ends[-1]},
                lambda: arrived.append(None),
            )
            for n in range(self.clients)
        ]
        tokens = [server.token(f"evaluator-{n}") for n in range(self.clients)]
        first, began = server.tree.read(), time.perf_counter()
        await gather(
            client.connect(server.port, each) for client, each in zip(clients, tokens, strict=True)
        )
        await pulse.until(
            lambda: len(arrived) == len(clients),
            lambda: f"{len(clients) - len(arrived)} of {len(clients)} clients are not synced",
        )
        seconds, last = time.perf_counter() - began, server.tree.read()
        await server.settle(wait=0)
        cpu = server.tree.cpu() - first.server
        await gather(client.leave() for client in clients)
        return {
            "seconds": seconds,
            "cpu": cpu / len(clients) * 1e6,
            "p99": quantile([client.took or 0.0 for client in clients], 0.99) * 1e3,
            **usage_figures(Usage.between(first, last)),
        }


def _presence(number: int) -> bytes:
    """The awareness of one client, as a form's editor announces it."""
    state = {"user": {"name": f"Evaluator {number}", "color": "#30bced"}, "field": "criterion-07"}
    return states({FIRST_CLIENT + 1 + number: (1, json.dumps(state).encode())})
