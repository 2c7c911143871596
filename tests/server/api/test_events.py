from __future__ import annotations

import uuid
from typing import Any

import pytest

from persistence.memory import MemoryStore
from sync.server.api.resources import EventsPage
from tests.server.api.client import (
    ADMIN,
    JOIN,
    LEAD,
    NONE,
    OBSERVE,
    Api,
    Office,
    open_office,
    problem_of,
)

EVENTS = "sessions/s1/events"
ID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


async def published(who: Api, count: int, kind: str = "note") -> None:
    for number in range(count):
        answer = await who.post(EVENTS, {"kind": kind, "data": {"number": number}})
        assert answer.status_code == 201, answer.text


async def page(who: Api, **query: Any) -> EventsPage:
    answer = await who.get(EVENTS, params=query)
    assert answer.status_code == 200, answer.text
    return EventsPage.model_validate(answer.json())


# ---------------------------------------------------------------------------------------- history


async def test_a_page_is_in_the_order_of_offsets(office: Office) -> None:
    alice = await office.created()
    await published(alice, 3)
    found = await page(alice)
    assert [each.offset for each in found.events] == [1, 2, 3, 4]
    assert [each.kind for each in found.events] == ["session.created", "note", "note", "note"]
    assert found.events[3].data == {"number": 2}
    assert (found.top, found.truncated_before, found.next) == (4, None, None)
    assert found.epoch == (await alice.get("sessions/s1")).json()["epoch"]


async def test_one_reads_on_behind_an_offset(office: Office) -> None:
    alice = await office.created()
    await published(alice, 4)
    offsets, after = [], 0
    while True:
        found = await page(alice, after=after, limit=2)
        assert len(found.events) <= 2
        offsets += [each.offset for each in found.events]
        if found.next is None:
            break
        after = found.next
    assert offsets == [1, 2, 3, 4, 5]
    assert (await page(alice, after=5)).events == []
    assert (await page(alice, after=9)).next is None


@pytest.mark.parametrize(
    ("kind", "offsets"),
    [("note", [3]), ("session.*", [1, 2]), ("*", [1, 2, 3]), ("no", []), ("no*", [3])],
)
async def test_events_of_a_kind(office: Office, kind: str, offsets: list[int]) -> None:
    alice = await office.created()
    await alice.post("sessions/s1/start")
    await published(alice, 1)
    found = await page(alice, kind=kind)
    assert [each.offset for each in found.events] == offsets


async def test_events_of_a_kind_in_pages(office: Office) -> None:
    alice = await office.created()
    for kind in ("a", "b", "a", "b", "a"):
        await published(alice, 1, kind)
    first = await page(alice, kind="a", limit=2)
    assert [each.offset for each in first.events] == [2, 4]
    assert first.next == 4
    rest = await page(alice, kind="a", limit=2, after=4)
    assert [each.offset for each in rest.events] == [6]
    assert rest.next is None


async def test_what_retention_removed() -> None:
    store = MemoryStore()
    async with open_office(store) as office:
        alice = await office.created()
        await published(alice, 3)
    await store.truncate("s1", before=1e12)
    async with open_office(store) as office:
        found = await page(office.api())
        assert [each.offset for each in found.events] == [4]
        assert (found.top, found.truncated_before) == (4, 4)


@pytest.mark.parametrize(
    "query",
    [{"after": -1}, {"limit": 0}, {"limit": 1001}, {"after": "x"}, {"kind": "A b"}, {"kind": "*a"}],
)
async def test_queries_that_make_no_sense(office: Office, query: dict[str, Any]) -> None:
    alice = await office.created()
    told = problem_of(await alice.get(EVENTS, params=query), 422)
    assert told["errors"][0]["parameter"] == next(iter(query))


# -------------------------------------------------------------------------------------- publishing


@pytest.mark.parametrize("right", [NONE, OBSERVE, JOIN, LEAD, ADMIN])
async def test_members_publish_until_the_stop(office: Office, right: str) -> None:
    alice, zoe = await office.created(), office.api("zoe", right)
    assert (await zoe.post(EVENTS, {"kind": "note"})).status_code == 403  # no member yet
    joined = await zoe.post("sessions/s1/join")
    expected = 403 if right == NONE else 201
    for step in ("start", "pause", "resume"):
        await alice.post(f"sessions/s1/{step}")
        assert (await zoe.post(EVENTS, {"kind": "note"})).status_code == expected
    await alice.post("sessions/s1/stop")
    answer = await zoe.post(EVENTS, {"kind": "note"})
    assert answer.status_code == (409 if joined.status_code == 200 else 403)


async def test_an_event_as_it_was_published(office: Office) -> None:
    alice = await office.created()
    answer = await alice.post(EVENTS, {"id": ID, "kind": "a.b", "data": {"ü": [1, None, "\n"]}})
    assert answer.json() == {"id": ID, "offset": 2}
    event = (await page(alice, after=1)).events[0]
    assert (event.id, event.kind, event.actor) == (ID, "a.b", "alice")
    assert event.data == {"ü": [1, None, "\n"]}


async def test_the_same_id_stores_nothing(office: Office) -> None:
    alice = await office.created()
    first = await alice.post(EVENTS, {"id": ID, "kind": "note"})
    again = await alice.post(EVENTS, {"id": ID, "kind": "other"})
    assert (again.status_code, again.json()) == (201, first.json())
    assert (await page(alice)).top == 2


async def test_a_key_makes_the_id(office: Office) -> None:
    alice = await office.created()
    first = await alice.post(EVENTS, {"kind": "note"}, key="k")
    again = await alice.post(EVENTS, {"kind": "note"}, key="k")
    assert (again.status_code, again.json()) == (201, first.json())
    assert str(uuid.UUID(first.json()["id"])) == first.json()["id"]
    assert (await alice.post(EVENTS, {"kind": "note"}, key="l")).json()["offset"] == 3


async def test_a_key_is_for_one_event(office: Office) -> None:
    alice = await office.created()
    await alice.post(EVENTS, {"kind": "note", "data": {"a": 1}}, key="k")
    problem_of(await alice.post(EVENTS, {"kind": "note", "data": {"a": 2}}, key="k"), 422)
    problem_of(await alice.post(EVENTS, {"kind": "other", "data": {"a": 1}}, key="k"), 422)


async def test_a_repeat_after_the_stop(office: Office) -> None:
    alice = await office.created()
    await alice.post("sessions/s1/start")
    first = await alice.post(EVENTS, {"kind": "note"}, key="k")
    await alice.post("sessions/s1/stop")
    assert (await alice.post(EVENTS, {"kind": "note"}, key="k")).json() == first.json()
    problem_of(await alice.post(EVENTS, {"kind": "note"}), 409)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "session.mine"}, "/kind"),
        ({"kind": "draft.mine"}, "/kind"),
        ({"kind": "A"}, "/kind"),
        ({"kind": "a" * 65}, "/kind"),
        ({}, "/kind"),
        ({"kind": "a", "id": "7"}, "/id"),
        ({"kind": "a", "data": []}, "/data"),
        ({"kind": "a", "data": {"x": "y" * 65_536}}, "/data"),
        ({"kind": "a", "offset": 1}, "/offset"),
    ],
)
async def test_what_is_no_event(office: Office, body: dict[str, Any], pointer: str) -> None:
    alice = await office.created()
    told = problem_of(await alice.post(EVENTS, body), 422)
    assert told["errors"][0]["pointer"] == pointer
    assert (await page(alice)).top == 1
