"""``draftsync``, whose output goes where nothing can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.databases import evaluation

COMMAND = (sys.executable, "-m", "sync.cli.main", "docs")
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.parametrize("arguments", [("list",), ("export", "--all")])
def test_a_full_disk(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    evaluation(tmp_path / "draftsync.db")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, env=BUFFERED, check=False
        )
    told = b"cannot write: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_a_folder_that_takes_nothing(tmp_path: Path) -> None:
    evaluation(tmp_path / "draftsync.db")
    done = subprocess.run(
        [*COMMAND, "export", "--all", "-o", "/proc/drafts.json"], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"/proc/.drafts.json.")
    assert done.stderr.endswith(b".part: No such file or directory\n")


def test_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    evaluation(tmp_path / "draftsync.db")
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as pipe:  # noqa: PTH123 - a descriptor, not a path
        done = subprocess.run(
            [*COMMAND, "list"], stdout=pipe, stderr=subprocess.PIPE, env=BUFFERED, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"")
