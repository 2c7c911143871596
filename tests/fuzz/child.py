"""`python -m tests.fuzz.child --seed 1 --seconds 60 --trace FILE`: fuzz a room, in this process.

It is a process of its own because the library may end it. The messages of the sequence at work are
in the trace file, written before the room gets them, so a crash leaves its cause behind;
`--only N` runs the N-th sequence of a seed alone. Prints one line of JSON with what was counted.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import signal
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

from sync.server.deep_stack import run_deep
from tests.fuzz.histories import edited, handmade, recorded
from tests.fuzz.ordeal import Ordeal


class Trace:
    """The messages of one sequence, in a file: unbuffered, so that they survive a crash."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def begin(self, seed: int, sequence: int) -> None:
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, b"seed %d sequence %d\n" % (seed, sequence))

    def note(self, frame: bytes) -> None:
        os.write(self._file, frame.hex().encode() + b"\n")


class Fuzz:
    """Sequences of one seed. Each is made by (seed, number) alone, and can be run alone."""

    def __init__(self, seed: int, trace: Trace) -> None:
        self.counts: Counter[str] = Counter()
        self._seed = seed
        self._trace = trace
        self._histories = (
            [edited(n) for n in range(64)] + list(handmade()) + list(recorded(60, 200))
        )
        self._updates = sorted({each for history in self._histories for each in history})

    def run(self, number: int) -> None:
        random = Random(self._seed << 32 | number)
        self._trace.begin(self._seed, number)
        history = _variant(random, random.choice(self._histories), self._updates)
        ordeal = Ordeal(random, self.counts, self._trace.note)
        ordeal.run(history, self._updates, rate=random.choice((0.05, 0.2, 0.5)))
        self.counts["sequences"] += 1


def _variant(random: Random, history: list[bytes], others: list[bytes]) -> list[bytes]:
    """A history with a few of its updates displaced, doubled or lost, and strange ones between."""
    changed = list(history)
    for _ in range(random.choice((0, 0, 1, 3))):
        at = random.randrange(len(changed) + 1)
        match random.randrange(4):
            case 0 if changed:
                changed.insert(at, changed.pop(random.randrange(len(changed))))
            case 1 if changed:
                changed.insert(at, random.choice(changed))
            case 2 if changed:
                changed.pop(random.randrange(len(changed)))
            case _:
                changed.insert(at, random.choice(others))
    return changed[:60]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--only", type=int)
    parser.add_argument("--crash", action="store_true", help="die of a segfault at the end")
    given = parser.parse_args()
    faulthandler.enable()
    os.environ.setdefault("RUST_BACKTRACE", "0")  # of the panics that the room survives
    fuzz = Fuzz(given.seed, Trace(given.trace))
    try:
        if given.only is not None:
            fuzz.run(given.only)
        else:
            _run_for(fuzz, given.seconds)
    except BaseException:  # noqa: BLE001 - a panic is no Exception; all end here, with the trace
        traceback.print_exc()
        return 1
    if given.crash:
        signal.raise_signal(signal.SIGSEGV)
    print(json.dumps(fuzz.counts))
    return 0


def _run_for(fuzz: Fuzz, seconds: float) -> None:
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        fuzz.run(number)
        number += 1


if __name__ == "__main__":
    raise SystemExit(run_deep(main))
