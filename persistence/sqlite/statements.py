"""Writing many rows in one step of SQLite, and looking for many in one statement.

Python's ``sqlite3`` releases and takes the GIL at every step, and ``executemany`` makes one for
each row: beside a busy thread each of them waits for up to ``sys.getswitchinterval()``. 100 rows
took 272 ms that way, and 6 ms in one step (tests/stores/bench_append.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

LARGEST = 1_024
"""Rows in one step. SQLite 3.32 and newer takes 32,766 parameters."""


class Insert:
    """``INSERT INTO`` a table, for any number of rows at once."""

    def __init__(self, table: str, columns: str, verb: str = "INSERT") -> None:
        self.width = columns.count(",") + 1
        self._head = f"{verb} INTO {table} ({columns})"
        self._places = f"({', '.join('?' * self.width)})"
        self._sql = lru_cache(self._make)

    def __call__(self, connection: sqlite3.Connection, values: Sequence[Any]) -> None:
        """Insert rows; ``values`` holds the columns of all of them, one row after the other.

        Up to LARGEST rows are one statement, and so a transaction where none was begun.
        """
        most = self.width * LARGEST
        for start in range(0, len(values), most):
            self._insert(connection, values[start : start + most])

    def _insert(self, connection: sqlite3.Connection, values: Sequence[Any]) -> None:
        rows = len(values) // self.width
        size = 1 << (rows - 1).bit_length()  # so that few statements are prepared, once each
        padding = (None,) * (self.width * (size - rows))
        connection.execute(self._sql(size), (*values, *padding, rows))

    def _make(self, size: int) -> str:
        values = ", ".join([self._places] * size)
        return f"{self._head} SELECT * FROM (VALUES {values}) LIMIT ?"  # noqa: S608 -- our own names


class Lookup:
    """A SELECT of the rows that many keys tell."""

    def __init__(self, table: str, keys: str, columns: str) -> None:
        """Look in ``table`` for the columns ``keys``; each row found has ``columns`` of it."""
        names = keys.split(", ")
        self._width = len(names)
        self._places = f"({', '.join('?' * self._width)})"
        self._head = f"WITH asked ({keys}) AS (VALUES "
        fits = " AND ".join(f"{table}.{name} = asked.{name}" for name in names)
        found = ", ".join(f"{table}.{column}" for column in columns.split(", "))
        self._tail = f") SELECT {found} FROM asked CROSS JOIN {table} ON {fits}"  # noqa: S608
        self._sql = lru_cache(self._make)

    def __call__(self, connection: sqlite3.Connection, keys: Sequence[Any]) -> list[Any]:
        """Return what is there; ``keys`` holds the columns of all keys, one after the other."""
        most = self._width * LARGEST
        found: list[Any] = []
        for start in range(0, len(keys), most):
            found += self._look(connection, keys[start : start + most])
        return found

    def _look(self, connection: sqlite3.Connection, keys: Sequence[Any]) -> list[Any]:
        rows = len(keys) // self._width
        size = 1 << (rows - 1).bit_length()  # so that few statements are prepared, once each
        padding = (None,) * (self._width * (size - rows))  # which nothing equals
        return connection.execute(self._sql(size), (*keys, *padding)).fetchall()

    def _make(self, size: int) -> str:
        return self._head + ", ".join([self._places] * size) + self._tail
