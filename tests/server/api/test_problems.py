from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import SocketStream

from persistence.memory import MemoryStore
from persistence.store import StoreError, StoreUnavailable
from sync.core.errors import Overloaded
from sync.server import event_journal as journal_module
from sync.server.api import context as context_module
from sync.server.api.problems import pointer
from sync.server.sessions import Sessions
from tests.server.api.client import OUTLINE, Api, Office, open_office, problem_of
from tests.server.parts import TroubledStore
from tests.server.service import token_for

# ------------------------------------------------------------------------------------------- 401


@pytest.mark.parametrize(
    ("bearer", "words"),
    [
        (None, "a token is required"),
        ("nonsense", "token"),
        (token_for(exp=time.time() - 3600), "token-expired"),
        (token_for(aud="another"), "aud"),
    ],
)
async def test_who_is_not_known(office: Office, bearer: str | None, words: str) -> None:
    answer = await Api(office.http, bearer).get("sessions")
    assert words in problem_of(answer, 401)["detail"]
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_bad_body_of_nobody_is_not_even_read(office: Office) -> None:
    problem_of(await office.nobody.post("sessions", content=b"{"), 401)


# ------------------------------------------------------------------------------- 404, 405, 400, …


@pytest.mark.parametrize("path", ["/", "/api/v1", "/api/v1/nothing", "/api/v1/sessions/", "/docs/"])
async def test_no_such_address(office: Office, path: str) -> None:
    assert "/docs" in problem_of(await office.api().get(path), 404)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "sessions", "GET, POST"),
        ("PATCH", "sessions/s1/events", "GET, POST"),
        ("GET", "sessions/s1/join", "POST"),
        ("TRACE", "tickets", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
async def test_no_such_method(office: Office, method: str, path: str, allowed: str) -> None:
    answer = await office.api().request(method, path)
    problem_of(answer, 405)
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "content", [b"{", b"", b"\xff", b'{"project": "\\ud800", "test_cases": []}', b"[" * 100_000]
)
async def test_what_is_no_json(office: Office, content: bytes) -> None:
    problem_of(await office.api().post("sessions", content=content), 400)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "json"])
async def test_another_media_type(office: Office, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    answer = await office.api().post("sessions", content=b"{}", headers=headers)
    assert "application/json" in problem_of(answer, 415)["detail"]


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_by_its_other_names(office: Office, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    answer = await office.api().post("sessions", content=b"{}", headers=headers)
    problem_of(answer, 422)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large(office: Office, chunked: bool) -> None:
    async def chunks() -> Any:
        for _ in range(40):
            yield b"x" * 2**16

    content = chunks() if chunked else b"x" * (2**20 + 1)
    answer = await office.api().post("sessions", content=content)
    assert "1048576 bytes" in problem_of(answer, 413)["detail"]
    assert (await office.api().get("sessions")).status_code == 200  # the connection goes on


async def test_a_body_that_does_not_come(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_module, "BODY_SECONDS", 0.05)
    monkeypatch.setattr("sync.server.patience.HOLD_SECONDS", 0.05)
    async with begun(office) as stream:
        with anyio.fail_after(10):
            assert (await stream.receive()).startswith(b"HTTP/1.1 408")


# -------------------------------------------------------------------------------------------- 422


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"project": 7}, ["/project"]),
        ({"project": ""}, ["/project"]),
        ({"project": "a\x00b"}, ["/project"]),
        ({"project": "x" * 201}, ["/project"]),
        ({"id": "a b"}, ["/id"]),
        ({"id": "-a"}, ["/id"]),
        ({"id": "a" * 65}, ["/id"]),
        ({"title": 1.5}, ["/title"]),
        ({"test_cases": "a"}, ["/test_cases"]),
        ({"test_cases": [1]}, ["/test_cases/0"]),
        ({"test_cases": ["a/b"]}, ["/test_cases/0/id"]),
        ({"test_cases": [".."]}, ["/test_cases/0/id"]),
        ({"test_cases": ["a", {"title": "A"}]}, ["/test_cases/1/id"]),
        ({"test_cases": [{"id": "a", "weight": 1}]}, ["/test_cases/0/weight"]),
        ({"test_cases": ["a"] * 1_001}, ["/test_cases"]),
        ({"members": [{"subject": "b"}]}, ["/members/0/role"]),
        ({"members": [{"subject": "b", "role": "boss"}]}, ["/members/0/role"]),
        ({"members": [{"subject": "", "role": "lead"}]}, ["/members/0/subject"]),
        ({"members": {}}, ["/members"]),
        ({"form": []}, ["/form"]),
        ({"form": {"id": "f"}}, ["/form"]),
        ({"state": "running"}, ["/state"]),
        ({"project": 7, "title": 8, "a/b~c": 9}, ["/project", "/title", "/a~1b~0c"]),
    ],
)
async def test_what_is_wrong_with_a_body(
    office: Office, change: dict[str, Any], pointers: list[str]
) -> None:
    told = problem_of(await office.api().post("sessions", OUTLINE | change), 422)
    assert [each["pointer"] for each in told["errors"]] == pointers
    assert pointers[0] in told["detail"]
    assert "pydantic" not in str(told)


@pytest.mark.parametrize(
    "change",
    [
        {"test_cases": ["a", "a"]},
        {"test_cases": ["a", {"id": "a"}]},
        {"members": [{"subject": "b", "role": "lead"}] * 2},
    ],
)
async def test_what_does_not_go_together(office: Office, change: dict[str, Any]) -> None:
    told = problem_of(await office.api().post("sessions", OUTLINE | change), 422)
    assert "once" in told["detail"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 201])
async def test_keys_that_are_none(office: Office, key: str) -> None:
    told = problem_of(await office.api().post("sessions", OUTLINE, key=key), 422)
    assert told["errors"][0]["parameter"] == "Idempotency-Key"


def test_a_pointer_to_the_whole() -> None:
    assert pointer([]) == ""
    assert pointer(["a", 0]) == "/a/0"


async def test_a_body_that_is_no_object(office: Office) -> None:
    told = problem_of(await office.api().post("sessions", []), 422)
    assert told["errors"][0]["pointer"] == ""


# ------------------------------------------------------------------------------------- 503 and 500


@pytest.mark.parametrize(
    ("failure", "words"),
    [(StoreUnavailable("the disk is full"), "disk"), (StoreError("row 7 is damaged"), "log")],
)
async def test_a_store_that_fails(failure: StoreError, words: str) -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice = await office.created()
        store.failure = failure
        for answer in (
            await alice.get("sessions/s2"),
            await alice.get("sessions/s1/events"),
            await alice.post("sessions", OUTLINE | {"id": "s2"}),
            await alice.post("sessions/s1/start", key="k"),
        ):
            assert words in problem_of(answer, 503)["detail"]
            assert "row 7" not in answer.text
            assert answer.headers["retry-after"] == "2"
        store.failure = None


async def test_a_disk_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said to be saved; it is, when the disk is back, and the same key tells."""
    monkeypatch.setattr(context_module, "COMMIT_SECONDS", 0.1)
    monkeypatch.setattr(journal_module, "_RETRY_SECONDS", (0.005,))
    store = TroubledStore()
    async with open_office(store) as office:
        alice = await office.created()
        store.hold()
        answer = await alice.post("sessions/s1/start", key="k")
        assert "same Idempotency-Key" in problem_of(answer, 503)["detail"]
        assert (await alice.get("sessions/s1")).json()["state"] == "created"
        store.release()
        again = await alice.post("sessions/s1/start", key="k")
        assert (again.status_code, again.json()["state"]) == (200, "running")
        assert again.json()["top"] == 2


async def test_nothing_new_while_draining(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_office(MemoryStore()) as office:
        alice = await office.created()
        held, released = anyio.Event(), anyio.Event()
        drain = Sessions.drain

        async def slowly(self: Sessions) -> None:
            await drain(self)
            held.set()
            await released.wait()

        monkeypatch.setattr(Sessions, "drain", slowly)
        office.service.stop.set()
        await held.wait()
        for answer in (
            await alice.post("sessions", OUTLINE | {"id": "s2"}),
            await alice.post("sessions/s1/start"),
            await alice.post("sessions/s1/events", {"kind": "note"}),
        ):
            assert "restarting" in problem_of(answer, 503)["detail"]
            assert answer.headers["retry-after"] == "2"
        assert (await alice.get("sessions/s1")).status_code == 200
        released.set()


async def test_too_many_at_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def overloaded(*_: object) -> None:
        raise Overloaded("too much is waiting: try again")

    monkeypatch.setattr(Sessions, "get", overloaded)
    answer = await office.api().get("sessions/s1")
    assert problem_of(answer, 503)["detail"] == "too much is waiting: try again"
    assert answer.headers["retry-after"] == "2"


async def test_a_bug_shows_nothing_of_itself(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("s3cret")

    monkeypatch.setattr(Sessions, "get", broken)
    answer = await office.api().get("sessions/s1?token=" + token_for(sessions={"*": "lead"}))
    assert "s3cret" not in answer.text
    problem_of(answer, 500)
    [record] = [each for each in caplog.records if each.getMessage() == "a request failed"]
    assert "s3cret" in str(record.__dict__)  # where whoever runs the service finds it
    assert "token=" not in str(record.__dict__)


async def test_a_page_of_another_origin() -> None:
    async with open_office(allow_origin="https://app.example.org") as office:
        headers = {"Origin": "https://evil.org"}
        answer = await office.api().post("sessions", OUTLINE, headers=headers)
        assert "origin" in problem_of(answer, 403)["detail"]


# -------------------------------------------------------------------------- bodies nobody reads


async def test_an_answer_comes_before_a_large_body_is_read(office: Office) -> None:
    """And the connection neither hangs nor is lost."""
    with anyio.fail_after(10):
        for _ in range(3):
            problem_of(await office.nobody.post("sessions", content=b"x" * 5_000_000), 401)
            problem_of(await office.api().get("/nothing", params={"a": "b"}), 404)


async def test_a_body_without_end_costs_its_connection(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.server.patience.HOLD_SECONDS", 0.1)
    stream = await anyio.connect_tcp("127.0.0.1", office.http.base_url.port or 0)
    async with stream:
        await stream.send(
            b"POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
        )
        received = b""
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:

                async def flood() -> None:
                    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                        while True:
                            await stream.send(b"x" * 2**16)

                tasks.start_soon(flood)
                try:
                    while True:
                        received += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    await stream.aclose()
    assert received.startswith(b"HTTP/1.1 401")


@asynccontextmanager
async def begun(office: Office) -> AsyncIterator[SocketStream]:
    """A request of which most of the body is still to come."""
    bearer = office.api()._headers["Authorization"].encode()
    head = b"POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nAuthorization: "
    async with await anyio.connect_tcp("127.0.0.1", office.http.base_url.port or 0) as stream:
        await stream.send(head + bearer + b"\r\n\r\n{")
        yield stream


async def test_a_client_that_breaks_off(office: Office) -> None:
    async with begun(office):
        pass
    assert (await office.api().get("sessions")).json()["sessions"] == []


async def test_the_end_of_the_service_with_requests_under_way(office: Office) -> None:
    """Leaving the block ends the service, whatever is open."""
    async with begun(office):
        office.service.stop.set()
        with anyio.fail_after(10):
            await office.service.ended.wait()
    with pytest.raises(httpx.HTTPError):
        await office.api().get("sessions")
