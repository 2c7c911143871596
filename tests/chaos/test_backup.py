"""Fault 41, backup while writing: the copy is consistent, and the writers do not notice.

Fifty writers on real sockets edit ten documents, and wait for SAVED after each edit, while
``draftsync backup`` copies the database in a process of its own. Each copy must be whole, and hold
every edit whose SAVED had come before the command was started.

How long a writer is held up is bounded by how a copy is made, and that is shown step by step:
nobody waits for a lock, nobody has more to do than otherwise, and no more bytes wait to be synced
than those of one step.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from pycrdt import Array, Doc, Map
from websockets.exceptions import ConnectionClosed

from persistence.sqlite import open_sqlite, open_sqlite_readonly
from persistence.sqlite.backup import copy_database
from persistence.sqlite.writing import FileWriter
from persistence.store import Edit, StoredDocument
from sync.core.content import content
from sync.core.replay import replay
from tests.chaos.test_sigkill import LONG_TTL, TOKEN
from tests.server.parts import eventually
from tests.support.client import ROOT as ANSWERS
from tests.support.client import Client, Peer, connect
from tests.support.service import ROOT, ServiceProcess

COMMAND = (sys.executable, "-m", "sync.cli.main")
WRITERS = 50
DOCUMENTS = 10
ROUNDS = 2

NOON = 1_790_000_000.0

FILLING = 4_000
"""Entries of 4 KB that are there before, so that copying takes a while."""

MOST_AT_ONCE = 2 * 2**20
"""Bytes that a disk syncs, at 40 MB/s, in the 50 ms that a SAVED may take longer for a backup."""


@dataclass
class Writer:
    """Somebody who makes an edit, waits until it is saved, pauses, and makes the next one."""

    name: str
    document: str
    doc: Doc[Any] = field(default_factory=Doc)
    saved: int = 0
    latencies: list[tuple[float, float]] = field(default_factory=list)  # when sent, how long

    async def write(self, url: str) -> None:
        try:
            async with connect(url, self.document, TOKEN, peer=Peer(doc=self.doc)) as client:
                await client.synced()
                while True:
                    await self._edit(client)
                    await anyio.sleep(0.05)  # somebody who types fast
        except (ConnectionClosed, OSError, EOFError):
            pass  # the service was killed; it is looked at what was saved

    async def _edit(self, client: Client) -> None:
        item = f"{self.name}-{self.saved}"
        began = time.perf_counter()
        await client.edit(lambda doc: doc.get(ANSWERS, type=Array).append(item))
        await client.saved(within=60)
        self.latencies.append((began, time.perf_counter() - began))
        self.saved += 1


def writers() -> list[Writer]:
    return [Writer(f"w{number}", f"drafts/{number % DOCUMENTS}") for number in range(WRITERS)]


@asynccontextmanager
async def writing(crowd: list[Writer], url: str) -> AsyncIterator[None]:
    """Everybody writes until the block is left."""
    async with anyio.create_task_group() as tasks:
        for writer in crowd:
            tasks.start_soon(writer.write, url)
        yield
        tasks.cancel_scope.cancel()


async def all_have_saved(crowd: list[Writer], more: int) -> None:
    """Wait until each has saved so many more edits."""
    wanted = {writer.name: writer.saved + more for writer in crowd}
    await eventually(lambda: all(writer.saved >= wanted[writer.name] for writer in crowd), 60)


async def fill(path: Path) -> None:
    """A database that takes a while to copy."""
    batches = await anyio.to_thread.run_sync(fillings)
    async with open_sqlite(path, "normal") as store:
        for batch in batches:
            await store.append(batch)


def fillings() -> list[list[Edit]]:
    """Documents of which each has a large answer after the other."""
    doc: Doc[Any] = Doc()
    updates = []
    for number in range(500):
        before = doc.get_state()
        doc.get(ANSWERS, type=Map)["q"] = f"{number} " * 1_000
        updates.append(doc.get_update(before))
    return [
        [Edit(f"old/{number}", update, "alice", (), NOON) for update in updates]
        for number in range(FILLING // 500)
    ]


async def back_up(database: Path, copy: Path) -> dict[str, Any]:
    """As an operator does; returns what the command tells."""
    command = [*COMMAND, "backup", str(copy), "--database", str(database), "--json"]
    done = await anyio.run_process(command, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout)
    return told


async def doctor(copy: Path) -> None:
    """Checksums, and a replay of every document, in a process of its own."""
    command = [*COMMAND, "doctor", "--database", str(copy), "--json"]
    done = await anyio.run_process(command, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


async def check(copy: Path, crowd: list[Writer], saved: dict[str, int]) -> None:
    """The copy is whole by itself, and holds what was saved; of everybody it holds a beginning."""
    assert [each.name for each in copy.parent.glob(f"{copy.name}*")] == [copy.name]
    assert await anyio.to_thread.run_sync(integrity, copy) == "ok"
    held: dict[str, list[int]] = {writer.name: [] for writer in crowd}
    async with open_sqlite_readonly(copy) as reader:
        for head in await reader.heads():
            stored = await reader.load(head.document)
            assert not stored.damaged
            if head.document.startswith("drafts/"):
                for item in await anyio.to_thread.run_sync(items, stored):
                    name, _, number = item.partition("-")
                    held[name].append(int(number))
    for writer in crowd:
        assert held[writer.name] == list(range(len(held[writer.name])))
        assert len(held[writer.name]) >= saved[writer.name], writer.name


def integrity(copy: Path) -> str:
    with closing(sqlite3.connect(f"{copy.as_uri()}?immutable=1", uri=True)) as connection:
        ((found,),) = connection.execute("PRAGMA integrity_check").fetchall()
    return str(found)


def items(stored: StoredDocument) -> list[str]:
    """What a document holds, as one who loads it sees it."""
    snapshot = stored.snapshot.update if stored.snapshot else None
    replayed = replay(snapshot, [entry.edit.update for entry in stored.entries])
    assert not replayed.left_out
    held = content(replayed.document.encode())[ANSWERS]
    assert isinstance(held, list)
    return held


def latencies(crowd: list[Writer], began: float, ended: float) -> list[float]:
    """How long edits took that were under way between two times, in order."""
    return sorted(
        seconds
        for writer in crowd
        for sent, seconds in writer.latencies
        if sent + seconds > began and sent < ended
    )


@dataclass
class Round:
    """One backup, and what was known when its command was started."""

    copy: Path
    saved: dict[str, int]
    calm: list[float]  # latencies before it, in order
    during: list[float]


async def test_a_backup_while_fifty_people_write(tmp_path: Path) -> None:
    """How long a SAVED takes is told, too: it says as much of the machine as of the backup."""
    database = tmp_path / "drafts.db"
    crowd, rounds = writers(), list[Round]()
    await fill(database)
    async with (
        ServiceProcess(database, *LONG_TTL) as service,
        writing(crowd, service.sync_url),
    ):
        await all_have_saved(crowd, 5)
        for number in range(ROUNDS):
            rounds.append(await play(crowd, database, tmp_path / f"copy-{number}.db"))
    for each in rounds:
        await check(each.copy, crowd, each.saved)
    await doctor(rounds[-1].copy)
    print(
        f"{len(rounds)} backups, {sum(writer.saved for writer in crowd)} edits; until SAVED, "
        f"median of all / longest of a round, least and most: before "
        f"{figures([r.calm for r in rounds])}, during {figures([r.during for r in rounds])} ms"
    )


def figures(rounds: Sequence[list[float]]) -> str:
    longest = [each[-1] for each in rounds]
    found = (statistics.median(chain.from_iterable(rounds)), min(longest), max(longest))
    return "/".join(f"{1e3 * each:.1f}" for each in found)


async def play(crowd: list[Writer], database: Path, copy: Path) -> Round:
    times = [time.perf_counter()]
    await all_have_saved(crowd, 5)
    times.append(time.perf_counter())
    saved = {writer.name: writer.saved for writer in crowd}
    told = await back_up(database, copy)
    times.append(time.perf_counter())
    assert told["position"] >= FILLING + sum(saved.values())
    return Round(copy, saved, *(latencies(crowd, *each) for each in pairwise(times)))


# Step by step


@dataclass
class Steps:
    """A writer's connection that waits for no lock, and counts the steps of SQLite's machine."""

    count: int = 0

    def connect(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        connection.set_progress_handler(self._step, 1)
        return connection

    def _step(self) -> int:
        self.count += 1
        return 0

    def of(self, call: Callable[[], object]) -> int:
        before = self.count
        call()
        return self.count - before


def test_no_step_of_a_backup_holds_up_a_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind each of them it commits at once, with as much to do as without a backup.

    It goes on bringing its log into the database, too, and need not wait for that either.
    """
    monkeypatch.setattr("persistence.sqlite.writing.LOG_PAGES", 1)  # at every commit
    steps, database = Steps(), tmp_path / "drafts.db"
    writer = FileWriter(database, "normal", steps.connect)
    writer.open()
    writer.append(tuple(Edit("old", bytes(4_000), "alice", (), NOON) for _ in range(2_000)))
    writer.append((Edit("new", b"1", "alice", (), NOON),))
    writer.tidy()

    def write() -> None:
        writer.append((Edit("new", b"2", "alice", (), NOON),))

    def commit() -> tuple[int, int]:
        return steps.of(write), steps.of(writer.tidy)

    calm = [commit() for _ in range(5)]
    copied: list[int] = [0]
    during: list[tuple[int, int]] = []

    def beside(done: int, _total: int) -> None:
        copied.append(done)
        during.append(commit())

    made = copy_database(database, tmp_path / "copy.db", beside)
    writer.close()
    assert made.entries == 2_000 + 1 + 5
    assert len(during) > 3
    for one, other in zip(zip(*calm, strict=True), zip(*during, strict=True), strict=True):
        assert max(other) <= max(one)
    assert max(behind - before for before, behind in pairwise(copied)) <= MOST_AT_ONCE
