"""What a connection costs that only listens, and whether its room gives back what it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.client import Client, Pulse, Room
from tests.bench.edits import Author
from tests.bench.process import Usage
from tests.bench.scenario import FIRST_CLIENT, Better, Figures, Measure
from tests.bench.servers import Peer, Server, Setting, running
from tests.bench.together import enter, gather, usage_figures, write_documents

UNLOAD = ("--unload-seconds", "1")
UNLOADED_AFTER = 1.5


@dataclass(frozen=True)
class Memory:
    """``rooms`` rooms with a client each, then ``clients`` in all; then nobody.

    The first client of a room pays for the room and is not counted. It comes out the same each
    time: one round is enough.
    """

    clients: int = 2_000
    rooms: int = 400
    letters: int = 40
    ours_only: bool = True
    most_rounds: int = 1
    name: str = "memory"

    @property
    def title(self) -> str:
        return f"{self.clients:,} idle connections in {self.rooms} rooms"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("connection", "KB per idle connection", Better.LESS, digits=1, limit=16),
            Measure("room", "KB per room with one client", Better.LESS, digits=1),
            Measure("returned", "% given back when all have gone", Better.MORE),
            Measure("again", "MB more when all come again", Better.LESS, digits=1),
            Measure("idle", "MB before the first client", Better.LESS),
        )

    async def run(self, peer: Peer, setting: Setting) -> Figures:
        """The forms in the rooms are written by a server of their own before."""
        form = Author(FIRST_CLIENT, setting.seed).fill_in(self.letters)
        names = [f"memory-{n}" for n in range(self.rooms)]
        async with running(peer, setting) as server:
            await write_documents(server, names, form)
        async with running(peer, setting, *UNLOAD) as server:
            await server.settle()
            idle, reading = server.tree.resident(), server.tree.read()
            opened, full = await self._fill(server, names)
            usage = Usage.between(reading, server.tree.read())
            empty = server.tree.resident()
            _, again = await self._fill(server, names)
        return {
            "connection": (full - opened) / (self.clients - self.rooms) / 1024,
            "room": (opened - idle) / self.rooms / 1024,
            "returned": (full - empty) / (full - idle) * 100,
            "again": (again - full) / 2**20,
            "idle": idle / 2**20,
            **usage_figures(usage),
        }

    async def _fill(self, server: Server, names: Sequence[str]) -> tuple[int, int]:
        """Bytes with a client in each room, and with all clients. Everybody has left again."""
        pulse = Pulse()
        rooms = [Room(name, server.peer.dialect, pulse) for name in names]
        clients = [
            Client(room := rooms[n % self.rooms], room.dialect.greeting(room.name, b"\0"))
            for n in range(self.clients)
        ]
        await enter(server, clients[: self.rooms], pulse)
        await server.settle()
        opened = server.tree.resident()
        await enter(server, clients[self.rooms :], pulse)
        await server.settle()
        full = server.tree.resident()
        await gather(client.leave() for client in clients)
        await server.settle(wait=UNLOADED_AFTER)
        return opened, full
