"""One writes as fast as the others receive: what a room can carry, and at what cost."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.client import Client, Pulse, Room
from tests.bench.counting import Failed, count_delivered
from tests.bench.feed import Feed
from tests.bench.process import Usage
from tests.bench.scenario import Better, Figures, Measure, written
from tests.bench.servers import Peer, Setting, running
from tests.bench.together import enter, gather, usage_figures


@dataclass(frozen=True)
class Saturated:
    """A writer, ``readers`` readers, one room."""

    readers: int
    edits: int = 60_000
    seconds: float = 2.0
    warm_up_edits: int = 20_000
    window: int = 256
    rate_ratio: float | None = None
    cpu_ratio: float | None = None
    ours_only: bool = False
    most_rounds: int = 9

    @property
    def name(self) -> str:
        return f"room-1-{self.readers}"

    @property
    def title(self) -> str:
        return f"Saturated room, 1 → {self.readers}"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("rate", "deliveries/s", Better.MORE, ratio=self.rate_ratio),
            Measure("cpu", "CPU µs per delivery", Better.LESS, digits=2, ratio=self.cpu_ratio),
        )

    async def run(self, peer: Peer, setting: Setting) -> Figures:
        """CPU is counted until the server is idle again: some write to disk later."""
        stream = written(setting.seed, self.warm_up_edits + self.edits)
        async with running(peer, setting) as server:
            room = Room("saturated", peer.dialect, pulse := Pulse())
            greeting = peer.dialect.greeting(room.name, b"\0")
            clients = [Client(room, greeting) for _ in range(1 + self.readers)]
            await enter(server, clients, pulse)
            writer, *readers = clients
            feed = Feed(writer, readers, stream, window=self.window, saves=peer.saves)
            await feed.run(self.warm_up_edits, peer.warm_up)
            await server.settle(wait=0)
            before, first = _deliveries(readers, feed), server.tree.read()
            sent = await feed.run(self.edits, self.seconds)
            last = server.tree.read()
            await server.settle()
            cpu = server.tree.cpu() - first.server
            delivered = _deliveries(readers, feed) - before
            await gather(client.leave() for client in clients)
        if delivered != sent.edits * self.readers:
            raise Failed(f"{delivered} deliveries of {sent.edits} edits to {self.readers} readers")
        return {
            "rate": delivered / sent.seconds,
            "cpu": cpu / delivered * 1e6,
            "edits": sent.edits,
            "deliveries": delivered,
            **usage_figures(Usage.between(first, last)),
        }


def _deliveries(readers: list[Client], feed: Feed) -> int:
    return count_delivered((reader.progress for reader in readers), [feed.stream])
