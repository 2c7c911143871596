"""The client of a session's events: in order, without gaps or repeats, whatever happens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.exceptions import ConnectionClosed

from sync.client import (
    Denied,
    EventsClient,
    EventsLost,
    Refused,
    SessionEvent,
    State,
    Unpublished,
)
from sync.client import events as events_module
from sync.core.errors import InvalidEvent, InvalidSession
from tests.client.support import PATIENCE, QUICK
from tests.support.events import Api
from tests.support.service import ServiceProcess

LEAD = {"*": "lead"}


def lead_token(service: ServiceProcess, sub: str = "alice", **claims: Any) -> str:
    return service.token(sub, sessions=LEAD, **claims)


def following(service: ServiceProcess, session: str, **options: Any) -> EventsClient:
    defaults: dict[str, Any] = {"token": lead_token(service), "backoff": QUICK}
    return EventsClient(service.url, session, **defaults | options)


async def create(service: ServiceProcess, session: str) -> None:
    async with Api(service.url, lead_token(service)) as api:
        await api.create(id=session, project="agents", test_cases=["greeting"])


async def step(service: ServiceProcess, session: str, step: str) -> None:
    async with Api(service.url, lead_token(service)) as api:
        await api.step(session, step)


async def take(client: EventsClient, count: int) -> list[SessionEvent]:
    """The next events."""
    taken: list[SessionEvent] = []
    with anyio.fail_after(PATIENCE):
        async for event in client:
            taken.append(event)
            if len(taken) == count:
                break
    return taken


async def acknowledged(service: ServiceProcess, session: str, subject: str = "alice") -> int:
    """What the session says that somebody has received."""
    async with Api(service.url, lead_token(service)) as api:
        members = (await api.session(session))["members"]
    found: int = next(each["acknowledged"] for each in members if each["subject"] == subject)
    return found


# -- following


async def test_what_happens_from_now_on(service: ServiceProcess) -> None:
    await create(service, "now")
    async with following(service, "now") as client:
        await client.connected()
        assert client.session is not None
        assert client.session["state"] == "created"
        assert client.status.offset == 1
        await step(service, "now", "start")
        offset = await client.publish("review.note", {"text": "schön"})
        started, note = await take(client, 2)
        assert (started.offset, started.kind) == (2, "session.started")
        assert (note.offset, note.kind, note.actor) == (offset, "review.note", "alice")
        assert note.data == {"text": "schön"}


async def test_what_happened_before(service: ServiceProcess) -> None:
    await create(service, "before")
    async with following(service, "before") as client:
        for number in range(30):
            await client.publish("note", {"number": number})
    async with following(service, "before", after=0) as client:
        taken = await take(client, 31)
        assert [each.offset for each in taken] == list(range(1, 32))
        assert [each.data for each in taken[1:]] == [{"number": n} for n in range(30)]


async def test_what_is_consumed_is_acknowledged(service: ServiceProcess) -> None:
    await create(service, "acks")
    async with following(service, "acks", after=0) as client:
        for number in range(5):
            await client.publish("note", {"number": number})
        await take(client, 4)
        await take(client, 1)  # who asks for the fifth is done with the fourth
        with anyio.fail_after(PATIENCE):
            while await acknowledged(service, "acks") < 4:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.02)
        assert await acknowledged(service, "acks") == 4
    async with following(service, "acks", after=0, acknowledge=False) as client:
        await take(client, 6)
    assert await acknowledged(service, "acks") == 4


async def test_who_is_no_member_follows_all_the_same(service: ServiceProcess) -> None:
    await create(service, "observed")
    token = service.token("olga", sessions={"*": "observe"})
    async with (
        following(service, "observed") as alice,
        following(service, "observed", token=token, after=0) as olga,
    ):
        await alice.publish("note", {})
        await take(olga, 2)
        with pytest.raises(Refused) as caught:
            await olga.publish("note", {})
        assert caught.value.code == "forbidden"
        await alice.publish("note", {})
        (event,) = await take(olga, 1)
        assert event.offset == 3


# -- connections that end


async def test_every_event_once_however_often_it_reconnects(service: ServiceProcess) -> None:
    await create(service, "blips")
    count = 200
    async with (
        following(service, "blips") as author,
        following(service, "blips", after=0) as reader,
        anyio.create_task_group() as tasks,
    ):

        async def write() -> None:
            for number in range(count):
                await author.publish("note", {"number": number})
                if number % 40 == 0:
                    author.disconnect()
                    author.connect()

        async def blink() -> None:
            for _ in range(10):
                await anyio.sleep(0.02)
                reader.disconnect()
                reader.connect()

        tasks.start_soon(write)
        tasks.start_soon(blink)
        taken = await take(reader, count + 1)
    assert [each.offset for each in taken] == list(range(1, count + 2))
    assert [each.data["number"] for each in taken[1:]] == list(range(count))


async def test_the_server_is_killed_in_between(tmp_path: Path) -> None:
    """Everything that was published is there once, and in order; nobody had to do anything."""
    async with ServiceProcess(tmp_path / "drafts.db") as service:
        await create(service, "killed")
        offsets: dict[int, int] = {}
        async with (
            following(service, "killed") as author,
            following(service, "killed", after=0) as reader,
            anyio.create_task_group() as tasks,
        ):

            async def publish(number: int) -> None:
                offsets[number] = await author.publish("note", {"number": number})

            async def kill() -> None:
                for _ in range(2):
                    await service.kill()
                    await service.start()

            await author.connected()
            for number in range(100):
                tasks.start_soon(publish, number)
                if number == 50:
                    tasks.start_soon(kill)
                await anyio.sleep(0.002)
            taken = await take(reader, 101)
        assert [each.offset for each in taken] == list(range(1, 102))
        assert {each.data["number"]: each.offset for each in taken[1:]} == offsets


async def test_an_id_of_ones_own_is_published_once(service: ServiceProcess) -> None:
    await create(service, "ids")
    event_id = str(uuid4())
    async with following(service, "ids") as client:
        offset = await client.publish("note", {}, id=event_id)
        assert await client.publish("note", {"other": 1}, id=event_id) == offset
        together: list[int] = []

        async def publish(event_id: str) -> None:
            together.append(await client.publish("note", {}, id=event_id))

        fresh = str(uuid4())
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(publish, fresh)
        assert together == [offset + 1] * 3


# -- the end


async def test_a_stopped_session_takes_no_more(service: ServiceProcess) -> None:
    await create(service, "stopped")
    await step(service, "stopped", "start")
    async with following(service, "stopped") as client:
        await client.publish("note", {})
        await step(service, "stopped", "stop")
        with pytest.raises(Refused) as caught:
            await client.publish("note", {})
        assert caught.value.code == "illegal-step"
        assert [each.kind for each in await take(client, 2)] == ["note", "session.stopped"]


@pytest.mark.parametrize(
    ("claims", "session", "code"),
    [
        ({"sessions": {}}, "denied", 4403),
        ({"sessions": LEAD}, "unheard-of", 4404),
        ({"sessions": LEAD, "ttl": -60}, "denied", 4401),
    ],
)
async def test_final_verdicts(
    service: ServiceProcess, claims: dict[str, Any], session: str, code: int
) -> None:
    with pytest.raises(Denied) as caught:
        async with following(service, session, token=service.token(**claims)) as client:
            await take(client, 1)
    assert caught.value.code == code
    assert caught.value.reason
    assert client.status.state is State.DENIED


async def test_a_fresh_token_when_one_is_refused(service: ServiceProcess) -> None:
    await create(service, "fresh")
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        return lead_token(service, ttl=-60 if asked == 1 else 3600)

    async with following(service, "fresh", token=token) as client:
        assert await client.publish("note", {}) == 2
    assert asked == 2


async def test_what_is_no_event_is_not_sent(service: ServiceProcess) -> None:
    await create(service, "invalid")
    async with following(service, "invalid") as client:
        for kind, data in (("Note", {}), ("session.stopped", {}), ("note", {"x": float("nan")})):
            with pytest.raises(InvalidEvent):
                await client.publish(kind, data)
        with pytest.raises(InvalidEvent):
            await client.publish("note", {}, id="7")
        assert await client.publish("note", {}) == 2


def test_what_is_no_session() -> None:
    with pytest.raises(InvalidSession):
        EventsClient("http://127.0.0.1:1", "a/b", token="t")


async def test_leaving_with_an_event_on_its_way_says_so() -> None:
    client = EventsClient("http://127.0.0.1:9", "s1", token="t", backoff=QUICK)
    told: list[Unpublished] = []

    async def publish() -> None:
        try:
            await client.publish("note", {})
        except Unpublished as error:
            told.append(error)

    async with anyio.create_task_group() as tasks, client:
        tasks.start_soon(publish)
        await client.until(lambda status: status.unpublished == 1)
    assert len(told) == 1


# -- a server that does what it is told


Script = Callable[["Stage"], Awaitable[None]]
EPOCH = "e"


class Stage:
    """One connection of the client's, at the server's end."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.said: list[dict[str, Any]] = []

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next message of this type."""
        while True:
            message: dict[str, Any] = json.loads(await self.socket.recv())
            self.said.append(message)
            if message["type"] == kind:
                return message

    async def subscribed(self, top: int = 0, **more: Any) -> dict[str, Any]:
        asked = await self.hear("subscribe")
        told = {"epoch": EPOCH, "top": top, "recovered": True, "session": {"top": top}} | more
        await self.say(type="subscribed", **told)
        return asked

    async def event(self, offset: int, **more: Any) -> None:
        event = {"id": str(uuid4()), "kind": "note", "actor": "bob", "time": "", "data": {}}
        await self.say(type="event", offset=offset, **event | more)


@asynccontextmanager
async def scripted(*scripts: Script, **options: Any) -> AsyncIterator[EventsClient]:
    """A client of a server that plays a script a connection; the last one again and again."""
    played = 0

    async def play(socket: ServerConnection) -> None:
        nonlocal played
        script = scripts[min(played, len(scripts) - 1)]
        played += 1
        try:
            await script(Stage(socket))
            await socket.wait_closed()
        except ConnectionClosed:
            pass

    async with serve_websockets(play, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        client = EventsClient(url, "s1", token="t", backoff=QUICK, **options)
        async with client:
            yield client


async def test_it_resumes_where_it_was() -> None:
    asked: list[dict[str, Any]] = []

    async def first(stage: Stage) -> None:
        asked.append(await stage.subscribed(5))
        for offset in (6, 7, 7, 6, 8):  # at least once
            await stage.event(offset)
        await stage.socket.close(1012)

    async def then(stage: Stage) -> None:
        asked.append(await stage.subscribed(9))
        await stage.event(9)

    async with scripted(first, then) as client:
        assert [each.offset for each in await take(client, 4)] == [6, 7, 8, 9]
    assert "after" not in asked[0]
    assert (asked[1]["after"], asked[1]["epoch"]) == (8, EPOCH)


async def test_a_gap_is_not_passed_over() -> None:
    async def broken(stage: Stage) -> None:
        await stage.subscribed(0)
        await stage.event(1)
        await stage.event(3)

    async def whole(stage: Stage) -> None:
        await stage.subscribed(3)
        for offset in (2, 3):
            await stage.event(offset)

    async with scripted(broken, whole) as client:
        assert [each.offset for each in await take(client, 3)] == [1, 2, 3]


@pytest.mark.parametrize("nonsense", ["{", "[]", '{"type":"event"}', "{}"])
async def test_nonsense_ends_the_connection(nonsense: str) -> None:
    async def broken(stage: Stage) -> None:
        await stage.subscribed(0)
        await stage.socket.send(nonsense)

    async def whole(stage: Stage) -> None:
        await stage.subscribed(0)
        await stage.event(1)

    async with scripted(broken, whole) as client:
        (event,) = await take(client, 1)
        assert event.offset == 1


async def test_events_that_are_gone_are_missed_in_words() -> None:
    async def first(stage: Stage) -> None:
        await stage.subscribed(0)
        await stage.event(1)
        await stage.socket.close(1012)

    async def then(stage: Stage) -> None:
        await stage.subscribed(50, recovered=False)
        await stage.event(51)

    async with scripted(first, then) as client:
        await client.until(lambda status: status.offset == 51)
        (event,) = await take(client, 1)
        assert event.offset == 1
        with pytest.raises(EventsLost) as caught:
            await take(client, 1)
        assert (caught.value.top, caught.value.session) == (50, {"top": 50})
        (event,) = await take(client, 1)
        assert event.offset == 51


async def test_nothing_of_another_log_counts() -> None:
    heard: list[dict[str, Any]] = []
    acknowledged, taken = anyio.Event(), anyio.Event()

    async def first(stage: Stage) -> None:
        await stage.subscribed(90)
        for offset in (91, 92, 93):
            await stage.event(offset)
        await taken.wait()
        await stage.socket.close(1012)

    async def then(stage: Stage) -> None:
        await stage.subscribed(2, recovered=False, epoch="new")
        for _ in range(2):  # in between it would acknowledge what is of the old log
            await stage.say(type="ping", top=2, time="")
            await stage.hear("pong")
        await stage.event(3)
        await stage.event(4)
        await stage.hear("ack")
        heard.extend(stage.said)
        acknowledged.set()

    async with scripted(first, then) as client:
        assert [each.offset for each in await take(client, 2)] == [91, 92]
        taken.set()
        await client.until(lambda status: status.offset == 4)
        with pytest.raises(EventsLost):
            await take(client, 1)
        assert [each.offset for each in await take(client, 2)] == [3, 4]
        with anyio.fail_after(PATIENCE):
            await acknowledged.wait()
        assert [each["offset"] for each in heard if each["type"] == "ack"] == [3]
        assert client.epoch == "new"


async def test_what_the_server_cannot_take_now_comes_again() -> None:
    async def reluctant(stage: Stage) -> None:
        await stage.subscribed(0)
        for code in ("unavailable", "internal"):
            message = await stage.hear("publish")
            await stage.say(type="error", code=code, message="later", id=message["id"])
        message = await stage.hear("publish")
        await stage.say(type="published", id=message["id"], offset=7)

    async with scripted(reluctant) as client:
        assert await client.publish("note", {}) == 7


async def test_publishing_waits_for_the_subscription() -> None:
    said: list[str] = []

    async def server(stage: Stage) -> None:
        while True:
            message = json.loads(await stage.socket.recv())
            said.append(message["type"])
            if message["type"] == "subscribe":
                await stage.say(type="subscribed", epoch=EPOCH, top=0, recovered=True, session={})
            else:
                await stage.say(type="published", id=message["id"], offset=len(said))

    async with scripted(server) as client, anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(client.publish, "note", {})
    assert said == ["subscribe"] + ["publish"] * 5


async def test_pings_are_answered() -> None:
    answered = anyio.Event()

    async def server(stage: Stage) -> None:
        await stage.subscribed(0)
        await stage.say(type="ping", top=0, time="")
        await stage.hear("pong")
        answered.set()

    async with scripted(server):
        with anyio.fail_after(PATIENCE):
            await answered.wait()


async def test_who_iterates_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is dropped, and no more is kept than so much."""
    monkeypatch.setattr(events_module, "QUEUED", 10)
    stages: list[Stage] = []

    async def server(stage: Stage) -> None:
        stages.append(stage)
        await stage.subscribed(0)
        for offset in range(1, 101):
            await stage.event(offset)

    async with scripted(server) as client:
        await client.until(lambda status: status.offset == 10)
        assert len(client._queue) == 10
        assert [each.offset for each in await take(client, 100)] == list(range(1, 101))
    assert len(stages[0].said) == 1  # it subscribed once


async def test_who_publishes_and_does_not_iterate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers come behind events: those that find no room are asked for again, later."""
    monkeypatch.setattr(events_module, "QUEUED", 10)
    asked: list[dict[str, Any]] = []

    async def server(stage: Stage) -> None:
        asked.append(await stage.subscribed(0))
        message = await stage.hear("publish")
        for offset in range(1, 31):
            await stage.event(offset)
        await stage.say(type="published", id=message["id"], offset=30)
        asked.append(await stage.subscribed(30))  # what comes next is all that will be skipped
        await stage.event(31)
        asked.append(await stage.subscribed(31))
        for offset in range(asked[-1]["after"] + 1, 32):
            await stage.event(offset)

    async with scripted(server) as client:
        assert await client.publish("note", {}) == 30
        assert [each.offset for each in await take(client, 31)] == list(range(1, 32))
    assert [each.get("after") for each in asked] == [None, None, 10]


async def test_what_goes_on_in_the_session() -> None:
    async def server(stage: Stage) -> None:
        assert (await stage.subscribed(0))["status"] is True
        await stage.say(type="status", status={"connected": 3})

    async with scripted(server, watch=True) as client:
        await client.until(lambda _: client.session_status is not None)
        assert client.session_status == {"connected": 3}
