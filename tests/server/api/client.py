"""A client of the HTTP API for tests, and what they ask it for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from persistence.memory import MemoryStore
from persistence.store import Store
from tests.server.service import Running, running, token_for

OUTLINE: dict[str, Any] = {"id": "s1", "project": "Support agent", "test_cases": ["a", "b"]}

NONE, OBSERVE, JOIN, LEAD, ADMIN = "none", "observe", "join", "lead", "admin"


def token(subject: str = "alice", right: str = LEAD, pattern: str = "s*", **claims: Any) -> str:
    """A token with one right to sessions and none to documents."""
    if right == ADMIN:
        claims["role"] = "admin"
    elif right != NONE:
        claims["sessions"] = {pattern: right}
    name = subject.title()
    return token_for(subject, docs={"none": "read"}, name=name, **claims)


class Api:
    """Requests of one person."""

    def __init__(self, http: httpx.AsyncClient, bearer: str | None) -> None:
        self.http = http
        self._headers = {"Authorization": f"Bearer {bearer}"} if bearer is not None else {}

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.request("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        if body is not None:
            more["json"] = body
        return await self.request("POST", path, **more)

    async def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """``path`` is below /api/v1 unless it begins with a slash."""
        path = path if path.startswith("/") else f"/api/v1/{path}"
        sent = self._headers | ({"Idempotency-Key": key} if key is not None else {})
        return await self.http.request(method, path, headers=sent | (headers or {}), **more)

    @asynccontextmanager
    async def stream(
        self, session: str = "s1", *, last: str | None = None, **query: Any
    ) -> AsyncIterator[Stream]:
        """The events of a session as ``EventSource`` asks for them."""
        headers = self._headers | {"Accept": "text/event-stream"}
        headers |= {"Last-Event-ID": last} if last is not None else {}
        path = f"/api/v1/sessions/{session}/events"
        async with self.http.stream("GET", path, headers=headers, params=query) as response:
            yield Stream(response)


@dataclass(frozen=True)
class Message:
    """One message of a stream; ``event`` is "message" where the server names none."""

    event: str
    id: str | None
    data: Any


class Stream:
    """What ``EventSource`` makes of an answer (HTML standard, section 9.2.6)."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments: list[str] = []
        self.retry: int | None = None
        self._lines = response.aiter_lines()

    async def next(self) -> Message | None:
        """The next message; None at the end."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line.startswith(":"):
                self.comments.append(line[1:].strip())
            elif line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            elif "data" in fields:
                data = json.loads(fields["data"])
                return Message(fields.get("event", "message"), fields.get("id"), data)
            elif "retry" in fields:
                self.retry = int(fields.pop("retry"))
        return None

    async def offsets(self, count: int) -> list[int]:
        """The offsets of the next events."""
        found = []
        for _ in range(count):
            message = await self.next()
            assert message is not None
            assert message.event == "message", message
            assert message.id == str(message.data["offset"])
            found.append(message.data["offset"])
        return found

    async def comment(self) -> str:
        """The next comment; whatever comes before is thrown away."""
        async for line in self._lines:
            if line.startswith(":"):
                return line[1:].strip()
        raise AssertionError("the stream has ended")


@dataclass(frozen=True)
class Office:
    """A service, and those who use it."""

    service: Running
    http: httpx.AsyncClient

    def api(self, subject: str = "alice", right: str = LEAD, **claims: Any) -> Api:
        return Api(self.http, token(subject, right, **claims))

    @property
    def nobody(self) -> Api:
        """Without a token."""
        return Api(self.http, None)

    async def created(self, **more: Any) -> Api:
        """Alice, who leads a session that she has created."""
        alice = self.api()
        answer = await alice.post("sessions", OUTLINE | more)
        assert answer.status_code == 201, answer.text
        return alice


@asynccontextmanager
async def open_office(store: Store | None = None, **settings: Any) -> AsyncIterator[Office]:
    async with (
        running(store or MemoryStore(), **settings) as service,
        httpx.AsyncClient(base_url=service.url, timeout=10) as http,
    ):
        yield Office(service, http)


def problem_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem details of an answer, which are whole."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told.keys() >= {"type", "title", "status", "detail"}
    assert told["status"] == status
    assert told["detail"]
    return told
