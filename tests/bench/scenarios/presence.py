"""Many people in one room who move about: presence alone, and no edit."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import lru_cache

import anyio

from tests.bench.client import Client, Pulse, Room
from tests.bench.dialects import Dialect, clocks_of, states
from tests.bench.process import Usage
from tests.bench.scenario import FIRST_CLIENT, Better, Figures, Measure
from tests.bench.servers import Peer, Setting, running
from tests.bench.together import enter, gather, usage_figures


@lru_cache(maxsize=64)
def _clocks(states: bytes) -> dict[int, int]:
    """The same bytes come to all."""
    return clocks_of(states)


class Visitor(Client):
    """Announces where it is."""

    def __init__(self, room: Room, number: int) -> None:
        self.client = FIRST_CLIENT + number
        self.clock = 0
        self.seen: dict[int, int] = {}
        """The clock of each awareness state that came."""
        super().__init__(room, room.dialect.greeting(room.name, self._state()))

    def move(self) -> None:
        self.send(self.room.dialect.awareness(self.room.name, self._state()))

    def note_states(self, states: bytes) -> None:
        self.seen |= _clocks(states)

    def _state(self) -> bytes:
        self.clock += 1
        user = {"name": f"Evaluator {self.client - FIRST_CLIENT}", "color": "#30bced"}
        state = {"user": user, "field": f"criterion-{self.clock % 40:02}", "caret": self.clock}
        return states({self.client: (self.clock, json.dumps(state).encode())})


@dataclass(frozen=True)
class Presence:
    """``people`` people in one room, each with a new state every ``period`` seconds."""

    people: int = 200
    period: float = 0.5
    moves: int = 12
    ours_only: bool = True
    most_rounds: int = 9
    name: str = "presence"

    @property
    def title(self) -> str:
        return f"{self.people} people in one room, presence at {1 / self.period:g} Hz"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("cpu", "CPU % of a core", Better.LESS, digits=1, limit=25),
            Measure("last", "ms until all have the last state", Better.LESS),
        )

    async def run(self, peer: Peer, setting: Setting) -> Figures:
        """Everybody's last state has to reach everybody; of those before, any may be left out."""
        async with running(peer, setting) as server:
            people = _people(peer.dialect, pulse := Pulse(), self.people)
            await enter(server, people, pulse)
            await _all_seen(people, pulse)
            await server.settle()
            first = server.tree.read()
            await self._move(people)
            ended = time.perf_counter()
            await _all_seen(people, pulse)
            seconds, last = time.perf_counter() - ended, server.tree.read()
            await gather(each.leave() for each in people)
        usage = Usage.between(first, last)
        return {
            "cpu": usage.server / usage.seconds * 100,
            "last": seconds * 1e3,
            **usage_figures(usage),
        }

    async def _move(self, people: list[Visitor]) -> None:
        began = time.perf_counter()
        for number in range(self.moves):
            for place, each in enumerate(people):
                due = began + (number + place / len(people)) * self.period
                if (early := due - time.perf_counter()) > 0:
                    await anyio.sleep(early)
                each.move()


def _people(dialect: Dialect, pulse: Pulse, count: int) -> list[Visitor]:
    room = Room("presence", dialect, pulse)
    return [Visitor(room, number) for number in range(count)]


async def _all_seen(people: list[Visitor], pulse: Pulse) -> None:
    """Return when everybody has everybody's latest state."""
    wanted = {each.client: each.clock for each in people}

    def lacking() -> int:
        return sum(
            any(each.seen.get(client, 0) < clock for client, clock in wanted.items())
            for each in people
        )

    await pulse.until(lambda: not lacking(), lambda: f"{lacking()} people lack somebody's state")
