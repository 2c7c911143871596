"""Fuzzing what reaches native code, in child processes: there a segfault is a test that fails.

`DRAFTSYNC_FUZZ_SECONDS=36000 pytest tests/fuzz/test_native.py` goes on for ten hours;
`DRAFTSYNC_FUZZ_SEED` picks other sequences. A failure names the seed and the sequence, and ends
with the last messages; `python -m tests.fuzz.child --seed S --only N --trace FILE` repeats it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SECONDS = float(os.environ.get("DRAFTSYNC_FUZZ_SECONDS", "12"))
SEED = int(os.environ.get("DRAFTSYNC_FUZZ_SEED", "1"))
ROOT = Path(__file__).resolve().parents[2]

Record = Callable[[str, object], None]


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.long
def test_a_room_survives_mutated_traffic(tmp_path: Path, record_property: Record) -> None:
    """No crash, no panic that gets out, nothing of the honest editor lost, and it loads again."""
    counts = _fuzz(tmp_path, "--seconds", str(SECONDS))
    print(json.dumps(counts))
    record_property("counts", counts)
    assert counts["sequences"] > 0
    assert counts["closed 4400"] > 0
    assert counts["rebuilt"] > 0  # it gets through to native code, and past its failures


def test_a_sequence_can_be_repeated(tmp_path: Path) -> None:
    """The same seed and number give the same messages, byte for byte."""
    traces = []
    for _ in range(2):
        _fuzz(tmp_path, "--only", "7")
        traces.append((tmp_path / "trace").read_bytes())
    assert traces[0] == traces[1]
    assert traces[0].startswith(b"seed %d sequence 7\n" % SEED)


def test_a_crash_is_told_with_its_cause(tmp_path: Path) -> None:
    """The judge is judged: a child that dies leaves its last messages."""
    with pytest.raises(AssertionError, match=r"(?s)signal 11.*seed .*sequence 7"):
        _fuzz(tmp_path, "--only", "7", "--crash")


def _fuzz(where: Path, *options: str) -> dict[str, int]:
    """Run the child; return what it counted."""
    trace = where / "trace"
    command = [sys.executable, "-m", "tests.fuzz.child", "--seed", str(SEED)]
    command += ["--trace", str(trace), *options]
    # Panics that are caught are printed all the same, with a stack each: not kept in memory.
    with (where / "stderr").open("wb") as log:
        child = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, check=False)
    assert child.returncode == 0, _obituary(child.returncode, trace, where / "stderr")
    counts: dict[str, int] = json.loads(child.stdout)
    return counts


def _obituary(code: int, trace: Path, log: Path) -> str:
    fate = f"signal {-code}" if code < 0 else f"exit {code}"
    messages = trace.read_text().splitlines() if trace.exists() else ["nothing was traced"]
    last_words = log.read_text(errors="replace")[-3_000:]
    return "\n".join([fate, messages[0], *messages[1:][-60:], "--- stderr ---", last_words])
