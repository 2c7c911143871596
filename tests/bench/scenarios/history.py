"""One document that many edits have made: what it takes to open, and on disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import cycle, islice
from pathlib import Path

from tests.bench.client import Client, Pulse, Room
from tests.bench.edits import Author, Stream
from tests.bench.feed import Feed
from tests.bench.process import Usage
from tests.bench.scenario import FIRST_CLIENT, Better, Figures, Measure
from tests.bench.servers import Peer, Setting, running
from tests.bench.together import Joiner, enter, gather, usage_figures

SEED = 1
NAME = "history"

RETENTION: tuple[str, ...] = ()
"""The options of ``draftsync serve`` that let old history go, such as ``--history-seconds 0``. With
them here, the scenario also starts the server with them, waits until it is idle, stops it, and
holds what is on disk against the snapshot. Until it sweeps at its start, there is none to see."""

KEPT = Measure("kept", "disk ÷ snapshot after retention", Better.LESS, digits=2, limit=1.2)


@dataclass(frozen=True)
class LongHistory:
    """A document's edits, by several authors in turns, and what they come to."""

    turns: tuple[Stream, ...]
    wanted: dict[int, int]
    """The clock of each author at the end."""
    snapshot: int
    """Bytes of the whole document as one update."""

    @property
    def log(self) -> int:
        """Bytes of all updates."""
        return sum(turn.size for turn in self.turns)


@dataclass(frozen=True)
class History:
    """A cold start with a document of ``edits`` edits."""

    edits: int = 50_000
    authors: int = 5
    turn: int = 500
    ours_only: bool = True
    most_rounds: int = 9
    name: str = NAME

    @property
    def title(self) -> str:
        return f"One document after {self.edits:,} edits"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("load", "cold load ms", Better.LESS, limit=150),
            Measure("disk", "disk ÷ raw update log", Better.LESS, digits=2, limit=3),
            Measure("snapshots", "disk ÷ snapshot", Better.LESS, digits=2),
            *((KEPT,) if RETENTION else ()),
        )

    async def run(self, peer: Peer, setting: Setting) -> Figures:
        """The document is written once for all rounds; each opens a copy after a clean stop."""
        history = long_history(self.edits, self.authors, self.turn)
        shutil.copytree(await stored(peer, setting, history), setting.data, dirs_exist_ok=True)
        disk = _bytes_on_disk(setting.data)
        async with running(peer, setting) as server:
            await server.settle()
            room = Room(self.name, peer.dialect, pulse := Pulse())
            reader = Joiner(room, peer.dialect.greeting(room.name, b"\0"), history.wanted)
            first = server.tree.read()
            await reader.connect(server.port, server.token("reader"))
            await pulse.until(lambda: reader.took is not None, lambda: "it was not loaded")
            usage = Usage.between(first, server.tree.read())
            await reader.leave()
        return {
            "load": (reader.took or 0.0) * 1e3,
            "disk": disk / history.log,
            "snapshots": disk / history.snapshot,
            **usage_figures(usage),
            **(await self._after_retention(peer, setting, history)),
        }

    async def _after_retention(self, peer: Peer, setting: Setting, history: LongHistory) -> Figures:
        if not RETENTION:
            return {}
        async with running(peer, setting, *RETENTION) as server:
            await server.settle()
        return {KEPT.key: _bytes_on_disk(setting.data) / history.snapshot}


@lru_cache(maxsize=2)
def long_history(edits: int, authors: int, turn: int) -> LongHistory:
    """Write it: each author has seen all that came before the turn."""
    people = [Author(FIRST_CLIENT + n, SEED) for n in range(authors)]
    turns = []
    for writer in islice(cycle(people), edits // turn):
        turns.append(stretch := writer.write(turn))
        for other in people:
            if other is not writer:
                other.learn(stretch.updates)
    wanted = {stretch.client: stretch.ends[-1] for stretch in turns}
    return LongHistory(tuple(turns), wanted, len(people[0].doc.get_update()))


async def stored(peer: Peer, setting: Setting, history: LongHistory) -> Path:
    """A data folder with the document in it, after a clean stop. It is made once."""
    folder = setting.shelf / f"{NAME}-{len(history.turns)}"
    if not folder.exists():
        shutil.rmtree(unfinished := folder.with_suffix(".unfinished"), ignore_errors=True)
        unfinished.mkdir()
        await _write(peer, setting, history, unfinished)
        unfinished.rename(folder)
    return folder


async def _write(peer: Peer, setting: Setting, history: LongHistory, data: Path) -> None:
    async with running(peer, replace(setting, data=data)) as server:
        room = Room(NAME, peer.dialect, pulse := Pulse())
        clients = {
            author: Client(room, peer.dialect.greeting(NAME, b"\0")) for author in history.wanted
        }
        await enter(server, list(clients.values()), pulse)
        for turn in history.turns:
            writer = clients[turn.client]
            readers = [client for client in clients.values() if client is not writer]
            await Feed(writer, readers, turn, window=256, saves=peer.saves).run(len(turn))
        await gather(client.leave() for client in clients.values())
        await server.settle()


def _bytes_on_disk(data: Path) -> int:
    """The database and what belongs to it, the log of the process left out."""
    return sum(file.stat().st_size for file in data.iterdir() if file.suffix != ".log")
