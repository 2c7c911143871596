"""The border where SQLite's errors become ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from persistence.store import StoreError, StoreUnavailable

_MEANING = {
    sqlite3.SQLITE_BUSY: "it is locked by another process",
    sqlite3.SQLITE_LOCKED: "it is locked by another connection",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk fails",
    sqlite3.SQLITE_READONLY: "it cannot be written: the file or its folder is read-only",
    sqlite3.SQLITE_CANTOPEN: "the file, or the -wal or -shm beside it, cannot be opened",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; `draftsync doctor` tells where",
    sqlite3.SQLITE_NOTADB: "the file is damaged, or is no SQLite database",
    sqlite3.SQLITE_NOMEM: "memory ran out",
}

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_HEALTHY_AFTER = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL}


def base_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, or 0 for an error that the Python module raised."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def tells_damage(error: BaseException) -> bool:
    """Tell whether what SQLite raised says that the file is damaged."""
    if isinstance(error, sqlite3.Error):
        return base_code(error) in _DAMAGE
    return isinstance(error, UnicodeDecodeError)  # in a damaged schema, quoted in its message


def breaks_connection(error: BaseException) -> bool:
    """Tell whether a connection should be opened anew after this error and its rollback."""
    if isinstance(error, sqlite3.Error):
        return base_code(error) not in _HEALTHY_AFTER
    return not isinstance(error, ValueError)  # which is the caller's mistake


def unavailable(path: Path, error: Exception) -> StoreUnavailable:
    """Say what went wrong, for people who do not know SQLite, with SQLite's own words behind."""
    meaning = None
    if isinstance(error, sqlite3.Error):
        meaning = _MEANING.get(base_code(error))
    elif isinstance(error, UnicodeDecodeError):
        meaning = _MEANING[sqlite3.SQLITE_CORRUPT]
    said = f"{meaning} ({error})" if meaning else str(error)
    return StoreUnavailable(f"the database {path} cannot be used now: {said}")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Let only :class:`StoreError` and the caller's own mistakes (ValueError) out."""
    try:
        yield
    except StoreError:
        raise
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        # UnicodeDecodeError: see tells_damage
        raise unavailable(path, error) from error
