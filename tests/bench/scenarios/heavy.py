"""A large document is opened while others work: how much they notice."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import anyio
from picows import WSFrame, WSTransport
from pycrdt import Array, Doc, Map

from tests.bench.client import Client, Pulse, Room
from tests.bench.counting import Failed
from tests.bench.dialects import saved
from tests.bench.edits import Author
from tests.bench.evaluators import Evaluator, company, received, type_steadily
from tests.bench.process import Usage
from tests.bench.scenario import FIRST_CLIENT, Better, Figures, Measure
from tests.bench.scenarios.history import NAME, LongHistory, long_history, stored
from tests.bench.servers import Peer, Server, Setting, running
from tests.bench.together import enter, gather, quantile, usage_figures
from tests.bench.updates import spans

SMALLEST = 8_000
"""Bytes of a frame that can only be one of the documents."""

PATIENT = ("--drain-seconds", "300")
"""Snapshots of several large documents, all due when it stops, may take longer than usual."""

REMARK = "A remark of some length, in prose, that somebody has made about the agent's answer. " * 2


class Opener(Client):
    """Opens a document; reads it only when it is told to :meth:`check`, which takes long."""

    def __init__(self, room: Room, wanted: dict[int, int]) -> None:
        super().__init__(room, room.dialect.greeting(room.name, b"\0"))
        self.began = self.ended = 0.0
        self._wanted = wanted
        self._document = b""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.payload_size < SMALLEST:
            super().on_ws_frame(transport, frame)
            return
        self.ended = time.perf_counter()
        self._document = frame.get_payload_as_bytes()
        self.room.pulse.changed()

    def check(self) -> None:
        """Failed if what came is not the document."""
        self.progress.receive(spans(self.room.dialect.read(self._document).body))
        if not self.progress.covers(self._wanted):
            raise Failed(f"{self.room.name} came without some of its edits")


@dataclass(frozen=True)
class Heavy:
    """``rooms`` rooms with an edit each ``period`` seconds, while documents are opened.

    ``large`` documents of ``rows`` rows, four structs and some 200 bytes each, and the one with
    the long history.
    """

    large: int = 2
    rows: int = 25_000
    history: int = 50_000
    rooms: int = 20
    period: float = 0.04
    quiet_seconds: float = 3.0
    pause: float = 0.3
    ours_only: bool = True
    most_rounds: int = 9
    name: str = "heavy"

    @property
    def title(self) -> str:
        return f"Documents of {4 * self.rows:,} structs are opened while {self.rooms} rooms work"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("p99", "p99 delivery ms meanwhile", Better.LESS, digits=1, limit=20),
            Measure("max", "longest delivery ms meanwhile", Better.LESS, digits=1),
            Measure("quiet", "p99 delivery ms otherwise", Better.LESS, digits=1),
            Measure("load", "cold load of it, ms", Better.LESS),
            Measure("history", f"cold load after {self.history:,} edits, ms", Better.LESS),
        )

    async def run(self, peer: Peer, setting: Setting) -> Figures:
        """Each document is opened once, cold; the documents are written once for all rounds."""
        history = long_history(self.history, 5, 500)
        prepared = await self._prepared(peer, setting, history)
        shutil.copytree(prepared, setting.data, dirs_exist_ok=True)
        edits = round((self.quiet_seconds + 20) / self.period)
        stream = Author(FIRST_CLIENT, setting.seed).write(edits)
        reader = Author(FIRST_CLIENT + 1, setting.seed).write(1)
        pulse = Pulse()
        pairs = [
            company(f"busy-{n}", peer.dialect, pulse, [stream, reader]) for n in range(self.rooms)
        ]
        async with running(peer, setting) as server:
            people = [each for pair in pairs for each in pair]
            await enter(server, people, pulse)
            await server.settle()
            first = server.tree.read()
            openers = await self._meanwhile(server, pairs, history)
            usage = Usage.between(first, server.tree.read())
            await received(people, pulse, saves=peer.saves)
            await gather(each.leave() for each in people)
        for opener in openers:
            opener.check()
        return {**_figures(pairs, openers), **usage_figures(usage)}

    async def _meanwhile(
        self, server: Server, pairs: Sequence[list[Evaluator]], history: LongHistory
    ) -> list[Opener]:
        """Open one document after the other while the first of each pair types."""
        writers = [pair[0] for pair in pairs]
        documents = {f"large-{n}": _large(self.rows).wanted for n in range(self.large)}
        openers = []
        async with anyio.create_task_group() as group:
            group.start_soon(_type_on, writers, self.period, server.peer.saves)
            await anyio.sleep(self.quiet_seconds)
            for name, wanted in (documents | {NAME: history.wanted}).items():
                openers.append(await _open(server, name, wanted))
                await anyio.sleep(self.pause)
            group.cancel_scope.cancel()
        return openers

    async def _prepared(self, peer: Peer, setting: Setting, history: LongHistory) -> Path:
        """A data folder with all documents, after a clean stop."""
        folder = setting.shelf / self.name
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(await stored(peer, setting, history), unfinished)
            async with running(
                peer, replace(setting, data=unfinished, cores=None), *PATIENT
            ) as server:
                for n in range(self.large):
                    await _bring(server, f"large-{n}", _large(self.rows).update)
            unfinished.rename(folder)
        return folder


@dataclass(frozen=True, slots=True)
class Large:
    """A large document as one update, and the clocks that it comes to."""

    update: bytes
    wanted: dict[int, int]


@lru_cache(maxsize=2)
def _large(rows: int) -> Large:
    doc: Doc[Any] = Doc(client_id=FIRST_CLIENT)
    table = doc.get("rows", type=Array)
    for first in range(0, rows, 1_000):
        with doc.transaction():
            for number in range(first, min(first + 1_000, rows)):
                remark = REMARK[number % 20 :]
                row = {"case": f"case {number}", "score": number % 5, "remark": remark}
                table.append(Map(row))
    update = doc.get_update()
    return Large(update, {span.client: span.end for span in spans(update)})


async def _bring(server: Server, name: str, update: bytes) -> None:
    """Store a document that was made offline: a client's answer to step1."""
    room = Room(name, server.peer.dialect, pulse := Pulse())
    client = Client(room, room.dialect.greeting(name, b"\0"))
    await enter(server, [client], pulse)
    client.send(room.dialect.step2(name, update))
    client.send(saved(1))
    await pulse.until(lambda: client.saved == 1, lambda: f"{name} was not stored")
    await server.settle()
    await client.leave()


async def _open(server: Server, name: str, wanted: dict[int, int]) -> Opener:
    opener = Opener(Room(name, server.peer.dialect, pulse := Pulse()), wanted)
    opener.began = time.perf_counter()
    await opener.connect(server.port, server.token("opener"))
    await pulse.until(lambda: opener.ended > 0, lambda: f"{name} did not come")
    await opener.leave()
    return opener


async def _type_on(writers: Sequence[Evaluator], period: float, saves: bool) -> None:
    """Until cancelled, or out of edits."""
    await type_steadily(writers, len(writers[0].stream), period, saves=saves)


def _figures(pairs: Sequence[list[Evaluator]], openers: Sequence[Opener]) -> Figures:
    arrivals = [arrival for pair in pairs for arrival in pair[1].arrivals]
    meanwhile = [
        took * 1e3
        for sent, took in arrivals
        if any(sent + took >= opener.began and sent <= opener.ended for opener in openers)
    ]
    before = [took * 1e3 for sent, took in arrivals if sent + took < openers[0].began]
    *large, history = [(opener.ended - opener.began) * 1e3 for opener in openers]
    return {
        "p99": quantile(meanwhile, 0.99),
        "max": max(meanwhile),
        "quiet": quantile(before, 0.99),
        "load": quantile(large, 0.5),
        "history": history,
    }
