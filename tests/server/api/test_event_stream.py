from __future__ import annotations

import ssl
import time
from pathlib import Path

import anyio
import httpx
import pytest

from persistence.memory import MemoryStore
from persistence.store import StoreUnavailable
from sync.server import patience
from sync.server.api import event_stream
from sync.server.api.event_stream import EventStream
from sync.server.api.resources import SessionResource
from sync.server.event_feed import EventFeed, Told
from tests.server.api.client import (
    ADMIN,
    NONE,
    OBSERVE,
    OUTLINE,
    Api,
    Office,
    open_office,
    problem_of,
    token,
)
from tests.server.api.test_events import EVENTS, published
from tests.server.parts import TroubledStore, eventually
from tests.server.service import running

TOGETHER = 10.0


async def test_what_comes_next(office: Office) -> None:
    alice = await office.created()
    await published(alice, 2)
    async with alice.stream() as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        first = await stream.next()
        assert first is not None
        assert (first.event, first.id) == ("subscribed", "3")
        told = first.data
        assert (told["type"], told["top"], told["recovered"]) == ("subscribed", 3, True)
        session = SessionResource.model_validate(told["session"])
        assert (session.id, session.epoch, session.top) == ("s1", told["epoch"], 3)
        assert stream.retry is not None
        await published(alice, 2)
        assert await stream.offsets(2) == [4, 5]


async def test_a_message_is_what_the_websocket_sends(office: Office) -> None:
    alice = await office.created()
    async with alice.stream() as stream:
        await stream.next()
        await alice.post(EVENTS, {"kind": "note", "data": {"text": "a\nb\r\u2028c\x85d"}})
        message = await stream.next()
        assert message is not None
        assert message.data["type"] == "event"
        assert message.data["data"] == {"text": "a\nb\r\u2028c\x85d"}
        assert message.data["kind"] == "note"


@pytest.mark.parametrize("way", ["after", "id", "epoch and id", "id counts more"])
async def test_one_comes_back(office: Office, way: str) -> None:
    alice = await office.created()
    await published(alice, 4)
    epoch = (await alice.get("sessions/s1")).json()["epoch"]
    async with {
        "after": lambda: alice.stream(after=2),
        "id": lambda: alice.stream(last="2"),
        "epoch and id": lambda: alice.stream(last=f"{epoch}:2"),
        "id counts more": lambda: alice.stream(after=4, last="2"),
    }[way]() as stream:
        first = await stream.next()
        assert first is not None
        assert (first.id, first.data["recovered"]) == ("2", True)
        assert await stream.offsets(3) == [3, 4, 5]


@pytest.mark.parametrize("last", ["another:1", "99", "e9:0"])
async def test_a_gap_that_cannot_be_filled(office: Office, last: str) -> None:
    """The session is to be started from, and what comes then."""
    alice = await office.created()
    await published(alice, 1)
    async with alice.stream(last=last) as stream:
        first = await stream.next()
        assert first is not None
        assert (first.id, first.data["recovered"], first.data["top"]) == ("2", False, 2)
        await published(alice, 1)
        assert await stream.offsets(1) == [3]


async def test_what_retention_removed_is_a_gap() -> None:
    store = MemoryStore()
    async with open_office(store) as office:
        await published(await office.created(), 3)
    await store.truncate("s1", before=1e12)
    async with open_office(store) as office:
        for after, recovered in ((0, False), (2, False), (3, True), (4, True)):
            async with office.api().stream(after=after) as stream:
                first = await stream.next()
                assert first is not None
                assert first.data["recovered"] is recovered, after
                if after == 3:
                    assert await stream.offsets(1) == [4]


async def test_retention_that_is_faster_than_a_client(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told so in the middle of the stream."""
    alice = await office.created()
    after = EventFeed.after

    async def with_gap(feed: EventFeed, offset: int, limit: int = 1_000) -> list[Told]:
        return [each for each in await after(feed, offset, limit) if each.offset != 3]

    monkeypatch.setattr(EventFeed, "after", with_gap)
    await published(alice, 1)
    async with alice.stream(after=1) as stream:
        await stream.next()
        assert await stream.offsets(1) == [2]
        await published(alice, 1)
        told = await stream.next()
        assert told is not None
        assert (told.event, told.id, told.data["recovered"]) == ("subscribed", "3", False)
        await published(alice, 1)
        assert await stream.offsets(1) == [4]


@pytest.mark.parametrize("last", ["x", "-1", "1:2:3", "1.5", "9" * 16])
async def test_what_is_no_last_event_id(office: Office, last: str) -> None:
    alice = await office.created()
    headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
    problem_of(await alice.get(EVENTS, headers=headers), 422)


async def test_only_a_kind(office: Office) -> None:
    alice = await office.created()
    async with alice.stream(after=0, kind="a*") as stream:
        await stream.next()
        for kind in ("a", "b", "ab"):
            await published(alice, 1, kind)
        assert await stream.offsets(2) == [2, 4]


async def test_who_may_not_observe_is_told_before_the_stream(office: Office) -> None:
    await office.created()
    headers = {"Accept": "text/event-stream"}
    problem_of(await office.api("zoe", NONE).get(EVENTS, headers=headers), 403)
    problem_of(await office.nobody.get(EVENTS, headers=headers), 401)
    problem_of(await office.api().get("sessions/s2/events", headers=headers), 404)


async def test_a_ticket_opens_it_once(office: Office) -> None:
    alice = await office.created()
    ticket = (await alice.post("tickets")).json()["ticket"]
    async with office.nobody.stream(ticket=ticket) as stream:
        assert await stream.next() is not None
    answer = await office.nobody.get(f"{EVENTS}?ticket={ticket}")
    assert "ticket" in problem_of(answer, 401)["detail"]


async def test_a_heartbeat(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.01)
    alice = await office.created()
    async with alice.stream() as stream:
        assert await stream.comment() == "heartbeat"
        assert await stream.comment() == "heartbeat"
        await published(alice, 1)
        assert await stream.offsets(1) == [2]


async def test_it_ends_when_the_token_does(office: Office) -> None:
    await office.created()
    async with office.api("bob", OBSERVE, exp=time.time() + 0.3).stream() as stream:
        await stream.next()
        last = await stream.next()
        assert last is not None
        assert (last.event, last.data["code"]) == ("error", "token-expired")
        assert last.id is None  # where one stands is remembered
        assert await stream.next() is None


async def test_it_ends_when_the_service_stops(office: Office) -> None:
    """After what was published before."""
    alice = await office.created()
    with anyio.fail_after(TOGETHER):
        async with alice.stream(after=0) as stream:
            await stream.next()
            await published(alice, 3)
            office.service.stop.set()
            assert await stream.offsets(4) == [1, 2, 3, 4]
            last = await stream.next()
            assert last is not None
            assert (last.event, last.data["code"]) == ("error", "unavailable")
            assert await stream.next() is None
        await office.service.ended.wait()


async def test_it_is_left_when_the_client_goes(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams: list[event_stream.Streams] = []
    init = EventStream.__init__

    def remembering(self: EventStream, *parts: object) -> None:
        init(self, *parts)  # type: ignore[arg-type] # handed on
        streams.append(self._streams)

    monkeypatch.setattr(EventStream, "__init__", remembering)
    alice = await office.created()
    async with httpx.AsyncClient(base_url=office.service.url) as http:
        passing = Api(http, alice._headers["Authorization"].removeprefix("Bearer "))
        async with passing.stream() as stream:
            await stream.next()
            assert len(streams[0]) == 1
    await eventually(lambda: not len(streams[0]))


async def status(who: Api) -> int:
    async with who.stream() as stream:
        return stream.response.status_code


async def test_one_has_only_so_many() -> None:
    async with open_office(connections_per_subject=2) as office:
        alice = await office.created()
        async with alice.stream() as first, alice.stream() as second:
            await first.next()
            await second.next()
            answer = await alice.get(EVENTS, headers={"Accept": "text/event-stream"})
            assert "2 connections" in problem_of(answer, 503)["detail"]
            async with office.api("bob").stream() as third:
                assert await third.next() is not None
        with anyio.fail_after(TOGETHER):
            while (await status(alice)) != 200:  # the service hears of it that they have gone
                pass


async def test_a_log_that_cannot_be_read() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice = await office.created()
        await published(alice, 1)
        async with alice.stream() as stream:
            await stream.next()
            store.failure = StoreUnavailable("the disk is full")
            async with alice.stream(after=0) as other:
                await other.next()
                last = await other.next()
                assert last is not None
                assert (last.event, last.data["code"]) == ("error", "unavailable")
            store.failure = None
            await published(alice, 1)
            assert await stream.offsets(1) == [3]  # from memory


# ------------------------------------------------------------------------------------ slow readers


class SlowReader:
    """A client that asks for a stream, and reads when it is told to."""

    def __init__(self, office: Office, bearer: str) -> None:
        self._port = office.http.base_url.port or 0
        self._bearer = bearer

    async def __aenter__(self) -> SlowReader:
        self.socket = await anyio.connect_tcp("127.0.0.1", self._port)
        await self.socket.send(
            b"GET /api/v1/sessions/s1/events?after=0 HTTP/1.1\r\nHost: x\r\n"
            b"Accept: text/event-stream\r\nAuthorization: " + self._bearer.encode() + b"\r\n\r\n"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.aclose()

    async def read_until(self, end: bytes) -> bytes:
        read = b""
        while end not in read[-200_000:]:
            read += await self.socket.receive(2**20)
        return read


async def test_a_slow_reader_costs_no_queue_and_misses_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds what one batch is, and not what is published meanwhile."""
    encoded: list[int] = []
    frames = EventStream._frames

    def counted(self: EventStream, batch: list[object]) -> object:
        encoded.append(len(batch))
        return frames(self, batch)  # type: ignore[arg-type] # handed on

    monkeypatch.setattr(EventStream, "_frames", counted)
    monkeypatch.setattr(event_stream, "BATCH", 10)
    alice, size, count = await office.created(), 60_000, 200
    async with SlowReader(office, alice._headers["Authorization"]) as slow:
        for _ in range(count):
            answer = await alice.post(EVENTS, {"kind": "note", "data": {"x": "y" * size}})
            assert answer.status_code == 201
        with anyio.move_on_after(0.2):
            await eventually(lambda: sum(encoded) > count)
        assert sum(encoded) < count / 2  # the rest waits in the log
        with anyio.fail_after(TOGETHER):
            read = await slow.read_until(b'"offset":%d,' % (count + 1))
    offsets = [int(part.split(b",")[0]) for part in read.split(b'"offset":')[1:]]
    assert offsets == list(range(1, count + 2))


async def test_a_stream_outlasts_the_silence_of_its_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client of which nothing comes has gone, but not one that waits for an answer."""
    monkeypatch.setattr(patience, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.2)
    async with open_office() as office:
        alice = await office.created()
        async with alice.stream() as stream:
            for _ in range(4):
                await stream.comment()


async def test_a_reader_that_takes_nothing_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_office() as office:
        alice = await office.created()
        monkeypatch.setattr(patience, "SILENCE_SECONDS", 0.1)  # of taking, from here on
        async with SlowReader(office, alice._headers["Authorization"]) as stalled:
            for _ in range(200):
                await alice.post(EVENTS, {"kind": "note", "data": {"x": "y" * 60_000}})
            root = office.api("root", ADMIN)
            with anyio.fail_after(TOGETHER):
                while (await root.get("connections")).json()["connections"]:
                    pass
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stalled.read_until(b"never")


# ----------------------------------------------------------------------------------------- HTTP/2


async def test_a_stream_over_http2(
    certificate: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside other requests of the same connection, past the silence, and to the end."""
    monkeypatch.setattr(patience, "SILENCE_SECONDS", 1.5)
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.5)
    trust = ssl.create_default_context(cafile=str(certificate["tls_cert"]))
    async with (
        running(MemoryStore(), **certificate) as service,
        httpx.AsyncClient(base_url=service.url, http2=True, verify=trust) as http,
    ):
        alice = Api(http, token())
        await alice.post("sessions", OUTLINE)
        async with alice.stream() as stream:
            assert stream.response.http_version == "HTTP/2"
            await stream.next()
            for _ in range(4):
                await stream.comment()
            await published(alice, 2)
            assert await stream.offsets(2) == [2, 3]
            answer = await Api(http, None).post("sessions", content=b"x" * 3_000_000)
            problem_of(answer, 401)
            service.stop.set()
            last = await stream.next()
            assert last is not None
            assert last.event == "error"
        with anyio.fail_after(TOGETHER):
            await service.ended.wait()
