"""One receiver of webhooks: it is sent what happens in sessions, from the log, by durable cursors.

A consumer is nothing but a cursor per session in the store. Rules:

1. Of one session, a consumer is sent one event at a time, in order. The next one is sent when the
   cursor is past this one: it was taken, or is a dead letter.
2. Sessions do not wait for each other; but only so many requests are open at once.
3. At least once: the cursor moves when an event was taken. Who restarts in between sends it again.
4. Nothing is queued. Of a consumer that is down, at most ``most_sessions`` sessions are known here;
   the store is asked for the others when there is room.

To keep the third rule while events arrive: a session that is not under way here is behind in the
store only while ``_more`` is set, and then no session is begun but by what the store says.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup

from persistence.store import DeadLetter, Reader, Store, StoreError, StoreUnavailable
from sync.core.webhook import (
    Again,
    Answer,
    Dead,
    Gone,
    Notice,
    Outcome,
    Taken,
    Webhook,
    backoff,
    decide,
    request_headers,
)
from sync.server.event_feed import Told
from sync.server.telemetry import logger

log = logger(__name__)

GRACE_SECONDS = 1.0
"""For the requests that are open when the service stops: they would be sent again otherwise."""

_R = TypeVar("_R")


class Post(Protocol):
    """Sends a request, and returns what came back; raises nothing."""

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes, /) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Timing:
    """Where time and chance come from."""

    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    now: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random


REAL = Timing()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one consumer may cost."""

    attempts: int = 12  # until an event is a dead letter
    concurrent: int = 8  # requests at once
    most_sessions: int = 1_000  # under way at once, most of them waiting


USUAL = Limits()


@dataclass(frozen=True, slots=True)
class ConsumerStatistics:
    """One consumer at one moment; the counts are since the start of the service."""

    name: str
    delivered: int
    failed: int  # attempts
    dead: int  # events that became dead letters
    waiting: int  # sessions with an event that was not taken yet, of those known here
    oldest_lag_seconds: float  # since the oldest event happened that is waiting; 0 for none
    failing: str | None  # why the last attempt failed; None when it was taken
    gone: bool  # it answered 410: nothing is sent until the service is restarted


@dataclass(slots=True)
class _Line:
    """The events of one session on their way to one consumer."""

    top: int  # offset of the last event that may be for it
    since: float | None = None  # when the event happened that is, or was last, being sent


class _Search:
    """Finds the events of one session that a webhook wants. It looks at no part of the log twice.

    It keeps offsets and no events, so that a receiver that is down costs next to nothing.
    """

    def __init__(self, store: Reader, session: str, kinds: Sequence[str]) -> None:
        self._store = store
        self._session = session
        self._hits: dict[str, int | None] = dict.fromkeys(kinds)  # the next one of each kind
        self._searched = dict.fromkeys(kinds, 0)  # up to here

    async def after(self, cursor: int, top: int) -> int | None:
        """Offset of the next event behind a cursor; None when there is none up to ``top``.

        Beyond ``top`` one kind may have been found that came after another was looked for.
        """
        hits = [await self._next(kind, cursor, top) for kind in self._hits]
        return min((hit for hit in hits if hit is not None and hit <= top), default=None)

    async def _next(self, kind: str, cursor: int, top: int) -> int | None:
        hit = self._hits[kind]
        if hit is not None and hit > cursor:
            return hit
        start = max(cursor, self._searched[kind])
        if start >= top:
            return None
        found = await self._store.events(self._session, start, 1, kind)
        self._hits[kind] = hit = found[0].offset if found else None
        self._searched[kind] = hit or top
        return hit


class Consumer:
    """Sends the events of all sessions to one webhook."""

    def __init__(
        self, store: Store, webhook: Webhook, post: Post, timing: Timing, limits: Limits
    ) -> None:
        self.webhook = webhook
        self._store = store
        self._post = post
        self._timing = timing
        self._limits = limits
        self._lines: dict[str, _Line] = {}  # by session
        self._more = True  # the store may know of sessions that are behind and not in _lines
        self._missed = False  # an event that was not begun with, since the store was asked
        self._wake = anyio.Event()
        self._slots = anyio.CapacityLimiter(limits.concurrent)
        self._idle = anyio.Event()
        self._scope = anyio.CancelScope()
        self._tasks: TaskGroup | None = None
        self._ending = False
        self._delivered = self._failed = self._dead = 0
        self._failing: str | None = None
        self._gone = False

    # -- what there is to send

    def take(self, told: Told) -> None:
        """An event is on disk. Never waits."""
        if self._ending or not self.webhook.wants(told.event.kind):
            return
        line = self._lines.get(told.session)
        if line is not None:
            line.top = max(line.top, told.offset)
        elif self._more or self._full:
            self._more = self._missed = True
            self._wake.set()
        else:
            self._begin(told.session, told.offset - 1, told.offset)

    @property
    def _full(self) -> bool:
        return len(self._lines) >= self._limits.most_sessions

    def _begin(self, session: str, cursor: int, top: int) -> None:
        assert self._tasks is not None  # noqa: S101 - before it runs, _more is set
        self._lines[session] = _Line(top)
        self._tasks.start_soon(self._send_line, session, cursor)

    async def enlist(self) -> None:
        """Be given what happens from now on, or go on. Raises StoreUnavailable."""
        await self._store.enlist(self.webhook.name)

    async def run(self) -> None:
        """Send, until the receiver is gone or :meth:`stop` is called."""
        with self._scope:
            await self._persist(self.enlist, StoreError)
            async with anyio.create_task_group() as self._tasks:
                while True:
                    while self._full or not self._more:
                        self._wake = anyio.Event()
                        await self._wake.wait()
                    await self._catch_up()

    async def _catch_up(self) -> None:
        """Begin with what the store says is behind, as far as there is room.

        What is told meanwhile is in no line: those that are there hear of it here.
        """
        busy = set(self._lines)
        self._missed = False
        most = self._limits.most_sessions
        ask = partial(self._store.behind, self.webhook.name, most)
        behind = await self._persist(ask, StoreError)
        for session, cursor, top in behind:
            line = self._lines.get(session)
            if line is not None:
                line.top = max(line.top, top)
            elif session in busy:  # it ended since, and this was read before or after that
                self._missed = True
            elif not self._full:
                self._begin(session, cursor, top)
        self._more = self._missed or len(behind) >= most

    # -- one session

    async def _send_line(self, session: str, cursor: int) -> None:
        """Send everything of a session that is behind a cursor.

        What is damaged, and a bug, ends it for this session: rather than skip an event, no more is
        sent until the restart.
        """
        which = {"webhook": self.webhook.name, "session": session}
        try:
            await self._send_behind(session, cursor)
        except StoreError as error:
            log.error("a webhook is sent nothing more of a session", **which, error=str(error))
            return
        except Exception:
            log.exception("a webhook is sent nothing more of a session", **which)
            return
        del self._lines[session]
        if self._more:
            self._wake.set()

    async def _send_behind(self, session: str, cursor: int) -> None:
        epoch = await self._epoch(session, cursor)
        search = _Search(self._store, session, self.webhook.kinds)
        line = self._lines[session]
        while cursor < (top := line.top) and not self._ending:
            found = await self._persist(partial(search.after, cursor, top))
            cursor = found or top
            if found:
                await self._deliver(session, epoch, found)
            else:
                await self._advance(session, top)

    async def _epoch(self, session: str, cursor: int) -> str:
        stored = await self._persist(partial(self._store.session, session))
        if stored is None:
            raise LookupError(f"the session {session!r} has events, and is not there")
        if stored.truncated > cursor:
            log.warning(
                "retention removed events before a webhook was sent them",
                webhook=self.webhook.name,
                session=session,
            )
        return stored.current.epoch

    async def _deliver(self, session: str, epoch: str, offset: int) -> None:
        """Send an event until it is taken or a dead letter, or the service stops."""
        attempt = 0
        while not self._ending:
            attempt += 1
            async with self._slot():
                outcome = await self._attempt(session, epoch, offset, attempt)
            if not isinstance(outcome, Again):
                break
            await self._timing.sleep(outcome.seconds)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """The right to one request, and to what is written down of it."""
        async with self._slots:
            yield
        if not self._slots.borrowed_tokens:
            self._idle.set()

    async def _attempt(self, session: str, epoch: str, offset: int, attempt: int) -> Outcome:
        """Send an event once, and write down what came of it."""
        if self._ending:  # while it waited for its turn
            return Again(0.0, "")
        read = partial(read_notice, self._store, session, epoch, offset)
        notice = await self._persist(read)
        if notice is None:  # retention was faster
            await self._advance(session, offset)
            return Taken()
        self._lines[session].since = notice.time
        answer = await send(self.webhook, notice, self._post, self._timing)
        chance, now = self._timing.chance(), self._timing.now()
        outcome = decide(answer, attempt, self._limits.attempts, chance, now)
        match outcome:
            case Taken():
                self._note_success()
                await self._advance(session, offset)
            case Again(_, reason):
                self._note_failure(reason)
            case Dead(reason):
                self._note_failure(reason)
                await self._bury(DeadLetter(self.webhook.name, session, offset, reason, now))
            case Gone(reason):
                self._note_failure(reason)
                self._switch_off()
        return outcome

    def _note_success(self) -> None:
        self._delivered += 1
        if self._failing is not None:
            log.info("a webhook is delivered again", webhook=self.webhook.name)
            self._failing = None

    def _note_failure(self, reason: str) -> None:
        self._failed += 1
        if self._failing is None:
            log.warning("a webhook fails", webhook=self.webhook.name, reason=reason)
        self._failing = reason

    async def _bury(self, letter: DeadLetter) -> None:
        await self._advance(letter.session, letter.offset, letter)
        self._dead += 1
        log.warning(
            "an event is a dead letter: send it again with 'draftsync webhooks replay'",
            webhook=letter.consumer,
            session=letter.session,
            offset=letter.offset,
            reason=letter.reason,
        )

    def _switch_off(self) -> None:
        log.warning(
            "a webhook answered 410 Gone: it is sent nothing more until the service restarts",
            webhook=self.webhook.name,
        )
        self._gone = self._ending = True
        self._scope.cancel()

    # -- the store

    async def _advance(self, session: str, offset: int, dead: DeadLetter | None = None) -> None:
        name = self.webhook.name
        await self._persist(partial(self._store.advance, name, session, offset, dead))

    async def _persist(
        self, call: Callable[[], Awaitable[_R]], passing: type[StoreError] = StoreUnavailable
    ) -> _R:
        """Call the store until it answers: after an error that is ``passing`` again."""
        failures = 0
        while True:
            try:
                return await call()
            except passing as error:
                failures += 1
                if failures == 1:
                    name = self.webhook.name
                    log.warning("a webhook waits for the store", webhook=name, error=str(error))
            await self._timing.sleep(backoff(failures, self._timing.chance()))

    # -- how it is, and how it ends

    def statistics(self) -> ConsumerStatistics:
        """Describe it as it is now."""
        since = [line.since for line in self._lines.values() if line.since is not None]
        return ConsumerStatistics(
            name=self.webhook.name,
            delivered=self._delivered,
            failed=self._failed,
            dead=self._dead,
            waiting=len(self._lines),
            oldest_lag_seconds=max(0.0, self._timing.now() - min(since)) if since else 0.0,
            failing=self._failing,
            gone=self._gone,
        )

    async def stop(self) -> None:
        """Begin nothing more, let open requests end for a moment, and end."""
        self._ending = True
        with anyio.move_on_after(GRACE_SECONDS):
            while self._slots.borrowed_tokens:
                self._idle = anyio.Event()
                await self._idle.wait()
        self._scope.cancel()


async def read_notice(store: Reader, session: str, epoch: str, offset: int) -> Notice | None:
    """Read an event as receivers are told of it; None when it is not there. Raises StoreError."""
    found = await store.events(session, offset - 1, 1)
    if not found or found[0].offset != offset:
        return None
    event = found[0].event
    return Notice(session, epoch, offset, event.id, event.kind, event.actor, event.time, event.data)


async def send(webhook: Webhook, notice: Notice, post: Post, timing: Timing) -> Answer:
    """Send an event once."""
    body = notice.body()
    headers = request_headers(notice.id, body, webhook.keys, int(timing.now()))
    return await post(webhook.url, headers, body)
