"""Webhooks: every event at least once, in order per session, whatever the receiver does."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import anyio
import pytest

from persistence.memory import MemoryStore
from persistence.store import Store, StoreError, StoreUnavailable
from sync.core.webhook import Answer
from sync.server import webhook_consumer
from sync.server.webhook_consumer import Limits
from sync.server.webhook_replay import Replayed, Selection
from sync.server.webhooks import open_webhooks
from tests.server.parts import eventually
from tests.server.webhook_parts import (
    BROKEN,
    OK,
    SILENT,
    Clock,
    Log,
    Receiver,
    a_webhook,
    caught_up,
    delivering,
    until,
)

FEW = Limits(attempts=3, concurrent=2, most_sessions=2)


def replies(*answers: Answer) -> Callable[[dict[str, Any]], Answer]:
    """These answers, and 200 from then on."""
    left = list(answers)
    return lambda _event: left.pop(0) if left else OK


# -- what is sent


async def test_what_happens_is_sent_in_order() -> None:
    log = Log()
    receiver = Receiver(log.clock)
    async with delivering(log, receiver) as webhooks:
        await log.add_many(20)
        await until(partial(caught_up, log.store))
    assert receiver.attempts() == list(range(1, 21))
    assert receiver.taken[0]["type"] == "draftsync.session.started"
    (statistics,) = webhooks.statistics()
    assert (statistics.delivered, statistics.failed, statistics.dead) == (20, 0, 0)
    assert (statistics.waiting, statistics.oldest_lag_seconds) == (0, 0)
    assert not log.listeners


async def test_what_happened_before_a_webhook_was_known_is_not_sent() -> None:
    log = Log()
    receiver = Receiver(log.clock)
    await log.add_many(5)
    async with delivering(log, receiver):
        await log.add()
        await until(partial(caught_up, log.store))
    assert receiver.attempts() == [6]


async def test_what_happened_while_the_service_was_down_is_sent() -> None:
    log = Log()
    receiver = Receiver(log.clock)
    async with delivering(log, receiver):
        await log.add()
        await until(partial(caught_up, log.store))
    await log.add_many(3)
    await log.add("s2")
    async with delivering(log, receiver):
        await until(partial(caught_up, log.store))
    assert receiver.attempts() == [1, 2, 3, 4]
    assert receiver.attempts("s2") == [1]


async def test_kinds_that_are_not_wanted_are_passed_over() -> None:
    log = Log()
    receiver = Receiver(log.clock)
    custom = Receiver(log.clock)
    hooks = [a_webhook(), a_webhook("all", "*"), a_webhook("some", "review.*", "session.stopped")]
    by_url = {
        hooks[0].url: receiver,
        hooks[1].url: custom,
        hooks[2].url: (some := Receiver(log.clock)),
    }

    async def post(url: str, headers: Any, body: bytes) -> Answer:
        return await by_url[url](url, headers, body)

    names = [hook.name for hook in hooks]
    kinds = ["session.created", "review.note", "note", "draft.completed", "note", "session.stopped"]
    for _ in range(2):  # as it happens; and all of it from the log, at a restart
        async with delivering(log, post, *hooks):
            for kind in kinds:
                await log.add(kind=kind)
            await eventually(lambda: len(custom.taken) % 6 == 0)
            await until(partial(caught_up, log.store, names))
        for kind in kinds:
            await log.add(kind=kind)
    assert receiver.attempts() == [1, 4, 6, 7, 10, 12, 13, 16, 18]
    assert custom.attempts() == list(range(1, 19))
    assert some.attempts() == [2, 6, 8, 12, 14, 18]


async def test_a_log_of_what_is_not_wanted_is_passed_over_once() -> None:
    """A restart does not look at the same events again, and asks once per kind."""
    counting = Counting()
    log = Log(cast(Store, counting))
    receiver = Receiver(log.clock)
    await log.store.enlist("crm")
    for _ in range(30):
        await log.add(kind="note")
    for restart in range(3):
        counting.calls.clear()
        async with delivering(log, receiver):
            await until(partial(caught_up, log.store))
        assert counting.calls.count("events") == (2 if restart == 0 else 0)
    assert not receiver.seen


async def test_a_backlog_is_searched_once_per_kind() -> None:
    counting = Counting()
    log = Log(cast(Store, counting))
    receiver = Receiver(log.clock)
    await log.store.enlist("crm")
    for _ in range(50):
        await log.add()
        await log.add(kind="note")
    counting.calls.clear()
    async with delivering(log, receiver):
        await until(partial(caught_up, log.store))
    assert len(receiver.taken) == 50
    assert counting.calls.count("events") == 50 + 50 + 2  # found, read, and none of either kind


async def test_events_that_retention_removed_are_not_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    log, receiver = Log(clock=clock), Receiver(clock)
    await log.store.enlist("crm")
    await log.add_many(5)
    clock.turn(60)
    await log.add()
    await log.store.truncate("s1", clock.now)
    async with delivering(log, receiver):
        await until(partial(caught_up, log.store))
    assert receiver.attempts() == [6]
    assert "retention removed events" in caplog.text


# -- failures


async def test_a_failure_is_tried_again_and_holds_up_its_session_alone() -> None:
    clock = Clock(hasty=False)
    log = Log(clock=clock)
    receiver = Receiver(clock, lambda event: BROKEN if event["sessionid"] == "s1" else OK)
    async with delivering(log, receiver) as webhooks:
        await log.add_many(3, "s1")
        await log.add_many(3, "s2")
        await eventually(lambda: len(receiver.offsets("s2")) == 3)
        assert receiver.attempts("s1") == [1]
        clock.turn(300)
        await eventually(lambda: receiver.attempts("s1") == [1, 1])
        await eventually(lambda: webhooks.statistics()[0].failed == 2)
        await eventually(lambda: webhooks.statistics()[0].waiting == 1)
        (statistics,) = webhooks.statistics()
        assert statistics.oldest_lag_seconds == 300
        assert statistics.failing == "it answered 500"
        receiver.reply = lambda _event: OK
        clock.turn(300)
        await until(partial(caught_up, log.store))
        assert webhooks.statistics()[0].failing is None
    assert receiver.attempts("s1") == [1, 1, 1, 2, 3]


async def test_retry_after_is_waited_for() -> None:
    log = Log()
    clock = log.clock
    receiver = Receiver(clock, replies(Answer(503, retry_after="1234"), Answer(429)))
    async with delivering(log, receiver):
        await log.add()
        await until(partial(caught_up, log.store))
    assert clock.slept[0] == 1234
    assert 1 <= clock.slept[1] <= 4
    assert receiver.attempts() == [1, 1, 1]


async def test_a_dead_letter_after_the_last_attempt_and_the_session_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Log()
    clock = log.clock
    receiver = Receiver(clock, lambda event: BROKEN if event["offset"] == 2 else OK)
    async with delivering(log, receiver) as webhooks:
        await log.add_many(3)
        await until(partial(caught_up, log.store))
        assert webhooks.statistics()[0].dead == 1
        assert webhooks.statistics()[0].failed == 12
    assert receiver.attempts() == [1, *[2] * 12, 3]
    (letter,) = await log.dead()
    assert (letter.consumer, letter.session, letter.offset) == ("crm", "s1", 2)
    assert letter.reason == "it answered 500 (tried 12 times)"
    assert len(clock.slept) == 11
    assert all(1 <= seconds <= 300 for seconds in clock.slept)
    assert "draftsync webhooks replay" in caplog.text


async def test_the_log_says_once_that_a_webhook_fails_and_once_that_it_is_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    log = Log()
    clock = log.clock
    receiver = Receiver(clock, replies(SILENT, SILENT, SILENT))
    async with delivering(log, receiver):
        await log.add_many(3)
        await until(partial(caught_up, log.store))
    assert caplog.text.count("a webhook fails") == 1
    assert caplog.text.count("a webhook is delivered again") == 1


async def test_gone_switches_a_webhook_off_until_the_restart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Log()
    clock = log.clock
    receiver = Receiver(clock, replies(OK, Answer(410)))
    async with delivering(log, receiver) as webhooks:
        await log.add()
        await until(partial(caught_up, log.store))
        await log.add()
        await eventually(lambda: webhooks.statistics()[0].gone)
        await log.add_many(3)
        await log.add("s2")
        await anyio.wait_all_tasks_blocked()
    assert receiver.attempts() == [1, 2]
    assert caplog.text.count("410 Gone") == 1
    assert not await log.dead()
    async with delivering(log, receiver):
        await until(partial(caught_up, log.store))
    assert receiver.attempts() == [1, 2, 2, 3, 4, 5]
    assert receiver.attempts("s2") == [1]


async def test_one_that_is_gone_does_not_end_another() -> None:
    log = Log()
    clock = log.clock

    async def post(url: str, headers: Any, body: bytes) -> Answer:
        return Answer(410) if "gone" in url else await receiver(url, headers, body)

    receiver = Receiver(clock)
    hooks = [a_webhook("gone"), a_webhook()]
    async with delivering(log, post, *hooks):
        await log.add_many(5)
        await until(partial(caught_up, log.store))
    assert receiver.attempts() == [1, 2, 3, 4, 5]


async def test_a_receiver_that_hangs_holds_up_its_sessions_alone() -> None:
    """The client's time limit ends a request; until then one session has one request open."""
    log = Log()
    clock = log.clock
    hang = anyio.Event()

    async def reply(event: dict[str, Any]) -> Answer:
        if event["sessionid"] == "s1":
            await hang.wait()
        return OK

    receiver = Receiver(clock, reply)
    async with delivering(log, receiver):
        await log.add_many(3, "s1")
        await log.add_many(3, "s2")
        await eventually(lambda: len(receiver.offsets("s2")) == 3)
        assert receiver.attempts("s1") == [1]
        hang.set()
        await until(partial(caught_up, log.store))
    assert receiver.attempts("s1") == [1, 2, 3]


async def test_requests_are_bounded() -> None:
    log = Log()
    clock = log.clock
    release = anyio.Event()

    async def reply(_event: dict[str, Any]) -> Answer:
        await release.wait()
        return OK

    receiver = Receiver(clock, reply)
    async with delivering(log, receiver):
        for number in range(50):
            await log.add(f"s{number}")
        await eventually(lambda: receiver.open == 8)
        release.set()
        await until(partial(caught_up, log.store))
    assert receiver.most_open == 8
    assert sorted(each["sessionid"] for each in receiver.taken) == sorted(log.wanted)


async def test_a_receiver_that_is_down_costs_no_memory_per_session() -> None:
    """Of many sessions a few are under way; the store is asked for the rest when there is room."""
    clock = Clock(hasty=False)
    log = Log(clock=clock)
    receiver = Receiver(clock, lambda _event: SILENT)
    async with delivering(log, receiver, limits=FEW) as webhooks:
        for number in range(30):
            await log.add_many(2, f"s{number}")
        await anyio.wait_all_tasks_blocked()
        assert webhooks.statistics()[0].waiting == 2
        assert len(webhooks.consumers[0]._lines) == 2
        receiver.reply = lambda _event: OK
        clock.turn(300)
        await until(partial(caught_up, log.store))
    for session, offsets in log.wanted.items():
        assert receiver.offsets(session) == offsets


async def test_a_bug_costs_one_session_until_the_restart(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    clock = log.clock

    def reply(event: dict[str, Any]) -> Answer:
        if event["sessionid"] == "s1":
            raise RuntimeError("a bug")
        return OK

    receiver = Receiver(clock, reply)
    async with delivering(log, receiver):
        await log.add()
        await eventually(lambda: "a bug" in caplog.text)
        await log.add_many(2)
        await log.add("s2")
        await eventually(lambda: receiver.offsets("s2") == [1])
    assert receiver.attempts() == [1]
    receiver.reply = lambda _event: OK
    async with delivering(log, receiver):
        await until(partial(caught_up, log.store))
    assert receiver.offsets() == [1, 2, 3]


# -- the end


async def test_requests_that_are_open_at_the_end_are_waited_for() -> None:
    log = Log()
    clock = log.clock
    release = anyio.Event()

    async def reply(_event: dict[str, Any]) -> Answer:
        await release.wait()
        return OK

    receiver = Receiver(clock, reply)
    async with anyio.create_task_group() as tasks, delivering(log, receiver) as webhooks:
        await log.add_many(3)
        await eventually(lambda: receiver.open == 1)

        async def release_at_the_end() -> None:
            await eventually(lambda: webhooks.consumers[0]._ending)
            release.set()

        tasks.start_soon(release_at_the_end)
    assert receiver.attempts() == [1]
    assert await log.store.behind("crm") == [("s1", 1, 3)]


async def test_the_end_waits_for_nobody_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_consumer, "GRACE_SECONDS", 0.02)
    clock = Clock(hasty=False)
    log = Log(clock=clock)

    async def reply(event: dict[str, Any]) -> Answer:
        if event["sessionid"] == "s0":
            return BROKEN  # and so it sleeps, until the clock is turned
        await anyio.sleep_forever()
        return OK

    receiver = Receiver(clock, reply)
    with anyio.fail_after(5):
        async with delivering(log, receiver):
            for number in range(20):
                await log.add(f"s{number}")
            await eventually(lambda: receiver.open == 8)
    assert receiver.open == 0
    assert not receiver.taken
    assert len(await log.store.behind("crm")) == 20


async def test_sleepers_do_not_delay_the_end() -> None:
    clock = Clock(hasty=False)
    log = Log(clock=clock)
    receiver = Receiver(clock, lambda _event: BROKEN)
    with anyio.fail_after(webhook_consumer.GRACE_SECONDS / 2):
        async with delivering(log, receiver):
            await log.add()
            await eventually(lambda: bool(clock.slept))


async def test_without_a_webhook_there_is_nothing() -> None:
    log = Log()
    async with open_webhooks(log.store, log.listeners, []) as webhooks:
        assert (webhooks.statistics(), log.listeners) == ([], [])
        assert await webhooks.replay(Selection()) == Replayed(0, (), 0)


# -- the store


class Counting:
    """A store that counts what is asked of it."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)

        async def call(*arguments: Any) -> Any:
            self.calls.append(name)
            await self._before(name)
            result = await method(*arguments)
            await self._after(name)
            return result

        return call

    async def _before(self, name: str) -> None:
        pass

    async def _after(self, name: str) -> None:
        pass


async def test_nothing_is_skipped_that_comes_between_two_looks_at_the_log() -> None:
    """One for each kind: of the first there was nothing, and then both are there."""

    class Busy(Counting):
        async def _after(self, name: str) -> None:
            if self.calls.count("events") == 1 and name == "events":
                await log.add(kind="session.started")
                await log.add(kind="draft.completed")

    log = Log(cast(Store, Busy()))
    receiver = Receiver(log.clock)
    await log.store.enlist("crm")
    await log.add(kind="note")  # it is behind, and there is nothing for it
    async with delivering(log, receiver):
        await until(partial(caught_up, log.store))
    assert receiver.offsets() == [2, 3]


async def test_nothing_is_skipped_that_comes_while_it_is_asked_what_is_behind() -> None:
    """A line is begun for what there was; it has to hear of what came since."""

    class Busy(Counting):
        async def _after(self, name: str) -> None:
            if self.calls.count("behind") == 1 and name == "behind":
                await log.add()

    log = Log(cast(Store, Busy()))
    receiver = Receiver(log.clock)
    await log.store.enlist("crm")
    await log.add()
    async with delivering(log, receiver):
        await eventually(lambda: len(receiver.offsets()) >= 1)
        await anyio.wait_all_tasks_blocked()
        await log.add()
        await eventually(lambda: len(receiver.offsets()) >= 3)
    assert receiver.offsets() == [1, 2, 3]


class Fragile(Counting):
    """A store that fails now and then: before it has done what was asked, or after."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.dice = dice
        self.well = True

    async def _before(self, name: str) -> None:
        await self._trouble(name)

    async def _after(self, name: str) -> None:
        await self._trouble(name)

    async def _trouble(self, name: str) -> None:
        await anyio.lowlevel.checkpoint()
        if not self.well and name != "record" and self.dice.random() < 0.1:
            raise StoreUnavailable("the disk is full")


class Held(Counting):
    """A store whose answers to ``behind`` are old when they arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()

    async def _after(self, name: str) -> None:
        if name == "behind":
            await self.gate.wait()


async def test_what_happens_while_the_store_is_asked_is_not_missed() -> None:
    held = Held()
    log = Log(cast(Store, held))
    receiver = Receiver(log.clock)
    async with delivering(log, receiver):
        await eventually(lambda: "behind" in held.calls)
        await log.add()
        held.gate.set()
        await eventually(lambda: receiver.offsets() == [1])


async def test_what_is_sent_while_the_store_is_asked_is_not_sent_again() -> None:
    held = Held()
    held.gate.set()
    log = Log(cast(Store, held))
    release = {f"s{number}": anyio.Event() for number in (1, 2, 3)}

    async def reply(event: dict[str, Any]) -> Answer:
        await release[event["sessionid"]].wait()
        return OK

    receiver = Receiver(log.clock, reply)
    async with delivering(log, receiver, limits=FEW):
        await anyio.wait_all_tasks_blocked()
        for session in release:
            await log.add(session)
        await eventually(lambda: receiver.open == 2)
        held.gate = anyio.Event()
        held.calls.clear()
        release["s2"].set()  # so that there is room for the third, which only the store knows
        await eventually(lambda: "behind" in held.calls)
        release["s1"].set()
        await eventually(lambda: receiver.offsets("s1") == [1])
        release["s3"].set()
        held.gate.set()
        await until(partial(caught_up, log.store))
    assert [receiver.attempts(session) for session in release] == [[1], [1], [1]]


async def test_what_it_costs() -> None:
    """An event in a quiet session: five calls of the store, and none while nothing happens."""
    counting = Counting()
    log = Log(cast(Store, counting))
    receiver = Receiver(log.clock)
    async with delivering(log, receiver):
        await log.add()
        await until(partial(caught_up, log.store))
        await anyio.wait_all_tasks_blocked()
        counting.calls.clear()
        for _ in range(100):
            await log.add(kind="note")
        await anyio.wait_all_tasks_blocked()
        assert set(counting.calls) == {"record"}
        counting.calls.clear()
        await log.add()
        await eventually(lambda: len(receiver.taken) == 2)
        await anyio.wait_all_tasks_blocked()
    assert counting.calls == ["record", "session", "events", "events", "events", "advance"]


async def test_a_store_that_fails_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    fragile = Fragile(random.Random(7))
    clock = Clock()
    log, receiver = Log(cast(Store, fragile), clock), Receiver(clock)
    async with delivering(log, receiver):
        fragile.well = False
        await log.add_many(50)
        await eventually(lambda: len(receiver.taken) == 50)
        fragile.well = True
        await until(partial(caught_up, log.store))
    assert receiver.attempts() == list(range(1, 51))
    assert "a webhook waits for the store" in caplog.text


class Damaged(Counting):
    """A store in which one session's events cannot be read."""

    damaged = True

    async def events(self, session: str, *arguments: Any) -> Any:
        if session == "s1" and self.damaged:
            raise StoreError("the event 2 of 's1' is damaged")
        return await self.inner.events(session, *arguments)


async def test_a_damaged_session_holds_up_itself_alone(caplog: pytest.LogCaptureFixture) -> None:
    damaged = Damaged()
    log = Log(cast(Store, damaged))
    receiver = Receiver(log.clock)
    async with delivering(log, receiver):
        await log.add_many(2, "s1")
        await log.add_many(2, "s2")
        await until(lambda: _is([("s1", 0, 2)], log))
        assert receiver.offsets("s2") == [1, 2]
        (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
        assert vars(record)["error"] == "the event 2 of 's1' is damaged"
        assert not record.exc_info
    damaged.damaged = False
    async with delivering(log, receiver):
        await until(partial(caught_up, log.store))
    assert receiver.offsets("s1") == [1, 2]


async def _is(behind: list[tuple[str, int, int]], log: Log) -> bool:
    return await log.store.behind("crm") == behind


# -- histories


class Crash(Exception):
    """The process was killed."""


async def history(seed: int) -> None:
    """Sessions, receivers, stores that fail; restarts and kills: at the end all is there."""
    dice = random.Random(seed)
    clock = Clock(seed=seed)
    fragile = Fragile(dice)
    log = Log(cast(Store, fragile), clock)
    failing = dice.choice([0.0, 0.2, 0.6])
    limits = Limits(
        attempts=dice.choice([2, 3, 6]), concurrent=2, most_sessions=dice.choice([2, 9])
    )
    receiver = Receiver(
        clock, lambda _event: dice.choice([BROKEN, SILENT]) if dice.random() < failing else OK
    )
    kinds = ["session.started", "draft.completed", "note", "review.note"]
    await log.store.enlist("crm")

    async def live() -> None:
        fragile.well = False
        for _ in range(dice.randrange(30)):
            await log.add(f"s{dice.randrange(5)}", dice.choice(kinds))
            for _ in range(dice.randrange(4)):
                await anyio.lowlevel.checkpoint()

    async def lead_a_life() -> None:
        fragile.well = True  # enlist is tried once, while the service starts
        try:
            async with delivering(log, receiver, limits=limits):
                await live()
                if dice.random() < 0.5:
                    raise Crash
        except* Crash:
            pass

    for _ in range(dice.randrange(1, 5)):
        await lead_a_life()
        log.listeners.clear()
    failing = 0.0
    fragile.well = True
    async with delivering(log, receiver, limits=limits):
        await until(partial(caught_up, log.store))
    await check(log, receiver)


async def check(log: Log, receiver: Receiver) -> None:
    dead = {(letter.session, letter.offset) for letter in await log.dead()}
    for session, wanted in log.wanted.items():
        attempts = receiver.attempts(session)
        assert attempts == sorted(attempts), "out of order"
        assert sorted(set(attempts)) == wanted, "an event was skipped, or one not wanted was sent"
        missing = set(wanted) - set(receiver.offsets(session))
        assert {(session, offset) for offset in missing} <= dead, "lost"


@pytest.mark.parametrize("first", range(0, 200, 10))
async def test_two_hundred_histories(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_consumer, "GRACE_SECONDS", 0.0)
    for seed in range(first, first + 10):
        try:
            with anyio.fail_after(20):
                await history(seed)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


class Mortal(Counting):
    """A store in a process that is killed at one of its calls, before or after it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 10**9

    async def step(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.left -= 1
        if self.left < 0:
            raise Crash

    async def _before(self, name: str) -> None:
        if name not in {"record", "behind", "enlist", "dead_letters"}:
            await self.step()

    _after = _before


async def test_killed_at_any_point_each_event_is_sent_once_or_twice() -> None:
    """Killed before and after every call of the store and every answer, once per run."""
    steps = 0
    while not await survives_without(steps):
        steps += 1
    assert steps > 30


async def survives_without(steps: int) -> bool:
    """Run, be killed after so many steps, and run again; tell whether it was not killed at all."""
    mortal = Mortal()
    clock = Clock()
    log = Log(cast(Store, mortal), clock)

    async def reply(_event: dict[str, Any]) -> Answer:
        await mortal.step()
        return OK

    receiver = Receiver(clock, reply)
    await log.store.enlist("crm")
    for session in ("s1", "s2"):
        await log.add_many(3, session)
    mortal.left = steps
    async with delivering(log, receiver):
        await anyio.wait_all_tasks_blocked()
    killed = mortal.left < 0
    mortal.left = 10**9
    async with delivering(log, receiver):
        await until(partial(caught_up, log.store))
    await check(log, receiver)
    assert len(receiver.seen) <= 6 + 2  # the one that was under way of each session
    return not killed
