"""The harness itself: it counts what was delivered, and does not let a missing edit pass."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, merge_updates

from tests.bench import report
from tests.bench.client import Client, Pulse, Room
from tests.bench.counting import Failed, Progress, count_delivered
from tests.bench.dialects import Hocuspocus, Kind, YWebsocket, clocks_of, saved, states
from tests.bench.edits import Author, Stream
from tests.bench.feed import Feed
from tests.bench.frames import MASK, frame
from tests.bench.members import Log, publication
from tests.bench.running import Run
from tests.bench.scenarios.events import Events
from tests.bench.scenarios.joining import Joining
from tests.bench.scenarios.saturated import Saturated
from tests.bench.servers import DRAFTSYNC, PEERS, Setting, running
from tests.bench.together import enter, gather, quantile
from tests.bench.updates import Span, spans


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Author(client=7, seed=1).write(300)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(cores=None, seed=1, data=tmp_path, shelf=tmp_path, quiet=0.1)


# ------------------------------------------------------------------------------------ counting


def test_an_edit_is_delivered_once_however_often_it_comes(stream: Stream) -> None:
    progress = Progress()
    for update in (*stream.updates[:2], *stream.updates[:3]):
        progress.receive(spans(update))
    assert count_delivered([progress], [stream]) == 3


def test_a_missing_edit_stops_the_count(stream: Stream) -> None:
    progress = Progress()
    for update in (*stream.updates[:10], *stream.updates[11:]):
        progress.receive(spans(update))
    assert count_delivered([progress], [stream]) == 10


def test_edits_in_any_order_count_when_the_gap_is_closed(stream: Stream) -> None:
    progress, updates = Progress(), list(stream.updates)
    random.Random(3).shuffle(updates)
    for update in updates[1:]:
        progress.receive(spans(update))
    assert count_delivered([progress], [stream]) < len(stream)
    progress.receive(spans(updates[0]))
    assert count_delivered([progress], [stream]) == len(stream)


def test_each_receiver_and_each_author_counts() -> None:
    ours, theirs = (Author(client, seed=1).write(5) for client in (1, 2))
    all_, none = Progress(), Progress()
    for update in (*ours.updates, *theirs.updates):
        all_.receive(spans(update))
    assert count_delivered([all_, none, all_], [ours, theirs]) == 20


# --------------------------------------------------------------------------- updates and edits


def test_the_same_seed_makes_the_same_edits(stream: Stream) -> None:
    assert Author(client=7, seed=1).write(300) == stream
    assert Author(client=7, seed=2).write(300) != stream


def test_a_merged_update_brings_what_its_parts_bring(stream: Stream) -> None:
    other = Author(client=2**32 - 1, seed=1).write(50)
    merged = merge_updates(*stream.updates, *other.updates)
    assert set(spans(merged)) == {
        Span(stream.client, 0, stream.ends[-1]),
        Span(other.client, 0, other.ends[-1]),
    }


def test_a_gap_within_an_update_is_seen(stream: Stream) -> None:
    merged = merge_updates(*stream.updates[:10], *stream.updates[11:20])
    assert spans(merged) == (
        Span(stream.client, 0, stream.ends[9]),
        Span(stream.client, stream.ends[10], stream.ends[19]),
    )


def test_a_whole_document_brings_what_its_edits_bring(stream: Stream) -> None:
    doc: Doc[Any] = Doc()
    for update in stream.updates:
        doc.apply_update(update)
    assert spans(doc.get_update()) == (Span(stream.client, 0, stream.ends[-1]),)


def test_authors_who_learn_from_each_other_go_on_where_they_were() -> None:
    one, two = Author(1, seed=1), Author(2, seed=1)
    first = one.write(20)
    two.learn(first.updates)
    second = two.write(20)
    one.learn(second.updates)
    third = one.write(20)
    assert first.ends[-1] < third.ends[0]
    two.learn(third.updates)
    assert one.doc.get_state() == two.doc.get_state()


# ------------------------------------------------------------------------------------- the wire


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_frame_is_masked_and_says_its_length(size: int) -> None:
    payload = random.Random(size).randbytes(size)
    made = frame(payload)
    head = made[: len(made) - size]
    assert head.endswith(MASK)
    assert made[0] == 0x82
    assert bytes(byte ^ MASK[n % 4] for n, byte in enumerate(made[len(head) :])) == payload


@pytest.mark.parametrize("dialect", [YWebsocket(), Hocuspocus()])
def test_what_is_written_is_read(dialect: YWebsocket | Hocuspocus, stream: Stream) -> None:
    update = stream.updates[0]
    assert dialect.read(dialect.update("room", update)).body == update
    assert dialect.read(dialect.step2("room", update)).kind is Kind.STEP2
    seen = dialect.read(dialect.awareness("room", states({5: (3, b"{}"), 900: (1, b"null")})))
    assert clocks_of(seen.body) == {5: 3, 900: 1}


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert [quantile([3, 1, 2, 4], share) for share in (0, 0.5, 0.99)] == [1, 3, 4]


# ---------------------------------------------------------------------------------- the report


def test_ours_is_held_against_the_best_peer() -> None:
    scenario = Saturated(1, rate_ratio=2.0)
    rates = {PEERS[0].name: (300, 100, 200), PEERS[1].name: (90, 80), PEERS[2].name: (50, 60)}
    runs = [
        Run(scenario.name, name, number, 1.0, {"rate": rate, "cpu": 1.0})
        for name, its in rates.items()
        for number, rate in enumerate(its)
    ]
    line, _ = report.lines([scenario], runs)
    assert (line.ours, line.best, line.met) == (200, 85, True)


def test_a_server_that_failed_once_has_no_figure() -> None:
    scenario = Saturated(1)
    good = Run(scenario.name, "hocuspocus", 0, 1.0, {"rate": 1.0, "cpu": 1.0})
    bad = Run(scenario.name, "hocuspocus", 1, 1.0, failure="it lost an edit")
    line, _ = report.lines([scenario], [good, bad])
    assert line.medians == {}
    assert report.failures([good, bad]) == ["room-1-1, hocuspocus, round 2: it lost an edit"]


# ------------------------------------------------------------------------- against the real one


async def test_a_saturated_room_small(setting: Setting) -> None:
    figures = await Saturated(2, edits=300, warm_up_edits=50, window=32).run(DRAFTSYNC, setting)
    assert figures["edits"] == 300
    assert figures["deliveries"] == 600


async def test_joining_small(setting: Setting) -> None:
    figures = await Joining(clients=20, rooms=4).run(DRAFTSYNC, setting)
    assert 0 < figures["p99"] / 1e3 <= figures["seconds"]


async def test_session_events_small(setting: Setting) -> None:
    scenario = Events(members=3, events=300, warm_up_events=60, window=8, rate=300, seconds=0.3)
    figures = await scenario.run(DRAFTSYNC, setting)
    assert figures["deliveries"] == pytest.approx(3 * figures["rate"])
    assert 0 < figures["published50"] <= figures["published99"]
    assert 0 < figures["delivered50"] <= figures["delivered99"]


async def test_an_event_that_does_not_come_fails_the_run() -> None:
    log = Log(Pulse())
    event_id, _ = publication(1, 1)
    log.sent_at[event_id] = 0.0
    event = {"type": "event", "offset": 1, "id": event_id}
    log.append(json.dumps(event).encode())
    with pytest.raises(Failed, match="event 3 came when 2 was due"):
        log.append(json.dumps(event | {"offset": 3}).encode())


class Forgetful(Client):
    """Loses one frame with edits, as a broken server would."""

    forgot = False

    def receive(self, brought: tuple[Span, ...]) -> None:
        if self.forgot or brought[0].start == 0:
            super().receive(brought)
        self.forgot = self.forgot or brought[0].start > 0


class Unsaved(Client):
    """Does not hear that anything was saved."""

    def note_saved(self, number: int) -> None:
        pass


async def test_what_is_missing_fails_the_run(setting: Setting, stream: Stream) -> None:
    async with running(DRAFTSYNC, setting) as server:
        room = Room("missing", DRAFTSYNC.dialect, pulse := Pulse())
        greeting = room.dialect.greeting(room.name, b"\0")
        kinds: tuple[type[Client], ...] = (Client, Client, Forgetful, Unsaved)
        clients = [kind(room, greeting) for kind in kinds]
        await enter(server, clients, pulse)
        writer, reader, forgetful, unsaved = clients

        feed = Feed(writer, [reader, forgetful], stream, window=8, saves=True)
        with pytest.raises(Failed, match="1 of 2 readers of missing lack edits"):
            await feed.run(100, seconds=0.1, patience=0.2)

        feed = Feed(unsaved, [], Author(8, seed=1).write(10), window=8, saves=True)
        with pytest.raises(Failed, match="0 of 10 edits of missing are known to be on disk"):
            await feed.run(10, seconds=0.1, patience=0.2)

        reader.send(saved(1) + b"and more")
        with pytest.raises(Failed, match="missing: "):
            await pulse.until(lambda: False, lambda: "the server let it pass")
        await gather(client.leave() for client in clients)
