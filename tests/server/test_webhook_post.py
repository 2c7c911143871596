"""Requests of webhooks over the real HTTP stack, to receivers of every kind on 127.0.0.1."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream

from persistence.memory import MemoryStore
from persistence.store import Event, Record, SessionState
from sync.core.webhook import Answer, Webhook, request_headers, signing_keys, verify
from sync.server import webhook_post
from sync.server.sessions import Listener
from sync.server.webhook_post import MOST_ANSWER, HttpPost, open_http_post
from sync.server.webhooks import open_webhooks
from tests.server.parts import eventually
from tests.server.webhook_parts import SECRET, caught_up, until

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Request:
    head: bytes
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}


@dataclass
class HttpReceiver:
    """An HTTP server that says what it is told to, byte by byte."""

    url: str
    answers: list[bytes] = field(default_factory=list)  # then OK
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    hang: bool = False

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        buffered = BufferedByteReceiveStream(stream)
        async with stream:
            try:
                while True:
                    await self._exchange(stream, buffered)
            except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                pass

    async def _exchange(self, stream: ByteStream, buffered: BufferedByteReceiveStream) -> None:
        request = Request(await buffered.receive_until(b"\r\n\r\n", 65_536), b"")
        request.body = await buffered.receive_exactly(int(request.headers["content-length"]))
        self.requests.append(request)
        await stream.send(self.answers.pop(0) if self.answers else OK)
        if self.hang:
            await anyio.sleep_forever()


@asynccontextmanager
async def receiving(*answers: bytes, hang: bool = False) -> AsyncIterator[HttpReceiver]:
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        port = listener.extra(SocketAttribute.local_port)
        receiver = HttpReceiver(f"http://127.0.0.1:{port}/hook?key=7", list(answers), hang=hang)
        tasks.start_soon(partial(listener.serve, receiver.serve))
        yield receiver
        tasks.cancel_scope.cancel()


Sender = Callable[[str], Awaitable[Answer]]


@asynccontextmanager
async def sending(total_seconds: float = 5.0) -> AsyncIterator[Sender]:
    async with open_http_post() as opened:
        post = HttpPost(opened._client, total_seconds)

        async def send(url: str) -> Answer:
            return await post(url, request_headers("id", b"{}", signing_keys(SECRET), 7), b"{}")

        yield send


def reply(status: int, *headers: str, body: bytes = b"") -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


async def test_a_request() -> None:
    async with receiving() as receiver, sending() as send:
        assert await send(receiver.url) == Answer(204)
    (request,) = receiver.requests
    assert request.head.startswith(b"POST /hook?key=7 HTTP/1.1\r\n")
    verify(SECRET, request.headers, request.body, 7)
    assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    for name in ("authorization", "cookie", "accept-encoding"):
        assert name not in request.headers


async def test_one_connection_serves_many_requests_and_keeps_no_cookie() -> None:
    cookie = reply(200, "Set-Cookie: a=b", body=b"thanks")
    async with receiving(cookie, cookie) as receiver, sending() as send:
        for _ in range(3):
            await send(receiver.url)
    assert receiver.connections == 1
    assert len(receiver.requests) == 3
    assert not any("cookie" in request.headers for request in receiver.requests)


async def test_redirects_are_not_followed() -> None:
    async with receiving() as elsewhere:
        moved = reply(307, f"Location: {elsewhere.url}")
        async with receiving(moved) as receiver, sending() as send:
            assert (await send(receiver.url)).status == 307
        assert not elsewhere.requests


async def test_retry_after_is_handed_on() -> None:
    async with receiving(reply(503, "Retry-After: 17")) as receiver, sending() as send:
        assert await send(receiver.url) == Answer(503, retry_after="17")


async def test_a_long_answer_is_not_read_to_its_end() -> None:
    """The status is enough; the connection is given up."""
    long = reply(200, body=b"x" * 4 * MOST_ANSWER)
    async with receiving(long) as receiver, sending() as send:
        assert (await send(receiver.url)).status == 200
        assert (await send(receiver.url)).status == 204
    assert receiver.connections == 2


async def test_an_endless_answer() -> None:
    """What says 200 has taken it, though the rest never comes."""
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all"
    async with receiving(endless, hang=True) as receiver, sending(0.1) as send:
        assert (await send(receiver.url)).status == 200


async def test_a_receiver_that_hangs() -> None:
    async with receiving(b"HTTP/1.1 ", hang=True) as receiver, sending(0.1) as send:
        assert await send(receiver.url) == Answer(None, "it did not answer within 0.1 s")


async def test_a_receiver_that_cannot_be_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener whose backlog is full takes no more connections, and says nothing."""
    monkeypatch.setattr(webhook_post, "CONNECT_SECONDS", 0.1)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        queued = [socket.socket() for _ in range(4)]
        for each in queued:
            each.setblocking(False)
            each.connect_ex(address)
        async with sending() as send:
            answer = await send(f"http://127.0.0.1:{address[1]}/")
        for each in queued:
            each.close()
    assert answer == Answer(None, "no connection within 0.1 s")


async def test_nobody_there() -> None:
    async with receiving() as receiver:
        pass
    async with sending() as send:
        answer = await send(receiver.url)
    assert answer.status is None
    assert answer.reason.startswith("no answer: ")


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 2**20]
)
async def test_what_is_no_answer(answer: bytes) -> None:
    async def speak(stream: ByteStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(answer)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(partial(listener.serve, speak))
        async with sending() as send:
            got = await send(f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/")
        tasks.cancel_scope.cancel()
    assert got.status is None
    assert got.reason


@pytest.mark.parametrize("url", ["http://a..b/", "http://xn--/", f"http://{'a' * 300}/"])
async def test_an_address_that_nobody_can_have(url: str) -> None:
    async with sending() as send:
        assert (await send(url)).status is None


async def test_webhooks_over_http(caplog: pytest.LogCaptureFixture) -> None:
    """All of it, but for sessions: events on disk arrive, in order."""
    caplog.set_level("INFO")
    store = MemoryStore()
    listeners: list[Listener] = []
    await store.enlist("crm")
    state = SessionState("9b1c5f0e6a7d4c32", "created", "{}")
    for number in range(5):
        event = Event(f"id{number}", "session.created", "alice", 1_790_000_000.0, '{"a":"ä"}')
        await store.record([Record("s1", event, state)])
    async with receiving(reply(200)) as receiver:
        hook = Webhook("crm", receiver.url, signing_keys(SECRET))
        async with open_webhooks(store, listeners, [hook]) as webhooks:
            await until(partial(caught_up, store))
            await eventually(lambda: webhooks.statistics()[0].delivered == 5)
    bodies = [json.loads(request.body) for request in receiver.requests]
    assert [each["offset"] for each in bodies] == [1, 2, 3, 4, 5]
    assert bodies[0]["data"] == {"a": "ä"}
    assert "key=7" not in caplog.text
