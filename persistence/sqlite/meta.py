"""What the database says of itself, by keys: each value with a checksum."""

from __future__ import annotations

import sqlite3

from persistence.sqlite.rows import open_meta, seal_meta

REMOVED = "removed"
"""How many entries retention and purges ever removed."""

_PUT = "INSERT OR REPLACE INTO meta (key, value, checksum) VALUES (?, ?, ?)"
_GET = "SELECT value, checksum FROM meta WHERE key = ?"


def read_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """Return a value, None where it is damaged or missing."""
    row = connection.execute(_GET, (key,)).fetchone()
    return open_meta(key, *row) if row else None


def write(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(_PUT, (key, value, seal_meta(key, value)))


def count_removed(connection: sqlite3.Connection, entries: int) -> None:
    """Entries were removed on purpose. A damaged count stays so, for `doctor` to find."""
    before = read_meta(connection, REMOVED)
    if entries and before is not None:
        write(connection, REMOVED, str(int(before) + entries))
