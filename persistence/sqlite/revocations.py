"""Tokens that are not taken any more. Plain functions; they block.

A row that fails its checksum is taken as it stands; of a kind that is none, as both.
"""

from __future__ import annotations

import sqlite3

from persistence.sqlite.rows import Row
from persistence.sqlite.seals import MISFITS, legible, seal_texts
from persistence.store import Revocation, to_milliseconds

COLUMNS = 'kind, value, at, until, "by", checksum'

_ALL = f"SELECT {COLUMNS} FROM revocations"  # noqa: S608 -- our own names
_PUT = f"INSERT OR REPLACE INTO revocations ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
_DROP = "DELETE FROM revocations WHERE until < ?"


def revocation_row(one: Revocation) -> Row:
    """Return the columns of a revocation, in the order of COLUMNS."""
    at, until = to_milliseconds(one.at), to_milliseconds(one.until)
    checksum = _seal(one.kind.encode(), one.value.encode(), at, until, one.by.encode())
    return (one.kind, one.value, at, until, one.by, checksum)


def _seal(kind: bytes, value: bytes, at: int, until: int, by: bytes) -> bytes:
    return seal_texts(b"revocations", (at, until), kind, value, by)


def is_sound(row: Row) -> bool:
    """Whether the checksum of a row fits; its columns in the order of COLUMNS."""
    *columns, checksum = row
    try:
        return bool(checksum == _seal(*columns))
    except MISFITS:
        return False


def unsound(connection: sqlite3.Connection) -> list[Row]:
    """Return the rows that fail their checksum."""
    return [row for row in connection.execute(_ALL) if not is_sound(row)]


def read_all(connection: sqlite3.Connection) -> list[Revocation]:
    """List them; see :meth:`persistence.store.Reader.revocations`."""
    found = [one for row in connection.execute(_ALL) for one in _as_it_stands(row)]
    return sorted(found, key=lambda one: (one.kind, one.value))


def _as_it_stands(row: Row) -> list[Revocation]:
    kind, value, at, until, by, _ = row
    rest = (legible(value), _seconds(at), _seconds(until), legible(by))
    if kind == b"jti":
        return [Revocation("jti", *rest)]
    if kind == b"sub":
        return [Revocation("sub", *rest)]
    return [Revocation("jti", *rest), Revocation("sub", *rest)]


def _seconds(time: object) -> float:
    return time / 1_000 if isinstance(time, int) else 0.0


def revoke(connection: sqlite3.Connection, revocation: Revocation) -> None:
    """Keep one, and drop those that expired before it. The caller gives the transaction."""
    connection.execute(_DROP, (to_milliseconds(revocation.at),))
    connection.execute(_PUT, revocation_row(revocation))
