"""POST and GET /api/v1/revocations."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pytest

from persistence.memory import MemoryStore
from sync.server.api.revocations import REVOCATION, RevocationResource, RevocationsResource
from tests.server.api.client import ADMIN, Office, open_office, problem_of
from tests.server.parts import DISK_FULL, TroubledStore


@pytest.mark.parametrize("body", [{"sub": "mallory"}, {"jti": "7d444840"}, {"sub": "日本 語"}])
async def test_it_is_told_what_was_revoked(office: Office, body: dict[str, str]) -> None:
    ada = office.api("ada", ADMIN)
    before = time.time()
    answer = await ada.post("revocations", body)
    assert answer.status_code == 201, answer.text
    told = RevocationResource.model_validate_json(answer.content)
    assert {"sub": told.sub, "jti": told.jti} == {"sub": None, "jti": None} | body
    assert told.by == "ada"
    at, until = (datetime.fromisoformat(each).timestamp() for each in (told.at, told.until))
    assert before <= at <= time.time()
    assert until == pytest.approx(at + 30 * 86_400 + 20)
    listed = await ada.get("revocations")
    assert RevocationsResource.model_validate_json(listed.content).revocations == [told]
    RevocationResource.model_validate(REVOCATION)


async def test_a_token_lives_so_long_at_most() -> None:
    async with open_office(max_token_ttl=7_200) as office:
        told = (await office.api("ada", ADMIN).post("revocations", {"sub": "m"})).json()
    at, until = (datetime.fromisoformat(told[each]).timestamp() for each in ("at", "until"))
    assert until == pytest.approx(at + 7_220)


async def test_whoever_revokes_themselves_hears_of_it(office: Office) -> None:
    ada = office.api("ada", ADMIN, iat=time.time() - 1)
    assert (await ada.post("revocations", {"sub": "ada"})).status_code == 201
    problem_of(await ada.get("revocations"), 401)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "one of the two"),
        ({"sub": "a", "jti": "b"}, "one of the two"),
        ({"sub": ""}, "at least 1"),
        ({"sub": "x" * 257}, "at most 256"),
        ({"sub": "a\nb"}, "match"),
        ({"sub": None}, "string"),
        ({"sub": None, "jti": "b"}, "string"),
        ({"jti": 7}, "string"),
        ({"user": "a"}, "Extra"),
    ],
)
async def test_what_names_no_tokens(office: Office, body: Any, reason: str) -> None:
    told = problem_of(await office.api("ada", ADMIN).post("revocations", body), 422)
    assert reason in told["detail"]


async def test_only_administrators_revoke(office: Office) -> None:
    problem_of(await office.nobody.post("revocations", {"sub": "m"}), 401)
    problem_of(await office.nobody.get("revocations"), 401)
    for answer in (
        await office.api().post("revocations", {"sub": "m"}),
        await office.api().get("revocations"),
    ):
        assert "administrators" in problem_of(answer, 403)["detail"]
    problem_of(await office.api("ada", ADMIN).post("revocations"), 400)
    text = {"Content-Type": "text/plain"}
    problem_of(await office.api("ada", ADMIN).post("revocations", headers=text), 415)


async def test_a_disk_that_fails() -> None:
    store = TroubledStore(MemoryStore())
    async with open_office(store) as office:
        store.failure = DISK_FULL
        ada = office.api("ada", ADMIN)
        problem_of(await ada.post("revocations", {"sub": "m"}), 503)
        problem_of(await ada.get("revocations"), 503)
        store.failure = None
        assert (await ada.get("revocations")).json() == {"revocations": []}
