"""The figures of the whole service: what is counted, over which time, and for whom."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest

from auth.access import Grants, TokenInvalid
from persistence.memory import MemoryStore
from persistence.store import StoreUnavailable
from sync.core.errors import ProtocolError
from sync.core.names import DocumentName
from sync.core.session import SessionId, Step
from sync.core.yprotocol import update_frame
from sync.server import monitoring, patience
from sync.server.admission import Admission, DocumentRequest
from sync.server.census import Census
from sync.server.monitoring import POINTS, LoopLag, Monitor, resident_bytes
from tests.server.parts import DISK_FULL, Tokens, TroubledStore, eventually, feed, opened
from tests.server.service import running, token_for
from tests.server.watching import ADA, BEN, CARL, Watch, channel, draft, somebody, watching
from tests.support.client import Peer, connect


class NoTickets:
    """Gives none."""

    def issue(self, identity: object) -> Any:
        raise NotImplementedError

    def redeem(self, _ticket: str) -> Any:
        raise TokenInvalid("this ticket is unknown")


@asynccontextmanager
async def monitored(store: TroubledStore | None = None) -> AsyncIterator[tuple[Watch, Monitor]]:
    """A hub, its sessions, and a monitor that samples only when it is told to."""
    async with watching(store) as watch:
        yield watch, Monitor(watch.office.hub, watch.sessions, watch.events, admission())


def admission() -> Admission:
    return Admission(Tokens(), NoTickets())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the monitor sees, in seconds."""
    now = [1_000.0]
    monkeypatch.setattr(anyio, "current_time", lambda: now[0])
    return now


async def test_the_figures_of_a_service_at_work(clock: list[float]) -> None:
    async with monitored() as (watch, monitor):
        await watch.session(BEN)
        monitor.sample()
        ben = await opened(watch.office.hub, draft(), BEN)
        peer = Peer()
        for number in range(20):
            feed(watch.office.hub, ben, update_frame(peer.put("k", number)))
        await watch.settled()
        watch.events.meters.deliver(9, 0.003)
        watch.events.meters.undelivered = 1
        clock[0] += 4
        told = await monitor.status()
    assert (told["state"], told["failing"]) == ("ready", {"edits": None, "events": None})
    assert told["sessions"] == {"created": 0, "running": 1, "paused": 0, "stopped": 0}
    assert (told["members"], told["rooms"]) == (2, 1)
    assert told["connections"] == {"documents": 1, "events": 0, "streams": 0}
    edits = told["edits"]
    assert (edits["committed"], edits["retries"], edits["unsaved_bytes"]) == (20, 0, 0)
    assert edits["per_second"] == {"10s": 5.0, "60s": 5.0}
    assert edits["bytes_per_second"]["10s"] > 5 * 10
    assert 0 < edits["commit_ms"]["p50"] <= edits["commit_ms"]["p99"]
    assert (told["events"]["committed"], told["events"]["queue_depth"]) == (3, 0)
    assert told["events"]["per_second"] == {"10s": 0.0, "60s": 0.0}
    delivery = told["delivery"]
    assert (delivery["delivered"], delivery["undelivered"], delivery["success"]) == (9, 1, 0.9)
    assert delivery["per_second"] == {"10s": 2.25, "60s": 2.25}
    assert 2 < delivery["latency_ms"]["p50"] < 5
    assert told["webhooks"] == []
    assert told["memory_bytes"] > 10 * 2**20
    assert told["uptime_seconds"] >= 0


async def test_rates_and_quantiles_are_of_late(clock: list[float]) -> None:
    async with monitored() as (watch, monitor):
        meters = watch.events.meters
        meters.deliver(600, 9.0)
        for _ in range(120):
            monitor.sample()
            clock[0] += 1
        meters.deliver(30, 0.001)
        told = (await monitor.status())["delivery"]
    assert told["per_second"]["10s"] == pytest.approx(3, rel=0.1)
    assert told["per_second"]["60s"] == pytest.approx(0.5, rel=0.1)
    assert told["latency_ms"]["p99"] <= 1
    assert told["delivered"] == 630


async def test_the_last_minutes_are_kept_and_no_more() -> None:
    async with monitored() as (watch, monitor):
        for _ in range(POINTS + 1):
            await monitor.note_point()
            watch.events.meters.delivered += 1
        points = monitor.recent()
    assert [each["delivery"]["delivered"] for each in points] == list(range(1, POINTS + 1))


async def test_while_the_disk_fails() -> None:
    store = TroubledStore()
    async with monitored(store) as (watch, monitor):
        ben = await opened(watch.office.hub, draft(), BEN)
        await watch.session()
        store.failure = DISK_FULL
        feed(watch.office.hub, ben, update_frame(Peer().put("k", 1)))
        await eventually(lambda: monitor.figures().hub.retries > 0)
        told = await monitor.status()
        assert told["state"] == "not saving"
        assert told["failing"] == {"edits": "the disk is full", "events": None}
        assert told["edits"]["unsaved_bytes"] > 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.sessions.step, "s1", Step.PAUSE, ADA)
            await eventually(lambda: monitor.figures().event_retries > 0)
            told = await monitor.status()
            assert told["failing"]["events"] == "the disk is full"
            assert told["events"]["queue_depth"] == 1
            store.failure = None
        assert (await monitor.status())["state"] == "ready"


async def test_connections_are_counted_as_they_come_and_go() -> None:
    async with monitored() as (watch, monitor):
        hub = watch.office.hub
        ben = await opened(hub, draft(), BEN)
        carl = await opened(hub, draft(), CARL)
        feed(hub, ben, update_frame(Peer().put("k", 1)))
        await watch.settled()
        hub.close(ben)
        feed(hub, carl, b"\xff\xff")
        with pytest.raises(ProtocolError):
            await opened(hub, draft(), replace(BEN, documents=Grants({})))
        figures = monitor.figures().hub
        assert (figures.opened, figures.connections) == (2, 0)
        assert figures.closed == {0: 1, 4400: 1}
        assert figures.refused == {4403: 1}
        assert (figures.received, figures.sent) == (2, 4)


async def test_refused_tokens_are_counted() -> None:
    gate = admission()
    for query in (b"token=nonsense", b"ticket=nonsense", b"token=x"):
        with pytest.raises(TokenInvalid):
            await gate.check(DocumentRequest(b"drafts/1", query, b""))
    assert gate.refused == {"TokenInvalid": 3}


# -- connections


async def test_every_connection_with_its_figures() -> None:
    async with monitored() as (watch, monitor):
        ben = await opened(watch.office.hub, draft(), BEN)
        ben.note_round_trip(0.0125)
        feed(watch.office.hub, ben, update_frame(Peer().put("k", 1)))
        await watch.settled()
        watch.events.open = [
            channel("carl", id=7, received=3, sent=9, lag=2, resumes=4, queued_bytes=100)
        ]
        (document, events), more = monitor.connections()
        assert more is None
        assert _without_times(document) == {
            "id": ben.id,
            "kind": "document",
            "subject": "ben",
            "name": "Ben",
            "session": "s1",
            "document": "drafts/s1/a",
            "round_trip_ms": 12.5,
            "messages_in": 1,
            "messages_out": 2,
            "retries": 0,
            "unsaved": 0,
            "behind": None,
            "queued_bytes": document["queued_bytes"],
        }
        assert _without_times(events) == {
            "id": 7,
            "kind": "events",
            "subject": "carl",
            "name": "Carl",
            "session": "s1",
            "document": None,
            "round_trip_ms": None,
            "messages_in": 3,
            "messages_out": 9,
            "retries": 4,
            "unsaved": 0,
            "behind": 2,
            "queued_bytes": 100,
        }


def _without_times(told: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key not in ("since", "last_seen")}


async def test_connections_page_by_page() -> None:
    async with monitored() as (watch, monitor):
        for document in ("drafts/s1/a", "drafts/s2/a", "elsewhere"):
            await opened(watch.office.hub, DocumentName(document), BEN)
        watch.events.open = [channel("ben", name, id=n) for n, name in enumerate(("s1", "s2"), 1)]
        found: list[dict[str, Any]] = []
        place: tuple[str, int] | None = ("", 0)
        while place is not None:
            page, place = monitor.connections(None, place, 2)
            assert len(page) <= 2
            found += page
        assert [(each["kind"], each["document"]) for each in found] == [
            ("document", "drafts/s1/a"),
            ("document", "drafts/s2/a"),
            ("document", "elsewhere"),
            ("events", None),
            ("events", None),
        ]
        assert [each["session"] for each in monitor.connections("s2")[0]] == ["s2", "s2"]


async def test_the_round_trip_of_a_stock_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers pings as RFC 6455 has it; one that is busy is pinged too."""
    monkeypatch.setattr(patience, "PING_SECONDS", 0.1)
    admin = {"Authorization": f"Bearer {token_for('root', role='admin')}"}
    async with (
        running(MemoryStore(), transport="picows") as service,
        httpx.AsyncClient(base_url=service.url, headers=admin) as http,
        connect(service.sync_url, "drafts/1", token_for()) as client,
    ):
        await client.synced()
        with anyio.fail_after(10):
            while True:
                await client.put("k", 1)
                (told,) = (await http.get("/api/v1/connections")).json()["connections"]
                if told["round_trip_ms"] is not None:
                    break
                await anyio.sleep(0.01)
    assert 0 < told["round_trip_ms"] < 10_000


# -- sessions


async def test_the_census_counts_what_was_stored_before() -> None:
    store = TroubledStore()
    async with watching(store) as watch:
        await watch.session(BEN, name=SessionId("running"))
        await watch.session(BEN, CARL, name=SessionId("created"), start=False)
        await watch.session(name=SessionId("paused"))
        await watch.sessions.step("paused", Step.PAUSE, ADA)
        await watch.session(BEN, name=SessionId("stopped"))
        await watch.sessions.step("stopped", Step.STOP, ADA)
    async with watching(store) as watch:
        census = Census(watch.office.hub)
        watch.sessions.listeners.append(census.note)
        await census.survey(store)
        assert census.states() == {"created": 1, "running": 1, "paused": 1, "stopped": 1}
        assert census.members() == 2 + 3 + 1
        await watch.sessions.step("paused", Step.STOP, ADA)
        await watch.sessions.step("running", Step.LEAVE, BEN)
        await watch.session(name=SessionId("new"))
        assert census.states() == {"created": 1, "running": 2, "paused": 0, "stopped": 2}
        assert census.members() == 1 + 3 + 1


async def test_what_is_noted_is_newer_than_what_is_read() -> None:
    store = TroubledStore()
    async with watching(store) as watch:
        live = await watch.session(BEN)
        census = Census(watch.office.hub)
        (told,) = await live.feed.after(live.top - 1)
        ada, ben = live.current.members
        live.current = replace(live.current, members=(ada, ben, replace(ben, subject="carl")))
        census.note(live, told)
        await census.survey(store)
        assert census.members() == 3


async def test_a_session_that_is_being_stopped_is_not_stopped() -> None:
    store = TroubledStore()
    async with watching(store) as watch:
        census = Census(watch.office.hub)
        watch.sessions.listeners.append(census.note)
        await watch.session(BEN)
        store.hold()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.sessions.step, "s1", Step.STOP, ADA)
            await eventually(lambda: "s1" in watch.office.hub.sealing.sessions)
            assert census.states() == {"created": 0, "running": 1, "paused": 0, "stopped": 0}
            store.release()
        assert census.states() == {"created": 0, "running": 0, "paused": 0, "stopped": 1}


async def test_a_census_of_a_store_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching() as watch:

        async def fail(*_: object) -> list[object]:
            await anyio.lowlevel.checkpoint()
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(watch.store, "sessions", fail)
        census = Census(watch.office.hub)
        await census.survey(watch.store)
        assert sum(census.states().values()) == 0


# -- the loop, and memory


async def test_what_holds_the_loop_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "LAG_SECONDS", 0.001)
    lag = LoopLag()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lag.run)
        await eventually(lambda: lag.histogram.counts().count > 2)
        until = time.perf_counter() + 0.05
        while time.perf_counter() < until:
            pass
        await eventually(lambda: lag.longest > 0.04)
        tasks.cancel_scope.cancel()


def test_memory_is_that_of_this_process() -> None:
    before = resident_bytes()
    kept = b"x" * (64 * 2**20)
    assert resident_bytes() - before > 32 * 2**20
    del kept


async def test_the_monitor_runs_beside_a_service() -> None:
    async with monitored() as (_watch, monitor), anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.run)
        await eventually(lambda: monitor.figures().loop_lag.count > 0 and bool(monitor.recent()))
        tasks.cancel_scope.cancel()


async def test_a_bug_in_it_costs_the_figures_and_not_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with monitored() as (_watch, monitor):
        monkeypatch.setattr(monitor, "sample", lambda: 1 / 0)
        with anyio.fail_after(5):
            await monitor.run()
        assert monitor.figures().state == "ready"


async def test_figures_of_2000_connections_take_a_moment(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with monitored() as (watch, monitor):
        for number in range(2_000):
            document = DocumentName(f"drafts/s1/{number % 400}")
            await opened(watch.office.hub, document, somebody(f"s{number % 500}"))
        began = time.thread_time()
        monitor.figures()
        figures = time.thread_time() - began
        began = time.thread_time()
        monitor.connections()
        connections = time.thread_time() - began
    with capsys.disabled():
        print(
            f"\n2,000 connections: figures {figures * 1e3:.1f} ms, a page of 1,000 "
            f"{connections * 1e3:.1f} ms"
        )
    assert figures < 0.1
