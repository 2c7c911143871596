"""Revocation: durable, in effect within a second, and for every kind of connection."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest

from auth.access import Identity, TokenRevoked
from auth.revocation import Revocations, UnrevokedVerifier
from persistence.memory import MemoryStore
from persistence.store import StoreUnavailable
from sync.server.connection import Connection
from sync.server.revoking import CLOCKS
from tests.server.api.client import Api
from tests.server.parts import (
    DISK_FULL,
    DRAFT,
    Tokens,
    TroubledStore,
    eventually,
    identity,
    open_office,
    opened,
    stored_answers,
)
from tests.server.service import Running, running, token_for
from tests.server.talk import create, talking
from tests.support.client import Closed, Peer, connect, renewal

REVOKED = TokenRevoked().reason
MOMENT = 0.05
"""A token is made a moment before it is revoked."""


def holder(subject: str = "alice", *, token_id: str = "t1", age: float = MOMENT) -> Identity:
    return replace(identity(subject), token_id=token_id, issued_at=time.time() - age)


# -- the hub


async def test_who_is_there_is_closed_and_what_they_sent_is_saved() -> None:
    store = MemoryStore()
    async with open_office(store) as office:
        alice = await office.join(holder())
        other = await office.join(holder(token_id="t2"))
        bob = await office.join(holder("bob"))
        await alice.put("a", 1)
        await alice.saved()
        await office.hub.revoking.revoke("sub", "alice", "ada")
        for each in (alice, other):
            assert await each.ended() == Closed(4401, REVOKED)
        await bob.put("b", 2)
        await bob.saved()
        assert bob.closed is None
        with pytest.raises(TokenRevoked):
            await opened(office.hub, DRAFT, holder())
        assert office.hub.statistics().refused[4401] == 1
        await opened(office.hub, DRAFT, holder(age=-MOMENT))
        await opened(office.hub, DRAFT, holder(age=0))
    assert await stored_answers(store) == {"a": 1, "b": 2}


async def test_one_token_is_revoked_alone() -> None:
    async with open_office() as office:
        alice = await office.join(holder())
        other = await office.join(holder(token_id="t2"))
        await office.hub.revoking.revoke("jti", "t1", "ada")
        assert await alice.ended() == Closed(4401, REVOKED)
        await other.put("a", 1)
        await other.saved()


async def test_who_comes_while_it_is_revoked_is_not_let_in() -> None:
    """Their token was good when it was looked at; then their document was read from the disk."""
    store = TroubledStore()
    async with open_office(store) as office:
        store.hold()
        alice = office.enter(holder())
        await eventually(lambda: store.loads == 1)
        office.hub.revocations.add("sub", "alice", at=time.time(), until=time.time() + 60)
        store.release()
        assert await alice.ended() == Closed(4401, REVOKED)


async def test_a_renewed_token_counts_and_a_revoked_one_does_not_renew() -> None:
    fresh, revoked = holder(age=-60), holder(token_id="t3", age=-60)
    revocations = Revocations()
    verifier = UnrevokedVerifier(Tokens(fresh=fresh, revoked=revoked), revocations)
    async with open_office(verifier=verifier, revocations=revocations) as office:
        alice, other = await office.join(holder()), await office.join(holder())
        await alice.send(renewal("fresh"))
        await alice.until(lambda: bool(alice.peer.renewed))
        await office.hub.revoking.revoke("sub", "alice", "ada")
        assert await other.ended() == Closed(4401, REVOKED)
        await alice.put("a", 1)
        await alice.saved()
        await office.hub.revoking.revoke("jti", "t3", "ada")
        await alice.send(renewal("revoked"))
        assert await alice.ended() == Closed(4401, REVOKED)


async def test_it_is_not_in_effect_before_it_is_on_disk() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        alice = await office.join(holder())
        store.failure = DISK_FULL
        with pytest.raises(StoreUnavailable):
            await office.hub.revoking.revoke("sub", "alice", "ada")
        store.failure = None
        assert alice.closed is None
        office.hub.close(await opened(office.hub, DRAFT, holder()))
        store.hold()
        with anyio.move_on_after(0.05):  # who asked has gone
            await office.hub.revoking.revoke("sub", "alice", "ada")
        assert alice.closed is None
        store.release()
        assert await alice.ended() == Closed(4401, REVOKED)
        [kept] = await store.revocations()
        assert (kept.kind, kept.value, kept.by) == ("sub", "alice", "ada")


async def test_tokens_made_after_the_answer_are_good() -> None:
    async with open_office(token_seconds=60) as office:
        for _ in range(20):
            revocation = await office.hub.revoking.revoke("sub", "alice", "ada")
            assert revocation.until == revocation.at + 60 + CLOCKS
            office.hub.close(await opened(office.hub, DRAFT, holder(age=0)))
            with pytest.raises(TokenRevoked):
                await opened(office.hub, DRAFT, replace(holder(), issued_at=revocation.at))


async def test_it_holds_after_a_restart() -> None:
    store = MemoryStore()
    async with open_office(store) as office:
        await office.hub.revoking.revoke("sub", "alice", "ada")
    async with open_office(store) as office:
        with pytest.raises(TokenRevoked):
            await opened(office.hub, DRAFT, holder())
        connection = await opened(office.hub, DRAFT, holder("bob"))
        assert isinstance(connection, Connection)


# -- the service


@pytest.fixture
async def service(transport: str) -> AsyncIterator[Running]:
    assert transport
    async with running(MemoryStore()) as service:
        yield service


@pytest.fixture
async def http(service: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.url, timeout=10) as http:
        yield http


def token(subject: str = "alice", *, token_id: str = "t1") -> str:
    made = time.time() - MOMENT
    return token_for(subject, sessions={"*": "lead"}, jti=token_id, iat=made)


def administrator(http: httpx.AsyncClient) -> Api:
    return Api(http, token_for("ada", role="admin"))


@pytest.mark.parametrize("kind", ["sub", "jti"])
async def test_every_connection_is_closed_within_a_second(
    service: Running, http: httpx.AsyncClient, kind: str
) -> None:
    await create(service)
    value = {"sub": "alice", "jti": "t1"}[kind]
    ended: dict[str, float] = {}
    endings: dict[str, Any] = {}

    async with anyio.create_task_group() as tasks, AsyncExitStack() as open_ones:

        async def watch(name: str, end: Callable[[], Awaitable[object]]) -> None:
            endings[name] = await end()
            ended[name] = time.monotonic()

        enter = open_ones.enter_async_context
        document = await enter(connect(service.sync_url, "drafts/1", token()))
        await document.synced()
        events = await enter(talking(service, token()))
        await events.subscribe()
        stream = await enter(Api(http, token()).stream())
        first = await stream.next()
        assert first is not None
        assert first.event == "subscribed"
        bob = await enter(connect(service.sync_url, "drafts/1", token("bob", token_id="t2")))
        await bob.synced()

        async def last_words() -> object:
            last = await stream.next()
            assert await stream.next() is None, "it has ended"
            return last

        tasks.start_soon(watch, "document", document.ended)
        tasks.start_soon(watch, "events", events.closed)
        tasks.start_soon(watch, "stream", last_words)
        answer = await administrator(http).post("revocations", {kind: value})
        began = time.monotonic()
        assert answer.status_code == 201
        with anyio.fail_after(5):
            while len(ended) < 3:  # noqa: ASYNC110 - three kinds of news
                await anyio.sleep(0.005)
        assert max(took := [each - began for each in ended.values()]) < 1, took
        assert endings["document"] == Closed(4401, REVOKED)
        assert document.peer.denied == [REVOKED]
        code, reason, heard = endings["events"]
        assert (code, reason) == (4401, REVOKED)
        assert (heard[-1]["code"], heard[-1]["message"]) == ("unauthorized", REVOKED)
        last = endings["stream"]
        assert (last.event, last.data["code"]) == ("error", "unauthorized")
        assert last.data["message"] == REVOKED
        await bob.put("b", 1)
        await bob.saved()


async def test_no_way_in_is_left(service: Running, http: httpx.AsyncClient) -> None:
    await create(service)
    old = token()
    alice = Api(http, old)
    ticket = (await alice.post("tickets")).json()["ticket"]
    await administrator(http).post("revocations", {"sub": "alice"})
    for answer in (
        await alice.get("sessions"),
        await alice.post("tickets"),
        await Api(http, None).get(f"sessions?ticket={ticket}"),
        await Api(http, None).get(f"sessions?token={old}"),
        await alice.get("sessions/s1/events", headers={"Accept": "text/event-stream"}),
    ):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "revoked" in (await alice.get("sessions")).json()["detail"]
    async with connect(service.sync_url, "drafts/1", old) as refused:
        assert (await refused.ended()).code == 4401
        assert refused.peer.asked == 0
    async with talking(service, old) as talk:
        assert (await talk.closed())[0] == 4401
    again = token_for("alice", sessions={"*": "lead"}, iat=time.time())
    assert (await Api(http, again).get("sessions")).status_code == 200
    async with connect(service.sync_url, "drafts/1", again) as welcome:
        await welcome.synced()


async def test_edits_that_were_not_sent_are_kept_for_the_next_sign_in(
    service: Running, http: httpx.AsyncClient
) -> None:
    async with connect(service.sync_url, "drafts/1", token()) as alice:
        await alice.put("sent", 1)
        await alice.saved()
        await administrator(http).post("revocations", {"sub": "alice"})
        await alice.ended()
    alice.peer.put("offline", 2)
    again = token_for("alice", iat=time.time())
    async with connect(service.sync_url, "drafts/1", again, peer=alice.peer) as welcome:
        await welcome.synced()
        await welcome.saved()
    async with connect(service.sync_url, "drafts/1", token("bob"), peer=Peer()) as bob:
        await bob.synced()
        assert bob.peer.answers == {"sent": 1, "offline": 2}
