"""The sessions of a service: nothing is told before it is on disk, and nothing happens twice."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from auth.access import Grants, Identity, SessionAccess
from persistence.store import (
    Acknowledgement,
    Event,
    Record,
    SessionState,
    StoredEvent,
    StoredSession,
    StoreError,
    StoreUnavailable,
)
from sync.core.errors import (
    Draining,
    Forbidden,
    IllegalStep,
    InvalidSession,
    Overloaded,
    UnknownSession,
)
from sync.core.events import NewEvent, iso, repeatable_id
from sync.core.names import DocumentName
from sync.core.session import Outline, Role, SessionId, State, Step, TestCase, body
from sync.core.yprotocol import update_frame
from sync.server import event_journal
from sync.server import sessions as sessions_module
from sync.server.event_feed import Told
from sync.server.sessions import LiveSession, Sessions, actor_in, open_sessions
from tests.server.parts import (
    DISK_FULL,
    TroubledStore,
    eventually,
    feed,
    identity,
    open_office,
    opened,
)
from tests.support.client import Peer

S1 = SessionId("s1")
OUTLINE = Outline("Chatbot", "Round 1", (TestCase("c1", "The first"), TestCase("a b", "Another")))


def somebody(subject: str, access: SessionAccess) -> Identity:
    return replace(identity(subject), sessions=Grants({"s*": access}))


LEA = somebody("lea", SessionAccess.LEAD)
ADA = somebody("ada", SessionAccess.LEAD)
EVE = somebody("eve", SessionAccess.JOIN)
BEN = somebody("ben", SessionAccess.JOIN)
OLGA = somebody("olga", SessionAccess.OBSERVE)
NED = somebody("ned", SessionAccess.NONE)


class Store(TroubledStore):
    """Its writing may be held, and its finding of events; it may refuse kinds, as if by a bug."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.reads = 0  # of sessions
        self.records: list[Record] = []
        self.acknowledged: list[Acknowledgement] = []
        self.writing, self.finding = anyio.Event(), anyio.Event()
        self.writing.set()
        self.finding.set()

    def release(self) -> None:
        super().release()
        self.writing.set()
        self.finding.set()

    async def record(self, batch: Sequence[Record]) -> list[int]:
        await self.writing.wait()
        if any(each.event.kind in self.refused for each in batch):
            raise ValueError("refused by a bug")
        offsets = await super().record(batch)
        self.records += batch
        return offsets

    async def event(self, session: str, event_id: str) -> StoredEvent | None:
        found = await super().event(session, event_id)
        await self.finding.wait()
        return found

    async def session(self, session: str) -> StoredSession | None:
        self.reads += 1
        return await super().session(session)

    async def acknowledge(self, batch: Sequence[Acknowledgement]) -> None:
        await self.writing.wait()
        await super().acknowledge(batch)
        self.acknowledged += batch

    async def kinds(self, session: str = "s1") -> list[str]:
        """What happened in a session, as it is on disk; its offsets are contiguous."""
        events = await self.inner.events(session)
        assert [each.offset for each in events] == list(range(1, len(events) + 1))
        return [each.event.kind for each in events]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_journal, "_RETRY_SECONDS", (0.001,))
    monkeypatch.setattr(sessions_module, "ACKNOWLEDGE_SECONDS", 3_600.0)


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Sessions]:
    """Run the sessions of a store; at the end it is well again."""
    async with open_office(store) as office, open_sessions(store, office.hub) as sessions:
        try:
            yield sessions
        finally:
            store.failure = None
            store.release()


@asynccontextmanager
async def with_s1(store: Store) -> AsyncIterator[Sessions]:
    """The same with a session that Lea leads, that Eve and Olga have joined, and that runs."""
    async with running(store) as sessions:
        await sessions.create(S1, LEA, OUTLINE)
        await sessions.step("s1", Step.JOIN, EVE)
        await sessions.step("s1", Step.JOIN, OLGA)
        await sessions.step("s1", Step.START, LEA)
        yield sessions


BEGINNING = ["session.created", "session.joined", "session.joined", "session.started"]


def note(number: int = 1) -> NewEvent:
    return NewEvent(f"00000000-0000-4000-8000-{number:012}", "note", '{"text":"hm"}')


def whole(sessions: Sessions) -> bool:
    """Nothing is on its way, half done or waited for."""
    return (
        not (sessions._commands or sessions._loading or sessions.journal.depth)
        and not any(each.on_its_way for each in sessions._known.values())
        and all(each.decided == each.current and each.born.is_set() for each in sessions.live())
    )


Call = Callable[[], Awaitable[object]]


async def at_once(*calls: Call) -> list[object]:
    """Call all at once; return their results, or what they raised."""
    results: list[object] = [None] * len(calls)

    async def call(place: int) -> None:
        try:
            results[place] = await calls[place]()
        except Exception as error:  # noqa: BLE001 - it is the result
            results[place] = error

    async with anyio.create_task_group() as tasks:
        for place in range(len(calls)):
            tasks.start_soon(call, place)
    return results


class Going:
    """A call under way."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.scope = anyio.CancelScope()
        self.ended = False
        self.result: object = None

    async def __call__(self) -> None:
        with self.scope:
            try:
                self.result = await self._call()
            except Exception as error:  # noqa: BLE001 - it is the result
                self.result = error
        self.ended = True


@asynccontextmanager
async def under_way(*calls: Call) -> AsyncIterator[list[Going]]:
    """Begin calls; go on when all wait for something. At the end they have ended."""
    going = [Going(call) for call in calls]
    async with anyio.create_task_group() as tasks:
        for each in going:
            tasks.start_soon(each)
        await anyio.wait_all_tasks_blocked()
        yield going


# -- creating


async def test_a_session_is_created_and_on_disk() -> None:
    store = Store()
    async with running(store) as sessions:
        live, new = await sessions.create(S1, LEA, OUTLINE)
        assert (new, live.top, live.current.state) == (True, 1, State.CREATED)
        assert await sessions.get("s1") is live
        stored = await store.inner.session("s1")
        assert stored is not None
        assert stored.current == SessionState(live.current.epoch, "created", body(live.current))
        assert await store.kinds() == ["session.created"]
        assert whole(sessions)


async def test_of_many_who_create_at_once_one_does() -> None:
    store = Store()
    async with running(store) as sessions:
        results = await at_once(
            *[partial(sessions.create, S1, who, OUTLINE) for who in [LEA, ADA] * 10]
        )
        (winner,) = [each for each in results if isinstance(each, tuple)]
        others = [each for each in results if isinstance(each, IllegalStep)]
        assert (winner[1], len(others)) == (True, 19)
        assert {each.open_steps for each in others} == {("join", "leave", "start")}
        assert await store.kinds() == ["session.created"]
        assert whole(sessions)


async def test_the_same_creation_at_once_is_one() -> None:
    store = Store()
    async with running(store) as sessions:
        call = partial(sessions.create, S1, LEA, OUTLINE, key="k")
        results = await at_once(*[call] * 10)
        live = await sessions.get("s1")
        assert (results.count((live, True)), results.count((live, False))) == (1, 9)
        assert await store.kinds() == ["session.created"]


async def test_a_creation_is_repeated_by_its_key_even_after_a_restart() -> None:
    store = Store()
    async with running(store) as sessions:
        live, _ = await sessions.create(S1, LEA, OUTLINE, key="k")
        await sessions.step("s1", Step.START, LEA)
        assert await sessions.create(S1, LEA, OUTLINE, key="k") == (live, False)
    async with running(store) as sessions:
        again, new = await sessions.create(S1, LEA, OUTLINE, key="k")
        assert (new, again.current) == (False, live.current)
        for who, key in ((LEA, "other"), (ADA, "k"), (LEA, None)):
            with pytest.raises(IllegalStep, match="there is a session 's1' already") as refused:
                await sessions.create(S1, who, OUTLINE, key=key)
            assert refused.value.open_steps == ("join", "leave", "pause", "stop")
    assert await store.kinds() == ["session.created", "session.started"]


@pytest.mark.parametrize(
    ("who", "outline", "error"),
    [
        (NED, OUTLINE, Forbidden),
        (EVE, OUTLINE, Forbidden),
        (LEA, replace(OUTLINE, title=""), InvalidSession),
    ],
)
async def test_what_is_not_created_is_not_there(
    who: Identity, outline: Outline, error: type[Exception]
) -> None:
    store = Store()
    async with running(store) as sessions:
        with pytest.raises(error):
            await sessions.create(S1, who, outline)
        with pytest.raises(UnknownSession, match="there is no session 's1'"):
            await sessions.get("s1")
        assert (whole(sessions), sessions.live(), store.records) == (True, [], [])
        _, new = await sessions.create(S1, LEA, OUTLINE)
        assert new


async def test_nobody_gets_a_session_that_is_not_on_disk() -> None:
    store = Store()
    async with running(store) as sessions:
        store.writing = anyio.Event()
        async with (
            under_way(partial(sessions.create, S1, LEA, OUTLINE)) as (creation,),
            under_way(
                partial(sessions.get, "s1"), partial(sessions.step, "s1", Step.JOIN, EVE)
            ) as calls,
        ):
            assert [each.ended for each in (creation, *calls)] == [False] * 3
            assert sessions.live() == []
            creation.scope.cancel()  # and not when whoever creates it has gone, either
            await anyio.wait_all_tasks_blocked()
            assert [each.ended for each in (creation, *calls)] == [True, False, False]
            store.writing.set()
        assert calls[0].result is calls[1].result is await sessions.get("s1")
        assert await store.kinds() == ["session.created", "session.joined"]
        assert whole(sessions)


async def test_a_session_that_the_store_refuses_is_not_there() -> None:
    store = Store()
    store.refused = {"session.created"}
    async with running(store) as sessions:
        store.writing = anyio.Event()
        async with (
            under_way(partial(sessions.create, S1, LEA, OUTLINE, key="k")) as (first,),
            under_way(partial(sessions.create, S1, ADA, OUTLINE), partial(sessions.get, "s1")) as (
                second,
                third,
            ),
        ):
            store.writing.set()
        assert isinstance(first.result, ValueError)
        assert isinstance(second.result, ValueError)  # it was its turn then
        assert isinstance(third.result, UnknownSession)
        assert (whole(sessions), len(sessions._known), len(sessions._recent)) == (True, 0, 0)
        store.refused = set()
        _, new = await sessions.create(S1, LEA, OUTLINE, key="k")
        assert new
    assert await store.kinds() == ["session.created"]


# -- reading


async def test_a_session_is_loaded_once_for_all_who_ask() -> None:
    store = Store()
    async with running(store) as sessions:
        await sessions.create(S1, LEA, OUTLINE)
    store.reads = 0
    async with running(store) as sessions:
        store.hold()
        async with under_way(*[partial(sessions.get, "s1")] * 20) as calls:
            calls[0].scope.cancel()  # whoever asked first
            await anyio.wait_all_tasks_blocked()
            assert [each.ended for each in calls] == [True] + [False] * 19
            store.release()
        live = await sessions.get("s1")
        assert [each.result for each in calls] == [None] + [live] * 19
        assert (store.reads, whole(sessions)) == (1, True)
        assert (live.number, live.top, live.current.created_by) == (1, 1, "lea")


async def test_what_cannot_be_read_now_is_an_error_for_all_and_no_session() -> None:
    store = Store()
    async with running(store) as sessions:
        await sessions.create(S1, LEA, OUTLINE)
    async with running(store) as sessions:
        store.reads, store.failure = 0, DISK_FULL
        results = await at_once(
            *[partial(sessions.get, "s1")] * 10, partial(sessions.create, S1, LEA, OUTLINE)
        )
        assert {type(each) for each in results} == {StoreUnavailable}
        assert store.reads == 1
        store.failure = None
        assert (await sessions.get("s1")).top == 1


async def test_an_error_that_nobody_waits_for_is_no_complaint() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: complaints.append(told))
    store = Store()
    async with running(store) as sessions:
        store.hold()
        async with under_way(partial(sessions.get, "s1")) as (call,):
            call.scope.cancel()
        store.release()
        await eventually(lambda: whole(sessions))
        store.refused = {"session.created"}
        store.writing = anyio.Event()
        async with under_way(partial(sessions.create, S1, LEA, OUTLINE)) as (call,):
            call.scope.cancel()
        store.writing.set()
        await eventually(lambda: whole(sessions))
    gc.collect()
    assert complaints == []


async def test_a_session_that_was_created_while_it_was_looked_for_is_that_one() -> None:
    async with running(Store()) as sessions:
        live, _ = await sessions.create(S1, LEA, OUTLINE)
        asked = sessions._loading["s1"] = asyncio.get_running_loop().create_future()
        await sessions._load("s1", asked)
        assert await asked is live


async def test_a_session_that_is_damaged_says_so() -> None:
    store = Store()
    change = SessionState("epoch", "running", "{}")
    await store.record([Record("s1", Event("e", "session.created", "lea", 1.0, "{}"), change)])
    async with running(store) as sessions:
        with pytest.raises(StoreError, match="the session 's1' cannot be read"):
            await sessions.get("s1")


async def test_what_is_told_at_once_is_what_is_read_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores keep milliseconds."""
    monkeypatch.setattr(time, "time", lambda: 1_763_847_923.9996)
    store, heard = Store(), list[Told]()
    async with running(store) as sessions:
        sessions.listeners.append(lambda _live, told: heard.append(told))
        live, _ = await sessions.create(S1, LEA, OUTLINE)
        await sessions.publish("s1", LEA, note())
        read = await live.feed.after(0)
        assert [each.text for each in read] == [each.text for each in heard]
        assert [each.event for each in read] == [each.event for each in heard]
        stored = await store.inner.session("s1")
        assert stored is not None
        assert (stored.created_at, stored.updated_at) == (live.current.created_at, live.updated_at)
        assert iso(live.updated_at) == "2025-11-22T21:45:24.000Z"


@pytest.mark.parametrize(
    ("access", "role"),
    [
        (SessionAccess.OBSERVE, Role.OBSERVER),
        (SessionAccess.JOIN, Role.EVALUATOR),
        (SessionAccess.LEAD, Role.LEAD),
    ],
)
def test_a_role_comes_from_the_token(access: SessionAccess, role: Role) -> None:
    actor = actor_in("s1", somebody("x", access))
    assert (actor.subject, actor.name, actor.role) == ("x", "X", role)
    assert actor_in("z1", replace(NED, administrator=True)).role is Role.LEAD
    with pytest.raises(Forbidden, match="no right to the session 'z1'"):
        actor_in("z1", somebody("x", access))


# -- steps


async def test_a_life() -> None:
    store, heard = Store(), list[str]()
    async with with_s1(store) as sessions:
        sessions.listeners.append(lambda _live, told: heard.append(told.event.kind))
        for step in (Step.PAUSE, Step.RESUME):
            live = await sessions.step("s1", step, LEA)
        live = await sessions.complete("s1", "c1", "eve", EVE, done=True)
        assert live.current.completion("c1", "eve") is not None
        await sessions.complete("s1", "c1", "eve", LEA, done=False)
        await sessions.step("s1", Step.LEAVE, OLGA)
        live = await sessions.step("s1", Step.STOP, ADA)
        assert (live.current.state, live.top) == (State.STOPPED, 10)
        assert whole(sessions)
    expected = ["session.paused", "session.resumed", "draft.completed", "draft.reopened"]
    expected += ["session.left", "session.stopped"]
    assert heard == expected
    assert await store.kinds() == BEGINNING + expected
    stored = await store.inner.events("s1")
    assert [each.event.actor for each in stored][4:] == ["lea", "lea", "eve", "lea", "olga", "ada"]
    async with running(store) as sessions:
        assert (await sessions.get("s1")).current == live.current


async def test_what_is_refused_changes_nothing() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        calls: list[tuple[Call, type[Exception]]] = [
            (partial(sessions.step, "s1", Step.START, LEA), IllegalStep),
            (partial(sessions.step, "s1", Step.PAUSE, EVE), Forbidden),
            (partial(sessions.step, "s1", Step.JOIN, NED), Forbidden),
            (partial(sessions.step, "s1", Step.JOIN, OLGA, role=Role.LEAD), Forbidden),
            (partial(sessions.step, "s1", Step.LEAVE, BEN, key="k"), IllegalStep),
            (partial(sessions.step, "s2", Step.START, LEA), UnknownSession),
            (partial(sessions.complete, "s1", "c9", "eve", EVE, done=True), InvalidSession),
            (partial(sessions.complete, "s1", "c1", "eve", EVE, done=False), IllegalStep),
            (partial(sessions.complete, "s1", "c1", "ben", LEA, done=True), InvalidSession),
            (partial(sessions.publish, "s1", BEN, note()), Forbidden),
            (partial(sessions.publish, "s2", LEA, note()), UnknownSession),
        ]
        for call, error in calls:
            with pytest.raises(error):
                await call()
        assert whole(sessions)
    assert await store.kinds() == BEGINNING


async def test_commands_are_decided_on_what_was_decided_and_true_when_on_disk() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        live = await sessions.get("s1")
        before = live.current
        store.writing = anyio.Event()
        async with under_way(
            partial(sessions.step, "s1", Step.PAUSE, LEA),
            partial(sessions.step, "s1", Step.PAUSE, ADA),
            partial(sessions.step, "s1", Step.JOIN, BEN),
            partial(sessions.complete, "s1", "c1", "ben", BEN, done=True),
            partial(sessions.publish, "s1", BEN, note()),
            partial(sessions.step, "s1", Step.RESUME, LEA),
        ) as calls:
            assert isinstance(calls[1].result, IllegalStep)
            assert [each.ended for each in calls] == [False, True, False, False, False, False]
            assert (live.current, live.top) == (before, 4)
            assert live.decided.state is State.RUNNING
            store.writing.set()
        assert calls[4].result == 8
        assert whole(sessions)
    expected = ["session.paused", "session.joined", "draft.completed", "note", "session.resumed"]
    assert await store.kinds() == BEGINNING + expected
    states = [each.change.state for each in store.records[4:] if each.change is not None]
    assert states == ["paused", "paused", "paused", "running"]  # each with its own event


async def test_who_is_in_already_hears_so_when_it_is_on_disk() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        store.writing = anyio.Event()
        join = partial(sessions.step, "s1", Step.JOIN, BEN)
        async with under_way(join, join) as calls:
            assert [each.ended for each in calls] == [False, False]
            store.writing.set()
        assert calls[0].result is calls[1].result
    assert await store.kinds() == [*BEGINNING, "session.joined"]


async def test_a_step_that_the_store_refuses_is_taken_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store()
    async with with_s1(store) as sessions:
        store.refused = {"session.joined"}
        with pytest.raises(ValueError, match="refused by a bug"):
            await sessions.step("s1", Step.JOIN, BEN)
        live = await sessions.get("s1")
        assert live.decided.member("ben") is None
        assert whole(sessions)
        await sessions.step("s1", Step.PAUSE, LEA)
        store.refused = set()
        await sessions.step("s1", Step.JOIN, BEN)
        with anyio.fail_after(5):
            await sessions.drain()
    assert await store.kinds() == [*BEGINNING, "session.paused", "session.joined"]
    assert "an event was refused by the store" in caplog.text


async def test_a_listener_with_a_bug_costs_itself(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_live: LiveSession, _told: Told) -> None:
        raise RuntimeError("a bug")

    store, heard = Store(), list[int]()
    async with running(store) as sessions:
        sessions.listeners += [fails, lambda _live, told: heard.append(told.offset)]
        await sessions.create(S1, LEA, OUTLINE)
        await sessions.step("s1", Step.START, LEA)
    assert heard == [1, 2]
    assert caplog.text.count("an event was not heard") == 2


# -- repeats by key


@pytest.mark.parametrize("step", [Step.PAUSE, Step.JOIN, Step.LEAVE, Step.STOP])
async def test_a_step_is_repeated_by_its_key(step: Step) -> None:
    store, who = Store(), LEA if step in (Step.PAUSE, Step.STOP) else EVE
    async with with_s1(store) as sessions:
        if step is Step.JOIN:
            await sessions.step("s1", Step.LEAVE, EVE)
        first = await sessions.step("s1", step, who, key="k")
        kinds = await store.kinds()
        for _ in range(3):
            assert await sessions.step("s1", step, who, key="k") is first
        assert await at_once(*[partial(sessions.step, "s1", step, who, key="k")] * 5) == [first] * 5
        assert whole(sessions)
    async with running(store) as sessions:
        assert (await sessions.step("s1", step, who, key="k")).current == first.current
    assert await store.kinds() == kinds


async def test_a_repeat_long_after_does_not_take_the_step_again() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        await sessions.step("s1", Step.PAUSE, LEA, key="k")
        await sessions.step("s1", Step.RESUME, LEA, key="k")  # another step
        live = await sessions.step("s1", Step.PAUSE, LEA, key="k")
        assert live.current.state is State.RUNNING
        await sessions.step("s1", Step.PAUSE, ADA, key="k")  # another's key
        await sessions.step("s1", Step.RESUME, LEA, key="k2")
    kinds = ["session.paused", "session.resumed"] * 2
    assert await store.kinds() == BEGINNING + kinds


async def test_the_same_step_at_once_is_one() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        store.writing = anyio.Event()
        call = partial(sessions.step, "s1", Step.PAUSE, LEA, key="k")
        async with under_way(*[call] * 10) as calls:
            assert not any(each.ended for each in calls)
            store.writing.set()
        live = await sessions.get("s1")
        assert [each.result for each in calls] == [live] * 10
        assert whole(sessions)
    assert await store.kinds() == [*BEGINNING, "session.paused"]


async def test_a_repeat_waits_for_the_one_whose_caller_has_gone() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        store.writing = anyio.Event()
        call = partial(sessions.step, "s1", Step.PAUSE, LEA, key="k")
        async with under_way(call, call) as calls:
            calls[0].scope.cancel()
            await anyio.wait_all_tasks_blocked()  # and nobody spins
            assert [each.ended for each in calls] == [True, False]
            store.writing.set()
        assert calls[1].result is await sessions.get("s1")
    assert await store.kinds() == [*BEGINNING, "session.paused"]


async def test_a_repeat_does_not_overtake_what_the_store_was_asked() -> None:
    """Two look in the store before either's event is there; the state moves on and back between."""
    store = Store()
    async with with_s1(store) as sessions:
        store.finding = anyio.Event()
        call = partial(sessions.step, "s1", Step.PAUSE, LEA, key="k")
        async with under_way(call, call) as calls:
            store.finding.set()
            await eventually(lambda: calls[0].ended or calls[1].ended)
            await sessions.step("s1", Step.RESUME, ADA)
        assert not [each.result for each in calls if isinstance(each.result, Exception)]
        live = await sessions.get("s1")
        assert (live.current.state, live.decided.state) == (State.RUNNING, State.RUNNING)
    assert await store.kinds() == [*BEGINNING, "session.paused", "session.resumed"]


async def test_nobody_takes_a_step_away_by_publishing_under_its_id() -> None:
    """What a member can know is the session's epoch, the lead's name, and a key easily guessed."""
    store = Store()
    async with with_s1(store) as sessions:
        epoch = (await sessions.get("s1")).current.epoch
        for guess in ("", "s1", epoch):
            for words in ("pause", "s1 pause", f"{epoch} pause"):
                taken = replace(note(), id=repeatable_id(guess, "lea", words, "1"))
                await sessions.publish("s1", EVE, taken)
        live = await sessions.step("s1", Step.PAUSE, LEA, key="1")
        assert live.current.state is State.PAUSED


async def test_a_key_is_of_one_session() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        await sessions.create(SessionId("s2"), LEA, OUTLINE)
        for session in ("s1", "s2"):
            await sessions.step(session, Step.LEAVE, LEA, key="k")
    one, other = [(await store.inner.events(session))[-1].event for session in ("s1", "s2")]
    assert one.kind == other.kind == "session.left"
    assert one.id != other.id


async def test_a_refused_step_is_taken_when_it_is_repeated_in_time() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        with pytest.raises(IllegalStep):
            await sessions.step("s1", Step.RESUME, LEA, key="k")
        await sessions.step("s1", Step.PAUSE, LEA)
        live = await sessions.step("s1", Step.RESUME, LEA, key="k")
        assert live.current.state is State.RUNNING


async def test_completions_are_repeated_by_their_key() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        for _ in range(2):
            await sessions.complete("s1", "c1", "eve", EVE, done=True, key="k")
        for _ in range(2):
            await sessions.complete("s1", "c1", "eve", EVE, done=False, key="k")
        await sessions.complete("s1", "c1", "eve", EVE, done=True, key="k2")
        live = await sessions.complete("s1", "c1", "eve", EVE, done=False, key="k")
        assert live.current.completion("c1", "eve") is not None
    assert (await store.kinds())[4:] == ["draft.completed", "draft.reopened", "draft.completed"]


async def test_a_key_names_one_case_and_one_subject() -> None:
    """Names have spaces: "a b" of "c", and "a" of "b c"."""
    store = Store()
    cases = tuple(TestCase(each, each) for each in ("a b", "a"))
    async with running(store) as sessions:
        await sessions.create(S1, LEA, replace(OUTLINE, test_cases=cases))
        await sessions.step("s1", Step.START, LEA)
        for subject in ("c", "b c"):
            await sessions.step("s1", Step.JOIN, somebody(subject, SessionAccess.JOIN))
        await sessions.complete("s1", "a b", "c", LEA, done=True, key="k")
        live = await sessions.complete("s1", "a", "b c", LEA, done=True, key="k")
        assert {(each.case, each.subject) for each in live.current.completed} == {
            ("a b", "c"),
            ("a", "b c"),
        }


# -- publishing


async def test_members_publish_and_repeats_are_none() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        assert await sessions.publish("s1", EVE, note(1)) == 5
        assert await sessions.publish("s1", OLGA, note(2)) == 6
        assert await sessions.publish("s1", EVE, note(1)) == 5
        assert await sessions.publish("s1", LEA, note(1)) == 5
        results = await at_once(*[partial(sessions.publish, "s1", EVE, note(3))] * 10)
        assert results == [7] * 10
        live = await sessions.get("s1")
        assert (live.top, whole(sessions)) == (7, True)
    async with running(store) as sessions:
        assert await sessions.publish("s1", EVE, note(3)) == 7
        assert await sessions.publish("s1", EVE, note(4)) == 8
    assert await store.kinds() == BEGINNING + ["note"] * 4


async def test_an_event_is_published_when_it_is_on_disk_and_not_before() -> None:
    store, heard = Store(), list[int]()
    async with with_s1(store) as sessions:
        sessions.listeners.append(lambda _live, told: heard.append(told.offset))
        live = await sessions.get("s1")
        store.writing = anyio.Event()
        async with under_way(
            *[partial(sessions.publish, "s1", EVE, note(number)) for number in (1, 2, 1)]
        ) as calls:
            assert not any(each.ended for each in calls)
            assert (live.top, heard) == (4, [])
            store.writing.set()
        assert [each.result for each in calls] == [5, 6, 5]
    assert heard == [5, 6]


async def test_what_was_published_before_the_stop_is_known_after_it() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        await sessions.publish("s1", EVE, note(1))
        await sessions.step("s1", Step.LEAVE, OLGA)
        await sessions.publish("s1", LEA, note(2))
        assert await sessions.publish("s1", OLGA, note(2)) == 7  # who is in it no more, may ask
        await sessions.step("s1", Step.STOP, LEA)
        for who in (LEA, EVE, OLGA):
            assert await sessions.publish("s1", who, note(1)) == 5
        with pytest.raises(IllegalStep, match="nothing more is published"):
            await sessions.publish("s1", EVE, note(3))
        with pytest.raises(Forbidden):
            await sessions.publish("s1", NED, note(1))


async def test_an_event_that_the_stop_met_on_its_way_is_known_as_well() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        store.writing = anyio.Event()
        async with under_way(
            partial(sessions.publish, "s1", EVE, note(1)),
            partial(sessions.step, "s1", Step.STOP, LEA),
            partial(sessions.publish, "s1", EVE, note(1)),
            partial(sessions.publish, "s1", EVE, note(2)),
        ) as calls:
            assert not any(each.ended for each in calls)
            store.writing.set()
        assert (calls[0].result, calls[2].result) == (5, 5)
        assert isinstance(calls[3].result, IllegalStep)
    assert await store.kinds() == [*BEGINNING, "note", "session.stopped"]


async def test_who_publishes_more_than_the_disk_takes_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_journal, "FULL_BYTES", 5_000)
    store = Store()
    async with with_s1(store) as sessions:
        live = await sessions.get("s1")
        store.writing = anyio.Event()
        publish = [partial(sessions.publish, "s1", EVE, note(number)) for number in range(100)]
        async with under_way(*publish, partial(sessions.step, "s1", Step.PAUSE, LEA)) as calls:
            assert sessions.journal.depth < 20
            assert live.decided.state is State.RUNNING
            with pytest.raises(Overloaded, match="try again"):
                sessions.begin_publishing(live, actor_in("s1", EVE), note(1_000))
            store.writing.set()
        assert sorted(str(each.result) for each in calls[:100]) == sorted(map(str, range(5, 105)))
        assert live.current.state is State.PAUSED


# -- what members have received


@pytest.mark.parametrize(
    ("subject", "offset", "taken"),
    [
        ("eve", 0, True),
        ("eve", 4, True),
        ("eve", 5, False),
        ("eve", -1, False),
        ("olga", 1, True),
        ("ben", 1, False),
    ],
)
async def test_what_may_be_acknowledged(subject: str, offset: int, taken: bool) -> None:
    async with with_s1(Store()) as sessions:
        live = await sessions.get("s1")
        assert sessions.acknowledge(live, subject, offset) is taken
        assert live.acknowledged == ({subject: offset} if taken and offset else {})


async def test_acknowledgements_are_cumulative_and_on_disk_after_the_drain() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        live = await sessions.get("s1")
        for offset in (2, 4, 3, 0):
            assert sessions.acknowledge(live, "eve", offset)
        assert sessions.acknowledge(live, "lea", 1)
        assert live.acknowledged == {"eve": 4, "lea": 1}
        assert store.acknowledged == []
    assert sorted(store.acknowledged) == [("s1", "eve", 4), ("s1", "lea", 1)]
    async with running(store) as sessions:
        assert (await sessions.get("s1")).acknowledged == {"eve": 4, "lea": 1}


async def test_acknowledgements_are_written_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "ACKNOWLEDGE_SECONDS", 0.001)
    store = Store()
    async with with_s1(store) as sessions:
        live = await sessions.get("s1")
        sessions.acknowledge(live, "eve", 1)
        await eventually(lambda: len(store.acknowledged) == 1)
        store.failure = DISK_FULL
        sessions.acknowledge(live, "eve", 2)
        sessions.acknowledge(live, "lea", 2)
        await anyio.sleep(0.01)  # some attempts fail
        sessions.acknowledge(live, "eve", 3)
        store.failure = None
        await eventually(lambda: ("s1", "eve", 3) in store.acknowledged)
        await eventually(lambda: ("s1", "lea", 2) in store.acknowledged)


async def test_the_drain_waits_for_acknowledgements_that_are_being_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions_module, "ACKNOWLEDGE_SECONDS", 0.001)
    store = Store()
    async with with_s1(store) as sessions:
        store.writing = anyio.Event()
        sessions.acknowledge(await sessions.get("s1"), "eve", 4)
        await eventually(lambda: not sessions._acks)  # they are on their way
        async with under_way(sessions.drain) as (drain,):
            assert not drain.ended
            store.writing.set()
    assert store.acknowledged == [("s1", "eve", 4)]


# -- memory


async def test_few_sessions_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "MOST_LIVE", 3)
    store = Store()
    async with running(store) as sessions:
        for number in range(10):
            await sessions.create(SessionId(f"s{number}"), LEA, OUTLINE)
        assert {each.id for each in sessions.live()} == {"s7", "s8", "s9"}
        store.reads = 0
        for session in ("s7", "s9", "s7", "s0", "s7", "s9", "s0"):  # s8 goes
            await sessions.step(session, Step.JOIN, EVE)
        assert store.reads == 1
        assert {each.id for each in sessions.live()} == {"s0", "s7", "s9"}


async def test_many_sessions_are_kept_in_memory() -> None:
    store = Store()
    async with running(store) as sessions:
        for number in range(600):  # more than half of those that may be
            await sessions.create(SessionId(f"s{number}"), LEA, OUTLINE)
        assert len(sessions.live()) == 600


async def test_there_is_one_of_a_session_for_as_long_as_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions_module, "MOST_LIVE", 1)
    store = Store()
    async with running(store) as sessions:
        used, _ = await sessions.create(SessionId("s1"), LEA, OUTLINE)
        used.feed.subscribe()
        await sessions.create(SessionId("s2"), LEA, OUTLINE)
        assert used not in sessions._recent
        assert await sessions.publish("s1", LEA, note()) == 2
        assert [each.offset for each in await used.feed.after(1)] == [2]  # as its subscribers hear
        assert used.top == 2


async def test_a_session_is_not_forgotten_while_a_command_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions_module, "MOST_LIVE", 1)
    store = Store()
    async with with_s1(store) as sessions:
        await sessions.create(SessionId("s2"), LEA, OUTLINE)
        store.finding = anyio.Event()
        async with under_way(
            partial(sessions.step, "s1", Step.PAUSE, LEA, key="k"),  # asks the store
        ) as calls:
            await sessions.get("s2")
            await sessions.step("s1", Step.PAUSE, ADA)
            await sessions.get("s2")
            store.finding.set()
        assert isinstance(calls[0].result, IllegalStep)
        store.writing = anyio.Event()
        async with under_way(
            partial(sessions.publish, "s1", LEA, note()),
            partial(sessions.get, "s2"),
            partial(sessions.step, "s1", Step.RESUME, LEA),
        ) as calls:
            store.writing.set()
        assert (await sessions.get("s1")).top == 7
    assert await store.kinds() == [*BEGINNING, "session.paused", "note", "session.resumed"]


async def test_acknowledgements_that_wait_are_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions_module, "MOST_LIVE", 1)
    async with with_s1(Store()) as sessions:
        sessions.acknowledge(await sessions.get("s1"), "eve", 4)
        await sessions.create(SessionId("s2"), LEA, OUTLINE)
        assert (await sessions.get("s1")).acknowledged == {"eve": 4}


async def test_a_session_in_memory_hears_what_retention_removed() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        removed = await store.truncate("s1", time.time() + 1)
        sessions.truncated("s1", removed)
        sessions.truncated("s2", 7)
        assert (await sessions.get("s1")).truncated == 3
    async with running(store) as sessions:
        assert (await sessions.get("s1")).truncated == 3


# -- callers that go


def commands(sessions: Sessions, key: str | None) -> dict[str, Call]:
    """One of every kind, and the event that comes of it."""
    return {
        "session.created": partial(sessions.create, SessionId("s9"), LEA, OUTLINE, key=key),
        "session.joined": partial(sessions.step, "s1", Step.JOIN, BEN, key=key),
        "session.left": partial(sessions.step, "s1", Step.LEAVE, EVE, key=key),
        "session.paused": partial(sessions.step, "s1", Step.PAUSE, LEA, key=key),
        "session.stopped": partial(sessions.step, "s1", Step.STOP, LEA, key=key),
        "draft.completed": partial(sessions.complete, "s1", "c1", "eve", EVE, done=True, key=key),
        "note": partial(sessions.publish, "s1", EVE, note()),
    }


KINDS = list(commands(Sessions.__new__(Sessions), None))


async def has_happened(store: Store, kind: str) -> int:
    """How often an event of a kind is on disk, but for those of the beginning."""
    kinds = await store.kinds("s9") if kind == "session.created" else (await store.kinds())[4:]
    return kinds.count(kind)


@pytest.mark.parametrize("turns", range(0, 40, 3))
@pytest.mark.parametrize("kind", KINDS)
async def test_a_caller_that_goes_at_any_time_leaves_all_or_nothing(kind: str, turns: int) -> None:
    store = Store()
    async with with_s1(store) as sessions:
        call = Going(commands(sessions, "k")[kind])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            call.scope.cancel()
        await eventually(lambda: whole(sessions))
        assert await has_happened(store, kind) in (0, 1)
        with anyio.fail_after(5):
            await commands(sessions, "k")[kind]()  # whoever asks again
        assert await has_happened(store, kind) == 1
        assert whole(sessions)


@pytest.mark.parametrize("key", ["k", None])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_begun_is_done_though_the_caller_has_gone(
    kind: str, key: str | None
) -> None:
    store = Store()
    async with with_s1(store) as sessions:
        store.writing = anyio.Event()
        async with under_way(commands(sessions, key)[kind]) as (call,):
            call.scope.cancel()
        assert await has_happened(store, kind) == 0
        store.writing.set()
        await eventually(lambda: whole(sessions))
        assert await has_happened(store, kind) == 1


# -- a disk that fails for a while


@pytest.mark.parametrize("kind", KINDS)
async def test_commands_wait_for_a_disk_that_fails_and_then_succeed_once(kind: str) -> None:
    store = Store()
    async with with_s1(store) as sessions:
        store.writing = anyio.Event()
        async with under_way(commands(sessions, None)[kind]) as (call,):
            store.failure = DISK_FULL
            store.writing.set()
            await eventually(lambda: sessions.journal.failing is not None)
            assert not call.ended
            store.failure = None
        assert not isinstance(call.result, Exception)
        assert await has_happened(store, kind) == 1
        assert whole(sessions)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "note"])
async def test_a_repeat_that_cannot_be_looked_up_says_so(kind: str) -> None:
    store = Store()
    async with with_s1(store) as sessions:
        store.failure = DISK_FULL
        with pytest.raises(StoreUnavailable):
            await commands(sessions, "k")[kind]()
        store.failure = None
        assert whole(sessions)
        await commands(sessions, "k")[kind]()
        assert await has_happened(store, kind) == 1


# -- the end


async def test_the_drain_waits_for_what_was_taken_and_takes_no_more() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        live = await sessions.get("s1")
        store.writing = anyio.Event()
        async with (
            under_way(
                partial(sessions.create, SessionId("s9"), LEA, OUTLINE),
                partial(sessions.step, "s1", Step.PAUSE, LEA),
                partial(sessions.publish, "s1", EVE, note()),
            ) as calls,
            under_way(sessions.drain) as (drain,),
        ):
            assert not any(each.ended for each in (*calls, drain))
            for call in commands(sessions, "k").values():
                with pytest.raises(Draining):
                    await call()
            with pytest.raises(Draining):
                sessions.begin_publishing(live, actor_in("s1", EVE), note(2))
            calls[1].scope.cancel()
            await anyio.wait_all_tasks_blocked()  # and nobody spins
            assert not drain.ended
            store.writing.set()
        assert whole(sessions)
        assert await store.kinds() == [*BEGINNING, "session.paused", "note"]
        assert await store.kinds("s9") == ["session.created"]
        await sessions.drain()  # once more is no harm


async def test_a_command_that_looks_something_up_is_not_taken_after_the_drain() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        store.finding = anyio.Event()
        async with under_way(partial(sessions.step, "s1", Step.PAUSE, LEA, key="k")) as (call,):
            await sessions.drain()
            store.finding.set()
        assert isinstance(call.result, Draining)
    assert await store.kinds() == BEGINNING


async def typed(sessions: Sessions) -> None:
    """Somebody edits a draft of s1; the store does not have it yet."""
    connection = await opened(sessions.hub, DocumentName("drafts/s1/c1"), EVE)
    feed(sessions.hub, connection, update_frame(Peer().put("q", 1)))


async def test_the_drain_waits_for_a_stop() -> None:
    store = Store()
    async with with_s1(store) as sessions:
        await typed(sessions)
        store.hold()
        async with (
            under_way(partial(sessions.step, "s1", Step.STOP, LEA)) as (stop,),
            under_way(sessions.drain) as (drain,),
        ):
            assert (stop.ended, drain.ended) == (False, False)
            stop.scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert (stop.ended, drain.ended) == (True, False)
            store.release()
        assert whole(sessions)
        assert await store.kinds() == [*BEGINNING, "session.stopped"]


async def test_a_stop_is_carried_out_though_the_server_is_cancelled() -> None:
    store, begun = Store(), anyio.Event()

    async def serve(scope: anyio.CancelScope) -> None:
        with scope:
            async with with_s1_held(store) as sessions, anyio.create_task_group() as tasks:
                await typed(sessions)
                await sessions.get("s1")
                store.hold()
                tasks.start_soon(partial(sessions.step, "s1", Step.STOP, LEA))
                await anyio.wait_all_tasks_blocked()
                begun.set()
                await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()
        tasks.start_soon(serve, scope)
        await begun.wait()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert await store.kinds() == BEGINNING
        store.release()
    assert await store.kinds() == [*BEGINNING, "session.stopped"]


@asynccontextmanager
async def with_s1_held(store: Store) -> AsyncIterator[Sessions]:
    """As :func:`with_s1`, but nobody heals the store at the end."""
    async with open_office(store.inner) as first, open_sessions(store.inner, first.hub) as sessions:
        await sessions.create(S1, LEA, OUTLINE)
        await sessions.step("s1", Step.JOIN, EVE)
        await sessions.step("s1", Step.JOIN, OLGA)
        await sessions.step("s1", Step.START, LEA)
    async with open_office(store) as office, open_sessions(store, office.hub) as sessions:
        yield sessions


async def test_what_happened_is_told_with_the_data_of_the_step() -> None:
    store = Store()
    async with with_s1(store):
        pass
    events = await store.inner.events("s1")
    assert [json.loads(each.event.data) for each in events[1:]] == [
        {"subject": "eve", "name": "Eve", "role": "evaluator"},
        {"subject": "olga", "name": "Olga", "role": "observer"},
        {"state": "running"},
    ]
