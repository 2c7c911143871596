"""The real service in a process of its own: started, killed, restarted on the same port."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import urlsplit

import anyio
import jwt
from anyio import AsyncContextManagerMixin
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.support import nursery

ROOT = Path(__file__).resolve().parents[2]
SERVE = ("sync.cli.main", "serve")
SECRET = "a secret of the tests, long enough for HS256"
AUDIENCE = "draftsync"
READY = "draftsync ready "

PATIENCE = 30.0
"""Seconds that a start, and a stop, may take."""


class ServiceError(Exception):
    """The service did not start or stop as promised; the text ends with its stderr."""


class ServiceProcess(AsyncContextManagerMixin):
    """`async with ServiceProcess(tmp_path / "drafts.db") as service`: a server on a free port.

    `options` are further arguments of `draftsync serve`, `environment` further variables. Whatever
    the environment has set for a server of one's own (`DRAFTSYNC_*`) is kept from it. `program` is
    the module that is run, with its first arguments: by a fork where there are forks, unless it is
    to be `fresh`, as an operator starts it.
    """

    def __init__(
        self,
        database: Path | str,
        *options: str,
        environment: Mapping[str, str] | None = None,
        secret: str = SECRET,
        log: Path | None = None,
        program: Sequence[str] = SERVE,
        fresh: bool = False,
    ) -> None:
        self.database = str(database)
        self.options = options
        self.url = ""
        self._program = program
        self._fresh = fresh or not nursery.AVAILABLE
        self._environment = _clean_environment() | {"DRAFTSYNC_JWT_SECRET": secret}
        self._environment |= environment or {}
        self._secret = secret
        self._log = log or Path(f"{database}.stderr")
        self._process: Process | nursery.Fork | None = None

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncIterator[Self]:
        try:
            await self.start()
            yield self
            await self._check_log()
        finally:
            with anyio.CancelScope(shield=True):
                await self._clean_up()

    # ---------------------------------------------------------------------------- life and death

    async def start(self) -> None:
        """Start on the port of last time, or a free one, and wait until it is ready."""
        if self.running:
            raise ServiceError("it is running already")
        self._process = await self._spawn()
        self.url = await self._ready(self._process)

    async def kill(self) -> None:
        """SIGKILL: no farewell, no flush."""
        process = self._running()
        process.send_signal(signal.SIGKILL)
        await self._gone(process)

    async def terminate(
        self, within: float = PATIENCE, number: signal.Signals = signal.SIGTERM
    ) -> int:
        """SIGTERM, or another signal; return the exit code."""
        process = self._running()
        process.send_signal(number)
        with anyio.move_on_after(within):
            return await self._gone(process)
        raise ServiceError(
            f"still running {within} s after {number.name}{await self._last_words()}"
        )

    async def restart(self) -> None:
        """Stop as an operator does, and start again on the same port."""
        code = await self.terminate()
        if code != 0:
            raise ServiceError(f"exit code {code} after SIGTERM{await self._last_words()}")
        await self.start()

    @property
    def running(self) -> bool:
        """Whether it was started and did not end."""
        return self._process is not None and self._process.returncode is None

    async def check(self) -> None:
        """Raise if it has ended by itself: a crash is told where it happened, with its stderr."""
        if self._process is not None and self._process.returncode is not None:
            code = self._process.returncode
            raise ServiceError(f"it ended by itself, exit code {code}{await self._last_words()}")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._running().pid

    # --------------------------------------------------------------------------- where and who

    @property
    def port(self) -> int:
        """The port that it listens on, or did before it was stopped."""
        return urlsplit(self.url).port or 0

    @property
    def sync_url(self) -> str:
        """What a y-websocket provider is given as its server."""
        return f"ws{self.url.removeprefix('http')}/sync"

    def token(
        self,
        sub: str = "alice",
        *,
        docs: Mapping[str, str] | None = None,
        ttl: float = 3600,
        **claims: Any,
    ) -> str:
        """A token for this server: everything may be written unless `docs` says otherwise."""
        expiry = datetime.now(UTC) + timedelta(seconds=ttl)
        granted = {"*": "write"} if docs is None else dict(docs)
        payload = {"sub": sub, "aud": AUDIENCE, "exp": expiry, "docs": granted} | claims
        return jwt.encode(payload, self._secret, algorithm="HS256")

    async def stderr(self) -> str:
        """Everything that it wrote to stderr, over all its lives."""
        path = anyio.Path(self._log)
        return await path.read_text(errors="replace") if await path.exists() else ""

    # ------------------------------------------------------------------------------- the process

    async def _spawn(self) -> Process | nursery.Fork:
        where = ("--port", str(self.port), "--database", self.database)
        program = [*self._program, *where, *self.options]
        # A file and not a pipe: nobody has to read it, and it is there after a crash.
        with await anyio.to_thread.run_sync(self._open_log) as log:
            if not self._fresh:
                return await nursery.fork(program, self._environment, log)
            return await anyio.open_process(
                [sys.executable, "-m", *program],
                stdin=subprocess.DEVNULL,
                stderr=log,
                env=self._environment,
                cwd=ROOT,
            )

    def _open_log(self) -> IO[bytes]:
        return self._log.open("ab")

    async def _ready(self, process: Process | nursery.Fork) -> str:
        assert process.stdout is not None
        line = b""
        with anyio.move_on_after(PATIENCE):
            try:
                line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 4096)
            except (anyio.EndOfStream, anyio.IncompleteRead):
                await process.wait()
        if not line.startswith(READY.encode()):
            fate = "it is running" if process.returncode is None else f"exit {process.returncode}"
            raise ServiceError(f"not ready ({fate}): {line!r}{await self._last_words()}")
        return line.decode().removeprefix(READY).strip()

    def _running(self) -> Process | nursery.Fork:
        if self._process is None:
            raise ServiceError("it is not running")
        return self._process

    async def _gone(self, process: Process | nursery.Fork) -> int:
        code = await process.wait()
        await process.aclose()
        self._process = None
        return code

    async def _clean_up(self) -> None:
        if self._process is not None:
            if self._process.returncode is None:
                self._process.send_signal(signal.SIGKILL)
            await self._gone(self._process)

    async def _check_log(self) -> None:
        """No error of ours may pass unseen, though every client was served."""
        said = await self.stderr()
        if "Traceback" in said or "sending failed" in said:
            at = max(said.find("Traceback"), said.find("sending failed"), 0)
            raise ServiceError(
                f"the service had an error of its own:\n{said[max(0, at - 500) : at + 2000]}"
            )

    async def _last_words(self) -> str:
        return "\n--- stderr ---\n" + (await self.stderr())[-4000:]


def _clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("DRAFTSYNC_")}
