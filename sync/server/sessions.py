"""The sessions of a service: decided by :mod:`sync.core.session`, committed, and told to whom it
concerns.

A command is decided at once on what was decided before it, submitted, and true once it is on disk:
``decided`` runs ahead of ``current`` by what is on its way. What was decided is carried out, though
whoever gave the command has gone; it is taken back only when the store refuses it, which is a bug.

Of every session there is one :class:`LiveSession` in the process, for as long as anybody holds it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakValueDictionary

import anyio
from anyio.abc import TaskGroup, TaskStatus

from auth.access import Identity, SessionAccess
from persistence.store import (
    Acknowledgement,
    Event,
    Record,
    SessionState,
    Store,
    StoredEvent,
    StoredSession,
    StoreError,
    to_milliseconds,
)
from sync.core.errors import Draining, Forbidden, IllegalStep, Overloaded, UnknownSession
from sync.core.events import NewEvent, repeatable_id
from sync.core.session import (
    Actor,
    Happening,
    Outline,
    Role,
    Session,
    SessionId,
    State,
    Step,
    body,
    created,
    restored,
)
from sync.server.event_feed import EventFeed, Told
from sync.server.event_journal import EventJournal
from sync.server.hub import Hub
from sync.server.telemetry import logger

log = logger(__name__)

MOST_LIVE = 1_000
"""Sessions kept in memory though nobody uses them."""

ACKNOWLEDGE_SECONDS = 0.5
"""Between two writings of what members have received."""

_PAGE = 100
"""Stopped sessions that are read together at the start."""

_ROLES = {
    SessionAccess.OBSERVE: Role.OBSERVER,
    SessionAccess.JOIN: Role.EVALUATOR,
    SessionAccess.LEAD: Role.LEAD,
}


def actor_in(session: str, identity: Identity) -> Actor:
    """Somebody as a session sees them. Raises Forbidden for who has no right to it at all."""
    access = identity.session_access(session)
    if access is SessionAccess.NONE:
        raise Forbidden(f"this token gives no right to the session {session!r}")
    return Actor(identity.subject, identity.name, _ROLES[access])


Decide = Callable[[Session, Actor, float], tuple[Session, Happening] | None]
"""Of a session as it is, who gives the command, and the time: what it becomes, and the event."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class LiveSession:
    """One session in memory."""

    number: int  # of the store's; 0 until it was read from there
    current: Session  # as it is on disk
    decided: Session
    feed: EventFeed
    truncated: int = 0  # offset of the last event that retention removed
    updated_at: float = 0.0
    acknowledged: dict[str, int] = field(default_factory=dict)  # by subject
    on_its_way: dict[str, asyncio.Future[int]] = field(default_factory=dict)  # by event id
    born: anyio.Event = field(default_factory=anyio.Event)  # its first event is on disk, or refused

    @property
    def id(self) -> SessionId:
        return self.current.id

    @property
    def top(self) -> int:
        """Offset of its last event."""
        return self.feed.top


Listener = Callable[[LiveSession, Told], None]


class Sessions:
    """All sessions of one process. Made by :func:`open_sessions`."""

    def __init__(self, store: Store, hub: Hub, tasks: TaskGroup) -> None:
        self.store = store
        self.hub = hub
        self._tasks = tasks
        self.journal = EventJournal(store)
        self.listeners: list[Listener] = []
        """Called with every event once it is on disk; they raise nothing and never wait."""
        self._known: WeakValueDictionary[str, LiveSession] = WeakValueDictionary()
        self._recent: OrderedDict[LiveSession, None] = OrderedDict()  # used last comes last
        self._loading: dict[str, asyncio.Future[LiveSession]] = {}
        self._commands: dict[str, anyio.Event] = {}  # that may be repeated, by event id
        self._acks: dict[tuple[LiveSession, str], int] = {}
        self._writing_acks = anyio.Lock()
        self._draining = False
        self._clock = asyncio.get_running_loop().time

    # -- reading

    async def get(self, session: str) -> LiveSession:
        """A session, from memory or the store. Raises UnknownSession, StoreError."""
        while True:
            live = self._known.get(session) or await self._loaded(session)
            await live.born.wait()
            if live.top:  # or it was refused
                self._keep(live)
                return live

    async def _loaded(self, session: str) -> LiveSession:
        """Load a session once, however many ask for it."""
        loading = self._loading.get(session)
        if loading is None:
            loading = self._loading[session] = asyncio.get_running_loop().create_future()
            self._tasks.start_soon(self._load, session, loading)
        return await asyncio.shield(loading)

    async def _load(self, session: str, loading: asyncio.Future[LiveSession]) -> None:
        try:
            stored = await self.store.session(session)
            live = self._known.get(session)  # created meanwhile
            if live is None and stored is not None:
                live = self._revived(stored)
            if live is None:
                raise UnknownSession(f"there is no session {session!r}")
            loading.set_result(live)
        except Exception as error:  # noqa: BLE001 - whoever asked has it
            loading.set_exception(error)
        finally:
            loading.cancel()  # unless it has come to an end
            del self._loading[session]

    def _revived(self, stored: StoredSession) -> LiveSession:
        session = revived(stored)
        live = self._known[session.id] = LiveSession(
            stored.number,
            session,
            session,
            EventFeed(self.store, session.id, stored.top),
            stored.truncated,
            stored.updated_at,
            dict(stored.acknowledged),
        )
        live.born.set()
        return live

    def _keep(self, live: LiveSession) -> None:
        self._recent[live] = None
        self._recent.move_to_end(live)
        if len(self._recent) > MOST_LIVE:
            self._recent.popitem(last=False)  # from now on it lives while somebody uses it

    def live(self) -> list[LiveSession]:
        """Those in memory."""
        return [each for each in self._known.values() if each.top]

    # -- commands

    async def create(
        self, session: SessionId, identity: Identity, outline: Outline, *, key: str | None = None
    ) -> tuple[LiveSession, bool]:
        """Create a session; tell whether it is new, or was made by the same request before.

        Raises Forbidden and InvalidSession; IllegalStep when there is another session of that id.
        """
        self._check_open()
        actor = actor_in(session, identity)
        event_id = self._event_id(actor, f"create {session}", key)
        await self.journal.room()
        try:
            live = await self.get(session)
        except UnknownSession:
            if session in self._known:  # somebody was faster
                return await self.create(session, identity, outline, key=key)
            return await self._create(session, actor, outline, event_id), True
        if await self.store.event(session, event_id) is not None:
            return live, False
        open_steps = tuple(map(str, live.current.open_steps))
        raise IllegalStep(f"there is a session {session!r} already", open_steps)

    async def _create(
        self, session: SessionId, actor: Actor, outline: Outline, event_id: str
    ) -> LiveSession:
        now = _now()
        made, happening = created(session, secrets.token_hex(8), actor, now, outline)
        live = LiveSession(0, made, made, EventFeed(self.store, session, 0))
        on_disk = self._carry_out(live, made, _event(event_id, actor, happening, now))
        self._known[session] = live
        self._keep(live)
        await on_disk
        return live

    async def step(
        self,
        session: str,
        step: Step,
        identity: Identity,
        *,
        role: Role | None = None,
        key: str | None = None,
    ) -> LiveSession:
        """Take a step; returns when it is on disk.

        Raises UnknownSession, Forbidden, IllegalStep; with an idempotency key that was used before
        for this step by the same person, nothing but waits until that one is on disk.
        """

        def decide(now: Session, actor: Actor, at: float) -> tuple[Session, Happening] | None:
            return now.take(step, actor, at, role)

        return await self._command(session, str(step), identity, key, decide)

    async def complete(
        self,
        session: str,
        case: str,
        subject: str,
        identity: Identity,
        *,
        done: bool,
        key: str | None = None,
    ) -> LiveSession:
        """Declare a draft complete, or open again; returns when it is on disk.

        Errors and ``key`` as in :meth:`step`, and InvalidSession for an unknown test case.
        """

        def decide(now: Session, actor: Actor, at: float) -> tuple[Session, Happening]:
            return now.complete(case, subject, actor, at, done=done)

        words = json.dumps(["complete" if done else "reopen", case, subject])
        return await self._command(session, words, identity, key, decide)

    async def _command(
        self, session: str, words: str, identity: Identity, key: str | None, decide: Decide
    ) -> LiveSession:
        """Do something to a session; ``words`` say what, for those who repeat it by a key."""
        self._check_open()
        actor = actor_in(session, identity)
        live = await self.get(session)
        event_id = self._event_id(actor, f"{live.current.epoch} {words}", key)
        if key is None:
            await self._decide(live, actor, event_id, decide)
            return live
        async with self._one_at_a_time(event_id):
            if event_id in live.on_its_way:  # of somebody who did not wait for it
                await asyncio.wait([live.on_its_way[event_id]])
            if await self.store.event(live.id, event_id) is None:
                await self._decide(live, actor, event_id, decide)
        return live

    def _event_id(self, actor: Actor, words: str, key: str | None) -> str:
        """The id of a command's event: with a key, always the same one."""
        if key is None:
            return str(uuid.uuid4())
        return repeatable_id(self.store.epoch, actor.subject, words, key)

    @asynccontextmanager
    async def _one_at_a_time(self, event_id: str) -> AsyncIterator[None]:
        """Let those who give the same command wait for each other."""
        while (earlier := self._commands.get(event_id)) is not None:
            await earlier.wait()
        ended = self._commands[event_id] = anyio.Event()
        try:
            yield
        finally:
            del self._commands[event_id]
            ended.set()

    async def _decide(self, live: LiveSession, actor: Actor, event_id: str, decide: Decide) -> None:
        """Returns when what was decided, or was so already, is on disk."""
        await self.journal.room()
        now = _now()
        decision = decide(live.decided, actor, now)
        if decision is None:
            await self._arrival(live)
            return
        changed, happening = decision
        await self._carry_out(live, changed, _event(event_id, actor, happening, now))

    def _carry_out(self, live: LiveSession, changed: Session, event: Event) -> asyncio.Future[int]:
        """Make a decision true. It is on disk when what is returned has the event's offset."""
        self._check_open()
        if changed.state is State.STOPPED:
            done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._tasks.start_soon(self._stop, live, changed, event, done)
        else:
            done = self._submit(live, changed, event)
        live.decided = changed
        live.on_its_way[event.id] = done
        done.add_done_callback(partial(self._arrived, live, event.id))
        return asyncio.shield(done)  # whoever waits for it may go

    def _arrived(self, live: LiveSession, event_id: str, _done: asyncio.Future[int]) -> None:
        del live.on_its_way[event_id]
        if not live.on_its_way:
            live.decided = live.current  # the same, unless the store refused it
        if not live.top:  # it never came into being
            del self._known[live.id]
            self._recent.pop(live, None)
            live.born.set()

    async def _arrival(self, live: LiveSession) -> None:
        """Wait until everything that is decided now is on disk."""
        if live.on_its_way:
            await asyncio.wait(list(live.on_its_way.values()))

    async def _stop(
        self, live: LiveSession, changed: Session, event: Event, done: asyncio.Future[int]
    ) -> None:
        """Everything pending of its drafts is on disk before the session is stopped."""
        try:
            await self.hub.sealing.seal(live.id)
            offset = await self._submit(live, changed, event)
        except Exception as error:  # noqa: BLE001 - whoever asked has it
            self.hub.sealing.unseal(live.id)
            done.set_exception(error)
        else:
            self.hub.sealing.close(live.id)
            done.set_result(offset)
        finally:
            done.cancel()  # unless it has come to an end

    async def publish(self, session: str, identity: Identity, event: NewEvent) -> int:
        """Publish an event; returns its offset when it is on disk.

        An id that was published before has the offset of that event, and stores nothing.
        Raises UnknownSession, Forbidden, IllegalStep.
        """
        actor = actor_in(session, identity)
        live = await self.get(session)
        await self.journal.room()
        try:
            return await self.begin_publishing(live, actor, event)
        except (Forbidden, IllegalStep):
            await self._arrival(live)  # what was published before it was refused is on disk then
            known = await self.store.event(session, event.id)
            if known is None:
                raise
            return known.offset

    def begin_publishing(
        self, live: LiveSession, actor: Actor, event: NewEvent
    ) -> asyncio.Future[int]:
        """The same at once: what is awaited is the offset. Raises Forbidden and IllegalStep.

        A repeat is recognised by the store, so that nothing needs to be looked up before; but for
        somebody who may publish no more even a repeat raises here, and not in :meth:`publish`.
        Raises Overloaded while the journal is full: see :meth:`EventJournal.room`.
        """
        self._check_open()
        if self.journal.full:
            raise Overloaded("events cannot be saved as fast as they come: try again")
        live.decided.check_publish(actor)
        happened = Event(event.id, event.kind, actor.subject, _now(), event.data)
        return self._submit(live, None, happened)

    def acknowledge(self, live: LiveSession, subject: str, offset: int) -> bool:
        """A member has received everything up to an offset. False for what cannot be."""
        if not 0 <= offset <= live.top or live.current.member(subject) is None:
            return False
        if offset > live.acknowledged.get(subject, 0):
            live.acknowledged[subject] = offset
            self._acks[live, subject] = offset
        return True

    def _check_open(self) -> None:
        if self._draining:
            raise Draining("the server is restarting: try again")

    # -- the disk

    def _submit(
        self, live: LiveSession, changed: Session | None, event: Event
    ) -> asyncio.Future[int]:
        change = None
        if changed is not None:
            change = SessionState(changed.epoch, str(changed.state), body(changed))
        committed = partial(self._committed, live, changed, event)
        return self.journal.submit(Record(live.id, event, change), committed)

    def _committed(
        self, live: LiveSession, changed: Session | None, event: Event, offset: int
    ) -> None:
        if offset <= live.top:
            return  # a repeat
        if changed is not None:
            live.current = changed
        live.updated_at = event.time
        told = Told(live.id, StoredEvent(offset, event), self._clock())
        live.feed.add(told)
        live.born.set()
        for listener in self.listeners:
            try:
                listener(live, told)
            except Exception:  # a bug costs whose it is, not the writing
                log.exception("an event was not heard", session=live.id, offset=offset)

    async def run(self) -> None:
        """Write what members have received, now and then, for ever."""
        while True:
            await anyio.sleep(ACKNOWLEDGE_SECONDS)
            await self._write_acknowledgements()

    async def _write_acknowledgements(self) -> None:
        async with self._writing_acks:
            acks, self._acks = self._acks, {}
            if not acks:
                return
            batch = [Acknowledgement(live.id, who, offset) for (live, who), offset in acks.items()]
            try:
                await self.store.acknowledge(batch)
            except StoreError as error:
                log.warning("acknowledgements wait", error=str(error))
                self._acks = acks | self._acks

    def truncated(self, session: str, events: int) -> None:
        """Retention removed so many of a session's first events."""
        if (live := self._known.get(session)) is not None:
            live.truncated += events

    async def drain(self) -> None:
        """Take no more commands; returns when everything that was taken is on disk."""
        self._draining = True
        for live in self.live():
            await self._arrival(live)
        await self.journal.settle()
        await self._write_acknowledgements()


def revived(stored: StoredSession) -> Session:
    """A session as it was stored. Raises StoreError."""
    epoch, state, text = stored.current
    try:
        return restored(stored.session, epoch, state, text)
    except ValueError as error:
        raise StoreError(f"the session {stored.session!r} cannot be read: {error}") from error


def _event(event_id: str, actor: Actor, happening: Happening, now: float) -> Event:
    data = json.dumps(dict(happening.data), ensure_ascii=False, separators=(",", ":"))
    return Event(event_id, happening.kind, actor.subject, now, data)


def _now() -> float:
    """The time as stores keep it: whoever reads an event later reads what was told at once."""
    return to_milliseconds(time.time()) / 1_000


@asynccontextmanager
async def open_sessions(store: Store, hub: Hub) -> AsyncIterator[Sessions]:
    """Run the sessions of a store. Leaving the block drains them.

    The hub learns which sessions are stopped, so that nobody writes to their drafts.
    """
    await _seal_stopped(store, hub)
    async with anyio.create_task_group() as tasks:
        working = anyio.CancelScope(shield=True)
        sessions: Sessions = await tasks.start(_work_within, working, store, hub)
        try:
            yield sessions
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await sessions.drain()
            finally:
                working.cancel()


async def _work_within(
    scope: anyio.CancelScope, store: Store, hub: Hub, *, task_status: TaskStatus[Sessions]
) -> None:
    """Whoever cancels the server does not cancel what was begun: that has to be done first."""
    with scope:
        async with anyio.create_task_group() as tasks:
            sessions = Sessions(store, hub, tasks)
            tasks.start_soon(sessions.journal.run)
            tasks.start_soon(sessions.run)
            task_status.started(sessions)


async def _seal_stopped(store: Store, hub: Hub) -> None:
    after = 0
    while page := await store.sessions(str(State.STOPPED), after, _PAGE):
        hub.sealing.sessions.update(each.session for each in page)
        after = page[-1].number
