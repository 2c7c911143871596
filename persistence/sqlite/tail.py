"""Reading the newest entries of all documents. Plain functions; they block.

``entries`` is ordered by document, so that a draft is read in one stretch; what is new is looked
for with one seek in each document.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from persistence.past import take_tail
from persistence.sqlite import meta, names, queries
from persistence.sqlite.names import Authors, span
from persistence.sqlite.queries import FAR, one_moment
from persistence.sqlite.rows import ENTRY_COLUMNS, Document, open_entry
from persistence.store import NOWHERE, Entry, Position

PAGE = 1_000
"""Entries, and positions, that are looked for together."""

_WIDER = 4

_DOCUMENTS = "SELECT document AS id FROM tallies"
_DOCUMENTS_WITHIN = "SELECT id FROM ids WHERE kind = 1 AND name >= ?4 AND name < ?5"
_KEYS = """
    SELECT entries.document, entries.position FROM ({}) AS some
    CROSS JOIN entries ON entries.document = some.id
        AND entries.position > ?1 AND entries.position <= ?2
    WHERE some.id NOT IN (
        SELECT ids.id FROM deletions JOIN ids ON ids.kind = 1 AND ids.name = deletions.document
        WHERE deletions.purged = 1)
    ORDER BY entries.position LIMIT ?3"""
_ENTRY = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE document = ? AND position = ?"  # noqa: S608
_NEWEST = """
    SELECT entries.document, entries.position FROM tallies
    CROSS JOIN entries ON entries.document = tallies.document AND entries.position > ?
    ORDER BY entries.position DESC"""


class Quiet:
    """Knows that nothing was new, for as long as the database is as it was: one of a connection.

    Whoever waits for edits asks every second, and would pay for a seek in each document.
    """

    def __init__(self) -> None:
        self._version = -1
        self._after = 0

    def tail(
        self,
        connection: sqlite3.Connection,
        authors: Authors,
        after: int,
        prefix: str,
        limit: int,
    ) -> list[Entry]:
        """As :func:`tail`."""
        [(version,)] = connection.execute("PRAGMA data_version")
        if version == self._version and after >= self._after:
            return []
        found = tail(connection, authors, after, prefix, limit)
        if not found and not prefix and limit > 0:
            self._version, self._after = version, after
        return found


def tail(
    connection: sqlite3.Connection, authors: Authors, after: int, prefix: str, limit: int
) -> list[Entry]:
    """Read the tail; see :meth:`persistence.store.Reader.tail`. Raises sqlite3.Error."""
    with one_moment(connection):
        authors.begin()
        return take_tail(_behind(connection, authors, after, prefix, min(limit, PAGE)), limit)


def _behind(
    connection: sqlite3.Connection, authors: Authors, after: int, prefix: str, page: int
) -> Iterator[Entry]:
    sound = _Sound(connection, authors)
    for id_, position in _keys(connection, after, prefix, page):
        if (entry := sound(id_, position)) is not None:
            yield entry


def _keys(
    connection: sqlite3.Connection, after: int, prefix: str, page: int
) -> Iterator[tuple[int, int]]:
    """Give the keys of entries in the order of their positions, found and sorted page by page.

    Positions follow each other, so that a page is looked for among the next ones only: to find the
    first of all that are behind, each of them would have to be sorted. Where few or none are of
    these documents, more are looked through together, and at last all.
    """
    sql = _KEYS.format(_DOCUMENTS_WITHIN if prefix else _DOCUMENTS)  # our own names
    bounds = span(prefix) if prefix else ()
    width = PAGE
    while after < FAR:
        until = min(after + width, FAR)
        keys = connection.execute(sql, (after, until, page, *bounds)).fetchall()
        yield from keys
        after = keys[-1][1] if len(keys) == page else until
        if len(keys) < page:
            width = width * _WIDER if keys else FAR


class _Sound:
    """Opens entries by their keys, and knows the documents that it met."""

    def __init__(self, connection: sqlite3.Connection, authors: Authors) -> None:
        self._connection = connection
        self._authors = authors
        self._documents: dict[int, Document | None] = {}

    def __call__(self, id_: int, position: int) -> Entry | None:
        if id_ not in self._documents:
            self._documents[id_] = names.document(self._connection, id_)
        document = self._documents[id_]
        row = self._connection.execute(_ENTRY, (id_, position)).fetchone()
        if document is None or row is None:
            return None
        link = open_entry(row, document, self._authors)
        return link.entry if link else None


def last_position(connection: sqlite3.Connection, authors: Authors) -> Position:
    """Tell the last one; see :meth:`persistence.store.Reader.last_position`."""
    with one_moment(connection):
        written = meta.read_meta(connection, "last_position")
    if written is None:  # damaged: the documents know their heads
        heads = queries.heads(connection, authors)
        return max((one.head for one in heads), default=NOWHERE)
    with one_moment(connection):
        sound = _Sound(connection, authors)
        for id_, position in connection.execute(_NEWEST, (int(written),)):
            if sound(id_, position) is not None:
                return Position(position)
    return Position(int(written))
