"""The event channel on both transports: what is said, in what order, and how it ends."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from persistence.memory import MemoryStore
from sync.core.events import MAX_DATA
from sync.server import event_status, patience
from sync.server.event_hub import EventHub
from sync.server.sessions import LiveSession
from tests.server.parts import DISK_FULL, TroubledStore, eventually
from tests.server.raw import CONTINUATION, PING, PONG, TEXT, close_frame, frame, opened
from tests.server.service import Running, running, token_for
from tests.server.talk import (
    SESSION,
    Talk,
    a_publication,
    create,
    member_token,
    session_now,
    step,
    talking,
)
from tests.support.client import PATIENCE, connect
from tests.support.events import Api

pytestmark = pytest.mark.usefixtures("transport")

LIMITS: dict[str, Any] = {"message_rate": 0, "connections_per_subject": 1_000}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HOLD_SECONDS", 0.05)
    monkeypatch.setattr(patience, "LAST_WORDS_SECONDS", 0.2)


@pytest.fixture
def store() -> TroubledStore:
    return TroubledStore()


_hubs: list[EventHub] = []


@pytest.fixture(autouse=True)
def known_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    _hubs.clear()
    init = EventHub.__init__

    def noted(self: EventHub, *args: Any) -> None:
        init(self, *args)
        _hubs.append(self)

    monkeypatch.setattr(EventHub, "__init__", noted)


def the_hub() -> EventHub:
    """Of the service that runs."""
    return _hubs[-1]


@pytest.fixture
async def service(store: TroubledStore) -> AsyncIterator[Running]:
    async with running(store, **LIMITS) as service:
        try:
            await create(service, SESSION, "bob")
            yield service
        finally:
            store.failure = None
            store.release()


START = 3  # created, started, joined
BOB = member_token("bob", "join")
OBSERVER = member_token("olga", "observe")
CHANNEL = f"{SESSION}/events?token={BOB}&"  # behind /sessions/


async def is_alive(talk: Talk) -> None:
    """The connection is open, and what was sent so far was taken."""
    await talk.send(type="ping")
    await talk.wait_for("pong")


# ---------------------------------------------------------------------------------- subscribing


async def test_without_a_place_only_what_comes_next(service: Running) -> None:
    async with talking(service) as talk, talking(service, BOB) as bob:
        subscribed = await talk.subscribe()
        assert subscribed["recovered"] is True
        assert subscribed["top"] == START
        await bob.subscribe()
        await bob.publish(1)
        (event,) = await talk.events(1)
        assert event["offset"] == START + 1
        assert event["actor"] == "bob"
        assert event["kind"] == "review.note"
        assert event["data"] == {"number": 1}
        assert set(event) == {"type", "offset", "id", "kind", "actor", "time", "data"}


async def test_the_session_is_as_the_http_api_tells_it(service: Running) -> None:
    async with talking(service) as talk:
        subscribed = await talk.subscribe()
    known = await session_now(service)
    assert subscribed["epoch"] == known["epoch"]
    assert subscribed["session"]["top"] == subscribed["top"]
    times = {"active_seconds": 0}
    assert {**subscribed["session"], **times} == {**known, **times}


async def test_the_missed_events_then_what_comes(service: Running) -> None:
    async with talking(service) as talk, talking(service, BOB) as bob:
        await bob.subscribe()
        for number in range(5):
            await bob.publish(number)
        subscribed = await talk.subscribe(epoch=(await session_now(service))["epoch"], after=1)
        assert subscribed["recovered"] is True
        await bob.publish(5)
        events = await talk.events(START - 1 + 6)
        assert [each["offset"] for each in events] == list(range(2, START + 7))
        assert [each["data"] for each in events][-6:] == [{"number": n} for n in range(6)]


@pytest.mark.parametrize(
    ("place"), [{"epoch": "another"}, {"after": 99}, {"epoch": "x", "after": 1}]
)
async def test_a_place_that_is_not_in_the_log(service: Running, place: dict[str, Any]) -> None:
    async with talking(service) as talk:
        subscribed = await talk.subscribe(**place)
        assert subscribed["recovered"] is False
        assert subscribed["session"]["top"] == subscribed["top"] == START
        assert await talk.publish() == START + 1
    async with talking(service) as talk:
        await talk.subscribe(after=START)
        (event,) = await talk.events(1)
        assert event["offset"] == START + 1


async def test_a_log_whose_beginning_was_removed() -> None:
    store = MemoryStore()
    async with running(store, **LIMITS) as service:
        await create(service, SESSION, "bob")
    await store.truncate(SESSION, time.time() + 60)  # all but the last one
    async with running(store, **LIMITS) as service, talking(service) as talk:
        subscribed = await talk.subscribe(after=0)
        assert subscribed["recovered"] is False
        assert subscribed["truncated_before"] == START
        subscribed = await talk.subscribe(after=START - 1)
        assert subscribed["recovered"] is True
        (event,) = await talk.events(1)
        assert event["offset"] == START


async def test_subscribing_again_moves(service: Running) -> None:
    async with talking(service) as talk:
        await talk.subscribe(after=0)
        await talk.events(START)
        await talk.subscribe(after=1)
        assert [each["offset"] for each in await talk.events(START - 1)] == [2, 3]
        await talk.subscribe()
        await talk.send(**a_publication())
        assert (await talk.wait_for("event"))["offset"] == START + 1


async def test_a_long_log_is_read_in_order(service: Running) -> None:
    """Longer than what is kept in memory."""
    count = 5_000
    async with talking(service, BOB) as bob:
        await bob.subscribe()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_publish_many, bob, count)
            published = 0
            while published < count:
                published += (await bob.hear())["type"] == "published"
    async with talking(service) as talk:
        await talk.subscribe(after=0)
        offsets = [each["offset"] for each in await talk.events(START + count)]
        assert offsets == list(range(1, START + count + 1))


async def _publish_many(talk: Talk, count: int) -> None:
    for number in range(count):
        await talk.send(**a_publication(number))


# ----------------------------------------------------------------------------------- publishing


async def test_published_means_on_disk(service: Running, store: TroubledStore) -> None:
    async with talking(service) as talk, talking(service, BOB) as bob:
        await talk.subscribe()
        await bob.subscribe()
        store.hold()
        message = a_publication(7)
        await talk.send(**message)
        await is_alive(talk)
        await is_alive(bob)  # and has heard nothing of it
        assert (await store.inner.events(SESSION))[-1].offset == START
        store.release()
        published = await talk.wait_for("published")
        (stored,) = await store.inner.events(SESSION, START)
        assert published == {"type": "published", "id": message["id"], "offset": stored.offset}
        assert (await bob.wait_for("event"))["id"] == message["id"]


async def test_what_is_published_in_one_breath_stays_in_order(service: Running) -> None:
    messages = [a_publication(number) for number in range(700)]
    async with talking(service) as talk:
        await talk.subscribe()
        for message in messages:
            await talk.send(**message)
        heard: list[Any] = []
        while sum(each["type"] == "published" for each in heard) < len(messages):
            heard.append(await talk.hear())
    published = [each for each in heard if each["type"] == "published"]
    assert [each["id"] for each in published] == [each["id"] for each in messages]
    offsets = [each["offset"] for each in published]
    assert offsets == list(range(START + 1, START + 1 + len(messages)))
    events = [each for each in heard if each["type"] == "event"]
    assert [each["data"]["number"] for each in events] == list(range(len(events)))


async def test_the_same_id_again_is_the_same_event(service: Running) -> None:
    event_id = str(a_publication()["id"])
    async with talking(service) as talk, talking(service, BOB) as bob:
        await talk.subscribe()
        await bob.subscribe()
        offset = await talk.publish(1, event_id)
        assert await talk.publish(2, event_id) == offset
        assert await bob.publish(3, event_id) == offset
        assert await bob.publish(4) == offset + 1
    async with talking(service) as talk:
        await talk.subscribe(after=offset - 1)
        assert [each["data"]["number"] for each in await talk.events(2)] == [1, 4]


async def test_the_same_id_by_two_at_once(service: Running, store: TroubledStore) -> None:
    message = a_publication()
    async with talking(service) as talk, talking(service, BOB) as bob:
        await talk.subscribe()
        await bob.subscribe()
        store.hold()
        for each in (talk, bob, talk):
            await each.send(**message)
        await is_alive(talk)
        await is_alive(bob)
        store.release()
        answers = [await each.wait_for("published") for each in (talk, bob, talk)]
        assert [each["offset"] for each in answers] == [START + 1] * 3


async def test_the_same_id_after_the_session_was_stopped(service: Running) -> None:
    event_id = str(a_publication()["id"])
    async with talking(service) as talk:
        await talk.subscribe()
        offset = await talk.publish(1, event_id)
        await step(service, "stop")
        assert await talk.publish(1, event_id) == offset
        message = a_publication()
        await talk.send(**message)
        error = await talk.wait_for("error")
        assert (error["code"], error["id"]) == ("illegal-step", message["id"])
        assert "stopped" in error["message"]


async def test_what_was_on_its_way_when_the_session_was_stopped(
    service: Running, store: TroubledStore
) -> None:
    """Who publishes it once more before it is on disk is told the same."""
    message = a_publication()
    async with talking(service) as talk, anyio.create_task_group() as tasks:
        await talk.subscribe()
        store.hold()
        await talk.send(**message)
        await is_alive(talk)
        tasks.start_soon(step, service, "stop")
        await eventually(lambda: the_hub()._sessions.live()[0].decided.state == "stopped")
        await talk.send(**message)
        store.release()
        answers = [await talk.wait_for("published") for _ in range(2)]
        assert [each["offset"] for each in answers] == [START + 1] * 2


async def test_what_a_client_sent_before_it_went_is_published(service: Running) -> None:
    messages = [a_publication(number) for number in range(50)]
    async with talking(service) as talk, talking(service, BOB) as bob:
        await bob.subscribe()
        await talk.subscribe()
        for message in messages:
            await talk.send(**message)
        await talk.socket.close()
        events = await bob.events(len(messages))
        assert [each["id"] for each in events] == [each["id"] for each in messages]


@pytest.mark.parametrize("state", ["created", "paused"])
async def test_members_publish_until_the_session_is_stopped(service: Running, state: str) -> None:
    if state == "paused":
        await step(service, "pause")
    else:
        async with Api(service.url, member_token()) as api:
            await api.create(id="fresh", project="p", test_cases=["a"])
    async with talking(service, session=SESSION if state == "paused" else "fresh") as talk:
        await talk.subscribe()
        assert await talk.publish() > 1


async def test_who_is_no_member_publishes_nothing(service: Running) -> None:
    async with talking(service, OBSERVER) as talk:
        await talk.subscribe()
        message = a_publication()
        await talk.send(**message)
        error = await talk.wait_for("error")
        assert (error["code"], error["id"]) == ("forbidden", message["id"])
        await step(service, "pause")
        assert (await talk.wait_for("event"))["kind"] == "session.paused"


async def test_who_left_publishes_no_more(service: Running) -> None:
    async with talking(service, BOB) as bob:
        await bob.subscribe()
        event_id = str(a_publication()["id"])
        offset = await bob.publish(0, event_id)
        await step(service, "leave", "bob")
        await bob.send(**a_publication())
        assert (await bob.wait_for("error"))["code"] == "forbidden"
        assert await bob.publish(0, event_id) == offset


# --------------------------------------------------------------------------------- acknowledging


async def test_acknowledgements_are_cumulative_and_shown(service: Running) -> None:
    async with talking(service, BOB) as bob:
        await bob.subscribe(after=0)
        await bob.events(START)
        for offset in (2, START, 1):
            await bob.send(type="ack", offset=offset)
        await is_alive(bob)
    members = {each["subject"]: each for each in (await session_now(service))["members"]}
    assert members["bob"]["acknowledged"] == START
    assert members["alice"]["acknowledged"] == 0


@pytest.mark.parametrize(
    ("token", "offset", "code"),
    [(BOB, START + 1, "invalid-offset"), (OBSERVER, 1, "forbidden"), (BOB, -1, "malformed")],
)
async def test_what_cannot_be_acknowledged(
    service: Running, token: str, offset: int, code: str
) -> None:
    async with talking(service, token) as talk:
        await talk.subscribe()
        await talk.send(type="ack", offset=offset)
        assert (await talk.wait_for("error"))["code"] == code
        await is_alive(talk)


# ----------------------------------------------------------------------------------- wrong input

WRONG: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("{", "malformed"),
    "empty": ("", "malformed"),
    "no object": ("[1]", "malformed"),
    "unknown type": ('{"type":"shout"}', "malformed"),
    "NaN": ('{"type":"ack","offset":NaN}', "malformed"),
    "deep": ("[" * 500_000, "malformed"),
    "binary": (b'{"type":"subscribe"}', "malformed"),
    "not text": (b"\xff\xfe", "malformed"),
    "own kind": (json.dumps(a_publication(kind="session.stopped")), "invalid-event"),
    "no uuid": (json.dumps(a_publication(event_id="7")), "invalid-event"),
    "no data": (json.dumps(a_publication(data=None)), "invalid-event"),
    "too much": (json.dumps(a_publication(data={"x": "a" * MAX_DATA})), "too-large"),
    "too deep": (
        json.dumps(a_publication(data={})).replace("{}", '{"x":' * 90 + "1" + "}" * 90),
        "",
    ),
}


@pytest.mark.parametrize("text", [pytest.param(WRONG[name], id=name) for name in WRONG])
async def test_wrong_input_is_answered_and_no_more(
    service: Running, text: tuple[str | bytes, str]
) -> None:
    said, code = text
    async with talking(service) as talk:
        await talk.subscribe()
        await talk.socket.send(said)
        error = await talk.wait_for("error")
        assert error["code"] == (code or "invalid-event")
        assert error["message"]
        assert await talk.publish() == START + 1


async def test_something_before_subscribing(service: Running) -> None:
    message = a_publication()
    async with talking(service) as talk:
        await talk.send(**message)
        error = await talk.hear()
        assert (error["code"], error["id"]) == ("not-subscribed", message["id"])
        await talk.send(type="ack", offset=1)
        assert (await talk.hear())["code"] == "not-subscribed"
        await talk.subscribe()
        assert await talk.publish(0, message["id"]) == START + 1


async def test_a_message_in_fragments(service: Running) -> None:
    async with talking(service) as talk:
        await talk.subscribe()
        text = json.dumps(a_publication())
        await talk.socket.send([text[:10], text[10:50], "", text[50:]])
        await talk.wait_for("published")
        await talk.socket.send([b"\x00", b"\x01", b"\x02"])
        assert "binary" in (await talk.wait_for("error"))["message"]
        await talk.socket.send([text[:10], text[10:]])
        assert (await talk.wait_for("published"))["offset"] == START + 1


async def test_a_message_over_the_limit() -> None:
    async with running(MemoryStore(), **LIMITS | {"message_limit": 2_048}) as service:
        await create(service)
        async with talking(service) as talk:
            await talk.subscribe()
            fitting = json.dumps({"type": "ping", "x": ""})
            await talk.socket.send(fitting.replace('""', f'"{"a" * (2_048 - len(fitting))}"'))
            await talk.wait_for("pong")
            await talk.socket.send(" " * 2_049)
            code, _, _ = await talk.closed()
            assert code == 1009


@pytest.mark.parametrize(
    "broken",
    [
        frame(TEXT, b'{"type":"ping"}', rsv=0x40),  # deflated, and that was not agreed on
        frame(TEXT, b'{"type":"ping"}', rsv=0x20),
        frame(CONTINUATION, b'{"type":"ping"}'),
        frame(TEXT, b'{"type":', fin=False) + frame(TEXT, b'"ping"}'),
        frame(3, b""),
        frame(PING, b"x" * 126),
        frame(PING, b"x", fin=False),
        frame(TEXT, b"{}", mask=b""),
    ],
)
async def test_frames_that_are_none(service: Running, broken: bytes) -> None:
    """RFC 6455 is kept as on the sockets of documents."""
    async with opened(service, CHANNEL, path="/sessions/") as raw:
        await raw.send(frame(TEXT, b'{"type":"subscribe"}'))
        await raw.until(lambda each: b"subscribed" in each.payload)
        await raw.send(broken)
        frames = await raw.until_closed()
        assert frames[-1].code == 1002
        await raw.end()
    await eventually(lambda: not the_hub().statistics())


async def test_control_frames_between_fragments(service: Running) -> None:
    async with opened(service, CHANNEL, path="/sessions/") as raw:
        await raw.send(
            frame(TEXT, b'{"type":', fin=False),
            frame(PING, b"between"),
            frame(CONTINUATION, b'"ping"}'),
        )
        heard: set[tuple[int, bytes]] = set()
        while not heard >= {(PONG, b"between"), (TEXT, b'{"type":"pong"}')}:  # in any order
            answer = await raw.frame()
            heard.add((answer.opcode, answer.payload))
        await raw.send(close_frame(1000))
        assert (await raw.until_closed())[-1].code == 1000


async def test_what_is_no_utf8(service: Running) -> None:
    async with talking(service) as talk:
        await talk.subscribe()
        await talk.socket.send(b"\xff", text=True)
        code, _, heard = await talk.closed()
        assert (code, heard) == (1007, [])


async def test_errors_of_who_does_not_read_are_bounded(service: Running) -> None:
    """Every message has an answer, so it is not read any more."""
    async with talking(service, max_queue=1) as talk, talking(service, BOB) as bob:
        with anyio.move_on_after(1):
            for _ in range(50_000):
                await talk.socket.send("{" * 200)
        await bob.subscribe()
        queued = [each.queued_bytes for each in the_hub().statistics()]
        assert max(queued) < 2**21
        await bob.publish()


# --------------------------------------------------------------------------------------- rights


@pytest.mark.parametrize(
    ("token", "session", "code", "word"),
    [
        ("", SESSION, 4401, "unauthorized"),
        ("nonsense", SESSION, 4401, "unauthorized"),
        (member_token(ttl=-60), SESSION, 4401, "token-expired"),
        (token_for(), SESSION, 4403, "forbidden"),
        (token_for(sessions={"other": "lead"}), SESSION, 4403, "forbidden"),
        (token_for(sessions={"other": "lead"}), "unheard-of", 4403, "forbidden"),
        (member_token(), "unheard-of", 4404, "unknown-session"),
        (member_token(), "no%2Fslash", 4400, "malformed"),
        (member_token(), "%252D", 4400, "malformed"),
    ],
)
async def test_who_does_not_get_in(
    service: Running, token: str, session: str, code: int, word: str
) -> None:
    async with talking(service, token, session) as talk:
        closed, reason, heard = await talk.closed()
        assert closed == code
        (error,) = heard
        assert (error["type"], error["code"]) == ("error", word)
        assert error["message"]
        assert reason == ("token-expired" if word == "token-expired" else error["message"])


async def test_final_verdicts_are_held_back(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a client that tries again at once does not do so ten times a second."""
    monkeypatch.setattr(patience, "HOLD_SECONDS", 0.4)
    began = time.monotonic()
    async with talking(service, "nonsense") as talk:
        await talk.hear()
        await talk.closed()
    assert time.monotonic() - began >= 0.39


async def test_a_token_in_a_header_and_a_ticket(service: Running) -> None:
    bearer = {"Authorization": f"Bearer {BOB}"}
    async with talking(service, query="", additional_headers=bearer) as talk:
        await talk.subscribe()
    async with Api(service.url, BOB) as api:
        ticket = (await api.post("/tickets")).json()["ticket"]
    async with talking(service, query=f"ticket={ticket}") as talk:
        await talk.subscribe()
        await talk.publish()
        assert (await talk.subscribe(after=START))["recovered"]
        assert (await talk.wait_for("event"))["actor"] == "bob"
    async with talking(service, query=f"ticket={ticket}") as talk:
        assert (await talk.closed())[0] == 4401


async def test_a_percent_encoded_session(service: Running) -> None:
    async with talking(service, session="%731") as talk:
        assert (await talk.subscribe())["session"]["id"] == "s1"


async def test_another_origin() -> None:
    async with running(MemoryStore(), allow_origin=("https://app.example.org",)) as service:
        await create(service)
        async with talking(service, origin="https://app.example.org") as talk:
            await talk.subscribe()
        with pytest.raises(InvalidStatus, match="403"):
            async with talking(service, origin="https://evil.example.org"):
                pass


async def test_other_paths_are_nothing_of_ours(service: Running) -> None:
    with pytest.raises(InvalidStatus):
        async with talking(service, session="s1/events/x"):
            pass


async def test_a_token_expires(service: Running) -> None:
    async with talking(service, member_token(ttl=1.0)) as talk:
        await talk.subscribe()
        code, reason, heard = await talk.closed()
        assert (code, reason) == (4401, "token-expired")
        assert heard[-1]["code"] == "token-expired"


async def test_a_token_is_renewed(service: Running) -> None:
    async with talking(service, member_token(ttl=60)) as talk:
        await talk.subscribe()
        [connection] = the_hub()._connections.values()
        first = connection.expiry
        await talk.send(type="token", token=member_token(ttl=3600))
        renewed = await talk.wait_for("token")
        assert renewed["expires"].endswith("Z")
        assert first is not None
        assert first.cancelled()
        assert connection.expiry is not None
        assert connection.expiry.when() - anyio.current_time() > 3_000
        await talk.publish()


@pytest.mark.parametrize(
    ("token", "code", "word"),
    [
        ("nonsense", 4401, "unauthorized"),
        (BOB, 4403, "forbidden"),
        (token_for("alice"), 4403, "forbidden"),
    ],
)
async def test_a_token_that_is_none_of_this_connection(
    service: Running, token: str, code: int, word: str
) -> None:
    async with talking(service) as talk:
        await talk.subscribe()
        await talk.send(type="token", token=token)
        closed, _, heard = await talk.closed()
        assert (closed, heard[-1]["code"]) == (code, word)


async def test_a_new_token_may_give_another_right(service: Running) -> None:
    async with talking(service, OBSERVER) as talk:
        await talk.subscribe()
        await talk.send(type="token", token=member_token("olga", "join"))
        await talk.wait_for("token")
        async with Api(service.url, member_token("olga", "join")) as api:
            await api.step(SESSION, "join")
        assert await talk.publish() == START + 2


async def test_connections_count_together_with_documents() -> None:
    limits = LIMITS | {"connections_per_subject": 2}
    async with running(MemoryStore(), **limits) as service:
        await create(service)
        async with (
            connect(service.sync_url, "drafts/1", token_for()) as document,
            talking(service) as first,
        ):
            await document.synced()
            await first.subscribe()
            async with talking(service) as second:
                assert (await second.closed())[0] == 1013
            async with talking(service, OBSERVER) as other:
                await other.subscribe()
            await first.socket.close()
            await eventually(lambda: not the_hub().statistics())
            async with talking(service) as second:
                await second.subscribe()


# ---------------------------------------------------------------------------------- life and death


async def test_the_server_pings(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEARTBEAT_SECONDS", 0.05)
    async with talking(service) as talk:
        await talk.subscribe()
        for _ in range(5):
            ping = await talk.wait_for("ping")
            assert ping["top"] == START
            assert ping["time"].endswith("Z")
            await talk.send(type="pong")
        await is_alive(talk)
        (known,) = the_hub().statistics()
        assert known.round_trip is not None
        assert 0 <= known.round_trip < 5
        assert the_hub().meters.round_trips.counts().count >= 5


@pytest.mark.parametrize("subscribed", [True, False])
async def test_two_pings_without_an_answer(
    service: Running, monkeypatch: pytest.MonkeyPatch, subscribed: bool
) -> None:
    """The code is none of the final ones: a client that is there after all comes back."""
    monkeypatch.setattr(patience, "HEARTBEAT_SECONDS", 0.05)
    async with talking(service) as talk:
        if subscribed:
            await talk.send(type="subscribe")  # the first ping may come before its answer
        code, _, heard = await talk.closed()
        assert code == 1001
        assert [each["type"] for each in heard if each["type"] != "subscribed"] == ["ping", "ping"]
    await eventually(lambda: not the_hub().statistics())


async def test_the_server_is_stopped(service: Running, store: TroubledStore) -> None:
    """What was said to be published is on disk; the rest was not taken, and may come again."""
    async with talking(service) as talk, talking(service, BOB) as bob:
        await talk.subscribe()
        await bob.subscribe()
        store.hold()
        await talk.send(**a_publication(1))
        await is_alive(talk)
        service.stop.set()
        await eventually(lambda: the_hub()._sessions._draining)
        await talk.send(**a_publication(2))
        store.release()
        code, _, heard = await talk.closed()
        assert code == 1012
        assert [each["type"] for each in heard] == ["event", "published"]
        assert (await bob.closed())[0] == 1012
        await service.ended.wait()
        assert len(await store.inner.events(SESSION)) == START + 1


async def test_a_rate_slows_the_reading() -> None:
    limits = LIMITS | {"message_rate": 20, "message_burst": 1}
    async with running(MemoryStore(), **limits) as service:
        await create(service)
        async with talking(service) as talk:
            await talk.subscribe()
            began = time.monotonic()
            for _ in range(10):
                await talk.send(type="ping")
            for _ in range(10):
                await talk.wait_for("pong")
            await is_alive(talk)
            assert time.monotonic() - began > 0.35


async def test_a_log_that_cannot_be_read(service: Running, store: TroubledStore) -> None:
    async with talking(service, BOB) as talk:
        store.failure = DISK_FULL
        await talk.send(type="subscribe", after=0)
        code, _, heard = await talk.closed()
        assert code == 1013
        assert [each["type"] for each in heard] == ["subscribed"]
    store.failure = None
    async with talking(service, BOB) as talk:
        await talk.subscribe(after=0)
        await talk.events(START)


async def test_a_disk_that_fails_for_a_while(service: Running, store: TroubledStore) -> None:
    async with talking(service, BOB) as talk:
        await talk.subscribe()
        store.failure = DISK_FULL
        await talk.send(**a_publication())
        await is_alive(talk)
        store.failure = None
        assert (await talk.wait_for("published"))["offset"] == START + 1


async def test_nothing_is_left_of_who_has_gone(service: Running) -> None:
    hub = the_hub()
    for _ in range(3):
        async with talking(service) as polite, talking(service, BOB) as rude:
            await polite.subscribe(after=0)
            await rude.subscribe()
            await polite.publish()
            rude.socket.transport.abort()
    await eventually(lambda: not hub.statistics())
    assert not hub._by_session
    assert not hub._beats
    assert not hub._hub._subjects
    (live,) = hub._sessions.live()
    assert live.feed.subscribers == 0
    assert hub.meters.opened == hub.meters.closed == 6


# ------------------------------------------------------------------------------------- the status


async def test_the_status_for_those_who_want_it(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_status, "STATUS_SECONDS", 0.01)
    now = {"connected": 1}
    asked = 0

    async def status_of(live: LiveSession) -> dict[str, Any]:
        nonlocal asked
        assert live.id == SESSION
        asked += 1
        return dict(now)

    the_hub().watches.status_of = status_of
    async with talking(service) as talk, talking(service, BOB) as other:
        await other.subscribe()
        await talk.subscribe(status=True)
        assert (await talk.hear())["status"] == {"connected": 1}
        seen = asked
        await eventually(lambda: asked > seen + 3)
        now["connected"] = 2
        assert (await talk.hear())["status"] == {"connected": 2}
        await is_alive(other)
        await talk.subscribe(status=True)
        assert (await talk.hear())["status"] == {"connected": 2}
        await talk.subscribe()
        await eventually(lambda: not the_hub().watches)
        now["connected"] = 3
        await is_alive(talk)


async def test_a_status_that_fails_costs_the_status(
    service: Running, caplog: pytest.LogCaptureFixture
) -> None:
    async def status_of(_live: LiveSession) -> dict[str, Any]:
        raise ZeroDivisionError

    the_hub().watches.status_of = status_of
    async with talking(service) as talk:
        await talk.subscribe(status=True)
        await eventually(lambda: not the_hub().watches)
        await talk.publish()
    assert "ZeroDivisionError" in caplog.text


async def test_no_token_is_logged(service: Running, caplog: pytest.LogCaptureFixture) -> None:
    token = member_token()
    async with talking(service, token) as talk:
        await talk.subscribe()
        await talk.send(type="token", token=token)
        await talk.wait_for("token")
        await talk.send(type="token", token=token[:-3] + "xyz")
        await talk.closed()
    assert token[-20:-3] not in caplog.text


async def test_what_the_server_counts(service: Running) -> None:
    meters = the_hub().meters
    async with talking(service) as talk, talking(service, BOB) as bob:
        await talk.subscribe(after=0)
        await bob.subscribe()
        await talk.events(START)
        before, published = meters.delivered, meters.published
        for number in range(10):
            await talk.publish(number)
        await bob.events(10)
        assert meters.published - published == 10
        assert meters.delivered - before == 20
        assert meters.latency.counts().count == 20
        assert meters.success == 1.0
        assert (meters.resumed, meters.unrecovered) == (1, 0)
        mine = next(each for each in the_hub().statistics() if each.subject == "alice")
        assert mine.session == SESSION
        assert (mine.offset, mine.lag, mine.in_flight) == (START + 10, 0, 0)
        assert (mine.received, mine.resumes) == (11, 1)
        assert mine.sent == 1 + START + 20
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await bob.hear()
        with anyio.fail_after(PATIENCE):
            await bob.socket.close()
        with pytest.raises(ConnectionClosed):
            await bob.hear()
