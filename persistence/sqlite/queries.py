"""Reading documents out of a connection, damaged ones too. Plain functions; they block."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from persistence.sqlite import deletions, names
from persistence.sqlite.meta import read_meta as read_meta  # the checkup asks here for it
from persistence.sqlite.names import Authors, Kind
from persistence.sqlite.rows import (
    BASES,
    ENTRY_COLUMNS,
    SNAPSHOT_COLUMNS,
    TALLY_COLUMNS,
    Document,
    Link,
    Tally,
    open_entry,
    open_snapshot,
    open_tally,
)
from persistence.sqlite.statements import Lookup
from persistence.store import (
    NOWHERE,
    Damage,
    Deletion,
    Head,
    Position,
    Snapshot,
    StoredDocument,
    StoreError,
    to_milliseconds,
)

_ENTRIES = f"""
    SELECT {ENTRY_COLUMNS} FROM entries WHERE document = ? AND position > ? AND position <= ?
    ORDER BY position"""  # noqa: S608 -- only our own column names
_ENTRIES_ANYWHERE = _ENTRIES.replace("document =", "+document =")
"""The same rows, looked for in the whole table: where a key is damaged, the search by keys may end
before those behind it."""
_TALLY = f"SELECT {TALLY_COLUMNS} FROM tallies WHERE document = ?"  # noqa: S608
_TALLIES = f"SELECT {TALLY_COLUMNS} FROM tallies"  # noqa: S608
_SNAPSHOT = f"SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE document = ?"  # noqa: S608
_BASE = f"SELECT {SNAPSHOT_COLUMNS} FROM bases WHERE document = ?"  # noqa: S608
_ASIDE = """
    SELECT position FROM quarantine
    WHERE name = ? AND source = 'entries' AND position > ? AND position <= ?"""
_BEHIND = """
    SELECT json_group_array(document) FROM tallies
    WHERE EXISTS (SELECT 1 FROM entries
        WHERE entries.document = tallies.document AND entries.position > tallies.head)"""
_BEHIND_OF_SOME = f"{_BEHIND} AND document IN (SELECT value FROM json_each(?))"  # noqa: S608
_some_tallies = Lookup("tallies", "document", TALLY_COLUMNS)

UNFIT = "its checksum does not fit"
MISSING = "its row is missing"
ASIDE = "it was damaged, and is in quarantine"
TORN = "one of its two copies is damaged"

FAR = 2**63 - 1
"""No position is behind it."""

_FEW, _MANY = 100, 1_000
"""Documents that are read together for a page of the list: some may be purged."""


@contextmanager
def one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several SELECTs see the same state of the database."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def load(connection: sqlite3.Connection, authors: Authors, name: str) -> StoredDocument:
    """Read one document; see :meth:`persistence.store.Reader.load`. Raises sqlite3.Error."""
    with one_moment(connection):
        found = names.find(connection, Kind.DOCUMENT, name)
        torn = () if found.whole else (Damage(NOWHERE, "name", TORN),)
        deleted = deletions.find(connection, name)
        if found.id is None or (deleted and deleted.purged):
            return StoredDocument(name, None, (), NOWHERE, torn, deleted=deleted)
        document = Document.of(found.id, name)
        tally, reason = find_tally(connection, document)
        snapshot, damaged = _find_snapshot(connection, document, tally)
        start = snapshot.position if snapshot else NOWHERE
        chain = read_chain(connection, authors, document, start, tally)
    if reason:
        damaged = (Damage(chain.head, "document", reason), *damaged)
    entries = tuple(link.entry for link in chain.links)
    return StoredDocument(
        name,
        snapshot,
        entries,
        chain.head,
        (*torn, *damaged, *chain.damage),
        Position(tally.thinned) if tally else NOWHERE,
        deleted,
    )


def find_tally(
    connection: sqlite3.Connection, document: Document
) -> tuple[Tally, None] | tuple[None, str]:
    """Return what ``tallies`` has to say of a document, or why it has nothing to say."""
    rows = connection.execute(_TALLY, (document.id,)).fetchall()
    for row in rows:
        if (tally := open_tally(row, document)) is not None:
            return tally, None
    return None, UNFIT if rows else MISSING


def find_snapshot(connection: sqlite3.Connection, document: Document) -> Snapshot | None:
    """Return the snapshot of a document if it is sound."""
    rows = connection.execute(_SNAPSHOT, (document.id,)).fetchall()
    return open_snapshot(rows[0], document) if rows else None


def find_base(connection: sqlite3.Connection, document: Document) -> Snapshot | None:
    """Return what the document was where its history begins, if that was kept and is sound."""
    rows = connection.execute(_BASE, (document.id,)).fetchall()
    return open_snapshot(rows[0], document, BASES) if rows else None


def has_unfit_base(connection: sqlite3.Connection, document: Document) -> bool:
    """Whether a base is there that is damaged."""
    rows = connection.execute(_BASE, (document.id,)).fetchall()
    return any(open_snapshot(row, document, BASES) is None for row in rows)


def _find_snapshot(
    connection: sqlite3.Connection, document: Document, tally: Tally | None
) -> tuple[Snapshot | None, tuple[Damage, ...]]:
    rows = connection.execute(_SNAPSHOT, (document.id,)).fetchall()
    if rows and (snapshot := open_snapshot(rows[0], document)) is not None:
        return snapshot, ()
    known = Position(tally.snapshot) if tally else NOWHERE
    if not rows and not known:
        return None, ()
    reason = UNFIT if rows else MISSING
    if tally and tally.thinned:
        reason += f", and the entries up to {tally.thinned} that it stood for were thinned"
    return None, (Damage(known, "snapshot", reason),)


# The chain of entries


class Stretch(NamedTuple):
    """The positions ``start < position <= end``, and which of them are in quarantine."""

    start: int
    end: int
    aside: set[int]


class Chain(NamedTuple):
    """The sound entries behind a position, in order, and what is wrong with the others."""

    links: tuple[Link, ...]
    damage: tuple[Damage, ...]
    head: Position  # of the document


def read_chain(
    connection: sqlite3.Connection,
    authors: Authors,
    document: Document,
    start: int,
    tally: Tally | None,
    end: int = FAR,
) -> Chain:
    """Read the entries of a document behind ``start``, and miss those that others point at.

    Up to ``end``: then the head of the tally is to be the last one there.
    """
    stretch = Stretch(start, end, put_aside(connection, document, start, end))
    chain = _read_chain(connection, _ENTRIES, authors, document, stretch, tally)
    if any(damage.reason == MISSING for damage in chain.damage):
        chain = _read_chain(connection, _ENTRIES_ANYWHERE, authors, document, stretch, tally)
    return chain


def put_aside(connection: sqlite3.Connection, document: Document, start: int, end: int) -> set[int]:
    """Return the positions of entries that were damaged, and are in quarantine."""
    rows = connection.execute(_ASIDE, (document.name, start, end))
    return {position for (position,) in rows}


def _read_chain(
    connection: sqlite3.Connection,
    sql: str,
    authors: Authors,
    document: Document,
    stretch: Stretch,
    tally: Tally | None,
) -> Chain:
    authors.begin()
    start, end, aside = stretch
    links: list[Link] = []
    unfit: set[int] = set()
    loose: set[int] = set()  # what entries point at that is not the one before them
    last = start
    for row in connection.execute(sql, (document.id, start, end)):
        link = open_entry(row, document, authors)
        if link is None:
            unfit.add(row[1])
            continue
        if link.previous != last:
            loose.add(link.previous)
        last = link.entry.position
        links.append(link)
    head = _head(tally, last, max(unfit, default=NOWHERE))
    damage = [Damage(head, "name", TORN) for _ in authors.torn]
    if unfit or loose or aside or head != last:
        before = {NOWHERE, start, tally.thinned if tally else NOWHERE}
        there = {link.entry.position for link in links} | unfit
        missing = (loose | {head}) - there - before - aside
        damage += [
            Damage(Position(position), "entry", ASIDE, aside=True) for position in aside - there
        ]
        damage += [Damage(Position(position), "entry", UNFIT) for position in unfit]
        damage += [Damage(Position(position), "entry", MISSING) for position in missing]
        damage.sort(key=lambda one: one.position)
    return Chain(tuple(links), tuple(damage), head)


def _head(tally: Tally | None, sound: int, unfit: int) -> Position:
    """The tally knows best, but for what came since. A damaged row may have strayed anywhere."""
    return Position(max(tally.head, sound) if tally else max(unfit, sound))


# What entries add up to


def current_tally(
    connection: sqlite3.Connection, authors: Authors, document: Document
) -> tuple[Tally, bool]:
    """Return what a document adds up to now, and whether its row says just that."""
    tally, _ = find_tally(connection, document)
    if tally is not None:
        chain = read_chain(connection, authors, document, tally.head, None)
        return _counted(tally, chain.links), not chain.links
    return _added_up(connection, authors, document), False


def _added_up(connection: sqlite3.Connection, authors: Authors, document: Document) -> Tally:
    """Make a damaged tally again, from all entries and the snapshot."""
    snapshot = find_snapshot(connection, document)
    covered = snapshot.position if snapshot else NOWHERE
    links = read_chain(connection, authors, document, NOWHERE, None).links
    if links:
        [first, *_] = links
        tally = Tally.empty(document, first.author, to_milliseconds(first.entry.edit.received_at))
        tally.thinned = min(first.previous, covered)  # as far as one can tell it from lost
    else:
        tally = Tally.empty(document, 0, to_milliseconds(snapshot.taken_at) if snapshot else 0)
        tally.thinned = covered
    tally.snapshot = covered
    _counted(tally, links)
    tally.head = max(tally.head, covered)
    return tally


def _counted(tally: Tally, links: tuple[Link, ...]) -> Tally:
    for link in links:
        edit = link.entry.edit
        received_at = to_milliseconds(edit.received_at)
        tally.count(link.entry.position, link.author, received_at, len(edit.update))
    return tally


def behind(connection: sqlite3.Connection, some: Collection[int] | None = None) -> list[int]:
    """Return the ids of documents that have entries behind the heads of their tallies.

    Of all documents, or of ``some``.
    """
    if some is None:
        [(found,)] = connection.execute(_BEHIND)
    else:
        [(found,)] = connection.execute(_BEHIND_OF_SOME, (json.dumps([*some]),))
    return [id_ for id_ in json.loads(found) if isinstance(id_, int)]


def heads(
    connection: sqlite3.Connection,
    authors: Authors,
    prefix: str = "",
    after: str = "",
    limit: int | None = None,
) -> list[Head]:
    """List documents; see :meth:`persistence.store.Reader.heads`. Raises sqlite3.Error.

    It reads no documents but those of the list.
    """
    with one_moment(connection):
        if not prefix and not after and limit is None:
            return _heads(connection, authors, names.documents(connection), everything=True)
        found: list[Head] = []
        end: str | None = after
        while end is not None and (limit is None or len(found) < limit):
            page = -1 if limit is None else min(max(limit - len(found), _FEW), _MANY)
            documents, end = names.documents_within(connection, prefix, end, page)
            found += _heads(connection, authors, documents, everything=False)
        return found[:limit]


def _heads(
    connection: sqlite3.Connection,
    authors: Authors,
    documents: dict[int, Document],
    *,
    everything: bool,
) -> list[Head]:
    some = None if everything else documents.keys()
    tallies = _sound_tallies(connection, documents, some)
    named = sorted(documents.values(), key=lambda document: document.name)
    deleted = (
        deletions.read_all(connection)
        if everything
        else deletions.read_some(connection, [document.name for document in named])
    )
    deletion = {one.document: one for one in deleted}
    for id_ in (documents.keys() - tallies.keys()) | set(behind(connection, some)):
        if id_ in documents:
            tallies[id_], _ = current_tally(connection, authors, documents[id_])
    found = (_as_head(tallies[one.id], authors, deletion.get(one.name)) for one in named)
    return [one for one in found if one is not None]


def head(connection: sqlite3.Connection, authors: Authors, name: str) -> Head | None:
    """Read one line of the list; see :meth:`persistence.store.Reader.head`."""
    with one_moment(connection):
        found = names.find(connection, Kind.DOCUMENT, name)
        if found.id is None:
            return None
        tally, _ = current_tally(connection, authors, Document.of(found.id, name))
        return _as_head(tally, authors, deletions.find(connection, name))


def _sound_tallies(
    connection: sqlite3.Connection,
    documents: dict[int, Document],
    some: Collection[int] | None,
) -> dict[int, Tally]:
    rows = connection.execute(_TALLIES) if some is None else _some_tallies(connection, [*some])
    return {
        tally.document.id: tally
        for row in rows
        if (document := documents.get(row[0])) and (tally := open_tally(row, document))
    }


def _as_head(tally: Tally, authors: Authors, deleted: Deletion | None) -> Head | None:
    if not tally.head or (deleted and deleted.purged):
        return None
    author = authors(tally.last_author)
    return tally.as_head(author.name.decode() if author else "", deleted)


def read_epoch(connection: sqlite3.Connection) -> str:
    """Return the database's epoch. Raises StoreError when it is damaged."""
    epoch = read_meta(connection, "epoch")
    if epoch is None:
        raise StoreError("the database's epoch is damaged; `draftsync doctor` tells more")
    return epoch
