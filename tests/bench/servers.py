"""The servers that are compared: how each is installed, started, pinned and stopped."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path

import anyio
import jwt

from tests.bench.counting import Failed
from tests.bench.dialects import Dialect, Hocuspocus, YWebsocket
from tests.bench.process import Cores, Tree

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "peers"
SECRET = "a secret of the benchmark, long enough for HS256"
START_SECONDS = 60.0
STOP_SECONDS = 300.0


class Unavailable(Exception):
    """A peer that cannot run on this machine; the text says what is missing."""


@dataclass(frozen=True)
class Peer:
    """A server to compare. ``command`` makes its command line from a port and a data folder."""

    name: str
    title: str
    dialect: Dialect
    command: Callable[[int, Path], Sequence[str]]
    environment: Callable[[int, Path], Mapping[str, str]] = lambda _port, _data: {}
    saves: bool = False
    """Whether it says when an edit is on disk (message 102) and asks for a token."""
    debounce: float = 0.0
    """Seconds after the last edit at which it begins to write."""
    warm_up: float = 1.0
    """Seconds of load that make it as fast as it gets. A compiler that works while it runs needs
    them; a store that falls behind has to catch up with them before it can be measured."""
    forgets: bool = False
    """Whether it drops what it has not written yet when a room's last client leaves."""
    prepare: Callable[[], None] = lambda: None
    folder: Path = ROOT
    """Where it is started."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and with what a run is made."""

    cores: Cores | None
    """None leaves it to the kernel where things run: for tests."""
    seed: int
    data: Path
    """An empty folder of the run's own."""
    shelf: Path
    """A folder that all rounds share: what takes long to make is made once."""
    quiet: float = 0.5
    """Seconds without work after which a server is taken to be idle."""


# ------------------------------------------------------------------------------ what we compare


def _draftsync_command(port: int, data: Path) -> Sequence[str]:
    options = ("--port", str(port), "--database", str(data / "drafts.db"))
    unlimited = ("--message-rate", "0", "--connections-per-subject", "10000")
    program = (sys.executable, "-m", "sync.cli.main", "serve")
    return (*program, *options, *unlimited, "--log-level", "warning")


def _draftsync_environment(_port: int, _data: Path) -> Mapping[str, str]:
    return {"DRAFTSYNC_JWT_SECRET": SECRET}


def _hocuspocus_command(port: int, data: Path) -> Sequence[str]:
    return ("node", str(installed("hocuspocus") / "server.mjs"), str(port), str(data / "hocus.db"))


def _y_websocket_command(_port: int, _data: Path) -> Sequence[str]:
    bin_ = installed("y-websocket") / "node_modules" / "y-websocket" / "bin"
    return ("node", str(bin_ / "server.cjs"))


def _y_websocket_environment(port: int, data: Path) -> Mapping[str, str]:
    return {"HOST": "127.0.0.1", "PORT": str(port), "YPERSISTENCE": str(data / "leveldb")}


def _pycrdt_websocket_command(port: int, data: Path) -> Sequence[str]:
    program = FOLDER / "pycrdt-websocket" / "server.py"
    return (sys.executable, str(program), str(port), str(data / "ystore.db"))


DRAFTSYNC = Peer(
    "draftsync",
    "draftsync",
    YWebsocket("/sync/"),
    _draftsync_command,
    _draftsync_environment,
    saves=True,
)
PEERS = (
    DRAFTSYNC,
    Peer(
        "hocuspocus",
        "Hocuspocus 4.7.0, SQLite",
        Hocuspocus(),
        _hocuspocus_command,
        debounce=2.0,
        prepare=lambda: _install("hocuspocus"),
    ),
    Peer(
        "y-websocket",
        "y-websocket 2.1.0, leveldb",
        YWebsocket(),
        _y_websocket_command,
        _y_websocket_environment,
        prepare=lambda: _install("y-websocket"),
    ),
    Peer(
        "pycrdt-websocket",
        f"pycrdt-websocket {version('pycrdt-websocket')}, SQLite",
        YWebsocket(),
        _pycrdt_websocket_command,
        warm_up=0.2,
        forgets=True,
    ),
)


# --------------------------------------------------------------------------------- installation


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "draftsync-bench"


@cache
def installed(name: str) -> Path:
    """The folder outside the repository where a peer from npm is, named for its lock file."""
    lock = (FOLDER / name / "package-lock.json").read_bytes()
    return _cache() / f"{name}-{hashlib.sha256(lock).hexdigest()[:16]}"


def _install(name: str) -> None:
    """Bring the peer's packages there, once, and our few lines that start it, always."""
    place = installed(name)
    if not shutil.which("node") or not shutil.which("npm"):
        raise Unavailable("node and npm are not on the PATH: install Node 20 or later")
    place.mkdir(parents=True, exist_ok=True)
    for file in (FOLDER / name).iterdir():
        shutil.copy(file, place)
    if not (done := place / ".installed").exists():
        command = ("npm", "ci", "--no-fund", "--no-audit", "--loglevel=error")
        ended = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise Unavailable(f"npm ci failed: {ended.stderr.strip()[-500:]}")
        done.touch()


# -------------------------------------------------------------------------------------- running


@dataclass(frozen=True)
class Server:
    """A server that runs and accepts connections."""

    peer: Peer
    port: int
    tree: Tree
    data: Path
    start_seconds: float
    """From its start until it accepted a connection."""
    quiet: float
    _process: subprocess.Popen[bytes] = field(repr=False)

    def token(self, subject: str) -> str | None:
        """A token for a server that asks for one."""
        return token(subject) if self.peer.saves else None

    async def settle(self, wait: float | None = None, patience: float = 8.0) -> None:
        """Return when it has been idle for a while, and ``wait`` seconds: its debounce if None.

        Idle is below 4 % of a core. Who is not idle after ``patience`` is left to go on.
        """
        quiet = self.quiet + (self.peer.debounce if wait is None else wait)
        deadline = time.perf_counter() + patience
        samples = [(time.perf_counter(), self.tree.cpu())]
        while samples[-1][0] < deadline:
            await anyio.sleep(0.1)
            now, used = time.perf_counter(), self.tree.cpu()
            while len(samples) > 1 and samples[1][0] <= now - quiet:
                del samples[0]
            if now - samples[0][0] >= quiet and used - samples[0][1] <= max(0.01, 0.04 * quiet):
                return
            samples.append((now, used))


@asynccontextmanager
async def running(peer: Peer, setting: Setting, *options: str) -> AsyncIterator[Server]:
    """``async with running(...) as server``: on a free port, on its core, stopped by SIGTERM.

    ``options`` are added to its command line. Failed if it does not start, or does not stop.
    """
    port, started = _free_port(), time.perf_counter()
    data, cores = setting.data, setting.cores
    process = _start(peer, port, data, cores, options)
    try:
        await _accepting(process, port)
        tree = Tree(process.pid, cores or Cores.here())
        took = time.perf_counter() - started
        yield Server(peer, port, tree, data, took, setting.quiet, process)
        await _stop(peer, process)
    except Failed as failure:
        raise Failed(f"{failure}{_last_words(data)}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def _start(
    peer: Peer, port: int, data: Path, cores: Cores | None, options: Sequence[str]
) -> subprocess.Popen[bytes]:
    with (data / "server.log").open("ab") as log:
        return subprocess.Popen(
            (*peer.command(port, data), *options),
            cwd=peer.folder,
            env=_environment(peer, port, data),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=(lambda: os.sched_setaffinity(0, {cores.server})) if cores else None,
        )


def token(subject: str) -> str:
    """A token with which ``subject`` may write everything, and lead all sessions."""
    granted = {"docs": {"*": "write"}, "sessions": {"*": "lead"}}
    claims = {"sub": subject, "aud": "draftsync", **granted}
    expiry = datetime.now(UTC) + timedelta(hours=1)
    return jwt.encode({**claims, "exp": expiry}, SECRET, algorithm="HS256")


def _environment(peer: Peer, port: int, data: Path) -> dict[str, str]:
    """This process's, without what it has for a draftsync of one's own."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("DRAFTSYNC_")}
    return clean | {"NODE_ENV": "production"} | dict(peer.environment(port, data))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def _accepting(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.perf_counter() + START_SECONDS
    while time.perf_counter() < deadline and process.poll() is None:
        try:
            stream = await anyio.connect_tcp("127.0.0.1", port)
        except OSError:
            await anyio.sleep(0.005)
        else:
            await stream.aclose()
            return
    raise Failed(f"it did not start (exit {process.poll()})")


async def _stop(peer: Peer, process: subprocess.Popen[bytes]) -> None:
    """As an operator does it. How it ends is asked of ours only."""
    if (code := process.poll()) is not None:
        raise Failed(f"it ended by itself, exit {code}")
    process.terminate()
    deadline = time.perf_counter() + STOP_SECONDS
    while process.poll() is None:
        if time.perf_counter() > deadline:
            raise Failed(f"still running {STOP_SECONDS:.0f} s after SIGTERM")
        await anyio.sleep(0.01)
    if peer.saves and process.returncode != 0:
        raise Failed(f"exit {process.returncode} after SIGTERM")


def _last_words(data: Path) -> str:
    log = (data / "server.log").read_text(errors="replace")
    return f"\n--- the end of its log ---\n{log[-2000:]}" if log else ""
