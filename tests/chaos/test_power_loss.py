"""Fault 2: a power failure. After a kill, files are set back to their last fsync.

Edits and events are written in turns. With durability "full" nothing acknowledged may be missing.
With "normal" some of both must be: that shows that the shim bites.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from persistence.sqlite.reading import FileReader
from persistence.sqlite.writing import FileWriter
from persistence.store import Edit, StoredEvent, StoredSession

HERE = Path(__file__).parent
ROUNDS = 50
SEED = 2_211


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler `cc` to build power_loss.c with")
    library = tmp_path_factory.mktemp("shim") / "power_loss.so"
    source = HERE / "power_loss.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


class Stock(NamedTuple):
    """What is in a database: the last position, and how many events all sessions have."""

    position: int
    events: int

    @classmethod
    def said(cls, line: str) -> Stock:
        return cls(*map(int, line.split()))

    def most(self, other: Stock) -> Stock:
        return Stock(*map(max, self, other))

    def plus(self, other: Stock) -> Stock:
        return Stock(self.position + other.position, self.events + other.events)

    def lacks(self, other: Stock) -> Stock:
        """How many edits and events only the other one has."""
        return Stock(*(max(0, there - here) for here, there in zip(self, other, strict=True)))


EMPTY = Stock(0, 0)


class Machine:
    """A writer that can be cut off from power, and its disk."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self._folder = folder
        self._process = process
        self._boots = 0
        self.database = folder / "0" / "drafts.db"
        self.database.parent.mkdir()
        self._shadow = folder / "0.shadow"
        self._remember_all()

    def run_and_cut(self, durability: str, random_: random.Random) -> Stock:
        """Write until a random moment, cut the power; return the last that was acknowledged."""
        acknowledged = self.run_and_kill(durability, random_)
        self._boot()
        return acknowledged

    def run_and_kill(self, durability: str, random_: random.Random) -> Stock:
        """Do the same, but kill only the process: the page cache stays."""
        pid = self._start(durability, random_)
        acknowledged = EMPTY
        for _ in range(random_.randrange(1, 60)):
            acknowledged = Stock.said(self._line())
        for _ in range(random_.randrange(20_000)):
            pass  # not a wait: the cut must fall at any point of a commit
        return acknowledged.most(self._kill(pid))

    def look_and_cut(self, random_: random.Random) -> Stock:
        """Open with full durability, cut the power; return what was shown."""
        pid = self._start("look", random_)
        shown = Stock.said(self._line())
        self._kill(pid)
        self._boot()
        return shown

    def _start(self, durability: str, random_: random.Random) -> int:
        assert self._process.stdin is not None
        seed = random_.randrange(10**6)
        print(self.database, self._shadow, durability, seed, file=self._process.stdin, flush=True)
        return int(self._line().removeprefix("pid "))

    def _kill(self, pid: int) -> Stock:
        """Kill the writer, and return the last that it still said, or nothing."""
        os.kill(pid, signal.SIGKILL)
        said = EMPTY
        while (line := self._line()) != "dead":
            said = Stock.said(line)
        return said

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _boot(self) -> None:
        """Make a folder of what the disk holds; the next run works in it."""
        self._boots += 1
        folder = self._folder / str(self._boots)
        folder.mkdir()
        for line in (self._shadow / "names").read_text().splitlines():
            inode, name = line.split(" ", 1)
            if name.endswith("-shm"):
                continue  # it is made again after a crash
            synced = self._shadow / inode
            (folder / name).write_bytes(synced.read_bytes() if synced.exists() else b"")
        shutil.rmtree(self.database.parent)
        shutil.rmtree(self._shadow)
        self.database = folder / "drafts.db"

    def start_from_here(self) -> None:
        """Take everything there is as being on the disk."""
        self._shadow = self._folder / f"{self._boots}.shadow"
        self._remember_all()

    def _remember_all(self) -> None:
        self._shadow.mkdir()
        files = [path for path in self.database.parent.iterdir() if path.is_file()]
        for path in files:
            shutil.copyfile(path, self._shadow / str(path.stat().st_ino))
        names = "".join(f"{path.stat().st_ino} {path.name}\n" for path in files)
        (self._shadow / "names").write_text(names)


@contextmanager
def machine(folder: Path, shim: Path) -> Iterator[Machine]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.power_loss_child"],
        cwd=HERE.parent.parent,
        env={**os.environ, "LD_PRELOAD": str(shim)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield Machine(folder, process)
    finally:
        process.kill()


def lost_in(rounds: int, durability: str, folder: Path, shim: Path) -> tuple[Stock, Stock]:
    """Return how many edits and events were lost though acknowledged, and how many are there."""
    random_ = random.Random(SEED)
    lost = kept = EMPTY
    with machine(folder, shim) as one:
        for _ in range(rounds):
            acknowledged = one.run_and_cut(durability, random_)
            kept = _check(one.database)
            lost = lost.plus(kept.lacks(acknowledged))
            one.start_from_here()
    return lost, kept


def _check(database: Path) -> Stock:
    """Assert that the database is sound, and takes more; return what it held before."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with closing(FileReader(database)) as reader:
        events = sum(_check_session(reader, each) for each in reader.sessions(None, 0, 100))
    writer = FileWriter(database)
    writer.open()
    top = writer.append((Edit("probe", b"", "probe", (), 1.0),))
    writer.close()
    with closing(FileReader(database)) as reader:
        heads = reader.heads("")
        assert [reader.load(head.document).damaged for head in heads] == [()] * len(heads)
    assert sum(head.edits for head in heads) == top, "positions have no gap"
    return Stock(top, events)


def _check_session(reader: FileReader, session: StoredSession) -> int:
    """Its log is whole, and its state the one that the last event that changes it brought about."""
    events: list[StoredEvent] = []
    while more := reader.events(session.session, len(events), 1_000, None):
        events += more
    assert [each.offset for each in events] == list(range(1, session.top + 1))
    changes = [each.event.id for each in events if each.event.kind == "power.change"]
    assert session.current.body == changes[-1], "a change without its event, or the reverse"
    return session.top


@pytest.mark.long
def test_full_durability_loses_nothing_that_was_acknowledged(tmp_path: Path, shim: Path) -> None:
    lost, kept = lost_in(ROUNDS, "full", tmp_path, shim)
    assert lost == EMPTY
    assert min(kept) > 10 * ROUNDS


def test_normal_durability_loses_the_last_commits_and_nothing_else(
    tmp_path: Path, shim: Path
) -> None:
    lost, kept = lost_in(10, "normal", tmp_path, shim)
    assert 0 < lost.position < kept.position
    assert 0 < lost.events < kept.events


def test_what_a_killed_server_left_unsynced_is_synced_before_it_is_shown(
    tmp_path: Path, shim: Path
) -> None:
    random_ = random.Random(SEED)
    with machine(tmp_path, shim) as one:
        for _ in range(5):
            one.run_and_kill("normal", random_)
            shown = one.look_and_cut(random_)
            assert _check(one.database) == (shown.position + 1, shown.events)
            one.start_from_here()
