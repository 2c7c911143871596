"""A service with a webhook: what people do is sent, and dead letters are sent again on request."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from pydantic import SecretStr

from persistence.memory import MemoryStore
from persistence.store import DeadLetter
from sync.core.webhook import verify
from sync.server.api.webhooks import ReplayResource
from tests.server.api.client import ADMIN, LEAD, open_office, problem_of
from tests.server.parts import eventually
from tests.server.test_webhook_post import HttpReceiver, receiving, reply
from tests.server.webhook_parts import NOW, SECRET, caught_up, until


def configured(receiver: HttpReceiver, **more: Any) -> dict[str, Any]:
    hook = {"url": SecretStr(receiver.url), "name": "crm"} | more
    return {"webhooks": (hook,), "webhook_secret": SecretStr(SECRET)}


async def test_what_people_do_is_sent() -> None:
    store = MemoryStore()
    async with receiving() as receiver, open_office(store, **configured(receiver)) as office:
        alice = await office.created()
        await alice.post("sessions/s1/start")
        await alice.post("sessions/s1/events", {"kind": "note", "data": {}})
        await alice.post("sessions/s1/drafts/a/complete")
        await alice.post("sessions/s1/stop")
        await eventually(lambda: len(receiver.requests) == 4)
        await until(partial(caught_up, store))
    told = [json.loads(request.body) for request in receiver.requests]
    assert [(each["offset"], each["type"]) for each in told] == [
        (1, "draftsync.session.created"),
        (2, "draftsync.session.started"),
        (4, "draftsync.draft.completed"),
        (5, "draftsync.session.stopped"),
    ]
    assert {each["actor"] for each in told} == {"alice"}
    assert told[2]["subject"] == "drafts/s1/a"
    for request in receiver.requests:
        verify(SECRET, request.headers, request.body, int(request.headers["webhook-timestamp"]))


async def test_what_happened_while_it_was_down_is_sent_after_the_restart() -> None:
    store = MemoryStore()
    async with receiving(*[reply(503)] * 100) as receiver:
        async with open_office(store, **configured(receiver)) as office:
            await office.created()
            await eventually(lambda: len(receiver.requests) == 1)
        receiver.answers.clear()
        async with open_office(store, **configured(receiver)):
            await eventually(lambda: len(receiver.requests) == 2)
            await until(partial(caught_up, store))
    first, second = (json.loads(request.body) for request in receiver.requests)
    assert first == second


async def test_dead_letters_are_sent_again() -> None:
    store = MemoryStore()
    async with receiving() as receiver, open_office(store, **configured(receiver)) as office:
        await office.created()
        await until(partial(caught_up, store))
        await store.advance("crm", "s1", 1, DeadLetter("crm", "s1", 1, "it answered 500", NOW))
        admin = office.api("root", ADMIN)
        receiver.answers.append(reply(500))
        answer = await admin.post("webhooks/replay", {"consumer": "crm"})
        told = ReplayResource.model_validate(answer.json())
        assert (answer.status_code, told.delivered, told.left) == (200, 0, 0)
        assert (told.failed[0].offset, told.failed[0].reason) == (1, "it answered 500")
        answer = await admin.post("webhooks/replay")
        assert answer.json() == {"delivered": 1, "failed": [], "left": 0}
    assert len(receiver.requests) == 3
    assert not await store.dead_letters()


async def test_administrators_alone_replay() -> None:
    async with open_office() as office:
        problem_of(await office.api("lea", LEAD).post("webhooks/replay"), 403)
        problem_of(await office.nobody.post("webhooks/replay"), 401)
        answer = await office.api("root", ADMIN).post("webhooks/replay", {"offset": 0})
        problem_of(answer, 422)
        answer = await office.api("root", ADMIN).post("webhooks/replay")
        assert answer.json() == {"delivered": 0, "failed": [], "left": 0}
