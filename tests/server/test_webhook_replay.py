"""Dead letters sent again: those that are taken are forgiven, in order, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import anyio
import pytest

from persistence.store import DeadLetter
from sync.core.webhook import Answer, Webhook
from sync.server import webhook_replay
from sync.server.webhook_consumer import Limits
from sync.server.webhook_replay import Replay, Replayed, Selection
from tests.server.webhook_parts import (
    BROKEN,
    NOW,
    OK,
    SILENT,
    Log,
    Receiver,
    a_webhook,
    caught_up,
    delivering,
    until,
)


async def with_dead_letters(*sessions: str, events: int = 3, consumer: str = "crm") -> Log:
    """A log of which nothing could be delivered."""
    log = Log()
    await log.store.enlist(consumer)
    for session in sessions:
        await log.add_many(events, session)
        for offset in range(1, events + 1):
            letter = DeadLetter(consumer, session, offset, "it answered 500", NOW)
            await log.store.advance(consumer, session, offset, letter)
    return log


def replaying(log: Log, receiver: Receiver, *webhooks: Webhook) -> Replay:
    return Replay(log.store, webhooks or [a_webhook()], receiver, log.clock.timing)


async def places(log: Log) -> set[tuple[str, int]]:
    return {(letter.session, letter.offset) for letter in await log.dead()}


async def test_dead_letters_are_sent_in_order_and_forgiven() -> None:
    log = await with_dead_letters("s2", "s1")
    receiver = Receiver(log.clock)
    replay = replaying(log, receiver)
    assert await replay(Selection()) == Replayed(6, (), 0)
    assert receiver.attempts("s1") == receiver.attempts("s2") == [1, 2, 3]
    assert not await log.dead()
    assert await replay(Selection()) == Replayed(0, (), 0)
    assert len(receiver.seen) == 6


async def test_a_replayed_event_is_the_same_event() -> None:
    log = Log()
    receiver = Receiver(log.clock, lambda _event: BROKEN)
    async with delivering(log, receiver, limits=Limits(attempts=2)) as webhooks:
        await log.add(state="running")
        await until(partial(caught_up, log.store))
        receiver.reply = lambda _event: OK
        assert (await webhooks.replay(Selection())).delivered == 1
    assert receiver.seen[0] == receiver.seen[1] == receiver.seen[2]


@pytest.mark.parametrize(
    ("selection", "sent"),
    [
        (Selection(session="s1"), {("s1", 1), ("s1", 2), ("s1", 3)}),
        (Selection(session="s1", offset=2), {("s1", 2)}),
        (Selection(offset=2), {("s1", 2), ("s2", 2)}),
        (Selection(consumer="crm", session="s2", offset=3), {("s2", 3)}),
        (Selection(consumer="other"), set()),
    ],
)
async def test_some_of_them(selection: Selection, sent: set[tuple[str, int]]) -> None:
    log = await with_dead_letters("s1", "s2")
    before = await places(log)
    receiver = Receiver(log.clock)
    assert (await replaying(log, receiver)(selection)).delivered == len(sent)
    assert before - await places(log) == sent


async def test_one_that_fails_holds_up_its_session_alone() -> None:
    log = await with_dead_letters("s1", "s2")
    receiver = Receiver(log.clock, lambda event: BROKEN if event["sessionid"] == "s1" else OK)
    replayed = await replaying(log, receiver)(Selection())
    failed = DeadLetter("crm", "s1", 1, "it answered 500", NOW)
    assert replayed == Replayed(3, (failed,), 2)
    assert receiver.attempts("s1") == [1]
    assert await places(log) == {("s1", 1), ("s1", 2), ("s1", 3)}


async def test_a_receiver_that_is_not_there_is_tried_once() -> None:
    log = await with_dead_letters("s1", "s2", "s3")
    receiver = Receiver(log.clock, lambda _event: SILENT)
    replayed = await replaying(log, receiver)(Selection())
    assert (replayed.delivered, len(replayed.failed), replayed.left) == (0, 1, 8)
    assert replayed.failed[0].reason == "no route"
    assert len(receiver.seen) == 1


async def test_a_webhook_that_is_no_longer_configured() -> None:
    log = await with_dead_letters("s1", consumer="old")
    receiver = Receiver(log.clock)
    replayed = await replaying(log, receiver)(Selection())
    assert replayed.failed[0].reason == "no webhook of this name is configured"
    assert (len(await log.dead()), receiver.seen) == (3, [])


async def test_an_event_that_retention_removed() -> None:
    log = await with_dead_letters("s1")
    log.clock.turn(60)
    await log.add()
    await log.store.truncate("s1", log.clock.now)
    receiver = Receiver(log.clock)
    replayed = await replaying(log, receiver)(Selection())
    assert [letter.reason for letter in replayed.failed] == ["retention removed the event"] * 3
    assert (replayed.left, receiver.seen) == (0, [])


async def test_of_many_a_part_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_replay, "MOST_LETTERS", 4)
    log = await with_dead_letters("s1", events=10)
    replay = replaying(log, Receiver(log.clock))
    assert [await replay(Selection()) for _ in range(3)] == [
        *(Replayed(4, (), 6), Replayed(4, (), 2), Replayed(2, (), 0)),
    ]


async def test_a_slow_receiver_ends_a_part() -> None:
    log = await with_dead_letters("s1", events=10)

    async def reply(_event: object) -> Answer:
        log.clock.turn(4)
        return OK

    replayed = await replaying(log, Receiver(log.clock, reply))(Selection())
    assert (replayed.delivered, replayed.left) == (3, 7)


async def test_two_at_once_send_nothing_twice() -> None:
    log = await with_dead_letters("s1")
    receiver = Receiver(log.clock)
    replay = replaying(log, receiver)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(replay, Selection())
    assert receiver.attempts() == [1, 2, 3]


async def test_it_goes_on_beside_what_happens_now() -> None:
    """The session went on without the dead letter; it comes later than those behind it."""
    log = Log()
    receiver = Receiver(log.clock, lambda event: BROKEN if event["offset"] == 2 else OK)
    async with delivering(log, receiver, limits=Limits(attempts=1)) as webhooks:
        await log.add_many(3)
        await until(partial(caught_up, log.store))
        receiver.reply = lambda _event: OK
        await log.add()
        await webhooks.replay(Selection())
        await until(partial(caught_up, log.store))
    assert receiver.offsets()[:2] == [1, 3]
    assert sorted(receiver.offsets()) == [1, 2, 3, 4]
    assert not await log.dead()


async def test_each_receiver_has_its_own() -> None:
    log = Log()
    hooks = [a_webhook("a"), a_webhook("b")]
    for hook in hooks:
        await log.store.enlist(hook.name)
    await log.add()
    for hook in hooks:
        letter = DeadLetter(hook.name, "s1", 1, "it answered 500", NOW)
        await log.store.advance(hook.name, "s1", 1, letter)
    seen: list[str] = []

    async def post(url: str, _headers: Mapping[str, str], _body: bytes) -> Answer:
        seen.append(url)
        return BROKEN if url == hooks[0].url else OK

    replayed = await Replay(log.store, hooks, post, log.clock.timing)(Selection())
    assert seen == [hooks[0].url, hooks[1].url]
    assert replayed.delivered == 1
    assert [replace(letter, time=0) for letter in await log.dead()] == [
        DeadLetter("a", "s1", 1, "it answered 500", 0)
    ]
