"""``python -m tests.bench.micro``: what one edit costs in each part of the service.

Where the side-by-side figures regress, this shows where: microseconds an edit in this process, the
fastest of several rounds, so that a busy machine matters little. ``--merging`` runs the experiment
that chose how the updates of one turn become one frame.

These are the parts of an edit's life, from the outside in: ``decode`` and ``guard`` read its frame;
``apply`` merges it into the document; ``room`` is both with rights, gate and bookkeeping, and the
flush at the end of a turn of so many edits; ``hub`` adds limits, timers, and the hand-over to
journal and peers; ``commit`` is the disk.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvloop
from pycrdt import Doc, merge_updates
from rich.console import Console
from rich.table import Table

from persistence.memory import MemoryStore
from persistence.sqlite import open_sqlite
from persistence.store import ClientRange, Edit, Position, Snapshot
from sync.core.document import Document
from sync.core.guard import inspect
from sync.core.names import DocumentName
from sync.core.room import Room
from sync.core.yprotocol import SyncUpdate, decode, update_frame
from sync.server.hub import open_hub
from sync.server.limits import HubLimits
from tests.bench.edits import Author
from tests.server.parts import Tokens, identity

EDITS = 4_000
ROUNDS = 7
TURNS = (1, 10, 100)

Figure = tuple[str, float]  # what, and seconds an edit


class NoWire:
    """An outbox whose client takes everything at once."""

    full = False
    queued_bytes = 0

    def __init__(self) -> None:
        self.frames = 0

    def put(self, _frame: bytes, /) -> None:
        self.frames += 1

    def finish(self) -> None: ...

    async def drained(self) -> None:
        await asyncio.sleep(0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.micro", description=__doc__)
    parser.add_argument("--merging", action="store_true", help="compare the ways to merge a turn")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    updates = list(Author(0xFEDCBA98, seed=1).write(EDITS).updates)
    figures = merging(updates) if options.merging else parts(updates)
    table = Table("part", "µs an edit")
    for what, seconds in figures:
        table.add_row(what, f"{seconds * 1e6:.2f}")
    Console().print(table)


def parts(updates: list[bytes]) -> Iterator[Figure]:
    """What an edit costs, part by part."""
    frames = [update_frame(update) for update in updates]
    yield "decode", fastest(partial(each, decode, frames))
    yield "guard", fastest(partial(each, inspect, updates))
    yield "apply", fastest(partial(apply_all, updates))
    for turn in TURNS:
        yield f"room, turns of {turn}", fastest(partial(room, updates, turn))
    for turn, readers in ((1, 1), (1, 4), (100, 1), (100, 19)):
        figure = fastest(lambda t=turn, r=readers: uvloop.run(hub(frames, t, r)))  # type: ignore[misc]
        yield f"hub, turns of {turn}, {readers} readers", figure
    for batch in (1, 100, 1_000):
        figure = fastest(lambda b=batch: uvloop.run(commits(updates[:2_000], b)))  # type: ignore[misc]
        yield f"commit, {batch} at once", figure


def merging(updates: list[bytes]) -> Iterator[Figure]:
    """The ways to make one update of a turn's. What applying costs anyway is taken off.

    ``merge_updates`` joins their bytes; ``diff`` asks the document for what is new since the state
    vector before the turn; ``transaction`` applies all in one and takes the update that an observer
    is given. Measured with pycrdt 0.14.13, 2, 10 and 100 edits a turn: 0.7, 0.6, 1.0; 5.7, 1.1,
    0.1; 0.1, -0.7, -0.4. One transaction is cheapest by a microsecond, but where the library fails
    in it nobody knows whose edit it was, and the whole turn would be lost with the culprit. A diff
    repeats all deletions of the document and grows with it. So bytes are merged.
    """
    for turn in (2, 10, 100):
        groups = [updates[at : at + turn] for at in range(0, len(updates), turn)]
        applied = fastest(partial(one_by_one, groups))
        yield f"merge_updates, {turn}", fastest(partial(each, lambda u: merge_updates(*u), groups))
        yield f"diff, {turn}", fastest(partial(diffs, groups)) - applied
        yield f"transaction, {turn}", fastest(partial(observed, groups)) - applied


def fastest(round_: Callable[[], float]) -> float:
    """Seconds an edit of the fastest round."""
    return min(round_() for _ in range(ROUNDS))


def timed(call: Callable[[], object], edits: int) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) / edits


def each(call: Callable[[Any], object], items: Sequence[Any]) -> float:
    return timed(lambda: deque(map(call, items), maxlen=0), EDITS)


def apply_all(updates: Sequence[bytes]) -> float:
    document, read = Document(), [(update, inspect(update)) for update in updates]
    return timed(lambda: [document.apply(*each) for each in read], len(updates))


def room(updates: Sequence[bytes], turn: int) -> float:
    """One writes, one reads."""
    opened = Room(Document(), 0)
    for member in (1, 2):
        opened.join(member, f"s{member}", writable=True)

    def run() -> None:
        for at in range(0, len(updates), turn):
            taken = updates[at : at + turn]
            count, _ = opened.receive_strokes(1, taken)
            for update in taken[count:]:
                opened.receive(1, SyncUpdate(update), 0.0)
            opened.flush()
            opened.committed(len(taken))

    return timed(run, len(updates))


async def hub(frames: Sequence[bytes], turn: int, readers: int) -> float:
    limits = HubLimits(message_rate=0, snapshot_tail=10**9)
    async with open_hub(ForgetfulStore(), Tokens(), limits) as opened:
        name = DocumentName("drafts/1")
        for number in range(readers):
            await opened.open(name, identity(f"s{number}"), NoWire(), lambda: None)
        writer = await opened.open(name, identity(), NoWire(), lambda: None)
        began = time.perf_counter()
        for at in range(0, len(frames), turn):
            opened.feed(writer, deque(frames[at : at + turn]))
            await asyncio.sleep(0)
        await opened.journal.settle()
        return (time.perf_counter() - began) / len(frames)


async def commits(updates: Sequence[bytes], batch: int) -> float:
    """To the disk under the folder for temporary files, every one synced."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_sqlite(Path(folder) / "drafts.db") as store:
            edits = [
                Edit("drafts/1", update, "alice", (ClientRange(7, n, n + 1),), 1e9)
                for n, update in enumerate(updates)
            ]
            began = time.perf_counter()
            for at in range(0, len(edits), batch):
                await store.append(edits[at : at + batch])
            return (time.perf_counter() - began) / len(edits)


class ForgetfulStore(MemoryStore):
    """Takes what it is given, in no time."""

    async def append(self, _batch: Sequence[Edit]) -> Position:
        return Position(1)

    async def compact(self, _snapshot: Snapshot) -> None: ...


def one_by_one(groups: Sequence[Sequence[bytes]]) -> float:
    doc: Doc[Any] = Doc()
    return each(doc.apply_update, [update for group in groups for update in group])


def diffs(groups: Sequence[Sequence[bytes]]) -> float:
    doc: Doc[Any] = Doc()

    def turn(group: Sequence[bytes]) -> None:
        before = doc.get_state()
        for update in group:
            doc.apply_update(update)
        doc.get_update(before)

    return each(turn, groups)


def observed(groups: Sequence[Sequence[bytes]]) -> float:
    doc: Doc[Any] = Doc()
    made: list[bytes] = []
    subscription = doc.observe(lambda event: made.append(event.update))

    def turn(group: Sequence[bytes]) -> None:
        with doc.transaction():
            for update in group:
                doc.apply_update(update)

    seconds = each(turn, groups)
    doc.unobserve(subscription)
    return seconds


if __name__ == "__main__":
    main()
