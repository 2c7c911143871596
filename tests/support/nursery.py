"""Processes that begin with everything imported: a start costs a fifth of a second, not one.

Run as a program it is the nursery: it imports what a service needs, and forks a child whenever the
socket that is its stdin asks for one; the child goes on as `python -m PROGRAM ARGUMENTS` would.
Each process of tests has one, from its first :func:`fork` on. Between the two is a guardian, which
tells by a pipe who the child is and how it ended. Whoever dies takes along who is below.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import anyio
from anyio.abc import ByteReceiveStream

ROOT = Path(__file__).resolve().parents[2]
AVAILABLE = sys.platform == "linux"
"""Whether there is one here: it lives on a call of this system's."""

PR_SET_PDEATHSIG = 1
REQUEST_BYTES = 2**20


class Fork:
    """A child of the nursery's, with what is used of `anyio.abc.Process`."""

    def __init__(self, stdout: Pipe, fate: Pipe, pid: int) -> None:
        self.stdout = stdout
        self.pid = pid
        self._fate = fate
        self._code: int | None = None

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal where one ended it; None while it runs."""
        if self._code is None and self._fate.readable:
            self._code = int(os.read(self._fate.number, 16) or -signal.SIGKILL)
        return self._code

    async def wait(self) -> int:
        """Wait until it has ended; return its exit code."""
        if self._code is None:
            await anyio.wait_readable(self._fate.number)
        code = self.returncode
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    async def aclose(self) -> None:
        """Forget it, once it has ended."""
        await self.stdout.aclose()
        await self._fate.aclose()


class Pipe(ByteReceiveStream):
    """The end of a pipe that is read here."""

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def readable(self) -> bool:
        """Whether something has come, or the end."""
        poll = select.poll()
        poll.register(self.number, select.POLLIN)
        return bool(poll.poll(0))

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        await anyio.wait_readable(self.number)
        if not (received := os.read(self.number, max_bytes)):
            raise anyio.EndOfStream
        return received

    async def aclose(self) -> None:
        os.close(self.number)


async def fork(program: Sequence[str], environment: Mapping[str, str], stderr: IO[bytes]) -> Fork:
    """Start ``python -m``, with a module and its arguments in ``program``, by a fork."""
    out, said = os.pipe()
    fate, told = os.pipe()
    request = json.dumps([list(program), dict(environment)]).encode()
    socket.send_fds(_nursery(), [request], [said, stderr.fileno(), told])
    os.close(said)
    os.close(told)
    await anyio.wait_readable(fate)
    return Fork(Pipe(out), Pipe(fate), int(os.read(fate, 16)))


@functools.cache
def _nursery() -> socket.socket:
    """Where to ask the nursery of this process, which ends when this is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", __name__]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("DRAFTSYNC_")}
    with theirs:  # in a session of its own: Ctrl-C is for us
        process = subprocess.Popen(
            command, stdin=theirs.fileno(), env=clean, cwd=ROOT, start_new_session=True
        )
    atexit.register(process.wait)
    atexit.register(ours.close)  # which comes first
    return ours


# ------------------------------------------------------------------------------- in the nursery


def _warm_up() -> None:
    """Import what a start imports, and what a first use would."""
    from fastapi import FastAPI

    import sync.cli.serve
    import sync.server.serving

    anyio.run(anyio.sleep, 0)
    sync.server.serving._loop_factory()
    FastAPI().get("/")(lambda: None)


def _children(requests: socket.socket) -> list[str]:
    """Fork whenever it is asked for; return in each child, with its program."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a guardian
    while True:
        request, descriptors, *_ = socket.recv_fds(requests, REQUEST_BYTES, 3)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            break
        for each in descriptors:
            os.close(each)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _die_with_parent()
    requests.close()
    stdout, stderr, told = descriptors
    program, environment = json.loads(request)
    _guard(told, stdout, stderr)
    _become(environment, stdout, stderr)
    os.close(told)
    return list(program)


def _guard(told: int, *others: int) -> None:
    """Fork the child, which returns; stay, and tell how it ended."""
    child = os.fork()
    if child == 0:
        _die_with_parent()
        return
    for each in others:
        os.close(each)
    os.write(told, b"%-16d" % child)
    _, status = os.waitpid(child, 0)
    os.write(told, b"%-16d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(environment: Mapping[str, str], stdout: int, stderr: int) -> None:
    """Take over streams and variables; stdin is empty."""
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, stderr)):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _warm_up()
    module, *arguments = _children(socket.socket(fileno=os.dup(0)))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
