"""A connection that only reads. Everything here blocks, and belongs to one thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from persistence.sqlite import queries, schema
from persistence.sqlite.errors import translated
from persistence.sqlite.names import Authors
from persistence.store import Head, StoredDocument, StoreError

T = TypeVar("T")

PATIENCE = 1.0  # seconds to wait for another process's lock before StoreUnavailable


class _Opened(NamedTuple):
    connection: sqlite3.Connection
    authors: Authors


class FileReader:
    """Reads a database beside its writer, or without one.

    The connection is opened ``mode=ro``: it never checkpoints, and leaves a ``-wal`` of a killed
    server as it is. One that met an error is closed, and opened again for the next call.
    """

    def __init__(self, path: Path) -> None:
        """Begin with nothing open; ``path`` is absolute."""
        self.path = path
        self._opened: _Opened | None = None

    def epoch(self) -> str:
        """Raises StoreError for a file that is missing or not ours, StoreTooNew."""
        return self._read(lambda opened: queries.read_epoch(opened.connection))

    def load(self, document: str) -> StoredDocument:
        return self._read(lambda opened: queries.load(*opened, document))

    def heads(self, prefix: str) -> list[Head]:
        return self._read(lambda opened: queries.heads(*opened, prefix))

    def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            with suppress(sqlite3.Error):
                opened.connection.close()

    def _read(self, query: Callable[[_Opened], T]) -> T:
        with translated(self.path):
            try:
                if self._opened is None:
                    self._opened = _open(self.path)
                return query(self._opened)
            except BaseException:
                self.close()
                raise


def _open(path: Path) -> _Opened:
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
    return _Opened(connection, Authors(connection))
