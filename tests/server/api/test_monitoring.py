"""The status of a session, of the service, and of every connection, over HTTP."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from persistence.memory import MemoryStore
from persistence.store import DeadLetter
from sync.core.yprotocol import update_frame
from sync.server import event_status, status
from sync.server.api.monitoring import (
    ConnectionsPage,
    DeadLettersPage,
    RecentPage,
    ServiceResource,
)
from sync.server.api.session_status import SessionStatusResource
from sync.server.sessions import LiveSession
from sync.server.status import StatusBoard
from tests.server.api.client import ADMIN, JOIN, NONE, OBSERVE, Api, Office, open_office, problem_of
from tests.server.parts import DISK_FULL, TroubledStore, eventually
from tests.server.service import token_for
from tests.server.watching import FORM, answered, shares, stored
from tests.support.client import Peer, connect
from tests.support.events import subscribing


def token(subject: str, right: str = JOIN) -> str:
    return token_for(subject, name=subject.title(), sessions={"*": right})


async def told(who: Api, path: str, model: type[BaseModel]) -> dict[str, Any]:
    """An answer, which is as it is described."""
    answer = await who.get(path)
    assert answer.status_code == 200, answer.text
    model.model_validate_json(answer.text)
    found: dict[str, Any] = answer.json()
    return found


async def test_the_status_of_a_session_at_work(office: Office) -> None:
    alice = await office.created(form=FORM)
    ben = office.api("ben", JOIN)
    await ben.post("sessions/s1/join")
    await alice.post("sessions/s1/start")
    await ben.post("sessions/s1/drafts/b/complete")
    async with (
        connect(office.service.sync_url, "drafts/s1/a", token("ben")) as client,
        subscribing(office.service.url, "s1", token("olga", OBSERVE)) as events,
    ):
        await client.synced()
        await events.subscribe()
        await client.send(update_frame(answered(client.peer, "ben/q1")))
        await client.saved()
        found = await told(alice, "sessions/s1/status", SessionStatusResource)
    assert (found["session"], found["state"], found["top"]) == ("s1", "running", 4)
    assert [(each["subject"], each["role"], each["online"]) for each in found["members"]] == [
        ("alice", "lead", False), ("ben", "evaluator", True), ("olga", None, True),
    ]  # fmt: skip
    assert (shares(found), shares(found, "b")) == ({"ben": 0.25}, {"ben": 0.0})
    assert found["delivery"]["success"] == 1
    after = await told(alice, "sessions/s1/status", SessionStatusResource)
    assert after["test_cases"][1]["evaluators"][0]["completed"]


async def test_a_new_session_without_anybody(office: Office) -> None:
    alice = await office.created()
    found = await told(alice, "sessions/s1/status", SessionStatusResource)
    assert [case["evaluators"] for case in found["test_cases"]] == [[], []]


async def test_who_may_observe_may_see_the_status(office: Office) -> None:
    await office.created()
    assert (await office.api("olga", OBSERVE).get("sessions/s1/status")).status_code == 200
    problem_of(await office.api("nobody", NONE).get("sessions/s1/status"), 403)
    problem_of(await office.nobody.get("sessions/s1/status"), 401)
    problem_of(await office.api().get("sessions/s2/status"), 404)


async def test_the_status_of_a_session_after_a_restart() -> None:
    """Its drafts are on disk, and stay there."""
    store = MemoryStore()
    async with open_office(store) as office:
        alice = await office.created(form=FORM)
        await office.api("ben", JOIN).post("sessions/s1/join")
        await alice.post("sessions/s1/start")
        await stored(store, "drafts/s1/a", answered(Peer(), "ben/q1", "ben/q2"))
    async with open_office(store) as office:
        found = await told(office.api(), "sessions/s1/status", SessionStatusResource)
        assert shares(found) == {"ben": 0.5}
        service = await told(office.api("root", ADMIN), "status", ServiceResource)
        assert service["rooms"] == 0
        assert service["sessions"]["running"] == 1


async def test_while_the_disk_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = TroubledStore()

    async def heads(_prefix: str = "") -> list[Any]:
        raise DISK_FULL

    async with open_office(store) as office:
        alice = await office.created()
        monkeypatch.setattr(store, "heads", heads)
        refused = problem_of(await alice.get("sessions/s1/status"), 503)
        assert "disk" in refused["detail"]


@pytest.mark.parametrize("path", ["status", "status/recent", "connections", "webhooks/dead"])
async def test_the_service_is_for_administrators(office: Office, path: str) -> None:
    refused = problem_of(await office.api("alice").get(path), 403)
    assert "role admin" in refused["detail"]
    problem_of(await office.nobody.get(path), 401)


async def test_the_status_of_the_service(office: Office) -> None:
    await office.created()
    async with connect(office.service.sync_url, "drafts/s1/a", token("ben")) as client:
        await client.put("k", 1)
        await client.saved()
        found = await told(office.api("root", ADMIN), "status", ServiceResource)
    assert found["state"] == "ready"
    assert found["connections"]["documents"] == 1
    assert found["edits"]["committed"] == 1
    assert found["sessions"] == {"created": 1, "running": 0, "paused": 0, "stopped": 0}
    recent = await told(office.api("root", ADMIN), "status/recent", RecentPage)
    times = [point["time"] for point in recent["points"]]
    assert times == sorted(times)


async def test_connections_and_their_pages(office: Office) -> None:
    root = office.api("root", ADMIN)
    await office.created()
    async with AsyncExitStack() as open_ones:  # one after the other
        for name, who in (("drafts/s1/a", "ben"), ("elsewhere", "carl")):
            client = connect(office.service.sync_url, name, token(who))
            await (await open_ones.enter_async_context(client)).synced()
        channel = subscribing(office.service.url, "s1", token("olga", OBSERVE))
        await (await open_ones.enter_async_context(channel)).subscribe()
        found = await told(root, "connections", ConnectionsPage)
        assert [(each["kind"], each["subject"]) for each in found["connections"]] == [
            ("document", "ben"), ("document", "carl"), ("events", "olga"),
        ]  # fmt: skip
        assert found["next"] is None
        first = await told(root, "connections?limit=2", ConnectionsPage)
        rest = await told(root, f"connections?limit=2&after={first['next']}", ConnectionsPage)
        assert [each["subject"] for each in rest["connections"]] == ["olga"]
        of_session = await told(root, "connections?session=s1", ConnectionsPage)
        assert [each["subject"] for each in of_session["connections"]] == ["ben", "olga"]
        to_one = await told(root, "connections?document=elsewhere", ConnectionsPage)
        assert [each["subject"] for each in to_one["connections"]] == ["carl"]
        both = await told(root, "connections?session=s1&document=elsewhere", ConnectionsPage)
        assert both["connections"] == []


async def test_ends_and_refusals_by_their_code(office: Office) -> None:
    root = office.api("root", ADMIN)
    problem_of(await office.nobody.get("status"), 401)
    assert (await root.post("revocations", {"sub": "dora"})).status_code == 201
    problem_of(await Api(office.http, token("dora")).get("status"), 401)
    async with connect(office.service.sync_url, "elsewhere", token("carl")) as client:
        await client.synced()
    nobody = token_for("nobody", docs={"other": "write"})
    async with connect(office.service.sync_url, "elsewhere", nobody) as refused:
        assert (await refused.ended()).code == 4403
    found = await told(root, "status", ServiceResource)
    with anyio.fail_after(5):
        while not found["closed"]["documents"]:  # the service hears of it in its own time
            found = await told(root, "status", ServiceResource)
    assert found["closed"] == {"documents": {"0": 1}, "events": {}}
    assert found["refused"]["documents"] == {"4403": 1}
    assert found["refused"]["tokens"] == {
        "missing": 1, "expired": 0, "invalid": 0, "revoked": 1, "unchecked": 0, "other": 0,
    }  # fmt: skip


async def test_how_long_is_kept_what_is_not_needed_any_more() -> None:
    for settings, kept in (({}, None), ({"history_seconds": 3_600.0}, 3_600.0)):
        async with open_office(MemoryStore(), **settings) as office:
            found = await told(office.api("root", ADMIN), "status", ServiceResource)
        assert found["retention"] == {"history_seconds": kept, "events_seconds": None}


async def test_dead_letters_the_newest_first() -> None:
    store = MemoryStore()
    async with open_office(store) as office:
        await office.created()
        await office.api("ben", JOIN).post("sessions/s1/join")
        await store.enlist("crm")
        for offset in (1, 2):
            letter = DeadLetter("crm", "s1", offset, "it answered 500", float(offset))
            await store.advance("crm", "s1", offset, letter)
        root = office.api("root", ADMIN)
        found = await told(root, "webhooks/dead", DeadLettersPage)
        assert [each["offset"] for each in found["dead_letters"]] == [2, 1]
        assert found["dead_letters"][1] == {
            "consumer": "crm",
            "session": "s1",
            "offset": 1,
            "reason": "it answered 500",
            "time": "1970-01-01T00:00:01.000Z",
        }
        assert found["more"] is False
        first = await told(root, "webhooks/dead?limit=1", DeadLettersPage)
        assert ([each["offset"] for each in first["dead_letters"]], first["more"]) == ([2], True)


async def test_who_listens_over_http_is_there_too(office: Office) -> None:
    alice = await office.created()
    async with office.api("olga", OBSERVE).stream() as stream:
        assert await stream.next() is not None
        found = await told(alice, "sessions/s1/status", SessionStatusResource)
        (presence,) = found["members"][1]["connections"]
        assert (found["members"][1]["subject"], presence["kind"]) == ("olga", "stream")
        root = office.api("root", ADMIN)
        page = await told(root, "connections", ConnectionsPage)
        assert [each["kind"] for each in page["connections"]] == ["stream"]
        assert (await told(root, "status", ServiceResource))["connections"]["streams"] == 1


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "after=x", "after=x-1", "session=a/b"])
async def test_queries_that_make_no_sense(office: Office, query: str) -> None:
    problem_of(await office.api("root", ADMIN).get(f"connections?{query}"), 422)


# -- pushed


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_status, "STATUS_SECONDS", 0.01)
    monkeypatch.setattr(status, "PUSH_SECONDS", 0.0)
    monkeypatch.setattr(status, "PUSH_FACTOR", 0.0)


@pytest.mark.usefixtures("quick")
async def test_the_status_comes_over_the_event_channel_as_it_changes(office: Office) -> None:
    alice = await office.created(form=FORM)
    await office.api("ben", JOIN).post("sessions/s1/join")
    await alice.post("sessions/s1/start")
    async with subscribing(office.service.url, "s1", token("alice", "lead")) as events:
        await events.subscribe(status=True)
        await events.until(lambda: events.statuses != [])
        assert shares(dict(events.statuses[-1])) == {"ben": 0}
        async with connect(office.service.sync_url, "drafts/s1/a", token("ben")) as client:
            await client.send(update_frame(answered(client.peer, "ben/q1")))
            await events.until(lambda: shares(dict(events.statuses[-1])) == {"ben": 0.25})
            await events.until(lambda: online(events.statuses[-1]) == {"alice", "ben"})
        await events.until(lambda: online(events.statuses[-1]) == {"alice"})
    SessionStatusResource.model_validate_json(json.dumps(events.statuses[-1]))


def online(found: Any) -> set[str]:
    return {each["subject"] for each in found["members"] if each["online"]}


@pytest.mark.usefixtures("quick")
async def test_while_nothing_changes_nothing_is_pushed(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    version = StatusBoard.version

    def counted(board: StatusBoard, live: LiveSession) -> int:
        nonlocal looks
        looks += 1
        return version(board, live)

    monkeypatch.setattr(StatusBoard, "version", counted)
    await office.created()
    async with (
        subscribing(office.service.url, "s1", token("alice", "lead")) as events,
        subscribing(office.service.url, "s1", token("olga", OBSERVE)) as plain,
    ):
        await plain.subscribe()
        await events.subscribe(status=True)
        await events.until(lambda: events.statuses != [])
        await eventually(lambda: looks > 3)
        known, before = len(events.statuses), looks
        await eventually(lambda: looks > before + 10)
        await events.publish("note", {})
        await events.until(lambda: len(events.statuses) > known)
        await plain.reads(2)
        assert len(events.statuses) == known + 1
        assert plain.statuses == []
