"""Fault 1 for events: many publish and read while the service is killed again and again.

The service is a process of its own, and the clients are written from the contract alone
(:mod:`tests.support.events`), but for one of ours that follows beside them. For a longer run:
``DRAFTSYNC_CHAOS_EVENTS=200000``, and ``DRAFTSYNC_CHAOS_SEED`` for another one.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import anyio
import pytest

from tests.chaos.crowd import KIND, Follower, Person, Publisher, StreamSubscriber, Subscriber
from tests.support.client import PATIENCE
from tests.support.events import Api, Reading
from tests.support.service import ServiceProcess

EVENTS = int(os.environ.get("DRAFTSYNC_CHAOS_EVENTS", "10000"))
SEED = int(os.environ.get("DRAFTSYNC_CHAOS_SEED", "1"))
SESSIONS = tuple(f"chaos-{number}" for number in range(4))
PUBLISHERS = 20
SUBSCRIBERS = 6
KILLS = 3
SECONDS = 8.0
"""That publishing takes at least, between the kills."""

WRITTEN = 1.0
"""Seconds after which what a member acknowledged is on disk."""

Acknowledged = dict[tuple[str, str], int]
"""Offsets by session and subject."""


class Storm:
    """All sessions of a service, and everybody in them."""

    def __init__(self, service: ServiceProcess, seed: int) -> None:
        self.service = service
        self.chance = random.Random(seed)
        self.epochs: dict[str, str] = {}
        self.publishers = [
            Publisher(self._person(f"publisher-{number}", number), EVENTS // PUBLISHERS, SECONDS)
            for number in range(PUBLISHERS)
        ]
        readers = [self._person(f"subscriber-{number}", number) for number in range(SUBSCRIBERS)]
        self.subscribers = [StreamSubscriber(readers[0]), *map(Subscriber, readers[1:])]
        self.follower = Follower(self._person("follower", 0))

    def _person(self, name: str, number: int) -> Person:
        session = SESSIONS[number % len(SESSIONS)]
        token = self.service.token(name, sessions={"chaos-*": "join"})
        chance = random.Random(self.chance.random())
        return Person(name, token, Reading(session), chance)

    @property
    def people(self) -> list[Person]:
        """Everybody."""
        publishing = [publisher.person for publisher in self.publishers]
        subscribing = [subscriber.person for subscriber in self.subscribers]
        return [*publishing, *subscribing, self.follower.person]

    @property
    def answered(self) -> int:
        """Events that the service has said to be published."""
        return sum(publisher.answered for publisher in self.publishers)

    def lead(self) -> Api:
        """The HTTP side, for who leads all sessions."""
        return Api(self.service.url, self.service.token("lead", sessions={"chaos-*": "lead"}))

    async def begin(self) -> None:
        """Create and start the sessions; everybody joins."""
        async with self.lead() as lead:
            for session in SESSIONS:
                made = await lead.create(id=session, project="chaos", test_cases=["only"])
                self.epochs[session] = made["epoch"]
                await lead.step(session, "start")
        for person in self.people:
            person.reading.epoch = self.epochs[person.reading.session]
            async with Api(self.service.url, person.token) as api:
                await api.step(person.reading.session, "join")

    async def acknowledged(self) -> Acknowledged:
        """What the service knows that members have received."""
        async with self.lead() as lead:
            sessions = [await lead.session(session) for session in SESSIONS]
        return {
            (session["id"], member["subject"]): member["acknowledged"]
            for session in sessions
            for member in session["members"]
        }

    async def kill(self) -> None:
        """SIGKILL in the middle of it all; nothing that was acknowledged may be lost."""
        before = await self.acknowledged()
        await anyio.sleep(WRITTEN)
        assert self.answered < EVENTS, "everything is published: nothing to be killed in"
        await self.service.kill()
        await self.service.start()
        after = await self.acknowledged()
        lost = {who: (before[who], after[who]) for who in before if after[who] < before[who]}
        assert not lost, f"acknowledged before and after a kill: {lost}"

    async def logs(self) -> dict[str, Reading]:
        """The logs as the HTTP API tells them."""
        async with self.lead() as lead:
            for session in SESSIONS:
                assert (await lead.session(session))["epoch"] == self.epochs[session]
            return {session: await lead.history(session) for session in SESSIONS}

    async def read_all(self, logs: dict[str, Reading]) -> None:
        """Let everybody who follows come to the end of their log."""
        await self.follower.finish(logs[self.follower.person.reading.session].top)
        async with anyio.create_task_group() as tasks:
            for each in self.subscribers:
                tasks.start_soon(each.finish, self.service, logs[each.person.reading.session].top)

    async def all_acknowledged(self, logs: dict[str, Reading]) -> None:
        """Wait until the sessions show that every subscriber of the channel has everything."""
        wanted = {
            (reading.session, person.name): logs[reading.session].top
            for subscriber in self.subscribers
            for person, reading in [(subscriber.person, subscriber.person.reading)]
            if not isinstance(subscriber, StreamSubscriber)  # who has no way to say so
        }
        with anyio.fail_after(PATIENCE):
            while not (await self.acknowledged()).items() >= wanted.items():  # noqa: ASYNC110
                await anyio.sleep(0.05)


async def publish_and_kill(storm: Storm) -> None:
    """Publish everything, with a kill whenever another quarter of it was answered."""
    async with anyio.create_task_group() as tasks:
        for publisher in storm.publishers:
            tasks.start_soon(publisher.run, storm.service)
        for number in range(KILLS):
            share = (number + storm.chance.uniform(0.2, 0.7)) / (KILLS + 1)
            await answered(storm, int(EVENTS * share))
            await storm.kill()


async def answered(storm: Storm, count: int) -> None:
    """Wait for so many answers."""
    with anyio.fail_after(PATIENCE + EVENTS / 200):
        while storm.answered < count:  # noqa: ASYNC110 - of many, and none of them waits for it
            await anyio.sleep(0.01)


def check_log(storm: Storm, log: Reading) -> None:
    """A log has everything that was published in it, once, and in the order of each publisher."""
    kinds = Counter(event.kind for event in log.events)
    people = [person for person in storm.people if person.reading.session == log.session]
    published = sum(len(person.reading.published) for person in people)
    once = {"session.created": 1, "session.started": 1}
    assert kinds == once | {"session.joined": len(people), KIND: published}
    assert [event.offset for event in log.events] == [*range(1, log.top + 1)]
    by_id = {event.id: event for event in log.events}
    publishers: list[Publisher | Follower] = [*storm.publishers, storm.follower]
    for publisher in publishers:
        told = publisher.person.reading.published
        if publisher.person in people:
            assert told == {each: by_id[each].offset for each in publisher.ids}
            assert sorted(publisher.ids, key=told.__getitem__) == publisher.ids
            assert all(by_id[each].data == publisher.data(each) for each in publisher.ids)
            assert {by_id[each].actor for each in publisher.ids} == {publisher.person.name}


@pytest.mark.timeout(120 + EVENTS / 100)
@pytest.mark.long
async def test_every_subscriber_has_the_exact_log_whatever_is_killed(tmp_path: Path) -> None:
    """Issue 4: 20 publishers, 10,000 events, subscribers that drop and resume, three SIGKILLs."""
    async with ServiceProcess(tmp_path / "drafts.db") as service:
        storm = Storm(service, SEED)
        await storm.begin()
        began = anyio.current_time()
        async with anyio.create_task_group() as following:
            following.start_soon(storm.follower.run, service)
            async with anyio.create_task_group() as coming_and_going:
                for subscriber in storm.subscribers:
                    coming_and_going.start_soon(subscriber.run, service)
                await publish_and_kill(storm)
                coming_and_going.cancel_scope.cancel()
            took = anyio.current_time() - began
            await storm.follower.has_published()
            logs = await storm.logs()
            await storm.read_all(logs)
            await storm.all_acknowledged(logs)
            following.cancel_scope.cancel()
    for log in logs.values():
        check_log(storm, log)
    for person in storm.people:
        log = logs[person.reading.session]
        # A publisher may have gone before the others' last events.
        assert person.reading.events == log.events[: person.reading.top], person.name
    readers = [subscriber.person for subscriber in storm.subscribers]
    for person in (*readers, storm.follower.person):
        assert person.reading.top == logs[person.reading.session].top, person.name
    print(f"seed {SEED}: {figures(storm, took)}")


def figures(storm: Storm, took: float) -> str:
    """What it came to."""
    sent = sum(publisher.sent for publisher in storm.publishers)
    readings = [subscriber.person.reading for subscriber in storm.subscribers]
    resumes = sum(reading.connections - 1 for reading in readings)
    repeats = sum(reading.repeats for reading in readings)
    return (
        f"{EVENTS} events in {took:.1f} s, {EVENTS / took:.0f}/s with {KILLS} kills; "
        f"{sent - EVENTS} sent again; {len(readings)} subscribers, {resumes} resumes, "
        f"{repeats} repeats dropped by id"
    )
