"""A database file, and the files that lie beside it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from persistence.store import StoreError

BESIDE = ("-wal", "-shm", "-journal", "-lock")
"""What SQLite, and the writer's lock, put beside a database."""


def beside(database: Path, suffix: str) -> Path:
    return database.with_name(database.name + suffix)


def remove(database: Path) -> None:
    """Remove a database and whatever lies beside it, as far as it is there."""
    for suffix in ("", *BESIDE):
        beside(database, suffix).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Sync a folder, or a file that SQLite keeps no locks on in this process."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_to_read(path: Path, patience: float) -> sqlite3.Connection:
    """Open a database beside its writer, or without one: it is never changed, nor checkpointed.

    ``patience``: seconds to wait for another process's lock. Raises StoreError where there is no
    such file, sqlite3.Error.
    """
    if not path.is_file():
        raise StoreError(f"there is no database {path}")
    uri = path.as_uri() + "?mode=ro"
    if _is_closed(path) and not os.access(path.parent, os.W_OK):
        uri += "&immutable=1"  # else SQLite makes an index of the log beside it, and cannot there
    return sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None)


def _is_closed(path: Path) -> bool:
    """Nobody has it open, and it was closed in order: who has it, has a log beside it."""
    return not any(beside(path, suffix).exists() for suffix in ("-wal", "-shm"))
