"""Processes as the kernel sees them: on which cores, at what cost of CPU and memory.

Source: proc(5). CPU time is that of a process and all its descendants, those that have ended and
were waited for included; the kernel counts it in ticks of 10 ms.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the server runs, and where the load: two cores, or the same where there is one."""

    server: int
    load: int

    @classmethod
    def here(cls) -> Cores:
        """The first two cores that this process may use."""
        first, *others = sorted(os.sched_getaffinity(0))
        return cls(first, others[0] if others else first)

    @property
    def apart(self) -> bool:
        return self.server != self.load


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters at one moment, in seconds."""

    at: float
    server: float
    load: float
    server_core: float
    load_core: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What went on between two readings. Shares are of one core."""

    seconds: float
    server: float
    load_share: float
    foreign: float
    """The larger share of either core that went to processes which are none of the benchmark's."""

    @classmethod
    def between(cls, first: Reading, last: Reading) -> Usage:
        seconds = last.at - first.at
        server, load = last.server - first.server, last.load - first.load
        others = (
            last.server_core - first.server_core - server,
            last.load_core - first.load_core - load,
        )
        return cls(seconds, server, load / seconds, max(0.0, *others) / seconds)


class Tree:
    """A process and its descendants."""

    def __init__(self, root: int, cores: Cores) -> None:
        self.root = root
        self._cores = cores

    def cpu(self) -> float:
        """Seconds of CPU that the tree has used until now."""
        return sum(_cpu_seconds(pid) for pid in self._members())

    def resident(self) -> int:
        """Bytes of the tree's resident memory."""
        return sum(_resident(pid) for pid in self._members())

    def read(self) -> Reading:
        """All counters now; the calling process is the load."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        busy = _busy_seconds()
        return Reading(
            time.perf_counter(),
            self.cpu(),
            own.ru_utime + own.ru_stime,
            busy[self._cores.server],
            busy[self._cores.load],
        )

    def _members(self) -> Iterator[int]:
        children: dict[int, list[int]] = {}
        for pid, parent in _parents():
            children.setdefault(parent, []).append(pid)
        waiting = [self.root]
        while waiting:
            yield (pid := waiting.pop())
            waiting += children.get(pid, [])


def _parents() -> Iterator[tuple[int, int]]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            yield int(entry.name), int(fields[1])


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none if the process has gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _cpu_seconds(pid: int) -> float:
    """utime, stime, cutime and cstime."""
    return sum(map(int, _stat(pid)[11:15])) / _TICK


def _resident(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _busy_seconds() -> dict[int, float]:
    """For each core, seconds in user, nice and system mode since the machine was started."""
    lines = (_PROC / "stat").read_text().splitlines()
    cores = [line.split() for line in lines if line.startswith("cpu") and line[3].isdigit()]
    return {int(core[0][3:]): sum(map(int, core[1:4])) / _TICK for core in cores}
