"""A connection that only reads. Everything here blocks, and belongs to one thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from persistence.sqlite import queries, schema
from persistence.sqlite.errors import translated
from persistence.store import Head, StoredDocument, StoreError

T = TypeVar("T")

PATIENCE = 1.0  # seconds to wait for another process's lock before StoreUnavailable


class FileReader:
    """Reads a database beside its writer, or without one.

    The connection is opened ``mode=ro``: it never checkpoints, and leaves a ``-wal`` of a killed
    server as it is. One that met an error is closed, and opened again for the next call.
    """

    def __init__(self, path: Path) -> None:
        """Begin with nothing open; ``path`` is absolute."""
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def epoch(self) -> str:
        """Raises StoreError for a file that is missing or not ours, StoreTooNew."""
        return self._read(queries.read_epoch)

    def load(self, document: str) -> StoredDocument:
        return self._read(lambda connection: queries.load(connection, document))

    def heads(self, prefix: str) -> list[Head]:
        return self._read(lambda connection: queries.heads(connection, prefix))

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        with translated(self.path):
            try:
                if self._connection is None:
                    self._connection = _connect(self.path)
                return query(self._connection)
            except BaseException:
                self.close()
                raise


def _connect(path: Path) -> sqlite3.Connection:
    path = path.resolve()
    if not path.is_file():
        raise StoreError(f"there is no database {path}")
    connection = sqlite3.connect(
        path.as_uri() + "?mode=ro", uri=True, timeout=PATIENCE, isolation_level=None
    )
    try:
        schema.check_for_reading(connection, path)
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA query_only = ON")
        connection.text_factory = bytes
    except BaseException:
        connection.close()
        raise
    return connection
