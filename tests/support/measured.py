"""How long commands take over a million edits: ``python -m tests.support.measured``.

The whole process of each is measured, as who types it waits for it: start, imports, the answer. The
database is made first (some minutes), or is one of ``tests.support.million`` that is there already
(``--path FILE``). It is for the notes on what was built, and no part of the tests.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import anyio

from tests.support.million import make
from tests.support.service import ROOT

USUAL = "drafts/evaluation-1/case-001"  # under a hundred edits
LONG = "drafts/evaluation-1/case-099"  # some two thousand

COMMANDS = (
    ("docs", "list"),
    ("docs", "list", "--limit", "0", "--json"),
    *(("docs", what, name) for what in ("show", "history", "blame") for name in (USUAL, LONG)),
)
ONCE = (("doctor", "--quick"), ("doctor",))


class Run(NamedTuple):
    """What one process took."""

    wall: float  # seconds
    cpu: float  # seconds, of the user and the system
    peak: int  # bytes


def run(database: Path, *words: str) -> Run:
    """Run a command. Raises CalledProcessError."""
    command = (sys.executable, "-m", "sync.cli.main", *words, "--database", str(database))
    began = time.perf_counter()
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, stdout=nowhere, stderr=nowhere)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)  # Linux has KiB


def line(words: Iterable[str], runs: list[Run]) -> str:
    """The medians of several runs."""
    wall, cpu, peak = (median(each) for each in zip(*runs, strict=True))
    return f"{' '.join(words):<42}{wall:>9.3f}{cpu:>9.3f}{peak / 2**20:>10.0f}"


def measure(database: Path, runs: int) -> None:
    """Print a table; what takes minutes is run once."""
    print(f"{'medians':<42}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}")
    for words in (*COMMANDS, *ONCE):
        repeated = range(1 if words in ONCE else runs)
        print(line(words, [run(database, *words) for _ in repeated]), flush=True)


def main(path: Path | None, documents: int, edits: int, runs: int) -> None:
    """Measure a database, which is made where there is none."""
    with TemporaryDirectory() as folder:
        database = path or Path(folder) / "million.db"
        if not database.exists():
            print(f"making {edits:,} edits of {documents:,} documents…", flush=True)
            anyio.run(make, database, documents, edits)
        measure(database.resolve(), runs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--path", type=Path, help="the database; made where there is none, and kept"
    )
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--edits", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args()
    main(given.path, given.documents, given.edits, given.runs)
