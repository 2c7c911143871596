"""What the store costs: time to durable, beside a busy loop; bytes; loads.

    python -m tests.stores.bench_append [latency] [busy] [size] [retention] [loads] [record]

Measured on a 2-core VM (2026-11-22, Python 3.11.7, SQLite 3.40.1, two other jobs on the same
cores), rounds of the schema before this one ("was") in between:

=========================================  ====================  ======================
append one, page synced in 80 to 120 µs    250 to 320 µs         was 350 to 480 µs
append 10; 100                             0.36–0.54; 1.3–1.9 ms  was 0.40–0.61; 1.6–2.4 ms
bytes of 50,000 edits, 1 form; 50 forms    2.3×; 2.4× updates    was 5.9×; 6.0×
after all history was thinned              1.11× the snapshot
loads of 50 entries; of a snapshot         2,000; 9,000 a second  was 1,200; 6,500
events in batches of 1; 10; 50, 1 session  2,500; 18,000; 34,000  25 µs of CPU each in 50s
the same, 20 sessions                      2,600; 10,800; 17,000  45 to 57 µs
events read                                230,000 a second
=========================================  ====================  ======================

What decided, each by itself:

* A log that is overwritten syncs a page in 155 µs, one that grows in 250: so it is written to its
  length once, and never truncated while it is in use.
* Beside a thread that spins, ``executemany`` of 100 rows takes 272 ms, one multi-row statement 6:
  the GIL is taken once for a step, and each time costs up to the switch interval.
* A call handed to another thread and back takes 25 µs at an idle loop, 40 by ThreadPoolExecutor.
* ``busy``, both cores: at a switch interval that is longer than a turn of the loop (5, 1 and 0.3 ms
  here) the writer may starve for seconds. The loop lets go of the GIL each turn, too shortly for
  another core to wake up and take it, and whoever waits begins to wait anew. At 0.1 ms and less it
  never does: 16,000 to 19,000 durable edits/s, submitted to durable in 4 to 8 ms. Pinned to one
  core, 15,000 to 16,000 at any interval.
* WITHOUT ROWID and a composite integer key take the same space (69 and 61 bytes an edit of one
  document, 72 and 74 of 50), a table by position with an index 72 and 74; only the first two keep
  a document in one stretch.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any

import uvloop
from pycrdt import Doc, Map, Text

from persistence.sqlite import SqliteStore, open_sqlite
from persistence.store import ClientRange, Edit, Event, Position, Record, SessionState, Snapshot

DRAFT = "drafts/s-2026-11/case-0042"
AUTHORS = ("alice@example.org", "bob@example.org", "carol@example.org")
QUESTIONS = [f"q{number}-{word}" for number in range(12) for word in ("score", "verdict", "note")]
VALUES = (1, 2, 3, 4, 5, 4.5, True, "pass", "fail", "needs another look", None)


class Form:
    """People who fill in one form: answers set, and text typed key by key."""

    def __init__(self, document: str = DRAFT, seed: int = 1) -> None:
        self.document = document
        self._random = random.Random(seed)
        self._docs: list[Doc[Any]] = [
            Doc(client_id=2**31 + number) for number, _ in enumerate(AUTHORS)
        ]
        self._clocks = [0] * len(AUTHORS)
        self._updates: list[bytes] = []
        for doc in self._docs:
            doc.observe(lambda event: self._updates.append(event.update))

    def edits(self) -> Iterator[Edit]:
        """Edits as they come over the wire, for ever: two keystrokes for an answer that is set."""
        while True:
            who = self._random.randrange(len(AUTHORS))
            for _ in range(self._random.randrange(1, 60)):
                yield self._edit(who)

    def _edit(self, who: int) -> Edit:
        doc = self._docs[who]
        if self._random.random() < 1 / 3:
            doc.get("form", type=Map)[self._random.choice(QUESTIONS)] = self._random.choice(VALUES)
        else:
            text = doc.get("comment", type=Text)
            text += self._random.choice("etaoin shrdlu")
        update = self._updates[-1]
        for number, other in enumerate(self._docs):
            if number != who:
                other.apply_update(update)
        self._updates.clear()
        start, self._clocks[who] = self._clocks[who], self._clocks[who] + 1
        brought = ClientRange(doc.client_id, start, start + 1)
        return Edit(self.document, update, AUTHORS[who], (brought,), time.time())

    def snapshot(self, position: int) -> Snapshot:
        """The whole form as one update."""
        doc = self._docs[0]
        return Snapshot(
            self.document, Position(position), doc.get_update(), doc.get_state(), time.time()
        )


def synced_page() -> float:
    """Median seconds to sync a page that overwrites another, as in a log at its length."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=os.environ.get("BENCH_DIR")) as file:
        file.write(bytes(4_120 * 300))
        os.fsync(file.fileno())
        for number in range(300):
            os.pwrite(file.fileno(), os.urandom(4_120), 4_120 * number)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        yield Path(name)


async def latency() -> None:
    """Append batches at an idle loop."""
    for _ in range(3):
        with folder() as place:
            async with open_sqlite(place / "drafts.db") as store:
                edits = Form().edits()
                await store.append([next(edits)])
                await asyncio.sleep(0.1)
                synced = synced_page()
                medians = [
                    f"{size}: {await _median(store, edits, size):,.0f}" for size in (1, 10, 100)
                ]
                synced = min(synced, synced_page())
                print(f"latency: page synced {synced * 1e6:.0f} µs; batches of", ", ".join(medians))


async def _median(store: SqliteStore, edits: Iterator[Edit], size: int) -> float:
    taken = []
    for _ in range(600 if size == 1 else 100):
        batch = list(islice(edits, size))
        began = time.perf_counter()
        await store.append(batch)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


async def busy() -> None:
    """50 writers at a loop that is all Python: what is submitted is committed in groups."""
    for interval in (0.005, 0.001, 0.000_3, 0.000_1, 0.000_05):
        sys.setswitchinterval(interval)
        with folder() as place:
            async with open_sqlite(place / "drafts.db") as store:
                await _busy(store, interval)
    sys.setswitchinterval(0.005)


async def _busy(store: SqliteStore, interval: float, seconds: float = 3.0) -> None:
    forms = [list(islice(Form(f"drafts/{n}", n).edits(), 20)) for n in range(50)]
    waiting: list[tuple[float, Edit]] = []
    commits: list[float] = []
    delays: list[float] = []

    async def journal() -> None:
        while True:
            if not waiting:
                await asyncio.sleep(0)
                continue
            batch = waiting[:10_000]
            del waiting[:10_000]
            began = time.perf_counter()
            await store.append([edit for _, edit in batch])
            now = time.perf_counter()
            commits.append(now - began)
            delays.extend(now - submitted for submitted, _ in batch)

    writing = asyncio.create_task(journal())
    end = time.perf_counter() + seconds
    number = 0
    while (now := time.perf_counter()) < end:
        if len(waiting) < 5_000:
            for _ in range(5):
                waiting.append((now, forms[number % 50][number % 20]))
                number += 1
        while time.perf_counter() < now + 0.000_2:  # the work for these edits: all Python
            pass
        await asyncio.sleep(0)
    writing.cancel()
    if not commits:
        print(f"busy: switch interval {interval * 1e3:g} ms: nothing was committed in {seconds} s")
        return
    print(
        f"busy: switch interval {interval * 1e3:g} ms: {len(delays) / seconds:,.0f} edits/s, "
        f"commit p50 {statistics.median(commits) * 1e3:.1f} ms, "
        f"submitted to durable p50 {statistics.median(delays) * 1e3:.1f} ms"
    )


async def size() -> None:
    """50,000 edits of one form, and of 50 forms, in a file after a clean stop."""
    for documents in (1, 50):
        with folder() as place:
            forms = [Form(f"{DRAFT}-{n}", n).edits() for n in range(documents)]
            logged = 0
            async with open_sqlite(place / "drafts.db") as store:
                for _ in range(500):
                    batch = [next(random.choice(forms)) for _ in range(100)]
                    logged += sum(len(edit.update) for edit in batch)
                    await store.append(batch)
            stored = (place / "drafts.db").stat().st_size
            print(
                f"size: {documents} documents, 50,000 edits: {logged:,} bytes of updates, "
                f"{stored:,} in the file: {stored / logged:.2f}×"
            )


async def retention() -> None:
    """The same document with a snapshot, and after all history went."""
    with folder() as place:
        path = place / "drafts.db"
        form = Form()
        edits = form.edits()
        async with open_sqlite(path) as store:
            for _ in range(500):
                await store.append(list(islice(edits, 100)))
            snapshot = form.snapshot(50_000)
            await store.compact(snapshot)
        before = path.stat().st_size
        async with open_sqlite(path) as store:
            began = time.perf_counter()
            thinned = await _longest(lambda: store.thin(DRAFT, time.time() + 1))
            reclaimed = await _longest(store.reclaim)
            taken = time.perf_counter() - began
        after, whole = path.stat().st_size, len(snapshot.update)
        print(
            f"retention: {before:,} bytes → {after:,} in {taken * 1e3:.0f} ms, a step at most "
            f"{thinned * 1e3:.1f} and {reclaimed * 1e3:.1f} ms; the snapshot has {whole:,}: "
            f"{after / whole:.2f}×"
        )


async def _longest(step: Callable[[], Awaitable[int]]) -> float:
    longest = 0.0
    while True:
        began = time.perf_counter()
        if not await step():
            return longest
        longest = max(longest, time.perf_counter() - began)


async def loads() -> None:
    """400 of 2,000 documents at once; and one with a snapshot of 1 MB."""
    with folder() as place:
        async with open_sqlite(place / "drafts.db") as store:
            form = list(islice(Form().edits(), 50))
            for start in range(0, 2_000, 100):
                names = [f"drafts/{number}" for number in range(start, start + 100)]
                await store.append([edit._replace(document=n) for n in names for edit in form])
            for number in range(1, 2_000, 2):
                name = f"drafts/{number}"
                head = (await store.load(name)).head
                await store.compact(Snapshot(name, head, os.urandom(2_000), b"1", 1.0))
            await store.append([Edit("big", b"", "alice", (), 1.0)])
            position = await store.append([Edit("big", b"", "alice", (), 1.0)])
            await store.compact(Snapshot("big", position, os.urandom(2**20), b"1", 1.0))
        async with open_sqlite(place / "drafts.db") as store:
            for what, first in (("50 entries", 0), ("a snapshot", 1)):
                for _ in range(2):
                    names = [f"drafts/{number}" for number in range(first, 800, 2)]
                    gc.collect()
                    began = time.perf_counter()
                    await asyncio.gather(*(store.load(name) for name in names))
                    rate = len(names) / (time.perf_counter() - began)
                    print(f"loads: {what}: {rate:,.0f} documents/s")
            began = time.perf_counter()
            await store.load("big")
            print(f"loads: a snapshot of 1 MB: {(time.perf_counter() - began) * 1e3:.1f} ms")


async def record() -> None:
    """Events of one session, and of 20, in batches; then all of them read again."""
    for sessions in (1, 20):
        with folder() as place:
            async with open_sqlite(place / "drafts.db") as store:
                records = _records(sessions)
                await store.record(list(islice(records, sessions)))
                rates = [f"{n}: {await _recorded(store, records, n)}" for n in (1, 10, 50)]
                print(f"record: {sessions} sessions, batches of", "; ".join(rates))
                await _read_events(store)


async def _recorded(store: SqliteStore, records: Iterator[Record], size: int) -> str:
    batches = [list(islice(records, size)) for _ in range(max(1_000 // size, 200))]
    began, spent = time.perf_counter(), time.process_time()
    for batch in batches:
        await store.record(batch)
    total = size * len(batches)
    cpu = (time.process_time() - spent) / total
    return f"{total / (time.perf_counter() - began):,.0f} events/s, {cpu * 1e6:.0f} µs of CPU each"


def _records(sessions: int) -> Iterator[Record]:
    """Events of all sessions in turn, for ever; the first of each makes it."""
    body = json.dumps({"title": "Refunds, week 48", "members": list(AUTHORS)})
    made = SessionState("0f" * 16, "created", body)
    for number in count():
        data = json.dumps({"case": f"case-{number % 40}", "text": "needs another look"})
        event = Event(str(uuid.uuid4()), "review.note", AUTHORS[0], time.time(), data)
        yield Record(f"s-{number % sessions}", event, made if number < sessions else None)


async def _read_events(store: SqliteStore) -> None:
    began = time.perf_counter()
    after = read = 0
    while found := await store.events("s-0", after):
        after, read = found[-1].offset, read + len(found)
    print(f"record: {read} events read: {read / (time.perf_counter() - began):,.0f}/s")


PARTS = (latency, busy, size, retention, loads, record)

if __name__ == "__main__":
    for part in PARTS:
        if part.__name__ in sys.argv[1:] or len(sys.argv) == 1:
            uvloop.run(part())
