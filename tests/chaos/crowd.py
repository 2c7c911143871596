"""People in sessions who outlive every server: publishers, and subscribers that come and go.

What they know they keep in their :class:`~tests.support.events.Reading`, over any number of
connections. Whoever loses a connection comes back by itself.
"""

from __future__ import annotations

import dataclasses
import random
import uuid
from collections.abc import AsyncIterator, Mapping, Sized
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio

from sync.client import EventsClient
from tests.client.support import QUICK
from tests.server.parts import eventually
from tests.support.events import LOST, Api, Channel, Event, Reading, subscribing
from tests.support.service import ServiceProcess

KIND = "chaos.note"
BURST = 10
UNANSWERED = 40
"""So many events may be on their way to the disk at once, so that a kill always meets some."""

FOLLOWERS_SHARE = 50
"""Events of a follower's own."""

BACK_AGAIN = 0.05
"""Seconds until somebody who lost the connection tries again."""


@dataclass(frozen=True)
class Person:
    """Somebody in a session."""

    name: str
    token: str
    reading: Reading
    chance: random.Random

    @asynccontextmanager
    async def connected(self, service: ServiceProcess, forget: int = 0) -> AsyncIterator[Channel]:
        """Subscribe from where the reading ends, or some events earlier. Raises LOST."""
        session = self.reading.session
        async with subscribing(service.url, session, self.token, self.reading) as client:
            try:
                await client.subscribe(forget)
                yield client
            finally:
                assert not client.errors, client.errors


class Publisher:
    """Publishes its share, some events ahead of the answers, and sends again what got none.

    It takes at least about ``seconds``, so that there is time to be killed in between.
    """

    def __init__(self, person: Person, share: int, seconds: float) -> None:
        self.person = person
        self._pause = 2 * seconds * BURST / share  # at most, between two bursts
        self.ids = [_uuid(person.chance) for _ in range(share)]  # in the order of sending
        self._numbers = {each: number for number, each in enumerate(self.ids)}
        self.sent = 0  # over all connections: more than its share were sent again

    @property
    def answered(self) -> int:
        return len(self.person.reading.published)

    async def run(self, service: ServiceProcess) -> None:
        """Publish everything, whatever happens to the service."""
        while self.answered < len(self.ids):
            try:
                async with self.person.connected(service) as client:
                    await self._publish_on(client)
            except LOST:
                await anyio.sleep(BACK_AGAIN)

    async def _publish_on(self, client: Channel) -> None:
        published, chance = self.person.reading.published, self.person.chance
        waiting = [each for each in self.ids if each not in published]
        before = len(published)
        for start in range(0, len(waiting), BURST):
            for event_id in waiting[start : start + BURST]:
                await self._send(client, event_id)
            if published and chance.random() < 0.1:
                await self._send(client, next(reversed(published)))  # for no reason at all
            wanted = before + start + BURST - UNANSWERED
            await client.until(partial(_has, published, wanted))
            await anyio.sleep(chance.uniform(0, self._pause))
        await client.until(partial(_has, published, len(self.ids)))

    async def _send(self, client: Channel, event_id: str) -> None:
        self.sent += 1
        await client.send(type="publish", id=event_id, kind=KIND, data=self.data(event_id))

    def data(self, event_id: str) -> Mapping[str, Any]:
        """What one of its events says."""
        return {"number": self._numbers[event_id], "by": self.person.name}


def _has(published: Sized, count: int) -> bool:
    return len(published) >= count


class Subscriber:
    """Reads, acknowledges, and drops out at random, mostly without a word; then it resumes."""

    def __init__(self, person: Person) -> None:
        self.person = person

    async def run(self, service: ServiceProcess) -> None:
        """Come and go for ever."""
        while True:
            try:
                await self._stay_a_while(service)
            except LOST:
                await anyio.sleep(BACK_AGAIN)

    async def finish(self, service: ServiceProcess, top: int) -> None:
        """Read the rest, and say so."""
        async with self.person.connected(service) as client:
            await client.reads(top)
            await client.send(type="ack", offset=top)

    async def _stay_a_while(self, service: ServiceProcess) -> None:
        chance, reading = self.person.chance, self.person.reading
        async with self.person.connected(service, _forgotten(chance)) as client:
            for _ in range(chance.randrange(1, 4)):
                await client.reads(reading.top + chance.randrange(1, 100), within=60)
                await client.send(type="ack", offset=reading.top)
                await anyio.sleep(chance.choice((0, 0, 0.2)))  # busy with something else
            if chance.random() < 0.3:
                await client.close()


class StreamSubscriber(Subscriber):
    """The same by server-sent events."""

    async def finish(self, service: ServiceProcess, top: int) -> None:
        reading = self.person.reading
        async with (
            Api(service.url, self.person.token) as api,
            api.stream(reading) as stream,
        ):
            await stream.reads(top)

    async def _stay_a_while(self, service: ServiceProcess) -> None:
        chance, reading = self.person.chance, self.person.reading
        async with (
            Api(service.url, self.person.token) as api,
            api.stream(reading, _forgotten(chance)) as stream,
        ):
            await stream.reads(reading.top + chance.randrange(1, 300), within=60)


class Follower:
    """Our own Python client, left to itself: it follows the log, and publishes now and then."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.ids = [_uuid(person.chance) for _ in range(FOLLOWERS_SHARE)]

    async def run(self, service: ServiceProcess) -> None:
        """Follow for ever."""
        reading, token = self.person.reading, self.person.token
        session, epoch = reading.session, reading.epoch
        reading.resume()
        async with (
            EventsClient(
                service.url, session, token=token, after=0, epoch=epoch, backoff=QUICK
            ) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(self._publish, client)
            async for event in client:
                reading.take(Event(*dataclasses.astuple(event)))

    async def _publish(self, client: EventsClient) -> None:
        for event_id in self.ids:
            offset = await client.publish(KIND, self.data(event_id), id=event_id)
            self.person.reading.check_published(event_id, offset)
            await anyio.sleep(self.person.chance.uniform(0, 0.2))

    def data(self, event_id: str) -> Mapping[str, Any]:
        """What one of its events says."""
        return {"follower": self.person.name, "id": event_id}

    async def has_published(self) -> None:
        """Wait for the last of its own events."""
        await eventually(lambda: len(self.person.reading.published) == len(self.ids))

    async def finish(self, top: int) -> None:
        """Wait until it has come to the end of the log."""
        await eventually(lambda: self.person.reading.top == top)


def _forgotten(chance: random.Random) -> int:
    """So many events a reader had not kept when it was dropped: they come again."""
    return chance.choice((0, 0, 1, 25))


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
