"""The running service, as commands see it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import anyio
import httpx
import pytest
import typer

from auth.keys import SharedSecret
from auth.tokens import TokenVerifier
from sync.cli.http import (
    Service,
    ServiceError,
    Unreachable,
    open_service,
    service_url,
    token_source,
)
from sync.server.settings import Settings
from tests.cli.conftest import SECRET

URL = "http://service"


def service(answer: Callable[[httpx.Request], httpx.Response]) -> Service:
    client = httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(answer))
    return Service(client, URL, lambda: "a-token")


def given(**settings: Any) -> Settings:
    return Settings(**settings)


@pytest.mark.parametrize(
    ("settings", "url", "expected"),
    [
        ({}, None, "http://127.0.0.1:3001"),
        ({"host": "0.0.0.0", "port": 80}, None, "http://127.0.0.1:80"),
        ({"host": "::"}, None, "http://[::1]:3001"),
        ({"host": "fe80::1"}, None, "http://[fe80::1]:3001"),
        ({"tls_cert": __file__, "tls_key": __file__}, None, "https://127.0.0.1:3001"),
        ({}, "https://drafts.example.org/", "https://drafts.example.org"),
        ({"port": 0}, "http://[::1]:81", "http://[::1]:81"),
    ],
)
def test_where_the_service_is(settings: dict[str, Any], url: str | None, expected: str) -> None:
    assert service_url(given(**settings, url=url)) == expected


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"port": 0}, None),
        ({}, "drafts.example.org"),
        ({}, "ws://x"),
        ({}, "http://root:hunter2@x"),
        ({}, "root:hunter2@x"),
    ],
)
def test_what_is_no_address(
    settings: dict[str, Any], url: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as error:
        service_url(given(**settings, url=url))
    assert error.value.exit_code == 2
    assert "hunter2" not in capsys.readouterr().err


async def test_an_administrators_token_is_made_with_the_secret() -> None:
    settings = {"jwt_secret": SECRET, "jwt_audience": "us", "jwt_issuer": "me", "max_token_ttl": 60}
    token = token_source(given(**settings))()
    verifier = TokenVerifier(SharedSecret(SECRET), audience="us", issuer="me", max_ttl=60)
    identity = await verifier.verify(token)
    assert (identity.subject, identity.administrator) == ("operator", True)


def test_a_token_that_was_given_is_taken() -> None:
    assert token_source(given(jwt_secret=SECRET, token="mine"))() == "mine"
    assert token_source(given(token="of-a-file\n"))() == "of-a-file"


@pytest.mark.parametrize(
    "settings", [{}, {"token": ""}, {"jwt_secret": "short"}, {"token": "short\nX: y"}]
)
def test_no_token_can_be_had(settings: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as error:
        token_source(given(**settings))
    assert error.value.exit_code == 2
    assert "short" not in capsys.readouterr().err


async def test_a_question_and_its_answer() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"ok": 1})

    assert await service(answer).get("sessions", "a/b?c", limit=3) == {"ok": 1}
    assert await service(answer).post("sessions", "s1", "stop") == {"ok": 1}
    assert str(asked[0].url) == f"{URL}/api/v1/sessions/a%2Fb%3Fc?limit=3"
    assert (asked[1].method, asked[1].url.path) == ("POST", "/api/v1/sessions/s1/stop")
    assert asked[0].headers["authorization"] == "Bearer a-token"


@pytest.mark.parametrize(
    ("status", "body", "says", "later"),
    [
        (404, '{"detail":"there is no session"}', "there is no session", False),
        (401, '{"detail":"expired"}', "DRAFTSYNC_TOKEN", False),
        (503, '{"detail":"draining"}', "draining", True),
        (502, "<html>bad gateway</html>", "answers 502: is it a draftsync service?", False),
        (500, "[]", "answers 500", False),
        (200, "<html>hello</html>", "does not answer as a draftsync service", False),
        (302, "", "answers 302", False),
    ],
)
async def test_refusals(status: int, body: str, says: str, later: bool) -> None:
    refusing = service(lambda _: httpx.Response(status, text=body))
    with pytest.raises(ServiceError, match=says) as error:
        await refusing.get("sessions")
    assert isinstance(error.value, Unreachable) == later
    if status != 200:
        with pytest.raises(ServiceError, match=says):
            async with aclosing(refusing.stream("sessions")) as told:
                await anext(told)


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (httpx.ConnectError("refused"), "no service answers at http://service"),
        (httpx.ReadTimeout("late"), "does not answer in time"),
        (httpx.ReadError("gone"), "was lost"),
        (httpx.RemoteProtocolError("what"), "was lost"),
    ],
)
async def test_a_service_that_does_not_answer(failure: httpx.HTTPError, says: str) -> None:
    def failing(_: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(Unreachable, match=says):
        await service(failing).get("sessions")


async def streamed(*parts: str) -> list[tuple[str, Any]]:
    async def body() -> Any:
        for part in parts:
            await anyio.lowlevel.checkpoint()
            yield part.encode()

    answer = httpx.Response(200, content=body())
    async with aclosing(service(lambda _: answer).stream("x")) as told:
        return [each async for each in told]


async def test_a_stream() -> None:
    text = (
        'retry: 1000\n\nevent: subscribed\nid: 7\ndata: {"a":1}\n\n: heartbeat\n\ndata:{"b":2}\n\n'
    )
    expected = [("subscribed", {"a": 1}), ("message", {"b": 2})]
    assert await streamed(text) == expected
    assert await streamed(*text) == expected
    assert await streamed(text.replace("\n", "\r\n")) == expected


async def test_a_line_does_not_end_within_json() -> None:
    data = {"text": "one\u2028two\x85three\x0b"}
    text = f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
    assert await streamed(text) == [("message", data)]


async def test_what_breaks_off_is_not_told() -> None:
    assert await streamed('data: {"a":1}\n\ndata: {"b"') == [("message", {"a": 1})]


async def test_what_is_here_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.2:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    asked: list[bytes] = []

    async def answer(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            asked.append(await stream.receive())
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with open_service(f"http://127.0.0.1:{port}", lambda: "t") as here:
            assert await here.get("sessions") == {}
        tasks.cancel_scope.cancel()
    assert asked[0].startswith(b"GET /api/v1/sessions HTTP/1.1")
