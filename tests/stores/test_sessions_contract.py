"""What every store promises of sessions and their events: see persistence/store.py."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persistence.store import (
    Acknowledgement,
    DeadLetter,
    Event,
    Record,
    SessionState,
    Store,
    StoredEvent,
    StoredSession,
    StoreError,
)
from tests.stores.conftest import ON_DISK
from tests.stores.support import (
    CREATED,
    LATER,
    NOON,
    RUNNING,
    Opening,
    event,
    record,
    records,
    stored,
)


async def test_a_new_store_has_no_sessions(store: Store) -> None:
    assert await store.sessions() == []
    assert await store.session("s-1") is None
    assert await store.events("s-1") == []
    assert await store.event("s-1", "1") is None
    assert await store.dead_letters() == []


# Recording


async def test_offsets_count_from_one_in_each_session(store: Store) -> None:
    assert await store.record(records(1)) == [1]
    assert await store.record([*records(3, start=2), *records(2, "s-2")]) == [2, 3, 4, 1, 2]
    assert await store.record([record("5"), record("3", "s-2"), record("6")]) == [5, 3, 6]
    assert await store.events("s-1") == stored(records(6))
    assert await store.events("s-2") == stored(records(3, "s-2"))


async def test_the_first_record_makes_the_session(store: Store) -> None:
    await store.record([record(change=CREATED, time=NOON + 1)])
    assert await store.session("s-1") == StoredSession(
        1, "s-1", CREATED, NOON + 1, NOON + 1, 1, 0, {}
    )


async def test_a_change_is_committed_with_its_event(store: Store) -> None:
    await store.record(records(2))
    changed = SessionState("epoch", "running", "{}")
    await store.record([record("3", time=NOON + 1), record("4", change=changed, time=NOON + 2)])
    assert await store.session("s-1") == StoredSession(1, "s-1", changed, NOON, NOON + 2, 4, 0, {})
    await store.record([record("5", change=CREATED), record("6", change=RUNNING), record("7")])
    found = await store.session("s-1")
    assert found is not None
    assert (found.current, found.top) == (RUNNING, 7)


async def test_a_repeat_gets_the_first_ones_offset_and_changes_nothing(store: Store) -> None:
    batch = (*records(3), *records(2, "s-2"))
    await store.record(batch)
    before = await store.sessions()
    assert await store.record(batch) == [1, 2, 3, 1, 2]
    other = Record("s-1", Event("2", "other", "eve", LATER, "{}"), RUNNING)
    assert await store.record([other]) == [2]
    assert await store.sessions() == before
    assert await store.events("s-1") == stored(records(3))
    assert await store.record([record("3"), record("4"), record("1")]) == [3, 4, 1]


async def test_a_repeat_within_a_batch_is_the_first_one(store: Store) -> None:
    one, again = record(change=CREATED), record(change=RUNNING)
    assert await store.record([one, again, record("2"), record("2"), one]) == [1, 1, 2, 2, 1]
    assert await store.events("s-1") == stored([one, record("2")])
    found = await store.session("s-1")
    assert found is not None
    assert found.current == CREATED


async def test_a_repeat_may_have_another_epoch(store: Store) -> None:
    """Who creates a session twice, with one key, has drawn two epochs; the first is the one."""
    await store.record([record("key", change=CREATED)])
    assert await store.record([record("key", change=CREATED._replace(epoch="other"))]) == [1]
    found = await store.session("s-1")
    assert found is not None
    assert found.current.epoch == "epoch"


async def test_an_id_is_known_in_its_own_session_only(store: Store) -> None:
    await store.record(records(2))
    assert await store.record([record("2", "s-2", CREATED)]) == [1]
    assert await store.event("s-2", "2") == StoredEvent(1, event("2"))
    assert await store.event("s-2", "1") is None


BAD = {
    "unknown": record("9", "s-9"),
    "epoch": record("9", change=CREATED._replace(epoch="other")),
    "nameless": record("9", "", CREATED),
    "long": record("9", "x" * 256, CREATED),
    "surrogate": record("9", "\ud800", CREATED),
    "no id": record(""),
    "long id": record("é" * 128),
    "no kind": record("9", kind=""),
    "long kind": record("9", kind="x" * 256),
    "actor": Record("s-1", event("9")._replace(actor="\udfff")),
    "data": Record("s-1", event("9")._replace(data="\udfff")),
    "body": record("9", change=CREATED._replace(body="\udfff")),
    "state": record("9", change=CREATED._replace(state="\udfff")),
    "nan": record("9", time=float("nan")),
    "far": record("9", time=1e14),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_one_bad_record_refuses_the_whole_batch(store: Store, bad: Record) -> None:
    await store.record(records(1))
    before = await store.sessions()
    with pytest.raises(ValueError):
        await store.record([record("2", change=RUNNING), *records(2, "s-2"), bad])
    assert await store.sessions() == before
    assert await store.record([record("2"), *records(1, "s-2")]) == [2, 1]
    assert [one.number for one in await store.sessions()] == [1, 2]


async def test_the_epoch_stays_within_a_batch_too(store: Store) -> None:
    with pytest.raises(ValueError, match="epoch"):
        await store.record([record(change=CREATED), record("2", change=CREATED._replace(epoch=""))])
    assert await store.session("s-1") is None


async def test_an_empty_batch_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="empty"):
        await store.record([])


async def test_a_first_event_without_a_change_is_refused_though_one_follows(store: Store) -> None:
    with pytest.raises(ValueError, match="has no change"):
        await store.record([record("1"), record("2", change=CREATED)])
    assert await store.session("s-1") is None


async def test_times_are_kept_to_the_millisecond_and_order_nothing(store: Store) -> None:
    times = [NOON + 0.0004, NOON + 0.9996, -0.0016, NOON - 5]
    batch = [record(str(n), change=CREATED, time=time) for n, time in enumerate(times)]
    await store.record(batch)
    found = [one.event.time for one in await store.events("s-1")]
    assert found == [NOON, NOON + 1, -0.002, NOON - 5]
    session = await store.session("s-1")
    assert session is not None
    assert (session.created_at, session.updated_at) == (NOON, NOON - 5)


async def test_a_batch_of_any_length(store: Store) -> None:
    batch = records(3_000)
    assert await store.record(batch) == [*range(1, 3_001)]
    assert await store.record([*batch, *records(1, start=3_001)]) == [*range(1, 3_002)]
    many = [record(session=f"s-{number:04}", change=CREATED) for number in range(2, 2_002)]
    assert await store.record(many) == [1] * 2_000
    assert await store.record([one._replace(event=event("2")) for one in many]) == [2] * 2_000


NAMES = ["a" * 255, "é" * 127, "a/B", "A/b", "a b", "100%", "a_b", "aXb", "🙂", "e\u0301", "é", "'", '"', "a\0b", "a"]  # fmt: skip # noqa: E501


async def test_any_name_is_its_own(store: Store) -> None:
    await store.record([record(name, name, CREATED, kind=name) for name in NAMES])
    assert await store.record([record(name, "a", kind=name) for name in NAMES]) == [
        *range(2, len(NAMES) + 1),
        1,
    ]
    for name in NAMES:
        assert (await store.events(name))[0] == StoredEvent(1, event(name, name))
        assert (await store.event("a", name)) is not None
        assert (await store.events("a", kind=name))[0].event.id == name
    assert [one.session for one in await store.sessions()] == NAMES


@pytest.mark.parametrize("size", [0, 1, 900, 4_000, 500_000])
async def test_texts_of_any_size(store: Store, size: int) -> None:
    state = SessionState("", "", "x" * size)
    kept = Event("1", "k", "a" * size, NOON, "é" * size)
    await store.record([Record("s-1", kept, state), record("2")])
    assert await store.events("s-1", limit=1) == [StoredEvent(1, kept)]
    session = await store.session("s-1")
    assert session is not None
    assert session.current == state


# Reading


async def test_sessions_are_listed_by_state_behind_a_number(store: Store) -> None:
    await store.record(
        [record(session=f"s-{n}", change=(CREATED, RUNNING)[n % 2]) for n in range(9)]
    )
    everything = await store.sessions()
    assert [one.session for one in everything] == [f"s-{n}" for n in range(9)]
    numbers = [one.number for one in everything]
    assert numbers == sorted(numbers)
    assert everything[0].number == 1
    assert await store.sessions(limit=4) == everything[:4]
    assert await store.sessions(after=numbers[3], limit=4) == everything[4:8]
    assert await store.sessions("running") == everything[1::2]
    assert await store.sessions("running", numbers[3], 1) == [everything[5]]
    assert await store.sessions("runnin") == []
    assert await store.sessions(limit=0) == []
    await store.record([record("2", "s-1", CREATED)])
    assert [one.session for one in await store.sessions("running")] == ["s-3", "s-5", "s-7"]
    assert await store.session("s-3") == everything[3]


async def test_events_are_read_behind_an_offset(store: Store) -> None:
    await store.record(records(10))
    everything = stored(records(10))
    assert await store.events("s-1", 0) == everything
    assert await store.events("s-1", -5, 3) == everything[:3]
    assert await store.events("s-1", 7) == everything[7:]
    assert await store.events("s-1", 4, 2) == everything[4:6]
    assert await store.events("s-1", 10) == []
    assert await store.events("s-1", 99) == []
    assert await store.events("s-1", limit=0) == []
    assert await store.events("s-2") == []


KINDS = [
    "session.created",
    "session.started",
    "sessionx",
    "draft.completed",
    "session.",
    "*",
    "a*b",
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("session.started", [2]),
        ("session.*", [1, 2, 5]),
        ("session*", [1, 2, 3, 5]),
        ("*", [1, 2, 3, 4, 5, 6, 7]),
        ("Session.*", []),
        ("a*b", [7]),
        ("a**", [7]),
        ("**", [6]),
        ("_ession.*", []),
        ("", []),
    ],
)
async def test_a_kind_is_picked_literally(store: Store, wanted: str, found: list[int]) -> None:
    await store.record([record(kind, change=CREATED, kind=kind) for kind in KINDS])
    assert [one.offset for one in await store.events("s-1", kind=wanted)] == found
    assert [one.offset for one in await store.events("s-1", 1, 2, wanted)] == [
        offset for offset in found if offset > 1
    ][:2]


async def test_at_most_about_a_megabyte_but_at_least_one(store: Store) -> None:
    sizes = [10, 2_000_000, 10, 300_000, 300_000, 300_000, 300_000, 300_000]
    await store.record(
        [
            Record("s-1", Event(str(n), "k", "alice", NOON, "x" * size), CREATED)
            for n, size in enumerate(sizes)
        ]
    )
    read: list[int] = []
    while found := await store.events("s-1", sum(read)):
        assert sum(len(one.event.data) for one in found[:-1]) <= 2**20
        read.append(len(found))
    assert sum(read) == len(sizes)
    assert read[0] == 2
    assert len(read) > 2


async def test_an_event_is_found_by_its_id(store: Store) -> None:
    await store.record([*records(5), *records(1, "s-2")])
    assert await store.event("s-1", "4") == StoredEvent(4, event("4"))
    assert await store.event("s-1", "6") is None
    assert await store.event("s-1", "") is None


# Acknowledging


async def _acknowledged(store: Store, session: str = "s-1") -> dict[str, int]:
    found = await store.session(session)
    assert found is not None
    return dict(found.acknowledged)


async def test_the_highest_acknowledgement_is_kept(store: Store) -> None:
    await store.record([*records(5), *records(5, "s-2")])
    await store.acknowledge(
        [
            Acknowledgement("s-1", "alice", 3),
            Acknowledgement("s-1", "bob", 5),
            Acknowledgement("s-1", "alice", 2),
            Acknowledgement("s-2", "alice", 1),
        ]
    )
    assert await _acknowledged(store) == {"alice": 3, "bob": 5}
    await store.acknowledge([Acknowledgement("s-1", "alice", 4), Acknowledgement("s-1", "bob", 4)])
    assert await _acknowledged(store) == {"alice": 4, "bob": 5}
    assert await _acknowledged(store, "s-2") == {"alice": 1}
    assert [one.acknowledged for one in await store.sessions()] == [
        {"alice": 4, "bob": 5},
        {"alice": 1},
    ]


async def test_nothing_is_kept_of_what_cannot_be(store: Store) -> None:
    await store.record(records(2))
    await store.acknowledge([])
    await store.acknowledge(
        [
            Acknowledgement("s-9", "alice", 1),
            Acknowledgement("s-1", "alice", 3),
            Acknowledgement("s-1", "bob", 0),
            Acknowledgement("s-1", "bob", -1),
        ]
    )
    assert await _acknowledged(store) == {}
    with pytest.raises(ValueError):
        await store.acknowledge([Acknowledgement("s-1", "\ud800", 1)])


# Retention


async def test_truncating_keeps_the_last_event_and_the_state(store: Store) -> None:
    await store.record([record(str(n), change=CREATED, time=NOON + n) for n in range(1, 6)])
    before = await store.session("s-1")
    assert before is not None
    assert await store.truncate("s-1", NOON + 3) == 2
    assert await store.truncate("s-1", NOON + 3) == 0
    assert await store.session("s-1") == replace(before, truncated=2)
    assert [one.offset for one in await store.events("s-1")] == [3, 4, 5]
    assert [one.offset for one in await store.events("s-1", 3, 1)] == [4]
    assert await store.event("s-1", "2") is None
    assert await store.truncate("s-1", LATER) == 2
    assert await store.truncate("s-1", LATER) == 0
    assert await store.session("s-1") == replace(before, truncated=4)
    assert await store.record([record("6", time=NOON + 6), record("5")]) == [6, 5]
    assert [one.offset for one in await store.events("s-1")] == [5, 6]


async def test_nothing_younger_than_the_horizon_is_truncated_nor_behind_it(store: Store) -> None:
    times = [NOON + shift for shift in (0, 1, 5, 2, 3)]
    await store.record([record(str(n), change=CREATED, time=time) for n, time in enumerate(times)])
    assert await store.truncate("s-1", NOON + 4) == 2
    assert await store.truncate("s-1", NOON + 5) == 0
    assert await store.truncate("s-1", NOON + 5.001) == 2
    assert [one.offset for one in await store.events("s-1")] == [5]


async def test_truncating_goes_in_bounded_steps_and_leaves_others_alone(store: Store) -> None:
    await store.record([*records(2_500), *records(3, "s-2")])
    steps = []
    while removed := await store.truncate("s-1", LATER):
        steps.append(removed)
    assert (sum(steps), max(steps) <= 1_000) == (2_499, True)
    assert await store.events("s-1") == stored(records(2_500))[2_499:]
    assert await store.events("s-2") == stored(records(3, "s-2"))
    assert await store.truncate("s-9", LATER) == 0
    with pytest.raises(ValueError, match="not a time"):
        await store.truncate("s-1", float("nan"))


# Consumers


async def test_a_consumer_is_given_what_happens_from_its_enlistment_on(store: Store) -> None:
    await store.record(records(3))
    await store.enlist("hook")
    assert await store.behind("hook") == []
    await store.record([*records(2, start=4), *records(2, "s-2")])
    assert await store.behind("hook") == [("s-1", 3, 5), ("s-2", 0, 2)]
    await store.enlist("hook")
    assert await store.behind("hook") == [("s-1", 3, 5), ("s-2", 0, 2)]
    await store.enlist("other")
    assert await store.behind("other") == []


async def test_consumers_are_listed_by_name(store: Store) -> None:
    await store.record(records(1))
    for name in ("b", "a", "ü", "a"):
        await store.enlist(name)
    await store.advance("b", "s-1", 1)
    assert await store.consumers() == ["a", "b", "ü"]


async def test_a_consumer_enlisted_before_any_session_gets_all(store: Store) -> None:
    await store.enlist("hook")
    assert await store.behind("hook") == []
    await store.record(records(3))
    assert await store.behind("hook") == [("s-1", 0, 3)]


async def test_a_consumer_advances_and_may_go_back(store: Store) -> None:
    await store.enlist("hook")
    await store.record([*records(3), *records(2, "s-2")])
    await store.advance("hook", "s-1", 2)
    assert await store.behind("hook") == [("s-1", 2, 3), ("s-2", 0, 2)]
    await store.advance("hook", "s-1", 3)
    await store.advance("hook", "s-2", 2)
    assert await store.behind("hook") == []
    await store.advance("hook", "s-1", 1)
    assert await store.behind("hook") == [("s-1", 1, 3)]
    await store.advance("hook", "s-1", 0)
    assert await store.behind("hook") == [("s-1", 0, 3)]


async def test_those_that_wait_longest_come_first(store: Store) -> None:
    await store.enlist("hook")
    shifts = (3, 1, 2, 1)
    await store.record(
        [record(session=f"s-{n}", change=CREATED, time=NOON + s) for n, s in enumerate(shifts)]
    )
    assert [name for name, _, _ in await store.behind("hook")] == ["s-1", "s-3", "s-2", "s-0"]
    assert await store.behind("hook", 2) == [("s-1", 0, 1), ("s-3", 0, 1)]
    await store.record([record("2", "s-1", time=NOON + 9)])
    assert [name for name, _, _ in await store.behind("hook", 2)] == ["s-3", "s-2"]


async def test_truncated_events_are_not_waited_for(store: Store) -> None:
    await store.enlist("hook")
    await store.record(records(3))
    await store.truncate("s-1", LATER)
    [(session, offset, top)] = await store.behind("hook")
    assert [one.offset for one in await store.events(session, offset)] == [top]


async def test_a_consumer_never_enlisted_is_refused(store: Store) -> None:
    await store.record(records(1))
    with pytest.raises(ValueError, match="enlisted"):
        await store.behind("hook")
    with pytest.raises(ValueError, match="enlisted"):
        await store.advance("hook", "s-1", 1)
    for name in ("", "x" * 256, "\ud800"):
        with pytest.raises(ValueError):
            await store.enlist(name)


def dead(offset: int, consumer: str = "hook", session: str = "s-1", at: float = NOON) -> DeadLetter:
    return DeadLetter(consumer, session, offset, "410 Gone", at)


async def test_what_could_not_be_delivered_is_listed_until_forgiven(store: Store) -> None:
    await store.record([*records(3), *records(3, "s-2")])
    for consumer in ("hook", "other"):
        await store.enlist(consumer)
    await store.advance("hook", "s-1", 2, dead(2, at=NOON + 3))
    await store.advance("hook", "s-2", 3, dead(1, session="s-2", at=NOON + 1))
    await store.advance("other", "s-1", 3, dead(3, "other", at=NOON + 2.000_4))
    await store.advance("hook", "s-1", 2, dead(2, at=NOON + 3))  # the call was repeated
    mine = [dead(1, session="s-2", at=NOON + 1), dead(2, at=NOON + 3)]
    others = dead(3, "other", at=NOON + 2)
    assert await store.dead_letters() == [mine[0], others, mine[1]]
    assert await store.dead_letters("hook") == mine
    assert await store.dead_letters("nobody") == []
    await store.forgive([mine[1], dead(9), dead(1, session="s-9")])
    assert await store.dead_letters() == [mine[0], others]
    await store.forgive([])
    await store.forgive([mine[0], others])
    assert await store.dead_letters() == []


@pytest.mark.parametrize(
    ("session", "offset", "letter"),
    [
        ("s-9", 1, None),
        ("s-1", 4, None),
        ("s-1", -1, None),
        ("s-1", 2, dead(3)),
        ("s-1", 2, dead(0)),
        ("s-1", 2, dead(2, "other")),
        ("s-1", 2, dead(2, session="s-2")),
        ("s-1", 2, dead(2, at=float("nan"))),
        ("s-1", 2, replace(dead(2), reason="\ud800")),
    ],
)
async def test_no_place_in_a_log_is_refused(
    store: Store, session: str, offset: int, letter: DeadLetter | None
) -> None:
    await store.enlist("hook")
    await store.record([*records(3), *records(3, "s-2")])
    with pytest.raises(ValueError):
        await store.advance("hook", session, offset, letter)
    assert await store.behind("hook") == [("s-1", 0, 3), ("s-2", 0, 3)]
    assert await store.dead_letters() == []


# Living together


async def test_records_and_edits_do_not_get_in_each_others_way(store: Store) -> None:
    sizes: list[int] = []

    async def read() -> None:
        while not sizes or sizes[-1] < 60:
            found = await store.events("s-1")
            assert [one.offset for one in found] == [*range(1, len(found) + 1)]
            sizes.append(len(found))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        for start in range(1, 61, 3):
            await store.record(records(3, start=start))
            await anyio.lowlevel.checkpoint()
    assert {size % 3 for size in sizes} == {0}
    assert sizes == sorted(sizes)


async def test_records_at_once_do_not_share_offsets(store: Store) -> None:
    await store.record(records(1))
    given: list[int] = []

    async def write(number: int) -> None:
        given.extend(await store.record([record(f"{number}-{n}") for n in range(4)]))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(write, number)
    assert sorted(given) == [*range(2, 82)]


async def test_a_cancelled_record_is_whole_or_not_there(store: Store) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.record(records(5))
    assert len(await store.events("s-1")) in (0, 5)
    assert await store.record(records(6)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("opening", ON_DISK, indirect=True)
async def test_reopening_continues_where_it_stopped(opening: Opening) -> None:
    async with opening.open() as store:
        await store.enlist("hook")
        await store.record([*records(3), *records(2, "s-2")])
        await store.acknowledge([Acknowledgement("s-1", "bob", 2)])
        await store.advance("hook", "s-1", 3, dead(2))
        await store.truncate("s-1", LATER)
        before = await store.sessions()
    async with opening.open() as store:
        assert await store.sessions() == before
        assert await store.behind("hook") == [("s-2", 0, 2)]
        assert await store.dead_letters() == [dead(2)]
        assert await store.record([record("3"), *records(1, start=4)]) == [3, 4]
        assert await store.record(records(1, "s-3")) == [1]
        assert [one.number for one in await store.sessions()] == [1, 2, 3]


CALLS: dict[str, Callable[[Store], object]] = {
    "session": lambda store: store.session("s-1"),
    "sessions": lambda store: store.sessions(),
    "events": lambda store: store.events("s-1"),
    "event": lambda store: store.event("s-1", "1"),
    "consumers": lambda store: store.consumers(),
    "behind": lambda store: store.behind("hook"),
    "dead_letters": lambda store: store.dead_letters(),
    "record": lambda store: store.record(records(1)),
    "acknowledge": lambda store: store.acknowledge([]),
    "truncate": lambda store: store.truncate("s-1", LATER),
    "enlist": lambda store: store.enlist("hook"),
    "advance": lambda store: store.advance("hook", "s-1", 1),
    "forgive": lambda store: store.forgive([]),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_closed_store_says_so(opening: Opening, name: str) -> None:
    async with opening.open() as store:
        await store.close()
        call = CALLS[name](store)
        with pytest.raises(StoreError, match="closed"):
            await call  # type: ignore[misc]  # each is one of the store's coroutines


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
_states = st.builds(SessionState, st.just("epoch"), _texts, _texts)
_records = st.builds(
    Record,
    session=st.sampled_from(["a", "b", "ü"]),
    event=st.builds(
        Event,
        id=st.sampled_from("123456789") | _names,
        kind=_names,
        actor=_texts,
        time=st.integers(-(2**53) + 1, 2**53 - 1).map(lambda time: time / 1_000),
        data=_texts,
    ),
    change=st.none() | _states,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=st.lists(st.lists(_records, min_size=1, max_size=6), max_size=5))
async def test_any_event_comes_back_as_it_went(
    opening: Opening, batches: list[list[Record]]
) -> None:
    """Against the simplest model of it: lists."""
    async with opening.open() as store:
        model = {name: await store.events(name) for name in ("a", "b", "ü")}
        for batch in batches:
            with suppress(ValueError):  # the first record of a session has no change
                offsets = await store.record(batch)
                for one, offset in zip(batch, offsets, strict=True):
                    log = model[one.session]
                    if offset > len(log):
                        log.append(StoredEvent(offset, one.event))
                    assert log[offset - 1].event.id == one.event.id
        for name, log in model.items():
            assert await store.events(name) == log
