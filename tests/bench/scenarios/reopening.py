"""The morning after a restart: many stored documents are opened at once."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.client import Pulse, Room
from tests.bench.edits import Author, Stream
from tests.bench.process import Usage
from tests.bench.scenario import FIRST_CLIENT, Better, Figures, Measure
from tests.bench.servers import Peer, Server, Setting, running
from tests.bench.together import Joiner, gather, usage_figures, write_documents

SEED = 1
"""Of the documents: they are the same in all rounds."""


@dataclass(frozen=True)
class Reopening:
    """``opened`` of ``stored`` documents, forms with ``letters`` letters in each comment."""

    stored: int = 2_000
    opened: int = 400
    letters: int = 200
    ours_only: bool = False
    most_rounds: int = 9
    name: str = "reopening"

    @property
    def title(self) -> str:
        return f"Restart, then {self.opened} of {self.stored:,} stored documents opened at once"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("seconds", "s until all are synced", Better.LESS, digits=2, ratio=0.5),
            Measure("ready", "s to ready", Better.LESS, digits=2),
            Measure("cpu", "CPU µs per document", Better.LESS),
        )

    async def run(self, peer: Peer, setting: Setting) -> Figures:
        """The documents are written once for all rounds; each round opens a copy of the folder."""
        form = Author(FIRST_CLIENT, SEED).fill_in(self.letters)
        names = [f"stored-{n}" for n in range(self.stored)]
        stored = setting.shelf / f"{self.name}-{peer.name}"
        if not stored.exists():
            await self._write(peer, setting, names, form, stored)
        shutil.copytree(stored, setting.data, dirs_exist_ok=True)
        async with running(peer, setting) as server:
            await server.settle(wait=0)
            return await self._open(server, names[:: self.stored // self.opened], form)

    async def _write(
        self, peer: Peer, setting: Setting, names: list[str], form: Stream, stored: Path
    ) -> None:
        shutil.rmtree(unfinished := stored.with_suffix(".unfinished"), ignore_errors=True)
        unfinished.mkdir()
        async with running(peer, replace(setting, data=unfinished)) as server:
            await write_documents(server, names, form)
        unfinished.rename(stored)

    async def _open(self, server: Server, names: list[str], form: Stream) -> Figures:
        pulse = Pulse()
        arrived: list[None] = []
        clients = [
            Joiner(
                room := Room(name, server.peer.dialect, pulse),
                room.dialect.greeting(name, b"\0"),
                {form.client: form.ends[-1]},
                lambda: arrived.append(None),
            )
            for name in names
        ]
        first, began = server.tree.read(), time.perf_counter()
        await gather(client.connect(server.port, server.token("reader")) for client in clients)
        await pulse.until(
            lambda: len(arrived) == len(clients),
            lambda: f"{len(clients) - len(arrived)} of {len(clients)} documents did not come",
        )
        seconds, last = time.perf_counter() - began, server.tree.read()
        await gather(client.leave() for client in clients)
        return {
            "seconds": seconds,
            "ready": server.start_seconds,
            "cpu": (last.server - first.server) / len(clients) * 1e6,
            **usage_figures(Usage.between(first, last)),
        }
