"""Reading a document as it was. Plain functions; they block."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from persistence.past import check_kept, earliest, position_before
from persistence.sqlite import deletions, names
from persistence.sqlite.names import Authors, Kind
from persistence.sqlite.queries import (
    FAR,
    TORN,
    UNFIT,
    current_tally,
    find_base,
    find_snapshot,
    find_tally,
    has_unfit_base,
    one_moment,
    read_chain,
)
from persistence.sqlite.rows import ENTRY_COLUMNS, Document, Tally, open_entry
from persistence.store import NOWHERE, Damage, Deletion, Past, Position, Snapshot, to_milliseconds

_NEXT = f"""
    SELECT {ENTRY_COLUMNS} FROM entries WHERE document = ? AND position > ?
    ORDER BY position"""  # noqa: S608 -- only our own column names
_UNTIL = f"""
    SELECT {ENTRY_COLUMNS} FROM entries WHERE document = ? AND received_at <= ?
    ORDER BY position DESC"""  # noqa: S608


def past(connection: sqlite3.Connection, authors: Authors, name: str, position: int | None) -> Past:
    """Read it as it was; see :meth:`persistence.store.Reader.past`. Raises sqlite3.Error."""
    with one_moment(connection):
        found = names.find(connection, Kind.DOCUMENT, name)
        torn = () if found.whole else (Damage(NOWHERE, "name", TORN),)
        deleted = deletions.find(connection, name)
        if found.id is None or (deleted and deleted.purged):
            return Past(name, None, (), NOWHERE, NOWHERE, torn, deleted)
        document = Document.of(found.id, name)
        _, reason = find_tally(connection, document)
        current, _ = current_tally(connection, authors, document)
        if reason:
            torn = (*torn, Damage(Position(current.head), "document", reason))
        return _as_it_was(connection, authors, current, position, (torn, deleted))


def _as_it_was(
    connection: sqlite3.Connection,
    authors: Authors,
    tally: Tally,
    position: int | None,
    known: tuple[tuple[Damage, ...], Deletion | None],
) -> Past:
    torn, deleted = known
    document, head = tally.document, Position(tally.head)
    asked = tally.head if position is None else position
    begin = beginning(connection, tally)
    check_kept(document.name, asked, Position(tally.thinned), begin)
    if asked <= 0:
        return Past(document.name, None, (), NOWHERE, head, torn, deleted)
    if tally.thinned and has_unfit_base(connection, document):
        torn = (*torn, Damage(Position(tally.thinned), "snapshot", f"of the base, {UNFIT}"))
    if tally.thinned and begin is None:
        lost = f"the entries up to {tally.thinned} were thinned, and nothing stands for them"
        torn = (*torn, Damage(Position(tally.snapshot), "snapshot", lost))
    start = begin.position if begin else tally.thinned
    end = asked if asked < tally.head else FAR
    bounded = replace(tally, head=max(start, _last_until(connection, authors, tally, end)))
    chain = read_chain(connection, authors, document, start, bounded, end)
    entries = tuple(link.entry for link in chain.links)
    return Past(document.name, begin, entries, chain.head, head, (*torn, *chain.damage), deleted)


def _last_until(connection: sqlite3.Connection, authors: Authors, tally: Tally, end: int) -> int:
    """Tell the position of the last entry up to ``end``, by what the next sound one points at."""
    if end == FAR:
        return tally.head
    for row in connection.execute(_NEXT, (tally.document.id, end)):
        if (link := open_entry(row, tally.document, authors)) is not None:
            return link.previous if link.previous <= end else NOWHERE
    return NOWHERE


def beginning(connection: sqlite3.Connection, tally: Tally) -> Snapshot | None:
    """Return what a document's history begins with; None: with its first entry, or it is lost."""
    if not tally.thinned:
        return None
    kept = find_base(connection, tally.document), find_snapshot(connection, tally.document)
    return earliest(Position(tally.thinned), *kept)


def position_at(
    connection: sqlite3.Connection, authors: Authors, name: str, time: float
) -> Position:
    """Tell where it was at a time; see :meth:`persistence.store.Reader.position_at`."""
    moment = to_milliseconds(time)
    with one_moment(connection):
        found = names.find(connection, Kind.DOCUMENT, name)
        deleted = deletions.find(connection, name)
        if found.id is None or (deleted and deleted.purged):
            return NOWHERE
        document = Document.of(found.id, name)
        authors.begin()
        for row in connection.execute(_UNTIL, (document.id, moment)):
            if (link := open_entry(row, document, authors)) is not None:
                return link.entry.position
        tally, _ = current_tally(connection, authors, document)
        begin = beginning(connection, tally)
    known = [tally.created_at / 1_000]
    if begin is not None and begin.position == tally.head:
        known.append(tally.updated_at / 1_000)
    return position_before(name, moment / 1_000, Position(tally.thinned), begin, known)
