"""The ASGI application: who gets in, what refusals look like, health, and what is not logged."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed

from persistence.memory import MemoryStore
from sync.server import journal as journal_module
from sync.server import patience
from sync.server.app import _lifespan
from tests.server.parts import DISK_FULL, TroubledStore, eventually, stored_answers
from tests.server.service import Running, running, token_for
from tests.support.client import Refused, connect

pytestmark = pytest.mark.usefixtures("transport")


@pytest.fixture(autouse=True)
def short_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HOLD_SECONDS", 0.05)


@pytest.fixture
async def service() -> AsyncIterator[Running]:
    async with running(MemoryStore()) as service:
        yield service


# ----------------------------------------------------------------------------------- who gets in


async def test_a_token_in_the_query_or_in_the_header(service: Running) -> None:
    bearer = {"Authorization": f"Bearer {token_for()}"}
    async with (
        connect(service.sync_url, "drafts/1", token_for()) as alice,
        connect(service.sync_url, "drafts/1", headers=bearer) as bob,
    ):
        await alice.synced()
        await bob.synced()
        await alice.put("q", 1)
        await bob.sees("q", 1)


@pytest.mark.parametrize(
    ("document", "token", "code", "reason"),
    [
        ("drafts/1", "", 4401, "a token is required"),
        ("drafts/1", "nonsense", 4401, "signed JWT"),
        ("drafts/1", token_for(ttl=-3600), 4401, "token-expired"),
        ("drafts/1", token_for(docs={"other/*": "write"}), 4403, "no right"),
        ("drafts//1", token_for(), 4400, "segment"),
        ("drafts/%00", token_for(), 4400, "control"),
        ("%zz", token_for(), 4400, "%25"),
        ("x" * 256, token_for(), 4400, "255"),
        ("", token_for(), 4400, "1 to 255"),
    ],
)
async def test_a_refusal_is_told_within_the_protocol(
    service: Running, document: str, token: str, code: int, reason: str
) -> None:
    """Accepted, told why by a type-2 frame, held, and closed: never an HTTP error."""
    async with connect(service.sync_url, document, token) as client:
        closed = await client.ended()
    assert closed.code == code
    assert reason in closed.reason
    assert [reason in denied for denied in client.peer.denied] == [True]


async def test_an_expired_token_closes_with_exactly_the_word_that_clients_know(
    service: Running,
) -> None:
    async with connect(service.sync_url, "drafts/1", token_for(ttl=-3600)) as client:
        assert (await client.ended()).reason == "token-expired"


async def test_a_token_that_expires_while_connected(service: Running) -> None:
    """Fault 28, on a real socket."""
    async with connect(service.sync_url, "drafts/1", token_for(ttl=1)) as client:
        closed = await client.ended()
    assert (closed.code, closed.reason) == (4401, "token-expired")
    assert client.peer.synced, "it was good at first"
    assert client.peer.denied[-1].startswith("token-expired")


async def test_a_refused_socket_is_held(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or y-websocket 3.0 would come back ten times a second."""
    monkeypatch.setattr(patience, "HOLD_SECONDS", 0.4)
    began = time.monotonic()
    async with connect(service.sync_url, "drafts/1", "nonsense") as client:
        await client.until(lambda: client.peer.denied != [])
        await client.ended()
    assert time.monotonic() - began >= 0.39


async def test_names_are_decoded_once(service: Running) -> None:
    async with (
        connect(service.sync_url, "drafts%2F1", token_for()) as one,
        connect(service.sync_url, "drafts/1", token_for()) as same,
        connect(service.sync_url, "drafts%252F1", token_for()) as other,
        connect(service.sync_url, "a+b", token_for(docs={"a+b": "write"})) as plus,
    ):
        for client in (one, same, other, plus):
            await client.synced()
        await one.put("q", 1)
        await same.sees("q", 1)
        await other.saved()
        assert other.peer.answers == {}


async def test_text_is_refused_in_words(service: Running) -> None:
    url = f"{service.sync_url}/drafts/1?token={token_for()}"
    async with connect_websocket(url, proxy=None) as websocket:
        await websocket.send("hello")
        with pytest.raises(ConnectionClosed):
            async for _ in websocket:
                pass
        assert websocket.close_code == 4400
        assert "binary" in (websocket.close_reason or "")


async def test_no_documents_elsewhere(service: Running) -> None:
    with pytest.raises(Refused) as refused:
        async with connect(service.sync_url.replace("/sync", "/other"), "x", token_for()):
            pass
    assert refused.value.status == 403


async def test_a_bug_is_1011_and_costs_one_connection(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(service.sync_url, "drafts/1", token_for()) as alice:
        await alice.synced()
        await alice.saved()  # nothing of hers is on its way
        with monkeypatch.context() as patch:
            patch.setattr("sync.server.intake.decode", lambda frame: 1 / len(frame[:0]))
            async with connect(service.sync_url, "drafts/1", token_for()) as bob:
                assert (await bob.ended()).code == 1011
        await alice.put("q", 1)
        await alice.saved()


# ---------------------------------------------------------------------------------------- origins


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),  # no browser
        ("https://app.example.org", True),
        ("HTTPS://APP.example.org", True),
        ("https://evil.example.org", False),
        ("https://app.example.org.evil.org", False),
        ("http://app.example.org", False),
        ("null", False),
    ],
)
async def test_with_a_list_of_origins(origin: str | None, allowed: bool) -> None:
    """Fault 33: sockets and HTTP alike."""
    headers = {} if origin is None else {"Origin": origin}
    async with (
        running(MemoryStore(), allow_origin="https://app.example.org") as service,
        httpx.AsyncClient(headers=headers) as http,
    ):
        status = (await http.get(f"{service.url}/healthz")).status_code
        assert status == (200 if allowed else 403)
        if allowed:
            async with connect(service.sync_url, "d", token_for(), headers=headers) as client:
                await client.synced()
            return
        with pytest.raises(Refused) as refused:
            async with connect(service.sync_url, "d", token_for(), headers=headers):
                pass
        assert refused.value.status == 403


async def test_without_a_list_any_page_may_connect(service: Running) -> None:
    headers = {"Origin": "https://anywhere.org"}
    async with connect(service.sync_url, "d", token_for(), headers=headers) as client:
        await client.synced()


async def test_a_refused_origin_is_told_in_problem_details() -> None:
    async with (
        running(MemoryStore(), allow_origin="https://app.example.org") as service,
        httpx.AsyncClient(headers={"Origin": "https://evil.org"}) as http,
    ):
        refusal = await http.get(f"{service.url}/readyz")
    assert refusal.headers["content-type"] == "application/problem+json"
    assert refusal.json()["status"] == 403


# ----------------------------------------------------------------------------------------- health


async def test_health_without_a_token(service: Running) -> None:
    async with httpx.AsyncClient(base_url=service.url) as http:
        alive = (await http.get("/healthz")).json()
        assert alive.pop("holder"), "test_delete shows that it is the one in the lock"
        assert alive == {"status": "ok"}
        assert (await http.get("/readyz")).json() == {"status": "ready"}
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
            probed = await http.head(path)
            assert (probed.status_code, probed.content) == (200, b"")
            assert int(probed.headers["content-length"]) > 0
        assert (await http.get("/openapi.json")).json()["info"]["title"] == "draftsync"
        assert (await http.get("/nothing")).status_code == 404


async def test_not_ready_while_it_cannot_save(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_RETRY_SECONDS", (0.005,))
    store = TroubledStore()
    async with (
        running(store) as service,
        httpx.AsyncClient(base_url=service.url) as http,
        connect(service.sync_url, "drafts/1", token_for()) as alice,
    ):
        await alice.synced()
        store.failure = DISK_FULL
        await alice.put("q", 1)
        await eventually(lambda: store.appends > 1)
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {"status": "not saving", "reason": "the disk is full"}
        assert (await http.get("/healthz")).status_code == 200
        store.failure = None
        await alice.saved()
        assert (await http.get("/readyz")).status_code == 200
    assert await stored_answers(store) == {"q": 1}


# ------------------------------------------------------------------------------------------- logs


async def test_no_log_of_any_library_holds_a_token(
    service: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """At the level of debugging, before anything is struck out: our own events name none."""
    caplog.set_level(logging.DEBUG)
    for logger in ("websockets", "httpx", "httpcore"):  # the tests' own clients
        logging.getLogger(logger).setLevel(logging.WARNING)
    good, bad = token_for(), token_for(ttl=-3600)
    async with connect(service.sync_url, "drafts/1", good) as client:
        await client.synced()
        await client.put("q", 1)
        await client.saved()
    for headers in ({"Authorization": f"Bearer {bad}"}, {"Authorization": "Bearer s3cret"}):
        async with connect(service.sync_url, "drafts/1", headers=headers) as client:
            await client.ended()
    await eventually(lambda: "connection closed" in caplog.text)
    told = [str(record.__dict__) for record in caplog.records]
    assert len(told) >= 4
    for secret in (good, bad, good.split(".")[2], bad.split(".")[2], "s3cret"):
        assert not [line for line in told if secret in line]


async def test_one_line_when_a_connection_opens_and_one_when_it_closes(
    service: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sync")
    async with connect(service.sync_url, "drafts/1", token_for()) as client:
        await client.synced()
        for number in range(20):
            await client.put("q", number)
        await client.saved()
    await eventually(lambda: "connection closed" in caplog.text)
    events = [r for r in caplog.records if r.name.startswith("sync")]
    assert [r.getMessage() for r in events][-2:] == ["connection opened", "connection closed"]
    opened, closed = (r.__dict__ for r in events[-2:])
    assert (opened["document"], opened["subject"], opened["access"]) == (
        "drafts/1", "alice", "write",
    )  # fmt: skip
    assert closed["messages"] >= 22


async def test_the_lifespan_of_any_asgi_server() -> None:
    """Uvicorn and others begin with it; there is nothing to do."""
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        await anyio.lowlevel.checkpoint()
        return next(events)

    async def send(event: object) -> None:
        assert isinstance(event, dict)
        sent.append(event["type"])
        await anyio.lowlevel.checkpoint()

    await _lifespan(receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
