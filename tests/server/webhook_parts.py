"""A receiver of webhooks without a network, a clock that tests turn, and a log that they write."""

from __future__ import annotations

import heapq
import json
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

import anyio
import anyio.lowlevel

from persistence.memory import MemoryStore
from persistence.store import DeadLetter, Event, Record, SessionState, Store, StoredEvent
from sync.core.webhook import Answer, Webhook, signing_keys, verify
from sync.server.event_feed import Told
from sync.server.sessions import Listener, LiveSession
from sync.server.webhook_consumer import USUAL, Limits, Post, Timing
from sync.server.webhooks import Webhooks, deliver
from tests.support.client import PATIENCE

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1_790_000_000.0
OK, BROKEN, SILENT = Answer(200), Answer(500), Answer(None, "no route")


def a_webhook(name: str = "crm", *kinds: str) -> Webhook:
    chosen = {"kinds": kinds} if kinds else {}
    return Webhook(name, f"https://{name}.example.org/", signing_keys(SECRET), **chosen)


class Clock:
    """Time that passes when it is turned; with ``hasty`` as soon as somebody sleeps."""

    def __init__(self, *, hasty: bool = True, seed: int = 0) -> None:
        self.now = NOW
        self.slept: list[float] = []
        self._hasty = hasty
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._order = count()
        self._random = random.Random(seed)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._hasty:
            until = self.now + seconds
            await anyio.lowlevel.checkpoint()
            self.now = max(self.now, until)
            return
        awake = anyio.Event()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), awake))
        await awake.wait()

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        while self._sleepers and self._sleepers[0][0] <= self.now:
            heapq.heappop(self._sleepers)[2].set()

    @property
    def timing(self) -> Timing:
        return Timing(self.sleep, lambda: self.now, self._random.random)


Reply = Callable[[dict[str, Any]], Answer | Awaitable[Answer]]


@dataclass
class Receiver:
    """What is sent to one or more webhooks; it answers as it is told to, and 200 without."""

    clock: Clock
    reply: Reply = lambda _event: OK
    seen: list[dict[str, Any]] = field(default_factory=list)  # in the order they came
    taken: list[dict[str, Any]] = field(default_factory=list)
    open: int = 0
    most_open: int = 0

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        verify(SECRET, headers, body, self.clock.now)
        event: dict[str, Any] = json.loads(body)
        assert headers["webhook-id"] == event["id"]
        self.seen.append(event | {"url": url})
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await anyio.lowlevel.checkpoint()
            answer = self.reply(event)
            answer = answer if isinstance(answer, Answer) else await answer
        finally:
            self.open -= 1
        if answer.status == 200:
            self.taken.append(event | {"url": url})
        return answer

    def offsets(self, session: str = "s1") -> list[int]:
        """Of the events of a session that were taken, in the order they came."""
        return [each["offset"] for each in self.taken if each["sessionid"] == session]

    def attempts(self, session: str = "s1") -> list[int]:
        """The same of every attempt."""
        return [each["offset"] for each in self.seen if each["sessionid"] == session]


class Log:
    """Events of sessions, committed and told to listeners as the service does it."""

    def __init__(self, store: Store | None = None, clock: Clock | None = None) -> None:
        self.store: Store = store or MemoryStore()
        self.listeners: list[Listener] = []
        self.wanted: defaultdict[str, list[int]] = defaultdict(list)  # offsets by session
        self.clock = clock or Clock()
        self._ids = count()

    async def add(self, session: str = "s1", kind: str = "session.started", **data: Any) -> int:
        """Something happens; returns its offset."""
        event = Event(f"id-{next(self._ids)}", kind, "alice", self.clock.now, json.dumps(data))
        (offset,) = await self.store.record([Record(session, event, _STATE)])
        if kind.startswith(("session.", "draft.")):
            self.wanted[session].append(offset)
        for listener in self.listeners:
            listener(cast(LiveSession, None), Told(session, StoredEvent(offset, event)))
        return offset

    async def add_many(self, events: int, session: str = "s1") -> None:
        for _ in range(events):
            await self.add(session)

    async def dead(self) -> list[DeadLetter]:
        return await self.store.dead_letters()


_STATE = SessionState("9b1c5f0e6a7d4c32", "running", "{}")


def delivering(
    log: Log, post: Post, *webhooks: Webhook, limits: Limits = USUAL
) -> AbstractAsyncContextManager[Webhooks]:
    """Deliver what happens to webhooks, or to one, by the clock of the log."""
    hooks = webhooks or (a_webhook(),)
    timing = log.clock.timing
    return deliver(log.store, log.listeners, hooks, post, timing=timing, limits=limits)


async def until(condition: Callable[[], Awaitable[bool]], within: float = PATIENCE) -> None:
    """Let the event loop turn until something is true that must be asked for."""
    with anyio.fail_after(within):
        while not await condition():
            await anyio.lowlevel.checkpoint()


async def caught_up(store: Store, names: Sequence[str] = ("crm",)) -> bool:
    """Whether consumers were given everything."""
    return not any([await store.behind(name) for name in names])
