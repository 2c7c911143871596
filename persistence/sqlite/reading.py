"""A connection that only reads. Everything here blocks, and belongs to one thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from persistence.sqlite import (
    consumers,
    deletions,
    history,
    past,
    queries,
    revocations,
    schema,
    sessions,
    tail,
)
from persistence.sqlite.errors import translated
from persistence.sqlite.files import open_to_read
from persistence.sqlite.names import Authors
from persistence.sqlite.tail import Quiet
from persistence.store import (
    DeadLetter,
    Deletion,
    Entry,
    Head,
    History,
    Past,
    Position,
    Revocation,
    StoredDocument,
    StoredEvent,
    StoredSession,
)

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
        self._quiet = Quiet()

    def epoch(self) -> str:
        """Raises StoreError for a file that is missing or not ours, StoreTooNew."""
        return self._read(lambda opened: queries.read_epoch(opened.connection))

    def load(self, document: str) -> StoredDocument:
        return self._read(lambda opened: queries.load(*opened, document))

    def heads(self, prefix: str, after: str = "", limit: int | None = None) -> list[Head]:
        return self._read(lambda opened: queries.heads(*opened, prefix, after, limit))

    def history(self, document: str, after: int, limit: int) -> History:
        return self._read(lambda opened: history.history(*opened, document, after, limit))

    def head(self, document: str) -> Head | None:
        return self._read(lambda opened: queries.head(*opened, document))

    def past(self, document: str, position: int | None) -> Past:
        return self._read(lambda opened: past.past(*opened, document, position))

    def position_at(self, document: str, time: float) -> Position:
        return self._read(lambda opened: past.position_at(*opened, document, time))

    def tail(self, after: int, prefix: str, limit: int) -> list[Entry]:
        return self._read(lambda opened: self._quiet.tail(*opened, after, prefix, limit))

    def last_position(self) -> Position:
        return self._read(lambda opened: tail.last_position(*opened))

    def deletions(self) -> list[Deletion]:
        return self._read(lambda opened: deletions.read_all(opened.connection))

    def revocations(self) -> list[Revocation]:
        return self._read(lambda opened: revocations.read_all(opened.connection))

    def session(self, session: str) -> StoredSession | None:
        return self._read(lambda opened: sessions.session(opened.connection, session))

    def sessions(self, state: str | None, after: int, limit: int) -> list[StoredSession]:
        return self._read(lambda opened: sessions.sessions(opened.connection, state, after, limit))

    def events(self, session: str, after: int, limit: int, kind: str | None) -> list[StoredEvent]:
        return self._read(
            lambda opened: sessions.events(opened.connection, session, after, limit, kind)
        )

    def event(self, session: str, event_id: str) -> StoredEvent | None:
        return self._read(lambda opened: sessions.event(opened.connection, session, event_id))

    def consumers(self) -> list[str]:
        return self._read(lambda opened: consumers.known(opened.connection))

    def behind(self, consumer: str, limit: int) -> list[tuple[str, int, int]]:
        return self._read(lambda opened: consumers.behind(opened.connection, consumer, limit))

    def dead_letters(self, consumer: str | None) -> list[DeadLetter]:
        return self._read(lambda opened: consumers.dead_letters(opened.connection, consumer))

    def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            with suppress(sqlite3.Error):
                opened.connection.close()

    def _read(self, query: Callable[[_Opened], T]) -> T:
        with translated(self.path):
            try:
                if self._opened is None:
                    self._opened, self._quiet = _open(self.path), Quiet()
                return query(self._opened)
            except BaseException:
                self.close()
                raise


def _open(path: Path) -> _Opened:
    path = path.resolve()
    connection = open_to_read(path, PATIENCE)
    try:
        schema.check_for_reading(connection, path)
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA query_only = ON")
        connection.text_factory = bytes
    except BaseException:
        connection.close()
        raise
    return _Opened(connection, Authors(connection))
