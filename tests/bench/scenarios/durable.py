"""Saved means on disk: how soon, and how much of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from tests.bench.client import Client, Pulse, Room
from tests.bench.dialects import saved
from tests.bench.edits import Author, Stream
from tests.bench.feed import Feed
from tests.bench.frames import frame
from tests.bench.process import Usage
from tests.bench.scenario import FIRST_CLIENT, Better, Figures, Measure, written
from tests.bench.servers import Peer, Server, Setting, running
from tests.bench.together import enter, gather, quantile, usage_figures

PAGE = b"\xa5" * 4096


class Saver(Client):
    """Notes the moment at which its last barrier came back."""

    saved_at = 0.0

    def note_saved(self, number: int) -> None:
        super().note_saved(number)
        self.saved_at = time.perf_counter()


@dataclass(frozen=True)
class Durable:
    """One writer, edit by edit; then ``writers``, each in a room of its own, then all in one."""

    single: int = 400
    writers: int = 50
    edits: int = 2_000
    seconds: float = 2.0
    window: int = 64
    barrier_every: int = 16
    ours_only: bool = True
    most_rounds: int = 9
    name: str = "durable"

    @property
    def title(self) -> str:
        return "Durable edits"

    @property
    def measures(self) -> tuple[Measure, ...]:
        many = f"durable edits/s, {self.writers} writers"
        return (
            Measure("fsyncs", "p50 send → SAVED in fsyncs", Better.LESS, digits=2, limit=2),
            Measure("saved", "p50 send → SAVED ms", Better.LESS, digits=3),
            Measure("fsync", "p50 fsync ms", Better.LESS, digits=3),
            Measure("rooms", f"{many}, a room each", Better.MORE, limit=10_000),
            Measure("room", f"{many}, one room", Better.MORE),
        )

    async def run(self, peer: Peer, setting: Setting) -> Figures:
        async with running(peer, setting) as server:
            waits, syncs = await self._one_by_one(server, setting)
            first = server.tree.read()
            apart = await self._many(server, setting, together=False)
            usage = Usage.between(first, server.tree.read())
            await server.settle()
            one = await self._many(server, setting, together=True)
        return {
            "fsyncs": quantile(waits, 0.5) / quantile(syncs, 0.5),
            "saved": quantile(waits, 0.5) * 1e3,
            "fsync": quantile(syncs, 0.5) * 1e3,
            "rooms": apart,
            "room": one,
            **usage_figures(usage),
        }

    async def _one_by_one(
        self, server: Server, setting: Setting
    ) -> tuple[list[float], list[float]]:
        """The seconds that each SAVED took, and each fsync of a page on the same disk, in turn."""
        stream = written(setting.seed, self.single)
        room = Room("one-by-one", server.peer.dialect, pulse := Pulse())
        writer = Saver(room, room.dialect.greeting(room.name, b"\0"))
        await enter(server, [writer], pulse)
        waits, syncs = [], []
        with _probe(setting.data) as probe:
            for number, update in enumerate(stream.updates, 1):
                syncs.append(_fsync_seconds(probe))
                block = frame(room.dialect.update(room.name, update)) + frame(saved(number))
                sent = time.perf_counter()
                writer.write(block)
                await pulse.until(lambda: writer.saved == number, lambda: "no SAVED")  # noqa: B023
                waits.append(writer.saved_at - sent)
        await writer.leave()
        return waits, syncs

    async def _many(self, server: Server, setting: Setting, *, together: bool) -> float:
        """Durable edits a second of all writers; each is ahead of its last SAVED by its window."""
        pulse = Pulse()
        names = (
            ["together"] * self.writers if together else [f"apart-{n}" for n in range(self.writers)]
        )
        rooms = {name: Room(name, server.peer.dialect, pulse) for name in names}
        streams = self._streams(setting.seed, len(rooms))
        clients = [Client(rooms[name], server.peer.dialect.greeting(name, b"\0")) for name in names]
        await enter(server, clients, pulse)
        feeds = [
            Feed(
                client,
                (),
                stream,
                window=self.window,
                saves=True,
                barrier_every=self.barrier_every,
                by_saved=True,
            )
            for client, stream in zip(clients, streams, strict=True)
        ]
        began = time.perf_counter()
        await _run_all(feeds, self.edits, self.seconds)
        seconds = time.perf_counter() - began
        await _converged(feeds, pulse)
        await gather(client.leave() for client in clients)
        return sum(feed.sent for feed in feeds) / seconds

    def _streams(self, seed: int, rooms: int) -> list[Stream]:
        """In rooms of their own all may write the same; in one room each has a column."""
        if rooms > 1:
            return [written(seed, self.edits)] * self.writers
        people = (Author(FIRST_CLIENT + n, seed, f"/{n}") for n in range(self.writers))
        return [author.write(self.edits) for author in people]


async def _run_all(feeds: Sequence[Feed], edits: int, seconds: float) -> None:
    async with anyio.create_task_group() as group:
        for feed in feeds:
            group.start_soon(feed.run, edits, seconds)


async def _converged(feeds: Sequence[Feed], pulse: Pulse) -> None:
    """Return when everybody has what anybody in the same room has sent."""
    wanted: dict[Room, dict[int, int]] = {}
    for feed in feeds:
        reached = feed.stream.ends[feed.sent - 1]
        wanted.setdefault(feed.writer.room, {})[feed.stream.client] = reached

    def lacking() -> int:
        return sum(not feed.writer.progress.covers(wanted[feed.writer.room]) for feed in feeds)

    await pulse.until(lambda: not lacking(), lambda: f"{lacking()} clients lack edits")


@contextmanager
def _probe(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder / "fsync.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _fsync_seconds(descriptor: int) -> float:
    began = time.perf_counter()
    os.write(descriptor, PAGE)
    os.fsync(descriptor)
    return time.perf_counter() - began
