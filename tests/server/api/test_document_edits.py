"""Documents changed over HTTP: updates in and out, restore, deletion."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest

from persistence.memory import MemoryStore
from sync.core.events import iso
from sync.server import patience
from sync.server.api import document_edits as routes
from sync.server.api.document_edits import Edited, RestoredResource
from tests.server.api.client import Api, Office, open_office, problem_of
from tests.server.parts import DISK_FULL, TroubledStore, stored_answers
from tests.server.service import token_for
from tests.support.client import ROOT, Closed, Peer, connect

NAME = "drafts/42"
AT = f"documents/{quote(NAME, safe='')}"
BYTES = {"Content-Type": "application/octet-stream"}

DELETED = Closed(4404, "this document was deleted; an administrator can bring it back")


def writer(office: Office, subject: str = "alice", **docs: str) -> Api:
    return Api(office.http, token_for(subject, docs=docs or {"*": "write"}))


def administrator(office: Office) -> Api:
    return Api(office.http, token_for("ada", docs={"none": "read"}, role="admin"))


async def send(api: Api, update: bytes, at: str = AT, **more: Any) -> httpx.Response:
    more = {"headers": BYTES} | more
    return await api.post(f"{at}/update", content=update, **more)


async def sent(api: Api, update: bytes, at: str = AT) -> int:
    """Send an update; return where it stands."""
    answer = await send(api, update, at)
    assert answer.status_code == 200, answer.text
    return Edited.model_validate_json(answer.content).position


def doc_of(update: bytes) -> dict[str, Any]:
    peer = Peer()
    peer.doc.apply_update(update)
    return peer.answers


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# -- updates in


async def test_an_update_is_on_disk_when_it_is_answered() -> None:
    store = MemoryStore()
    async with open_office(store) as office:
        peer = Peer()
        assert await sent(writer(office), peer.put("a", 1)) == 1
        assert await stored_answers(store, NAME) == {"a": 1}
        assert await sent(writer(office, "bob"), peer.put("b", 2)) == 2
        assert await sent(writer(office), Peer().put("c", 3), "documents/other") == 3
        first, second = (await store.past(NAME)).entries
        assert (first.edit.author, second.edit.author) == ("alice", "bob")
        assert first.edit.connection != second.edit.connection
        assert not first.edit.offline, "nobody knows when it was made"
        assert not office.service.ended.is_set()


async def test_an_update_that_brings_nothing_new_changes_nothing(office: Office) -> None:
    api, peer = writer(office), Peer()
    assert await sent(api, b"\x00\x00") == 0, "and the document does not come into being"
    problem_of(await api.get(AT), 404)
    update = peer.put("a", 1)
    assert await sent(api, update) == 1
    assert await sent(api, Peer().put("x", 1), "documents/other") == 2
    assert await sent(api, update) == 1
    assert await sent(api, b"\x00\x00") == 1


@pytest.mark.usefixtures("transport")
async def test_live_clients_get_it_and_it_stands_where_it_stands(office: Office) -> None:
    alice, token = Peer(), token_for("bob")
    async with connect(office.service.sync_url, NAME, token) as bob:
        await bob.synced()
        await bob.put("b", 2)
        position = await sent(writer(office), alice.put("a", 1))
        await bob.sees("a", 1)
        await bob.saved()
        past = (await writer(office).get(f"{AT}/history")).json()["entries"]
        assert [each["author"] for each in past if each["position"] == position] == ["alice"]


async def test_the_position_is_that_of_the_edit_among_many() -> None:
    store = TroubledStore()
    async with open_office(store) as office:
        positions: dict[str, int] = {}

        async def write(key: str) -> None:
            positions[key] = await sent(writer(office, key), Peer().put(key, key))

        store.hold()
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(write, f"w{number}")
            await anyio.sleep(0.05)
            assert not positions, "nothing is answered that is not on disk"
            store.release()
        for entry in (await store.past(NAME)).entries:
            assert positions[entry.edit.author] == entry.position


async def test_what_lacks_its_dependencies_is_refused_whole(office: Office) -> None:
    api, peer = writer(office), Peer(client_id=7)
    first, second = peer.put("a", 1), peer.put("b", 2)
    other = Peer(client_id=9)
    await sent(api, other.put("x", 1))
    answer = await send(api, second)
    told = problem_of(answer, 409)
    assert told["state_vector"] == base64url(other.doc.get_state())
    assert "edits that this document does not have" in told["detail"]
    assert await sent(api, first) == 2, "and the second is not held for it"
    assert (await api.get(AT)).json()["content"] == {ROOT: {"x": 1, "a": 1}}
    assert await sent(api, second) == 3
    vector = base64.urlsafe_b64decode(told["state_vector"] + "==")
    assert await sent(api, peer.doc.get_update(vector)) == 3, "as the problem says"


async def test_what_lacks_its_dependencies_and_is_large(office: Office) -> None:
    api, peer = writer(office), Peer()
    peer.put("a", 1)
    problem_of(await send(api, peer.put("b", "x" * 400_000)), 409)


@pytest.mark.parametrize(
    ("update", "reason"),
    [(b"", "ends"), (b"\x01", "ends"), (b"\x00\x00\x00", "follow its end"), (b"\xff" * 40, "")],
)
async def test_what_is_no_update_is_refused(office: Office, update: bytes, reason: str) -> None:
    told = problem_of(await send(writer(office), update), 400)
    assert reason in told["detail"]
    problem_of(await writer(office).get(AT), 404)


async def test_large_updates_are_tried_out(office: Office) -> None:
    peer = Peer()
    update = peer.put("a", "x" * 3 * 2**20)  # more than a live message may have
    assert await sent(writer(office), update) == 1
    answer = await writer(office).get(f"{AT}/update")
    assert doc_of(answer.content) == peer.answers


async def test_limits_hold() -> None:
    async with open_office(document_limit=10_000, message_limit=5_000) as office:
        api = writer(office)
        told = problem_of(await send(api, Peer().put("a", "x" * 20_000)), 413)
        assert "10000 bytes" in told["detail"]
        await sent(api, Peer().put("a", "x" * 9_000))
        told = problem_of(await send(api, Peer().put("b", "x" * 9_000)), 413)
        assert "outgrow" in told["detail"]


async def test_rights_hold(office: Office) -> None:
    update = Peer().put("a", 1)
    problem_of(await send(office.nobody, update), 401)
    told = problem_of(await send(writer(office, **{NAME: "read"}), update), 403)
    assert "write" in told["detail"]
    problem_of(await send(writer(office, other="write"), update), 403)
    problem_of(await send(writer(office), update, "documents/%2e%2e"), 404)
    headers = {"Content-Type": "application/json"}
    problem_of(await send(writer(office), update, headers=headers), 415)
    assert await sent(writer(office, **{"drafts/*": "write"}), update, "documents/drafts/42") == 1


async def test_drafts_of_stopped_sessions_are_sealed(office: Office) -> None:
    lead = await office.created()
    for step in ("start", "stop"):
        if step == "stop":
            peer = Peer()
            first = peer.put("a", 1)
            assert await sent(writer(office), first, "documents/drafts/s1/a") == 1
        assert (await lead.post(f"sessions/s1/{step}")).status_code == 200
    told = problem_of(await send(writer(office), peer.put("b", 2), "documents/drafts/s1/a"), 409)
    assert "stopped" in told["detail"]
    assert "state_vector" not in told
    assert await sent(writer(office), first, "documents/drafts/s1/a") == 1, "it is there already"
    admin = administrator(office)
    peer.put("c", 3)
    assert await sent(admin, peer.doc.get_update(), "documents/drafts/s1/a")


async def test_a_person_has_so_many_connections() -> None:
    async with open_office(connections_per_subject=1) as office:
        async with connect(office.service.sync_url, NAME, token_for("alice")) as alice:
            await alice.synced()
            told = problem_of(await send(writer(office), Peer().put("a", 1)), 503)
            assert "connections" in told["detail"]
        peer = Peer()
        for number in range(3):  # and none is left open
            await sent(writer(office, "bob"), peer.put("a", number))


async def test_what_is_on_its_way_counts_as_a_connection() -> None:
    update = Peer().put("a", 1)
    async with open_office(connections_per_subject=1) as office:
        host, port = office.http.base_url.host, office.http.base_url.port
        async with await anyio.connect_tcp(host, port or 0) as slow:
            await slow.send(
                f"POST /api/v1/{AT}/update HTTP/1.1\r\nHost: {host}\r\n"
                f"Authorization: Bearer {token_for('alice')}\r\nContent-Length: {len(update)}\r\n"
                "Expect: 100-continue\r\n\r\n".encode()
            )
            assert b" 100 " in await slow.receive(), "it waits for the body"
            problem_of(await send(writer(office), update), 503)
            await slow.send(update)
            assert b" 200 " in await slow.receive()
        assert await sent(writer(office), update) == 1


async def test_a_disk_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "EDIT_SECONDS", 0.2)
    store = TroubledStore()
    async with open_office(store) as office:
        await sent(writer(office), Peer().put("x", 1))
        store.failure = DISK_FULL
        update = Peer().put("a", 1)
        answer = await send(writer(office), update)
        assert "not saved yet" in problem_of(answer, 503)["detail"]
        assert answer.headers["Retry-After"]
        store.failure = None
        monkeypatch.setattr(routes, "EDIT_SECONDS", 10)
        assert await sent(writer(office), update) == 2


async def test_an_id_of_somebody_who_is_here_is_theirs(office: Office) -> None:
    """Whoever is here and has that edit too makes it genuine; else it is forged."""
    async with connect(office.service.sync_url, NAME, token_for("bob")) as bob:
        await bob.synced()
        await bob.put("b", 1)
        await bob.saved()
        forger = Peer(client_id=bob.peer.doc.client_id)
        forger.doc.apply_update(bob.peer.doc.get_update())
        told = problem_of(await send(writer(office), forger.put("b", "forged")), 403)
        assert "another person" in told["detail"]
    assert (await writer(office).get(AT)).json()["content"] == {ROOT: {"b": 1}}


# -- updates out


async def test_a_document_as_an_update(office: Office) -> None:
    api, peer = writer(office), Peer()
    first = peer.put("a", 1)
    await sent(api, first)
    vector = peer.doc.get_state()
    position = await sent(api, peer.put("b", 2))
    whole = await api.get(f"{AT}/update")
    assert whole.headers["content-type"] == "application/octet-stream"
    assert whole.headers["Draftsync-Position"] == str(position)
    assert "Draftsync-Note" not in whole.headers
    assert doc_of(whole.content) == {"a": 1, "b": 2}
    since = await api.get(f"{AT}/update", params={"sv": base64url(vector)})
    other = Peer()
    other.doc.apply_update(first)
    assert len(since.content) < len(whole.content)
    other.doc.apply_update(since.content)
    assert other.answers == {"a": 1, "b": 2}
    now = base64url(peer.doc.get_state())
    for padding in ("", "="):
        nothing = await api.get(f"{AT}/update", params={"sv": now + padding * (-len(now) % 4)})
        assert nothing.content == b"\x00\x00"
    then = await api.get(f"{AT}/update", params={"at": "1"})
    assert doc_of(then.content) == {"a": 1}
    assert then.headers["Draftsync-Position"] == "1"


async def test_it_is_not_sent_again(office: Office) -> None:
    api, peer = writer(office), Peer()
    await sent(api, peer.put("a", 1))
    tags = set()
    for query in ({}, {"sv": "AA"}):
        answer = await api.get(f"{AT}/update", params=query)
        tags.add(tag := answer.headers["ETag"])
        again = await api.get(f"{AT}/update", params=query, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        at = await api.get(
            f"{AT}/update", params=query | {"at": "1"}, headers={"If-None-Match": tag}
        )
        assert at.status_code == 304
    assert len(tags) == 2, "the two are different"
    await sent(api, peer.put("a", 2))
    fresh = await api.get(f"{AT}/update", headers={"If-None-Match": ", ".join(tags)})
    assert fresh.status_code == 200
    then = await api.get(f"{AT}/update?at=1", headers={"If-None-Match": ", ".join(tags)})
    assert then.status_code == 304


@pytest.mark.parametrize("sv", ["A", "%%%", "AAA!", "AQ", base64url(b"\x00\x00"), "é"])
async def test_a_state_vector_that_is_none(office: Office, sv: str) -> None:
    await sent(writer(office), Peer().put("a", 1))
    answer = await writer(office).get(f"{AT}/update", params={"sv": sv})
    told = problem_of(answer, 422)
    assert told["errors"][0]["parameter"] == "sv"
    assert "base64url" in told["detail"]


async def test_who_may_read_it(office: Office) -> None:
    problem_of(await writer(office).get(f"{AT}/update"), 404)
    await sent(writer(office), Peer().put("a", 1))
    problem_of(await office.nobody.get(f"{AT}/update"), 401)
    problem_of(await writer(office, other="read").get(f"{AT}/update"), 403)
    assert (await writer(office, **{NAME: "read"}).get(f"{AT}/update")).status_code == 200
    problem_of(await writer(office).get(f"{AT}/update?at=yesterday"), 422)
    problem_of(await writer(office).get(f"{AT}/update?at=1990-01-01"), 404)


# -- restore


async def test_a_document_is_what_it_was(office: Office) -> None:
    api, peer = writer(office), Peer()
    first = await sent(api, peer.put("a", 1))
    await sent(api, peer.put("a", 2))
    last = await sent(api, peer.put("b", 3))
    answer = await api.post(f"{AT}/restore", {"position": first})
    told = RestoredResource.model_validate_json(answer.content)
    assert (told.position, told.changes) == (last + 1, 2)
    assert (await api.get(AT)).json()["content"] == {ROOT: {"a": 1}}
    again = await api.post(f"{AT}/restore", {"position": first})
    assert again.json() == {"position": last + 1, "changes": 0}
    back = await api.post(f"{AT}/restore", {"position": last})
    assert back.json() == {"position": last + 2, "changes": 2}
    assert (await api.get(AT)).json()["content"] == {ROOT: {"a": 2, "b": 3}}
    entries = (await api.get(f"{AT}/history")).json()["entries"]
    assert len(entries) == last + 2, "nothing is taken out of the history"


async def test_a_document_is_what_it_was_at_a_time() -> None:
    store = MemoryStore()
    async with open_office(store) as office:
        api, peer = writer(office), Peer()
        await sent(api, peer.put("a", 1))
        moment = time.time()
        await anyio.sleep(0.01)
        await sent(api, peer.put("a", 2))
        answer = await api.post(f"{AT}/restore", {"time": iso(moment)})
        assert answer.json() == {"position": 3, "changes": 1}
        assert await stored_answers(store, NAME) == {"a": 1}


@pytest.mark.usefixtures("transport")
async def test_restoring_merges_with_what_live_clients_write_meanwhile(office: Office) -> None:
    api, peer = writer(office), Peer()
    first = await sent(api, peer.put("kept", 1))
    await sent(api, peer.put("spoilt", 2))
    async with (
        connect(office.service.sync_url, NAME, token_for("bob")) as bob,
        connect(office.service.sync_url, NAME, token_for("carol")) as carol,
    ):
        await bob.synced()
        await carol.synced()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bob.put, "bob", "typed")
            tasks.start_soon(carol.put, "carol", "typed")
            tasks.start_soon(api.post, f"{AT}/restore", {"position": first})
            tasks.start_soon(bob.put, "bob too", "typed")
        for each in (bob, carol):
            await each.saved()
        await sent(api, (mark := Peer()).put("mark", 1))  # behind all of it
        for each in (bob, carol):
            await each.sees("mark", 1)
        assert bob.peer.answers == carol.peer.answers
        stored = (await api.get(AT)).json()["content"][ROOT]
        assert stored == bob.peer.answers
        assert stored["kept"] == 1
        assert "spoilt" not in stored
        assert bob.closed is None is carol.closed
        assert mark.answers == {"mark": 1}


async def test_a_large_document_is_restored_elsewhere(office: Office) -> None:
    api, peer = writer(office), Peer()
    first = await sent(api, peer.put("a", "x" * 200_000))
    await sent(api, peer.put("a", "y"))
    answer = await api.post(f"{AT}/restore", {"position": first})
    assert answer.json()["changes"] == 1, answer.text
    assert (await api.get(AT)).json()["content"] == {ROOT: {"a": "x" * 200_000}}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"position": -1}, "greater"),
        ({"position": "1"}, "integer"),
        ({"position": 1, "time": "2026-01-01"}, "one of the two"),
        ({"time": "yesterday"}, "such as"),
        ({"time": "4711"}, "a time"),
        ({"when": 1}, "Extra"),
        ({"position": None}, "integer"),
    ],
)
async def test_what_says_nothing_to_restore(office: Office, body: Any, reason: str) -> None:
    await sent(writer(office), Peer().put("a", 1))
    told = problem_of(await writer(office).post(f"{AT}/restore", body), 422)
    assert reason in told["detail"]


async def test_before_its_first_edit_there_is_nothing_to_restore(office: Office) -> None:
    api = writer(office)
    await sent(api, Peer().put("a", 1))
    for before in ({"position": 0}, {"time": "1990-01-01T00:00:00Z"}):
        assert (
            "nothing of the document"
            in problem_of(await api.post(f"{AT}/restore", before), 404)["detail"]
        )
    assert (await api.get(AT)).json()["content"] == {ROOT: {"a": 1}}


async def test_who_may_restore(office: Office) -> None:
    body = {"position": 1}
    problem_of(await writer(office).post(f"{AT}/restore", body), 404)
    await sent(writer(office), Peer().put("a", 1))
    problem_of(await office.nobody.post(f"{AT}/restore", body), 401)
    problem_of(await writer(office, **{NAME: "read"}).post(f"{AT}/restore", body), 403)
    problem_of(await writer(office).post(f"{AT}/restore"), 403)
    told = problem_of(await administrator(office).post(f"{AT}/restore"), 409)
    assert "not deleted" in told["detail"]


async def test_a_history_that_was_removed() -> None:
    store = MemoryStore()
    async with open_office(store, unload_seconds=0.01) as office:
        api, peer = writer(office), Peer()
        await sent(api, peer.put("a", 1))
        await sent(api, peer.put("a", 2))
        with anyio.fail_after(10):  # its room goes, and leaves a snapshot
            while (await store.load(NAME)).entries:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
        while await store.thin(NAME, time.time() + 60):
            pass
        told = problem_of(await api.post(f"{AT}/restore", {"position": 1}), 409)
        assert told["earliest"] == 2
        problem_of(await api.get(f"{AT}/update?at=1"), 409)


# -- deletion


@pytest.mark.usefixtures("transport")
async def test_it_is_deleted_for_all(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    api, admin = writer(office), administrator(office)
    async with connect(office.service.sync_url, NAME, token_for("bob")) as bob:
        await bob.synced()
        await bob.put("b", 2)
        await bob.saved()
        with monkeypatch.context() as held:
            held.setattr(patience, "HOLD_SECONDS", 3_600)
            assert (await admin.request("DELETE", AT)).status_code == 204
            assert await bob.ended() == DELETED, "at once, and not held"
        assert bob.peer.denied == [DELETED.reason]
    bob.peer.put("offline", 1)
    async with connect(office.service.sync_url, NAME, token_for("bob"), peer=bob.peer) as again:
        assert await again.ended() == DELETED
    told = problem_of(await send(api, Peer().put("x", 1)), 404)
    assert "deleted" in told["detail"]
    for path in (AT, f"{AT}/update", f"{AT}/history"):
        told = problem_of(await api.get(path), 404)
        assert "deleted" in told["detail"]
    problem_of(await api.post(f"{AT}/restore", {"position": 1}), 404)
    assert doc_of((await admin.get(f"{AT}/update")).content) == {"b": 2}
    assert doc_of((await admin.get(f"{AT}/update?at=1")).content) == {"b": 2}
    assert (await admin.request("DELETE", AT)).status_code == 204, "once more is no harm"
    assert (await admin.post(f"{AT}/restore")).json() == {"position": 1, "changes": 0}
    async with connect(office.service.sync_url, NAME, token_for("bob"), peer=bob.peer) as again:
        await again.synced()
        await again.saved()
    assert (await api.get(AT)).json()["content"] == {ROOT: {"b": 2, "offline": 1}}


async def test_it_is_purged(office: Office) -> None:
    api, admin = writer(office), administrator(office)
    await sent(api, Peer().put("a", 1))
    told = problem_of(await admin.request("DELETE", f"{AT}?purge=true"), 409)
    assert "delete it first" in told["detail"]
    await admin.request("DELETE", AT)
    assert (await admin.request("DELETE", f"{AT}?purge=true")).status_code == 204
    problem_of(await admin.get(f"{AT}/update"), 404)
    problem_of(await admin.get(f"{AT}/history"), 404)
    problem_of(await send(api, Peer().put("a", 1)), 404)
    assert (await admin.post(f"{AT}/restore")).json() == {"position": 0, "changes": 0}
    assert await sent(api, Peer().put("a", 2)) == 2


async def test_who_may_delete(office: Office) -> None:
    problem_of(await administrator(office).request("DELETE", AT), 404)
    problem_of(await administrator(office).request("DELETE", f"{AT}?purge=true"), 404)
    problem_of(await administrator(office).post(f"{AT}/restore"), 404)
    await sent(writer(office), Peer().put("a", 1))
    problem_of(await office.nobody.request("DELETE", AT), 401)
    told = problem_of(await writer(office).request("DELETE", AT), 403)
    assert "administrators" in told["detail"]
    problem_of(await administrator(office).request("DELETE", f"{AT}?purge=perhaps"), 422)
    assert (await writer(office).get(AT)).status_code == 200


async def test_a_session_whose_drafts_are_deleted_goes_on(office: Office) -> None:
    lead = await office.created()
    await lead.post("sessions/s1/start")
    draft = f"documents/{quote('drafts/s1/a', safe='')}"
    await sent(writer(office), Peer().put("a", 1), draft)
    before = (await lead.get("sessions/s1/report")).json()
    assert '"edits": 1' in json.dumps(before), before
    assert (await administrator(office).request("DELETE", draft)).status_code == 204
    told = (await lead.get("sessions/s1/report")).json()
    assert '"edits": 1' not in json.dumps(told), told
    status = (await lead.get("sessions/s1/status")).json()
    assert [each["edits"] for each in status["test_cases"]] == [0, 0]
    bob = office.api("bob", "join")
    assert (await bob.post("sessions/s1/join")).status_code == 200
    assert (await lead.get("sessions/s1/report")).status_code == 200
    assert (await lead.post("sessions/s1/stop")).status_code == 200


async def test_every_route_is_described_as_what_it_is(office: Office) -> None:
    described = (await office.nobody.get("/openapi.json")).json()
    paths = described["paths"]
    update = paths["/api/v1/documents/{name}/update"]
    assert list(update["post"]["requestBody"]["content"]) == ["application/octet-stream"]
    assert "application/octet-stream" in update["get"]["responses"]["200"]["content"]
    assert "delete" in paths["/api/v1/documents/{name}"]
