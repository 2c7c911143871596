"""The service, forked off a process that has imported everything: a start costs milliseconds.

Run as a program: reads one JSON list of arguments a line, forks a child that is ``draftsync serve``
with them, says ``pid N`` before and ``ended CODE`` after (minus the signal where one ended it). The
child's own stdout comes in between. So fifty SIGKILLs need no fifty imports.

With ``--announce-early`` the service has a bug, for tests that must find it: its journals announce
edits and events as committed before they append them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from fastapi import FastAPI

from persistence.store import Edit, Position, Record
from sync.cli.main import main
from sync.server import event_journal, journal, serving
from tests.support.service import PATIENCE, READY, ROOT, SECRET

EARLY = "--announce-early"


class ForkedService:
    """Starts and kills services, one at a time. Made by :func:`forked_service`."""

    def __init__(self, parent: Process, log: Path) -> None:
        assert parent.stdin is not None
        assert parent.stdout is not None
        self._stdin = parent.stdin
        self._lines = BufferedByteReceiveStream(parent.stdout)
        self.log = log
        self.pid = 0
        self.url = ""

    @property
    def sync_url(self) -> str:
        return f"ws{self.url.removeprefix('http')}/sync"

    async def start(self, database: Path, *options: str) -> None:
        """Start a service on a file, and wait until it is ready."""
        arguments = ["--port", "0", "--database", str(database), *options]
        await self._stdin.send(json.dumps(arguments).encode() + b"\n")
        self.pid = int(await self._line("pid "))
        self.url = await self._line(READY)

    async def signal(self, number: int, within: float = 15.0) -> int:
        """Send a signal that ends the service; return its exit code."""
        os.kill(self.pid, number)
        with anyio.fail_after(within):
            return int(await self._line("ended "))

    async def _line(self, beginning: str) -> str:
        with anyio.fail_after(PATIENCE):
            line = (await self._lines.receive_until(b"\n", 4_096)).decode()
        assert line.startswith(beginning), f"{line!r}\n{self.log.read_text()[-3_000:]}"
        return line.removeprefix(beginning)


@asynccontextmanager
async def forked_service(
    log: Path, *options: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[ForkedService]:
    """A parent to fork services off; what they log goes to ``log``."""
    command = [sys.executable, "-m", "tests.support.forks", *options]
    variables = {k: v for k, v in os.environ.items() if not k.startswith("DRAFTSYNC_")}
    variables |= {"DRAFTSYNC_JWT_SECRET": SECRET, **(environment or {})}
    with await anyio.to_thread.run_sync(log.open, "ab") as stderr:
        parent = await anyio.open_process(
            command, stdin=subprocess.PIPE, stderr=stderr, env=variables, cwd=ROOT
        )
    service = ForkedService(parent, log)
    try:
        yield service
    finally:
        with anyio.CancelScope(shield=True):
            parent.kill()  # and with it the service: it asked for that
            await parent.wait()
            await parent.aclose()


class HastyJournal(journal.Journal):
    """The bug: what is announced is only on its way to the disk."""

    async def _commit(self, batch: list[journal._Submission]) -> None:
        position = 0
        for submission in batch:
            position += len(submission.edits)
            submission.committed(Position(position))
        await anyio.sleep(0.01)  # a disk that takes a moment; a kill falls into it
        edits: list[Edit] = [edit for submission in batch for edit in submission.edits]
        await self._append(edits)
        self._unsaved -= len(batch)
        self._bytes -= sum(len(edit.update) for edit in edits)
        self._progress.set()
        self._progress = anyio.Event()


class HastyEventJournal(event_journal.EventJournal):
    """The same bug for events."""

    async def _commit(self, batch: list[event_journal._Submission]) -> None:
        records = [submission.record for submission in batch]
        for submission, offset in zip(batch, await self._guess(records), strict=True):
            submission.committed(offset)
            submission.offset.set_result(offset)
        await anyio.sleep(0.02)  # a disk that takes a moment; a kill falls into it
        await self._record(records)
        self._done(batch)

    async def _guess(self, records: list[Record]) -> list[int]:
        tops: dict[str, int] = {}
        for session in {record.session for record in records}:
            stored = await self._store.session(session)
            tops[session] = stored.top if stored else 0
        offsets = []
        for record in records:
            known = await self._store.event(record.session, record.event.id)
            tops[record.session] += known is None
            offsets.append(known.offset if known else tops[record.session])
        return offsets


def _fork(arguments: list[str]) -> None:
    child = os.fork()
    if child == 0:
        _die_with_parent()
        sys.argv = ["draftsync", "serve", *arguments]
        print(f"pid {os.getpid()}", flush=True)
        main()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


def _die_with_parent() -> None:
    import ctypes
    import signal

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _warm_up() -> None:
    """Import what a first use would: it is half of the time of a start."""
    anyio.run(anyio.sleep, 0)
    serving._loop_factory()
    FastAPI().get("/")(lambda: None)


def _run() -> None:
    _warm_up()
    if EARLY in sys.argv:
        from sync.server import hub, sessions

        vars(hub)["Journal"] = HastyJournal
        vars(sessions)["EventJournal"] = HastyEventJournal
    for line in sys.stdin:
        _fork(json.loads(line))


if __name__ == "__main__":
    _run()
