"""What the writer knows by heart of the file, so that a commit has little to read and to write.

It may, because it is the only writer. The tallies are counted here and written behind the edits;
after a crash they are counted again, from the entries.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from persistence.checks import check_name
from persistence.sqlite import meta, names, queries
from persistence.sqlite.names import Authors, Kind
from persistence.sqlite.rows import Author, Document, Row, Tally, entry_row, tally_row
from persistence.store import NOWHERE, Edit, Position, to_milliseconds

REACH = 2**32
"""How far beyond the last position a stray entry is believed. A flipped bit in a position can put
a row ahead of us; we step over it, unless that would push positions out of JavaScript's reach."""

MOST_KNOWN = 20_000
"""Documents, or authors, that are kept in memory."""

_LAST_OF = """
    SELECT CAST(max(position) AS INTEGER) FROM entries WHERE document = ? AND position <= ?"""


@dataclass(slots=True)
class Plan:
    """A batch as the rows that it becomes, and what will be so when they are on disk.

    ``names``, ``tallies`` and ``entries`` hold the columns of all rows, one after the other.
    """

    first: Position
    documents: dict[str, Tally] = field(default_factory=dict)  # as they will be
    authors: dict[str, Author] = field(default_factory=dict)  # that are new
    names: list[Any] = field(default_factory=list)
    tallies: list[Any] = field(default_factory=list)  # of new documents
    entries: list[Any] = field(default_factory=list)


class Ledger:
    """Documents, authors and the last position of a file, on behalf of one connection to it."""

    def __init__(self, connection: sqlite3.Connection, last: Position) -> None:
        self.last = last
        """The highest position that was ever given."""
        self._connection = connection
        self._authors_by_id = Authors(connection)
        self._documents: dict[str, Tally] = {}
        self._authors: dict[str, Author] = {}
        self._last_id = names.last_id(connection)
        self._behind: set[str] = set()
        self._torn: dict[int, Row] = {}  # names to write again, by id

    @classmethod
    def open(cls, connection: sqlite3.Connection) -> Ledger:
        """Look into a file, and count what its tallies do not know yet."""
        written = meta.read_meta(connection, "last_position")
        ledger = cls(connection, Position(int(written or 0)))
        for id_ in queries.behind(connection):
            if (document := names.document(connection, id_)) is not None:
                ledger._recall(document)
        heads = [Position(tally.head) for tally in ledger._documents.values()]
        if written is None:  # damaged: the documents know their heads
            heads += [one.head for one in queries.heads(connection, ledger._authors_by_id)]
        ledger.last = max([ledger.last, *heads])
        return ledger

    # Knowing

    def document(self, name: str) -> Tally | None:
        """Return what a document adds up to, or None where it was never written. Not to change."""
        if (tally := self._documents.get(name)) is not None:
            return tally
        found = names.find(self._connection, Kind.DOCUMENT, name)
        if found.id is None:
            return None
        if not found.whole:
            self._torn[found.id] = names.row(Kind.DOCUMENT, found.id, name)
        return self._recall(Document.of(found.id, name))

    def _recall(self, document: Document) -> Tally:
        tally, written = queries.current_tally(self._connection, self._authors_by_id, document)
        self._documents[document.name] = tally
        if not written and tally.head:
            self._behind.add(document.name)
        self._step_over(document)
        return tally

    def _step_over(self, document: Document) -> None:
        reach = self.last + REACH
        [(stray,)] = self._connection.execute(_LAST_OF, (document.id, reach))
        self.last = max(self.last, Position(stray or NOWHERE))

    def _author(self, name: str) -> Author | None:
        if (author := self._authors.get(name)) is not None:
            return author
        found = names.find(self._connection, Kind.AUTHOR, name)
        if found.id is None:
            return None
        if not found.whole:
            self._torn[found.id] = names.row(Kind.AUTHOR, found.id, name)
        self._authors[name] = author = Author(found.id, name.encode())
        return author

    # Appending

    def plan(self, batch: Sequence[Edit]) -> Plan:
        """Return the rows of a batch. Nothing is so before :meth:`keep`.

        Raises ValueError as :meth:`persistence.store.Store.append` says.
        """
        for name in {edit.document for edit in batch}:
            self.document(name)  # they may tell of strays, which the first position steps over
        plan = Plan(Position(self.last + 1))
        for position, edit in enumerate(batch, plan.first):
            author = self._authors.get(edit.author) or self._planned_author(plan, edit.author)
            tally = plan.documents.get(edit.document) or self._planned(plan, edit, author)
            row = entry_row(tally.document, position, tally.head, author, edit)
            plan.entries += row
            tally.count(position, author.id, row[4], len(edit.update))
        return plan

    def _planned(self, plan: Plan, edit: Edit, author: Author) -> Tally:
        known = self._documents.get(edit.document)
        if known is not None:
            tally = replace(known)
        else:
            check_name(edit.document)
            document = Document.of(self._new_id(plan, Kind.DOCUMENT, edit.document), edit.document)
            tally = Tally.empty(document, author.id, to_milliseconds(edit.received_at))
            plan.tallies += tally_row(tally)
        plan.documents[edit.document] = tally
        return tally

    def _planned_author(self, plan: Plan, name: str) -> Author:
        author = plan.authors.get(name) or self._author(name)
        if author is None:
            author = Author(self._new_id(plan, Kind.AUTHOR, name), name.encode())
            plan.authors[name] = author
        return author

    def _new_id(self, plan: Plan, kind: Kind, name: str) -> int:
        id_ = self._last_id + len(plan.names) // names.WIDTH + 1
        plan.names += names.row(kind, id_, name)
        return id_

    def keep(self, plan: Plan) -> None:
        """A plan was carried out."""
        self._last_id += len(plan.names) // names.WIDTH
        self._authors |= plan.authors
        self._documents |= plan.documents
        self._behind |= plan.documents.keys()
        self.last = max(self.last, *(Position(one.head) for one in plan.documents.values()))

    # Writing behind

    @property
    def behind(self) -> bool:
        """Something is known here that the file does not say."""
        return bool(self._behind or self._torn)

    def rows_behind(self) -> tuple[list[Any], list[Any]]:
        """Return the names and the tallies to write, the columns of all, one after the other."""
        torn = [column for row in self._torn.values() for column in row]
        tallies = (self._documents[name] for name in self._behind)
        return torn, [column for tally in tallies for column in tally_row(tally)]

    def caught_up(self) -> None:
        """They were written."""
        self._behind.clear()
        self._torn.clear()
        if len(self._documents) > MOST_KNOWN:
            self._documents.clear()
        if len(self._authors) > MOST_KNOWN:
            self._authors.clear()

    def rewritten(self, tally: Tally) -> None:
        """The tally of a document was written as it is given here."""
        self._documents[tally.document.name] = tally
        self._behind.discard(tally.document.name)
