"""The quarantine: rows that could not be left where they were, with their bytes, and why."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass

from persistence.sqlite.rows import Row
from persistence.sqlite.seals import legible

NOTE = "note"
"""The source of what is no row: something that is known to be lost, without its bytes."""

_PUT = """
    INSERT INTO quarantine (at, source, name, position, reason, columns)
    VALUES (?, ?, ?, ?, ?, ?)"""


@dataclass(frozen=True, slots=True)
class PutAside:
    """Where a row stood and whose it was, as far as that is known."""

    source: str  # the table
    columns: str  # their names, as in rows.ENTRY_COLUMNS
    row: Row
    name: str = ""  # of the document or the session
    position: int = 0  # or offset


def put_aside(connection: sqlite3.Connection, what: PutAside, reason: str) -> None:
    """Keep a row in the quarantine; the caller gives the transaction, and removes it there."""
    named = (name.strip().strip('"') for name in what.columns.split(","))
    told = {name: _told(value) for name, value in zip(named, what.row, strict=True)}
    _put(connection, what.source, what.name, what.position, reason, told)


def note(
    connection: sqlite3.Connection, name: str, position: int, reason: str, count: int = 1
) -> None:
    """Take note of what is lost."""
    _put(connection, NOTE, name, position, reason, {"count": count})


def _put(
    connection: sqlite3.Connection,
    source: str,
    name: str,
    position: int,
    reason: str,
    columns: dict[str, object],
) -> None:
    at = round(time.time() * 1_000)
    connection.execute(_PUT, (at, source, name, position, reason, json.dumps(columns)))


def _told(value: object) -> object:
    """A column as JSON: numbers as they are; texts and blobs, which may be broken, in base64."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return value


def quarantined(connection: sqlite3.Connection, name: str) -> bool:
    """Whether anything of a document or a session is in the quarantine."""
    found = connection.execute("SELECT 1 FROM quarantine WHERE name = ? LIMIT 1", (name,))
    return found.fetchone() is not None


def positions(connection: sqlite3.Connection) -> int:
    """How many positions of entries the quarantine accounts for."""
    [(rows,)] = connection.execute("SELECT count(*) FROM quarantine WHERE source = 'entries'")
    notes = connection.execute("SELECT columns FROM quarantine WHERE source = ?", (NOTE,))
    return int(rows) + sum(_count(text) for (text,) in notes)


def _count(columns: bytes | str) -> int:
    """What a note counts. One that is damaged counts nothing: what it knew is missed again."""
    with suppress(ValueError, TypeError, LookupError):
        return int(json.loads(columns)["count"])
    return 0


def contents(connection: sqlite3.Connection) -> list[tuple[str, str, int]]:
    """List what is in the quarantine: table, name, and how many rows."""
    rows = connection.execute(
        "SELECT source, name, count(*) FROM quarantine GROUP BY source, name ORDER BY source, name"
    )
    return [(legible(source), legible(name), count) for source, name, count in rows]
