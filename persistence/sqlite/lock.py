"""The writer's lock: one process per database, for as long as it lives."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

from persistence.sqlite.files import beside
from persistence.store import StoreInUse


class WriterLock:
    """An exclusive ``flock`` on ``<database>-lock``.

    The file holds two lines: the pid of who took it last, for people, and ``holder``, a name that
    is random, since in containers all services may have the same pid.

    The kernel drops it when the process dies, so a file that a killed server left means nothing.
    It is never unlinked: a second process could then lock a file that a third one no longer sees.
    A forked child shares it until it exits or execs.
    """

    def __init__(self, database: Path) -> None:
        """Take the lock at once. Raises StoreInUse, or OSError when the file cannot be made."""
        self.path = beside(database, "-lock")
        self.holder = secrets.token_hex(16)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take(database)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _take(self, database: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = os.pread(self._descriptor, 128, 0).decode(errors="replace").split()
            process, holder = (*told, None, None)[:2]
            raise StoreInUse(
                f"the database {database} is open for writing in process {process or 'unknown'}",
                holder,
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n{self.holder}\n".encode(), 0)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def last_writer(database: Path) -> bytes:
    """Return what the lock of a database says of who took it last."""
    try:
        return beside(database, "-lock").read_bytes()
    except OSError:
        return b""
