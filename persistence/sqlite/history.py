"""Reading a document's history: a page at a time, and one update in memory at a time."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from persistence.history import MOST_BYTES, entry_info
from persistence.sqlite import deletions, names
from persistence.sqlite.names import Authors, Kind
from persistence.sqlite.queries import (
    ASIDE,
    FAR,
    MISSING,
    TORN,
    UNFIT,
    find_tally,
    one_moment,
    put_aside,
)
from persistence.sqlite.rows import ENTRY_COLUMNS, Document, Link, Tally, open_entry
from persistence.store import NOWHERE, Damage, EntryInfo, History, Position

_ENTRIES = f"""
    SELECT {ENTRY_COLUMNS} FROM entries WHERE document = ? AND position > ?
    ORDER BY position"""  # noqa: S608 -- only our own column names
_ENTRIES_ANYWHERE = _ENTRIES.replace("document =", "+document =")
"""As in :mod:`persistence.sqlite.queries`: for where a key is damaged."""


def history(
    connection: sqlite3.Connection, authors: Authors, name: str, after: int, limit: int
) -> History:
    """Read a page; see :meth:`persistence.store.Reader.history`. Raises sqlite3.Error."""
    with one_moment(connection):
        found = names.find(connection, Kind.DOCUMENT, name)
        damage = [] if found.whole else [Damage(NOWHERE, "name", TORN)]
        deleted = deletions.find(connection, name)
        if found.id is None or (deleted and deleted.purged):
            return History(name, (), tuple(damage), NOWHERE, None)
        document = Document.of(found.id, name)
        tally, reason = find_tally(connection, document)
        if reason:
            damage.append(Damage(NOWHERE, "document", reason))
        page = _read(connection, _ENTRIES, authors, document, after, limit, tally)
        if page.missing:
            page = _read(connection, _ENTRIES_ANYWHERE, authors, document, after, limit, tally)
    thinned = Position(tally.thinned) if tally else NOWHERE
    return History(name, tuple(page.entries), (*damage, *page.damage()), thinned, page.next)


@dataclass(slots=True)
class _Page:
    """What was read, and what is wrong with the rest of it."""

    start: int
    last: int  # position of the last row, sound or not
    torn: int = 0  # authors of whose names one copy is damaged
    entries: list[EntryInfo] = field(default_factory=list)
    unfit: set[int] = field(default_factory=set)
    missing: set[int] = field(default_factory=set)
    aside: set[int] = field(default_factory=set)
    next: Position | None = None

    def take(self, position: int, link: Link | None, sound: int) -> int:
        """Take a row; return the position of the last sound one. ``sound``: of the one before."""
        self.last = position
        if link is None:
            self.unfit.add(position)
            return sound
        if link.previous != sound and link.previous > self.start:
            self.missing.add(link.previous)
        self.entries.append(entry_info(*link.entry))
        return link.entry.position

    def finish(self, tally: Tally | None, sound: int) -> None:
        """Nothing is behind it: the tally knows whether something should be."""
        if tally is not None and tally.head > max(sound, self.start):
            self.missing.add(tally.head)

    def explain(self, tally: Tally | None, aside: set[int]) -> None:
        """Keep as missing only what cannot be told otherwise; ``aside``: what is in quarantine."""
        self.missing -= self.unfit | aside | {tally.thinned if tally else NOWHERE}
        self.aside = aside - self.unfit - {each.position for each in self.entries}

    def damage(self) -> list[Damage]:
        told = [Damage(Position(each), "entry", UNFIT) for each in self.unfit]
        told += [Damage(Position(each), "entry", MISSING) for each in self.missing]
        told += [Damage(Position(each), "entry", ASIDE, aside=True) for each in self.aside]
        told += [Damage(Position(self.last), "name", TORN)] * self.torn
        return sorted(told, key=lambda one: one.position)


def _read(
    connection: sqlite3.Connection,
    sql: str,
    authors: Authors,
    document: Document,
    after: int,
    limit: int,
    tally: Tally | None,
) -> _Page:
    authors.begin()
    page = _Page(after, after)
    sound, left, size = after, max(limit, 1), 0
    for row in connection.execute(sql, (document.id, after)):
        if not left or size >= MOST_BYTES:
            page.next = Position(page.last)
            break
        sound = page.take(row[1], open_entry(row, document, authors), sound)
        left -= 1
        size += len(row[-1])
    else:
        page.finish(tally, sound)
    page.explain(tally, put_aside(connection, document, after, page.next or FAR))
    page.torn = len(authors.torn)
    return page
