from __future__ import annotations

import logging

import pytest

from tests.server.api.client import Office, problem_of
from tests.server.service import token_for
from tests.support.client import connect


async def test_a_token_is_swapped_for_a_ticket(office: Office) -> None:
    answer = await office.api().post("tickets")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"ticket", "expires"}
    assert answer.json()["expires"].endswith("Z")


async def test_a_ticket_is_taken_where_a_token_is_and_once(office: Office) -> None:
    alice = await office.created()
    ticket = (await alice.post("tickets")).json()["ticket"]
    answer = await office.nobody.get(f"sessions/s1?ticket={ticket}")
    assert (answer.status_code, answer.json()["id"]) == (200, "s1")
    told = problem_of(await office.nobody.get(f"sessions/s1?ticket={ticket}"), 401)
    assert "new ticket" in told["detail"]


async def test_a_bad_ticket_is_not_helped_by_a_good_token(office: Office) -> None:
    alice = await office.created()
    problem_of(await alice.get("sessions/s1?ticket=x"), 401)


async def test_a_token_in_the_query_counts_more_than_a_header(office: Office) -> None:
    await office.created()
    bob = office.api("bob", "none")
    good = office.api()._headers["Authorization"].removeprefix("Bearer ")
    assert (await bob.get(f"sessions/s1?token={good}")).status_code == 200


@pytest.mark.parametrize("query", ["", "?token={}", "?ticket={}"])
async def test_only_a_bearer_token_is_swapped(office: Office, query: str) -> None:
    """A ticket makes no other, and so nobody stays without the token."""
    good = office.api()._headers["Authorization"].removeprefix("Bearer ")
    problem_of(await office.nobody.post(f"tickets{query.format(good)}"), 401)


async def test_too_many(office: Office) -> None:
    alice = office.api()
    for _ in range(100):
        assert (await alice.post("tickets")).status_code == 201
    answer = await alice.post("tickets")
    assert "100 tickets" in problem_of(answer, 429)["detail"]
    assert answer.headers["retry-after"] == "30"
    assert (await office.api("bob").post("tickets")).status_code == 201


async def test_a_document_is_opened_with_a_ticket(office: Office) -> None:
    """By any transport, and once."""
    answer = await office.http.post(
        "/api/v1/tickets", headers={"Authorization": f"Bearer {token_for()}"}
    )
    ticket = answer.json()["ticket"]
    url = office.service.sync_url
    async with connect(url, f"drafts/1?ticket={ticket}") as client:
        await client.put("q", 1)
        await client.saved()
    async with connect(url, f"drafts/1?ticket={ticket}") as client:
        assert (await client.ended()).code == 4401


async def test_no_log_holds_a_ticket(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for logger in ("httpx", "httpcore"):  # the tests' own clients
        logging.getLogger(logger).setLevel(logging.WARNING)
    alice = await office.created()
    ticket = (await alice.post("tickets")).json()["ticket"]
    for _ in range(2):
        await office.nobody.get(f"sessions/s1?ticket={ticket}")
    assert not [each for each in caplog.records if ticket in str(each.__dict__)]
