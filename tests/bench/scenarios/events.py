"""The event channel: members of a session who all publish and all get what the others publish."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import httpx

from tests.bench.client import PATIENCE, Pulse
from tests.bench.counting import Failed
from tests.bench.members import Log, Member, publication
from tests.bench.process import Usage
from tests.bench.scenario import Better, Figures, Measure
from tests.bench.servers import Peer, Server, Setting, running, token
from tests.bench.together import gather, quantile, usage_figures

SESSION = "bench"
TICK = 0.002
"""Seconds between two looks at what is to be published at the steady rate."""


@dataclass(frozen=True)
class Events:
    """``members`` publish as fast as it goes; then ``rate`` events a second between them.

    Every event is delivered to all members, and checked to be the next one of the log.
    """

    members: int = 20
    events: int = 30_000
    warm_up_events: int = 4_000
    window: int = 32
    rate: int = 5_000
    seconds: float = 3.0
    ours_only: bool = True
    most_rounds: int = 9
    name: str = "events"

    @property
    def title(self) -> str:
        return f"Session events, {self.members} members publish and subscribe"

    @property
    def measures(self) -> tuple[Measure, ...]:
        steady = f"at {self.rate:,} events/s"
        return (
            Measure("rate", "events/s, to all", Better.MORE, limit=self.rate),
            Measure("deliveries", "deliveries/s", Better.MORE),
            Measure("cpu", "CPU µs per event", Better.LESS, digits=1),
            Measure("busy", f"CPU % of a core {steady}", Better.LESS, digits=1),
            Measure("published50", f"p50 publish → published ms {steady}", Better.LESS, digits=2),
            Measure("published99", f"p99 publish → published ms {steady}", Better.LESS, digits=2),
            Measure("delivered50", f"p50 publish → delivered ms {steady}", Better.LESS, digits=2),
            Measure("delivered99", f"p99 publish → delivered ms {steady}", Better.LESS, digits=2),
        )

    async def run(self, peer: Peer, setting: Setting) -> Figures:
        each = (self.warm_up_events + self.events + int(self.rate * self.seconds)) // self.members
        log = Log(Pulse())
        members = [
            Member(log, [publication(number, author) for number in range(each)])
            for author in range(1, self.members + 1)
        ]
        async with running(peer, setting) as server:
            await _create(server, self.members)
            await gather(
                member.connect(server.port, SESSION, _token(author))
                for author, member in enumerate(members)
            )
            await log.pulse.until(lambda: all(m.subscribed for m in members), lambda: "no answer")
            assert members[0].subscribed is not None
            log.start = int(str(members[0].subscribed["top"]))
            await self._saturate(members, self.warm_up_events)
            await server.settle(wait=0)
            flat_out = await self._flat_out(members, server)
            await server.settle(wait=0)
            steady = await self._steady(members, server)
            await gather(member.leave() for member in members)
        return {**flat_out, **steady}

    async def _flat_out(self, members: Sequence[Member], server: Server) -> Figures:
        first = server.tree.read()
        seconds = await self._saturate(members, self.events)
        usage = Usage.between(first, server.tree.read())
        return {
            "rate": self.events / seconds,
            "deliveries": self.events * len(members) / seconds,
            "cpu": usage.server / self.events * 1e6,
            **usage_figures(usage),
        }

    async def _steady(self, members: Sequence[Member], server: Server) -> Figures:
        log = members[0].log
        del log.published[:], log.delivered[:]
        first = server.tree.read()
        await self._publish_steadily(members)
        usage = Usage.between(first, server.tree.read())
        await _all_delivered(members)
        return {
            "busy": usage.server / usage.seconds * 100,
            "published50": quantile(log.published, 0.5) * 1e3,
            "published99": quantile(log.published, 0.99) * 1e3,
            "delivered50": quantile(log.delivered, 0.5) * 1e3,
            "delivered99": quantile(log.delivered, 0.99) * 1e3,
        }

    async def _saturate(self, members: Sequence[Member], events: int) -> float:
        """Publish so many, each member its share; return the seconds until all have all of them."""
        began, pulse = time.perf_counter(), members[0].log.pulse
        stops = [member.sent + events // len(members) for member in members]

        def pump() -> None:
            for member, stop in zip(members, stops, strict=True):
                upto = min(member.answered + self.window, stop)
                if upto > member.sent + self.window // 4 or upto == stop > member.sent:
                    member.publish(upto)

        pulse.listeners.append(pump)
        try:
            pump()
            await pulse.until(
                lambda: all(m.sent == stop for m, stop in zip(members, stops, strict=True)),
                lambda: "not all was published",
            )
        finally:
            pulse.listeners.remove(pump)
        await _all_delivered(members)
        return time.perf_counter() - began

    async def _publish_steadily(self, members: Sequence[Member]) -> None:
        began, sent = time.perf_counter(), 0
        total = int(self.rate * self.seconds) // len(members) * len(members)
        while sent < total:
            due = min(total, int((time.perf_counter() - began) * self.rate))
            while sent < due:
                member = members[sent % len(members)]
                member.publish(member.sent + 1)
                sent += 1
            await anyio.sleep(TICK)


async def _all_delivered(members: Sequence[Member]) -> None:
    """Return when every member has every event, and the answer to every one of its own."""
    wanted = sum(member.sent for member in members)

    def lacking() -> int:
        return sum(m.received != wanted or m.answered != m.sent for m in members)

    await members[0].log.pulse.until(
        lambda: not lacking(), lambda: f"{lacking()} of {len(members)} members lack something"
    )


def _token(author: int) -> str:
    return token(f"member-{author}")


async def _create(server: Server, members: int) -> None:
    """Create the session; everybody joins."""
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{server.port}/api/v1", timeout=PATIENCE
    ) as http:
        outline = {"id": SESSION, "project": "bench", "test_cases": ["only"]}
        _check(await http.post("/sessions", json=outline, headers=_bearer(0)))
        for author in range(members):
            _check(await http.post(f"/sessions/{SESSION}/join", headers=_bearer(author)))
        _check(await http.post(f"/sessions/{SESSION}/start", headers=_bearer(0)))


def _bearer(author: int) -> dict[str, str]:
    return {"Authorization": f"Bearer {_token(author)}"}


def _check(answer: httpx.Response) -> None:
    if not answer.is_success:
        raise Failed(f"{answer.request.url}: {answer.status_code} {answer.text[:300]}")
