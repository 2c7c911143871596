"""Mending names in both their tables, and putting aside what stands under no name."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from persistence.sqlite import names
from persistence.sqlite.checkup_documents import ENTRIES
from persistence.sqlite.checkup_names import nameless
from persistence.sqlite.names import Authors, Kind
from persistence.sqlite.repair_documents import (
    UNFIT,
    CannotRemove,
    Done,
    is_there,
    number,
    put_entry,
    remove,
)
from persistence.sqlite.repair_mend import mended, numbers_near
from persistence.sqlite.repair_quarantine import PutAside, put_aside
from persistence.sqlite.rows import (
    ENTRY_COLUMNS,
    SNAPSHOT_COLUMNS,
    TALLY_COLUMNS,
    Document,
    Row,
    open_entry,
)


def mend_names(connection: sqlite3.Connection) -> tuple[int, int]:
    """Write both copies of every name that is sound in one place, and put the others aside.

    Returns how many were made again, and how many rows were put aside.
    """
    made = aside = 0
    for table in ("names", "ids"):
        for row in _all_names(connection, table):
            if names.is_sound(row):
                made += _write_name(connection, row)
                continue
            if (found := mended(row, names.is_sound)) is not None:
                made += _write_name(connection, found)
                if found[:3] == row[:3]:
                    continue  # it was written in the same place
            put_aside(connection, PutAside(table, names.NAME_COLUMNS, row), UNFIT)
            _remove_name(connection, table, row)
            aside += 1
    return made, aside


def _all_names(connection: sqlite3.Connection, table: str) -> list[Row]:
    sql = f"SELECT {names.NAME_COLUMNS} FROM {table} NOT INDEXED"  # noqa: S608 -- our own names
    unsound = [row for row in connection.execute(sql) if not names.is_sound(row)]
    sound = [
        row
        for row in connection.execute(sql)
        if names.is_sound(row) and not names.find(connection, Kind(row[1]), row[2].decode()).whole
    ]
    return [*sound, *unsound]


def _write_name(connection: sqlite3.Connection, row: Row) -> int:
    id_, kind, name, _ = row
    if names.find(connection, Kind(kind), name.decode()).whole:
        known = connection.execute("SELECT 1 FROM names WHERE id = ?", (id_,)).fetchone()
        if known is not None:
            return 0
    names.write(connection, [*names.row(Kind(kind), id_, name.decode())])
    return 1


def _remove_name(connection: sqlite3.Connection, table: str, row: Row) -> None:
    id_, kind, name, checksum = row
    where = "id = ? AND kind = ? AND name = CAST(? AS TEXT) AND checksum = ?"
    key = (id_, kind, name, checksum)
    connection.execute(f"DELETE FROM {table} WHERE {where}", key)  # noqa: S608
    left = connection.execute(f"SELECT 1 FROM {table} WHERE {where}", key).fetchone()  # noqa: S608
    if left is not None:
        raise CannotRemove(table)


# Rows without a document


def put_nameless_aside(
    connection: sqlite3.Connection, known: dict[int, Document], authors: Authors
) -> Done:
    """Put aside what stands under ids without a name, unless it is another document's."""
    done = Done()
    for id_ in list(nameless(connection, known)):
        near = [known[other] for other in numbers_near(id_) if other in known]
        for row in connection.execute(ENTRIES, (id_,)).fetchall():
            remove(connection, "entries", "document = ? AND position = ?", row[:2])
            home = _home(row, near, authors)
            if home is not None and not is_there(connection, home):
                put_entry(connection, home)
                done.mended += 1
                continue
            what = PutAside("entries", ENTRY_COLUMNS, row, position=number(row[1]))
            put_aside(connection, what, "the name of its document is lost")
            done.put_aside += 1
        for table, columns in (
            ("tallies", TALLY_COLUMNS),
            ("snapshots", SNAPSHOT_COLUMNS),
            ("bases", SNAPSHOT_COLUMNS),
        ):
            sql = f"SELECT {columns} FROM {table} WHERE document = ?"  # noqa: S608
            for row in connection.execute(sql, (id_,)).fetchall():
                what = PutAside(table, columns, row)
                put_aside(connection, what, "the name of its document is lost")
                remove(connection, table, "document = ?", (id_,))
    return done


def _home(row: Row, near: Sequence[Document], authors: Authors) -> Row | None:
    """The row under the document that its checksum says it belongs to."""
    for document in near:
        moved = (document.id, *row[1:])
        if open_entry(moved, document, authors) is not None:
            return moved
    return None
