"""Names and the ids that stand for them in all other tables.

Every name is kept twice, by its id in ``names`` and by itself in ``ids``: one flipped bit would
else cost all entries of a document or of an author. A name is *whole* while both copies are sound;
else the sound one is believed, and :func:`row` made anew by the writer.
"""

from __future__ import annotations

import sqlite3
from enum import IntEnum
from typing import NamedTuple

from persistence.sqlite.rows import Author, Document, Row, seal_name
from persistence.sqlite.seals import MISFITS
from persistence.sqlite.statements import Insert

NAME_COLUMNS = "id, kind, name, checksum"
WIDTH = 4  # columns of a name

_COPIES = """
    SELECT id, kind, name, checksum FROM ids WHERE kind = ?1 AND name = ?2
    UNION ALL SELECT id, kind, name, checksum FROM names WHERE kind = ?1 AND name = ?2"""
_BY_ID = f"SELECT {NAME_COLUMNS} FROM names WHERE id = ?"  # noqa: S608 -- our own names
_BY_ID_ELSEWHERE = f"SELECT {NAME_COLUMNS} FROM ids WHERE id = ?"  # noqa: S608
_ALL = "SELECT id, kind, name, checksum FROM {} NOT INDEXED"
_WITHIN = """
    SELECT id, kind, name, checksum FROM {} WHERE kind = 1 AND name >= ? AND name < ? AND name > ?
    ORDER BY name LIMIT ?"""
_LAST = """
    SELECT max(id) FROM (SELECT max(id) AS id FROM names WHERE id < ?1
    UNION ALL SELECT max(id) FROM ids WHERE id < ?1)"""

_TABLES = ("ids", "names")
_LAST_CHARACTER = chr(0x10FFFF)
_SURROGATES = range(0xD800, 0xE000)  # code points that are no characters

MOST_NAMES = 2**31
"""An id that is not smaller is none of ours: a flipped bit made it."""

_insert_copies = (
    Insert("names", NAME_COLUMNS, "INSERT OR REPLACE"),
    Insert("ids", NAME_COLUMNS, "INSERT OR REPLACE"),
)


class Kind(IntEnum):
    """What a name is of."""

    DOCUMENT = 1
    AUTHOR = 2


class Found(NamedTuple):
    """A name, as far as it is known."""

    id: int | None
    whole: bool  # unknown, or sound in both places


def find(connection: sqlite3.Connection, kind: Kind, name: str) -> Found:
    """Return the id of a name."""
    rows = connection.execute(_COPIES, (kind, name)).fetchall()
    sound = {row[0] for row in rows if is_sound(row)}
    whole = len(rows) == 2 and len(sound) == 1 and all(map(is_sound, rows))
    return Found(min(sound) if sound else None, whole or not rows)


def row(kind: Kind, id_: int, name: str) -> Row:
    """Return the columns of a name, in the order of NAME_COLUMNS."""
    return (id_, kind.value, name, seal_name(kind, id_, name.encode()))


def write(connection: sqlite3.Connection, values: list[object]) -> None:
    """Write both copies of names: the columns of all of them, one after the other."""
    for insert in _insert_copies:
        insert(connection, values)


def last_id(connection: sqlite3.Connection) -> int:
    """Return the highest id that was given."""
    [(last,)] = connection.execute(_LAST, (MOST_NAMES,)).fetchall()
    return last or 0


def documents(connection: sqlite3.Connection) -> dict[int, Document]:
    """Return all documents whose names are sound in one place, by id."""
    found: dict[int, Document] = {}
    for table in _TABLES:
        for each in connection.execute(_ALL.format(table)):
            if each[1] == Kind.DOCUMENT and each[0] not in found and is_sound(each):
                found[each[0]] = Document.of(each[0], each[2].decode())
    return found


def documents_within(
    connection: sqlite3.Connection, prefix: str, after: str, limit: int
) -> tuple[dict[int, Document], str | None]:
    """Return the first documents behind the name ``after`` that begin with ``prefix``, by id.

    At most ``limit`` of them (-1: all); and the name that the next ones stand behind, None where
    there are no more. They are looked for by their names, in both tables: where a damaged key ends
    the search in one of them, the other still has those behind it.
    """
    found: dict[int, Document] = {}
    ends: list[str] = []
    for table in _TABLES:
        rows = connection.execute(_WITHIN.format(table), (*span(prefix), after, limit)).fetchall()
        sound = [Document.of(row[0], row[2].decode()) for row in rows if is_sound(row)]
        found |= {document.id: document for document in sound}
        if len(rows) == limit and sound:
            ends.append(sound[-1].name)
    end = min(ends, default=None)  # behind it, one of them may not have been asked for
    return {i: each for i, each in found.items() if end is None or each.name <= end}, end


def span(prefix: str) -> tuple[str, str | bytes]:
    """Between which values the names stand that begin so: from the first on, before the second.

    SQLite orders texts by code point, and blobs behind all texts.
    """
    kept = prefix.rstrip(_LAST_CHARACTER)
    if not kept:
        return prefix, b""
    following = ord(kept[-1]) + 1
    character = chr(following if following != _SURROGATES.start else _SURROGATES.stop)
    return prefix, kept[:-1] + character


def document(connection: sqlite3.Connection, id_: int) -> Document | None:
    """Return the document with this id, or None where both copies of its name are damaged."""
    name, _ = _look_up(connection, Kind.DOCUMENT, id_)
    return Document.of(id_, name.decode()) if name is not None else None


class Authors:
    """The authors by their ids. Each is read once, unless a copy of the name is damaged."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._whole: dict[int, Author] = {}
        self._others: dict[int, Author | None] = {}

    def begin(self) -> None:
        """Look again for those that were not whole, and forget that they were asked for."""
        self._others.clear()

    @property
    def torn(self) -> list[Author]:
        """Those asked for since :meth:`begin` of whose names one copy is damaged."""
        return [author for author in self._others.values() if author is not None]

    def __call__(self, id_: int) -> Author | None:
        """Return an author, or None where there is none, or both copies of the name are damaged."""
        return self._whole.get(id_) or self._read(id_)

    def _read(self, id_: int) -> Author | None:
        if id_ not in self._others:
            name, whole = _look_up(self._connection, Kind.AUTHOR, id_)
            author = Author(id_, name) if name is not None else None
            if author is not None and whole:
                self._whole[id_] = author
                return author
            self._others[id_] = author
        return self._others[id_]


def _look_up(connection: sqlite3.Connection, kind: Kind, id_: int) -> tuple[bytes | None, bool]:
    """Return the name with this id, and whether both copies are sound."""
    for sql in (_BY_ID, _BY_ID_ELSEWHERE):
        for each in connection.execute(sql, (id_,)):
            if each[1] == kind and is_sound(each):
                name: bytes = each[2]
                return name, find(connection, kind, name.decode()).whole
    return None, False


def is_sound(row: Row) -> bool:
    """Whether the checksum of a row fits; its columns in the order of NAME_COLUMNS."""
    id_, kind, name, checksum = row
    try:
        return bool(checksum == seal_name(kind, id_, name)) and id_ < MOST_NAMES
    except MISFITS:
        return False
