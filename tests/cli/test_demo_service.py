"""The service of the demo: links that sign in, and new tokens for old."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qsl

import httpx
import jwt
import pytest
from starlette.responses import PlainTextResponse

from auth.access import TokenInvalid
from auth.keys import SharedSecret
from auth.tokens import TokenVerifier
from sync.cli.demo_people import AUDIENCE, PEOPLE
from sync.cli.demo_service import RENEWAL_SECONDS, Desk, SignIn
from tests.cli.conftest import Run

SECRET = "the secret of a demo, long enough for HS256"
TTL = 60.0

http_to = httpx.ASGITransport(SignIn(Desk(SECRET, TTL), PlainTextResponse("the rest")))


async def ask(method: str, path: str, **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(transport=http_to, base_url="http://demo") as http:
        return await http.request(method, path, **more)


def fragment(answer: httpx.Response) -> dict[str, str]:
    return dict(parse_qsl(answer.headers["location"].removeprefix("/#"), strict_parsing=True))


async def renew(token: str | None) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return await ask("POST", "/demo/token", headers=headers)


def aged(claims: dict[str, Any], seconds: float, secret: str = SECRET) -> str:
    """A token that ended so long ago."""
    now = time.time()
    return jwt.encode(claims | {"iat": now - seconds - TTL, "exp": now - seconds}, secret)


BOB = {"sub": "bob", "name": "Bob", "aud": AUDIENCE, "docs": {"drafts/*": "write"}}


@pytest.mark.parametrize("subject", PEOPLE)
async def test_a_link_signs_somebody_in(subject: str) -> None:
    answer = await ask("GET", f"/demo/{subject}")
    assert answer.status_code == 302
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    told = fragment(answer)
    assert told["session"] == "help-desk"
    assert told.get("page") == ("monitor" if subject == "admin" else None)
    who = await TokenVerifier(SharedSecret(SECRET), audience=AUDIENCE).verify(told["token"])
    assert (who.subject, who.name) == (subject, PEOPLE[subject].name)
    assert who.administrator == (subject == "admin")
    assert TTL - 2 <= who.expires_at - time.time() <= TTL + 1


async def test_a_link_to_a_place() -> None:
    place = {"session": "s 1&x=y#\r\n", "case": "a/b", "token": "another", "else": "no"}
    told = fragment(await ask("GET", "/demo/alice", params=place))
    assert told["session"] == place["session"]
    assert told["case"] == place["case"]
    assert told["token"].count(".") == 2
    assert "else" not in told


async def test_nobody_else_is_signed_in() -> None:
    answer = await ask("GET", "/demo/eve")
    assert answer.status_code == 404
    assert "alice, bob, lena, olga, admin" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/demo/token", "POST"), ("POST", "/demo/alice", "GET"), ("PUT", "/demo/bob", "GET")],
)
async def test_other_methods(method: str, path: str, allowed: str) -> None:
    answer = await ask(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_all_else_is_not_its_own() -> None:
    for path in ("/", "/demo", "/demonstration", "/api/v1/demo/token"):
        assert (await ask("GET", path)).text == "the rest"


async def test_a_new_token_says_the_same() -> None:
    old = fragment(await ask("GET", "/demo/lena"))["token"]
    answer = await renew(old)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    new = answer.json()["token"]
    was, now = (jwt.decode(each, SECRET, ["HS256"], audience=AUDIENCE) for each in (old, new))
    assert was.pop("exp") <= now.pop("exp")
    assert was == now, "and it is revoked with the one whose place it takes"
    assert answer.json()["expires"].endswith("+00:00")


async def test_a_laptop_has_slept() -> None:
    answer = await renew(aged(BOB, RENEWAL_SECONDS - 60))
    assert answer.status_code == 200
    who = await TokenVerifier(SharedSecret(SECRET), audience=AUDIENCE).verify(
        answer.json()["token"]
    )
    assert (who.subject, who.administrator) == ("bob", False)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "a token is required"),
        ("", "a token is required"),
        ("nonsense", "signed JWT"),
        (aged(BOB, RENEWAL_SECONDS + 60), "token-expired"),
        (aged(BOB, 0, "another secret, as long as it has to be"), "signature"),
        (aged(BOB | {"aud": "another"}, 0), "audience"),
        (jwt.encode(BOB | {"exp": time.time() + 60}, "", algorithm="none"), "alg"),
    ],
)
async def test_what_gets_no_token(token: str | None, reason: str) -> None:
    answer = await renew(token)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert reason in answer.json()["detail"]
    assert "open the link of the demo again" in answer.json()["detail"]


async def test_the_service_itself_takes_no_token_that_has_expired() -> None:
    """Only the desk does, for who has slept."""
    verifier = TokenVerifier(SharedSecret(SECRET), audience=AUDIENCE)
    with pytest.raises(Exception, match="expired") as error:
        await verifier.verify(aged(BOB, 60))
    assert not isinstance(error.value, TokenInvalid)


def test_serve_has_no_such_thing(run: Run) -> None:
    assert "demo" not in run("serve", "--help").output
