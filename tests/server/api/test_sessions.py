from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from persistence.memory import MemoryStore
from persistence.sqlite import open_sqlite
from sync.forms.definition import form_definition
from sync.server.api import sessions as sessions_module
from sync.server.api.resources import SessionResource, SessionsPage
from tests.server.api.client import (
    ADMIN,
    JOIN,
    LEAD,
    NONE,
    OBSERVE,
    OUTLINE,
    Api,
    Office,
    open_office,
    problem_of,
)

CREATED, RUNNING, PAUSED, STOPPED = "created", "running", "paused", "stopped"
WAY = {CREATED: [], RUNNING: ["start"], PAUSED: ["start", "pause"], STOPPED: ["start", "stop"]}
OPEN = {
    CREATED: ["join", "leave", "start"],
    RUNNING: ["join", "leave", "pause", "stop"],
    PAUSED: ["join", "leave", "resume", "stop"],
    STOPPED: [],
}
FORM = {
    "id": "f",
    "title": "F",
    "sections": [
        {"id": "s", "title": "S", "questions": [{"id": "q", "kind": "text", "label": "Q"}]}
    ],
}
RIGHTS = (NONE, OBSERVE, JOIN, LEAD, ADMIN)


async def brought_to(office: Office, state: str) -> None:
    """There is a session s1 in a state, with bob as an evaluator in it."""
    alice = await office.created()
    await office.api("bob", JOIN).post("sessions/s1/join")
    for step in WAY[state]:
        assert (await alice.post(f"sessions/s1/{step}")).status_code == 200


def expected_of(step: str, right: str, state: str) -> int:
    """What becomes of a step of somebody who is no member."""
    if right == NONE:
        return 403
    leads = right in {LEAD, ADMIN}
    if step not in {"join", "leave"} and not leads:
        return 403
    return 200 if step in OPEN[state] and step != "leave" else 409


# ------------------------------------------------------------------- routes × rights × states


@pytest.mark.parametrize("state", WAY)
async def test_steps(state: str) -> None:
    steps = ("join", "leave", "start", "pause", "resume", "stop")
    async with open_office() as office:
        for number, (step, right) in enumerate(product(steps, RIGHTS)):
            name = f"s{number}"
            alice = office.api()
            await alice.post("sessions", OUTLINE | {"id": name})
            for before in WAY[state]:
                await alice.post(f"sessions/{name}/{before}")
            answer = await office.api("zoe", right).post(f"sessions/{name}/{step}")
            expected = expected_of(step, right, state)
            assert answer.status_code == expected, (step, right, answer.text)
            if expected == 409:
                told = problem_of(answer, 409)["open_steps"]
                assert told == [each for each in OPEN[state] if step != "leave" or each != step]


@pytest.mark.parametrize("state", WAY)
async def test_reading(state: str) -> None:
    async with open_office() as office:
        await brought_to(office, state)
        for right in RIGHTS:
            answer = await office.api("zoe", right).get("sessions/s1")
            assert answer.status_code == (403 if right == NONE else 200)
            if right != NONE:
                session = SessionResource.model_validate(answer.json())
                assert (session.state, session.open_steps) == (state, OPEN[state])


@pytest.mark.parametrize("right", RIGHTS)
async def test_creating(office: Office, right: str) -> None:
    answer = await office.api("zoe", right).post("sessions", OUTLINE)
    assert answer.status_code == (201 if right in {LEAD, ADMIN} else 403)


@pytest.mark.parametrize("verb", ["complete", "reopen"])
@pytest.mark.parametrize("state", WAY)
async def test_declaring_drafts(state: str, verb: str) -> None:
    runs = state in {RUNNING, PAUSED}
    async with open_office() as office:
        await brought_to(office, state)
        path = f"sessions/s1/drafts/a/{verb}"
        for right in (NONE, OBSERVE, JOIN):  # zoe is no member
            assert (await office.api("zoe", right).post(path)).status_code == 403
        bob = office.api("bob", JOIN)
        assert (await bob.post(path, {"subject": "alice"})).status_code == 403
        if verb == "reopen" and runs:
            await bob.post("sessions/s1/drafts/a/complete")
        answer = await bob.post(path)
        assert answer.status_code == (200 if runs else 409)
        if runs:
            told = [[each["case"], each["subject"]] for each in answer.json()["completed"]]
            assert told == ([["a", "bob"]] if verb == "complete" else [])
            again = await office.api("alice").post(path, {"subject": "bob"})
            assert problem_of(again, 409)["open_steps"] == OPEN[state]


ROUTES = [
    ("GET", "sessions/s404", None),
    ("POST", "sessions/s404/join", None),
    ("POST", "sessions/s404/start", None),
    ("POST", "sessions/s404/drafts/a/complete", None),
    ("GET", "sessions/s404/events", None),
    ("POST", "sessions/s404/events", {"kind": "x"}),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_a_session_that_is_not_there(
    office: Office, method: str, path: str, body: Any
) -> None:
    """Who has no right to it is not told that it is not there."""
    who = office.api("zoe", LEAD, pattern="s404")
    assert "s404" in problem_of(await who.request(method, path, json=body), 404)["detail"]
    other = office.api("zoe", LEAD, pattern="else")
    problem_of(await other.request(method, path, json=body), 403)
    problem_of(await office.nobody.request(method, path, json=body), 401)


async def test_a_test_case_that_is_not_there(office: Office) -> None:
    alice = await office.created()
    problem_of(await alice.post("sessions/s1/drafts/c/complete"), 404)


# ------------------------------------------------------------------------------------- creating


async def test_a_session_as_it_was_asked_for(office: Office) -> None:
    alice = office.api()
    asked = {
        "id": "s1",
        "project": "Support agent",
        "title": "Refunds",
        "test_cases": ["a", {"id": "b", "title": "Bee"}],
        "members": [{"subject": "bob", "role": "evaluator"}],
        "form": FORM,
    }
    answer = await alice.post("sessions", asked)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v1/sessions/s1"
    session = answer.json()
    SessionResource.model_validate(session)
    assert session["test_cases"] == [{"id": "a", "title": "a"}, {"id": "b", "title": "Bee"}]
    assert session["form"] == form_definition(FORM).to_json()
    assert (session["state"], session["top"]) == (CREATED, 1)
    told = [
        [each["subject"], each["name"], each["role"], each["joined_at"] is not None]
        for each in session["members"]
    ]
    assert told == [["alice", "Alice", "lead", True], ["bob", "bob", "evaluator", False]]
    assert (await alice.get(answer.headers["location"])).json() == session


async def test_what_is_left_out(office: Office) -> None:
    answer = await office.api("alice", LEAD, pattern="*").post(
        "sessions", {"project": "P", "test_cases": []}
    )
    session = answer.json()
    assert answer.headers["location"] == f"/api/v1/sessions/{session['id']}"
    assert (session["title"], session["form"]) == ("P", None)


async def test_a_made_up_id_needs_the_right_to_it(office: Office) -> None:
    answer = await office.api("alice", LEAD, pattern="s1").post(
        "sessions", {"project": "P", "test_cases": []}
    )
    problem_of(answer, 403)


async def test_an_id_that_is_taken(office: Office) -> None:
    alice = await office.created()
    told = problem_of(await alice.post("sessions", OUTLINE), 409)
    assert told["open_steps"] == OPEN[CREATED]


# ----------------------------------------------------------------------------------- idempotency


async def test_the_same_creation_has_the_same_answer(office: Office) -> None:
    """Even after the session has gone on."""
    alice = office.api()
    first = await alice.post("sessions", OUTLINE, key="k")
    await alice.post("sessions/s1/start")
    again = await alice.post("sessions", OUTLINE, key="k")
    assert (again.status_code, again.text) == (201, first.text)
    assert again.headers["location"] == first.headers["location"]


async def test_the_same_creation_without_an_id(office: Office) -> None:
    alice = office.api(pattern="*")
    asked = {"project": "P", "test_cases": ["a"]}
    first = await alice.post("sessions", asked, key="k")
    assert (await alice.post("sessions", asked, key="k")).text == first.text
    assert (await alice.post("sessions", asked, key="l")).json()["id"] != first.json()["id"]
    assert (await office.api("bob", LEAD, pattern="*").post("sessions", asked, key="k")).json()[
        "id"
    ] != first.json()["id"]


@pytest.mark.parametrize(
    "other",
    [
        {"project": "Another"},
        {"title": "Another"},
        {"test_cases": ["a"]},
        {"members": [{"subject": "bob", "role": "observer"}]},
        {"form": FORM},
    ],
)
async def test_a_key_is_for_one_body(office: Office, other: dict[str, Any]) -> None:
    alice = office.api()
    await alice.post("sessions", OUTLINE, key="k")
    answer = await alice.post("sessions", OUTLINE | other, key="k")
    assert answer.status_code == 422, answer.text
    problem_of(answer, 422)


async def test_a_step_with_a_key_is_taken_once(office: Office) -> None:
    alice = await office.created()
    assert (await alice.post("sessions/s1/start", key="k")).status_code == 200
    await alice.post("sessions/s1/pause")
    again = await alice.post("sessions/s1/start", key="k")
    assert (again.status_code, again.json()["state"]) == (200, PAUSED)
    assert (await alice.get("sessions/s1")).json()["top"] == 3


async def test_repeats_after_a_restart(tmp_path: Path) -> None:
    async with open_sqlite(str(tmp_path / "drafts.db")) as store:
        async with open_office(store) as office:
            alice = office.api()
            created = await alice.post("sessions", OUTLINE, key="k")
            await alice.post("sessions/s1/start", key="k")
            published = await alice.post("sessions/s1/events", {"kind": "note"}, key="k")
            await alice.post("sessions/s1/drafts/a/complete", key="k")
        async with open_office(store) as office:
            alice = office.api()
            assert (await alice.post("sessions", OUTLINE, key="k")).text == created.text
            assert (await alice.post("sessions/s1/start", key="k")).status_code == 200
            again = await alice.post("sessions/s1/events", {"kind": "note"}, key="k")
            assert (again.status_code, again.json()) == (201, published.json())
            done = await alice.post("sessions/s1/drafts/a/complete", key="k")
            assert done.status_code == 200
            assert done.json()["top"] == 4
            problem_of(await alice.post("sessions", OUTLINE | {"title": "X"}, key="k"), 422)


# --------------------------------------------------------------------------------------- joining


@pytest.mark.parametrize(
    ("right", "asked", "role"),
    [
        (OBSERVE, None, "observer"),
        (JOIN, None, "evaluator"),
        (LEAD, None, "lead"),
        (LEAD, "observer", "observer"),
        (JOIN, "evaluator", "evaluator"),
        (JOIN, "lead", None),
        (OBSERVE, "evaluator", None),
    ],
)
async def test_roles(office: Office, right: str, asked: str | None, role: str | None) -> None:
    await office.created()
    body = {"role": asked} if asked is not None else None
    answer = await office.api("zoe", right).post("sessions/s1/join", body)
    if role is None:
        problem_of(answer, 403)
    else:
        assert answer.json()["members"][-1]["role"] == role


async def test_an_invitation_says_as_what_one_joins(office: Office) -> None:
    await office.created(members=[{"subject": "bob", "role": "observer"}])
    joined = await office.api("bob", LEAD).post("sessions/s1/join")
    assert joined.json()["members"][-1]["role"] == "observer"


# --------------------------------------------------------------------------------------- the list


async def listed(who: Api, **query: Any) -> tuple[list[str], int | None]:
    answer = await who.get("sessions", params=query)
    page = SessionsPage.model_validate(answer.json())
    return [each.id for each in page.sessions], page.next


async def test_a_list_has_what_one_may_observe(office: Office) -> None:
    admin = office.api("root", ADMIN)
    for name in ("s1", "t1", "s2"):
        await admin.post("sessions", OUTLINE | {"id": name})
    assert await listed(admin) == (["s1", "t1", "s2"], None)
    assert await listed(office.api("bob", OBSERVE, pattern="s*")) == (["s1", "s2"], None)
    assert await listed(office.api("bob", LEAD, pattern="t1")) == (["t1"], None)
    assert await listed(office.api("bob", NONE)) == ([], None)


async def test_pages_of_a_list(office: Office) -> None:
    alice = office.api()
    names = [f"s{number}" for number in range(5)]
    for name in names:
        await alice.post("sessions", OUTLINE | {"id": name})
    found, after = await listed(alice, limit=2)
    while after is not None:
        more, after = await listed(alice, limit=2, after=after)
        assert len(more) <= 2
        found += more
    assert found == names


async def test_a_list_by_state(office: Office) -> None:
    alice = office.api()
    for name in ("s1", "s2"):
        await alice.post("sessions", OUTLINE | {"id": name})
    await alice.post("sessions/s2/start")
    assert await listed(alice, state="running") == (["s2"], None)
    assert await listed(alice, state="created") == (["s1"], None)
    problem_of(await alice.get("sessions", params={"state": "gone"}), 422)


async def test_one_request_looks_at_so_many_and_one_goes_on(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "PAGE", 2)
    monkeypatch.setattr(sessions_module, "MOST_SCANNED", 4)
    admin = office.api("root", ADMIN)
    for number in range(5):
        await admin.post("sessions", OUTLINE | {"id": f"t{number}"})
    await admin.post("sessions", OUTLINE | {"id": "s1"})
    bob = office.api("bob", OBSERVE, pattern="s*")
    found, after = await listed(bob)
    assert found == []
    assert after is not None
    assert await listed(bob, after=after) == (["s1"], None)


async def test_one_session_that_cannot_be_read_is_left_out_of_a_list() -> None:
    store = MemoryStore()
    async with open_office(store) as office:
        alice = office.api()
        for name in ("s1", "s2"):
            await alice.post("sessions", OUTLINE | {"id": name})
    broken = store._sessions["s1"]
    broken.current = broken.current._replace(body="{}")
    async with open_office(store) as office:
        alice = office.api()
        assert await listed(alice) == (["s2"], None)
        assert "log" in problem_of(await alice.get("sessions/s1"), 503)["detail"]
