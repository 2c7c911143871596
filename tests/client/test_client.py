"""The client against the real service, in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest
from pycrdt import Doc, Map, Text

from sync.client import Denied, DocumentClient, NotSaved, ReadOnly, State, Status
from tests.client.support import answers, clocks, connected, converged
from tests.server.parts import eventually
from tests.support.service import ServiceProcess


def offline(status: Status) -> bool:
    return status.state is State.OFFLINE


def all_saved(status: Status) -> bool:
    return status.unsaved == 0


async def stored(service: ServiceProcess, document: str) -> dict[str, Any]:
    """What a client that comes with nothing gets."""
    doc: Doc[Any] = Doc()
    async with connected(service, document, doc) as client:
        await client.synced()
    return answers(doc).to_py() or {}


# -- together


async def test_two_clients_converge(service: ServiceProcess) -> None:
    ours: Doc[Any] = Doc()
    theirs: Doc[Any] = Doc()
    answers(theirs)["before"] = "connecting"
    async with (
        connected(service, "drafts/two", ours) as one,
        connected(service, "drafts/two", theirs) as two,
    ):
        for n in range(20):
            answers(ours)[f"a{n}"] = n
            answers(theirs)[f"b{n}"] = n
        await one.saved()
        await two.saved()
        wanted = {f"{who}{n}": n for who in "ab" for n in range(20)}
        await converged(wanted | {"before": "connecting"}, (one, ours), (two, theirs))


async def test_text_merges_by_characters(service: ServiceProcess) -> None:
    ours: Doc[Any] = Doc()
    theirs: Doc[Any] = Doc()
    async with (
        connected(service, "drafts/text", ours) as one,
        connected(service, "drafts/text", theirs) as two,
    ):
        text = ours.get("comment", type=Text)
        text += "good answer"
        await one.saved()
        other = theirs.get("comment", type=Text)
        await two.until(lambda _: str(other) == "good answer")
        two.disconnect()
        other.insert(0, "A ")
        text.insert(len("good answer"), ", wrong tone")
        two.connect()
        await one.until(lambda _: str(text) == "A good answer, wrong tone")
        await two.until(lambda _: str(other) == "A good answer, wrong tone")


async def test_a_url_may_be_what_a_provider_gets(service: ServiceProcess) -> None:
    async with DocumentClient(
        service.sync_url, "drafts/é x", Doc(), token=service.token()
    ) as client:
        await client.synced()


async def test_presence_is_seen_and_ends_at_once(service: ServiceProcess) -> None:
    ours: Doc[Any] = Doc()
    theirs: Doc[Any] = Doc()
    async with connected(service, "drafts/presence", ours) as one:
        one.presence.set({"name": "Ada"})
        async with connected(service, "drafts/presence", theirs) as two:
            await two.until(lambda _: two.presence.others == {ours.client_id: {"name": "Ada"}})
            two.presence.set({"name": "Grace"})
            await one.until(lambda _: theirs.client_id in one.presence.others)
        with anyio.fail_after(2):  # and not after the grace of a connection that was lost
            await one.until(lambda _: one.presence.others == {})


# -- saved


async def test_saved_is_on_the_disk(tmp_path: Path) -> None:
    doc: Doc[Any] = Doc()
    async with ServiceProcess(tmp_path / "drafts.db") as service:
        async with connected(service, "drafts/saved", doc, linger=0.1) as client:
            for n in range(50):
                answers(doc)[f"q{n}"] = n
            await client.saved()
            assert client.status.unsaved == 0
            assert client.status.saved_at is not None
            await service.kill()
            await client.until(offline)
            client.disconnect()
        await service.start()
        assert await stored(service, "drafts/saved") == answers(doc).to_py()


async def test_saved_waits_through_a_kill_and_a_restart(tmp_path: Path) -> None:
    doc: Doc[Any] = Doc()
    async with ServiceProcess(tmp_path / "drafts.db") as service:
        async with connected(service, "drafts/through", doc) as client:
            await client.synced()
            await service.kill()
            answers(doc)["q1"] = "while it was down"
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.saved)
                await client.until(offline)
                assert client.status.unsaved == 1
                tasks.start_soon(service.start)
            assert client.status.unsaved == 0
        assert await stored(service, "drafts/through") == {"q1": "while it was down"}


async def test_edits_around_a_kill_are_neither_lost_nor_doubled(tmp_path: Path) -> None:
    ours: Doc[Any] = Doc()
    theirs: Doc[Any] = Doc()
    async with ServiceProcess(tmp_path / "drafts.db") as service:
        async with (
            connected(service, "drafts/kill", ours) as one,
            connected(service, "drafts/kill", theirs) as two,
        ):
            text = ours.get("comment", type=Text)
            for n in range(30):
                text += "x"
                answers(theirs)[f"q{n}"] = n
                if n == 10:
                    await one.saved()
                if n == 20:
                    await service.kill()
            await service.start()
            await one.saved()
            await two.saved()
            await one.until(lambda _: len(answers(ours).to_py() or {}) == 30)
            assert str(text) == "x" * 30
        fresh: Doc[Any] = Doc()
        async with connected(service, "drafts/kill", fresh) as client:
            await client.synced()
        assert clocks(fresh) == clocks(ours)
        assert str(fresh.get("comment", type=Text)) == "x" * 30


async def test_an_orderly_restart_is_survived(tmp_path: Path) -> None:
    doc: Doc[Any] = Doc()
    async with ServiceProcess(tmp_path / "drafts.db") as service:
        async with connected(service, "drafts/restart", doc) as client:
            answers(doc)["q1"] = 1
            await client.saved()
            await service.restart()
            answers(doc)["q2"] = 2
            await client.saved()
        assert await stored(service, "drafts/restart") == {"q1": 1, "q2": 2}


async def test_leaving_the_block_saves_the_rest(service: ServiceProcess) -> None:
    doc: Doc[Any] = Doc()
    async with connected(service, "drafts/leaving", doc) as client:
        answers(doc)["q1"] = "the last word"
    assert client.status.state is State.OFFLINE
    assert client.status.unsaved == 0
    assert await stored(service, "drafts/leaving") == {"q1": "the last word"}


async def test_leaving_with_edits_that_cannot_be_saved_says_so() -> None:
    doc: Doc[Any] = Doc()
    client = DocumentClient("http://127.0.0.1:9", "drafts/x", doc, token="t", linger=0.05)
    with pytest.raises(NotSaved, match="1 edits are not on the server") as caught:
        async with client:
            answers(doc)["q1"] = 1
    assert caught.value.edits == 1


async def test_who_went_offline_on_purpose_may_leave(service: ServiceProcess) -> None:
    doc: Doc[Any] = Doc()
    async with connected(service, "drafts/purpose", doc) as client:
        await client.synced()
        client.disconnect()
        answers(doc)["q1"] = 1
    assert client.status.unsaved == 1
    assert await stored(service, "drafts/purpose") == {}


async def test_an_edit_larger_than_a_message_is_saved_at_once(service: ServiceProcess) -> None:
    doc: Doc[Any] = Doc()
    async with connected(service, "drafts/large", doc) as client:
        await client.synced()
        answers(doc)["q1"] = "x" * 3 * 2**20
        async for status in client.changes():
            assert status.state is State.ONLINE
            if all_saved(status):
                break


async def test_a_document_over_the_limit_is_the_end(tmp_path: Path) -> None:
    doc: Doc[Any] = Doc()
    async with ServiceProcess(tmp_path / "drafts.db", "--document-limit", "2048") as service:
        answers(doc)["q1"] = "x" * 4096
        with pytest.raises(Denied, match="at most 2048 bytes") as caught:
            async with connected(service, "drafts/limit", doc) as client:
                await client.saved()
    assert caught.value.code == 4413
    assert client.status.unsaved == 1


async def test_changes_are_told_until_the_server_has_the_last_word(
    service: ServiceProcess,
) -> None:
    told: list[State] = []
    with pytest.raises(Denied):
        async with connected(service, "drafts/1", Doc(), token=service.token(docs={})) as client:
            await note_states(client, told)
    assert told[0] is State.CONNECTING
    assert told[-1] is State.DENIED


async def note_states(client: DocumentClient, told: list[State]) -> None:
    async for status in client.changes():
        told.append(status.state)  # noqa: PERF401 - the caller wants those before the error


# -- offline


async def test_edits_made_offline_arrive_on_coming_back(service: ServiceProcess) -> None:
    ours: Doc[Any] = Doc()
    theirs: Doc[Any] = Doc()
    async with (
        connected(service, "drafts/offline", ours) as one,
        connected(service, "drafts/offline", theirs) as two,
    ):
        await one.synced()
        one.disconnect()
        assert one.status.state is State.OFFLINE
        answers(ours)["q1"] = "offline"
        answers(theirs)["q2"] = "online"
        await two.saved()
        assert one.status.unsaved == 1
        assert answers(theirs).to_py() == {"q2": "online"}
        one.connect()
        await one.saved()
        await converged({"q1": "offline", "q2": "online"}, (one, ours), (two, theirs))


async def test_going_and_coming_in_one_breath(service: ServiceProcess) -> None:
    doc: Doc[Any] = Doc()
    async with connected(service, "drafts/flapping", doc) as client:
        for n in range(20):
            answers(doc)[f"q{n}"] = n
            client.disconnect()
            client.connect()
            if n % 3 == 0:
                await client.synced()
        await client.saved()
    assert len(await stored(service, "drafts/flapping")) == 20


# -- rights


async def test_no_right_ends_the_block(service: ServiceProcess) -> None:
    client = connected(service, "drafts/1", Doc(), token=service.token(docs={}))
    with pytest.raises(Denied, match="no right") as caught:
        async with client:
            await anyio.sleep_forever()
    assert caught.value.code == 4403
    assert client.status.state is State.DENIED
    with pytest.raises(Denied):
        await client.synced()


async def test_who_waits_hears_the_same_error(service: ServiceProcess) -> None:
    with pytest.raises(Denied):
        async with connected(service, "drafts/1", Doc(), token="nonsense") as client:
            await client.synced()


async def test_a_readers_edits_are_never_called_saved(service: ServiceProcess) -> None:
    doc: Doc[Any] = Doc()
    reader = service.token(docs={"*": "read"})
    async with connected(service, "drafts/read", doc, token=reader) as client:
        await client.synced()
        answers(doc)["q1"] = 1
        with pytest.raises(ReadOnly, match="read-only"):
            await client.saved()
        client.disconnect()
    assert client.status.unsaved == 1
    assert await stored(service, "drafts/read") == {}


async def test_a_reader_reads(service: ServiceProcess) -> None:
    ours: Doc[Any] = Doc()
    theirs: Doc[Any] = Doc()
    reader = service.token("bob", docs={"*": "read"})
    async with (
        connected(service, "drafts/reader", ours) as one,
        connected(service, "drafts/reader", theirs, token=reader) as two,
    ):
        await two.synced()
        answers(ours)["q1"] = 1
        await one.saved()
        await converged({"q1": 1}, (one, ours), (two, theirs))
        await two.saved()
        assert two.status.saved_at is None  # it had nothing to save


class Tokens:
    """A token service. The first tokens have expired."""

    def __init__(self, service: ServiceProcess, *, expired: int) -> None:
        self.asked = 0
        self._service = service
        self._expired = expired

    async def __call__(self) -> str:
        self.asked += 1
        return self._service.token(ttl=-60 if self.asked <= self._expired else 3600)


async def test_a_refused_token_is_replaced(service: ServiceProcess) -> None:
    tokens = Tokens(service, expired=1)
    async with connected(service, "drafts/token", Doc(), token=tokens) as client:
        await client.synced()
    assert tokens.asked == 2


async def test_two_refused_tokens_are_the_end(service: ServiceProcess) -> None:
    tokens = Tokens(service, expired=100)
    with pytest.raises(Denied, match="expired") as caught:
        async with connected(service, "drafts/token", Doc(), token=tokens) as client:
            await client.synced()
    assert caught.value.code == 4401
    assert tokens.asked == 2


async def test_a_token_that_expires_while_connected_is_replaced(service: ServiceProcess) -> None:
    doc: Doc[Any] = Doc()
    lives = iter([1.0, 3600.0])

    async def token() -> str:
        return service.token(ttl=next(lives))

    async with connected(service, "drafts/expiry", doc, token=token) as client:
        await client.synced()
        await client.until(offline)
        answers(doc)["q1"] = 1
        await client.saved()


async def test_a_token_service_that_fails_is_asked_again(service: ServiceProcess) -> None:
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise LookupError("the identity provider is down")
        return service.token()

    async with connected(service, "drafts/provider", Doc(), token=token) as client:
        status = await client.until(lambda status: status.reason is not None)
        assert status.reason == "no token: the identity provider is down"
        await client.synced()
        assert client.status.reason is None


# -- what is left behind


async def test_nothing_is_left_behind(service: ServiceProcess) -> None:
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    doc: Doc[Any] = Doc()
    async with connected(service, "drafts/clean", doc) as client:
        await client.synced()
        client.disconnect()
        client.connect()
        answers(doc)["q1"] = 1
    await eventually(lambda: (asyncio.all_tasks(), open_sockets()) == (tasks, sockets))
    answers(doc)["q2"] = 2  # and the document is nobody's any more
    assert client.status.unsaved == 0


async def test_cancelling_the_block_closes_it(service: ServiceProcess) -> None:
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    with anyio.move_on_after(0.2) as scope:
        async with connected(service, "drafts/cancelled", Doc()):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    await eventually(lambda: (asyncio.all_tasks(), open_sockets()) == (tasks, sockets))


async def test_an_error_of_the_block_comes_out_as_itself(service: ServiceProcess) -> None:
    with pytest.raises(LookupError):
        async with connected(service, "drafts/error", Doc()):
            raise LookupError


async def test_an_error_of_an_observer_comes_out(service: ServiceProcess) -> None:
    ours: Doc[Any] = Doc()
    theirs: Doc[Any] = Doc()

    def observer(_event: object) -> None:
        raise LookupError("in the application")

    async with connected(service, "drafts/observer", ours) as one:
        answers(ours)["q1"] = 1
        await one.saved()
    theirs.observe(observer)
    with pytest.raises(ExceptionGroup, match="Observer callback error"):
        async with connected(service, "drafts/observer", theirs):
            await anyio.sleep_forever()


async def test_a_client_that_was_never_entered_is_harmless() -> None:
    doc: Doc[Any] = Doc()
    client = DocumentClient("http://127.0.0.1:9", "drafts/x", doc, token="t")
    doc.get("answers", type=Map)["q1"] = 1
    assert not all_saved(client.status)


def open_sockets() -> set[int]:
    gc.collect()
    return {
        each.fileno()
        for each in gc.get_objects()
        if isinstance(each, socket.socket) and each.fileno() >= 0
    }
