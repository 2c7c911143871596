"""Many rows in one step."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from persistence.sqlite.statements import LARGEST, Insert, Lookup


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 64, 65, LARGEST, LARGEST + 1, 3 * LARGEST - 1])
def test_any_number_of_rows(rows: int) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE numbers (one INTEGER, other BLOB)")
        steps: list[str] = []
        connection.set_trace_callback(steps.append)
        Insert("numbers", "one, other")(
            connection, [n for k in range(rows) for n in (k, b"%d" % k)]
        )
        connection.set_trace_callback(None)
        found = connection.execute("SELECT * FROM numbers").fetchall()
    assert found == [(k, b"%d" % k) for k in range(rows)]
    assert len(steps) == -(-rows // LARGEST)


def test_no_rows_are_no_step() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        Insert("nowhere", "one")(connection, [])


@pytest.mark.parametrize("keys", [0, 1, 2, 3, 5, 64, 65, LARGEST, LARGEST + 1])
def test_any_number_of_keys(keys: int) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE numbers (one INTEGER, other BLOB, half INTEGER)")
        connection.execute("INSERT INTO numbers VALUES (NULL, NULL, 1)")
        rows = [n for k in range(0, 3_000, 2) for n in (k, b"%d" % k, k // 2)]
        Insert("numbers", "one, other, half")(connection, rows)
        asked = [n for k in range(keys) for n in (k, b"%d" % k)]
        found = Lookup("numbers", "one, other", "half, one")(connection, asked)
    assert found == [(k // 2, k) for k in range(0, keys, 2)]
