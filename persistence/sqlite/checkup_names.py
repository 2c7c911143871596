"""The checkup of meta, of names in both their tables, and of rows whose names are lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from persistence.sqlite import deletions, meta, names, revocations
from persistence.sqlite.checkup_findings import Finding, Numbers, Tell, some
from persistence.sqlite.names import Kind
from persistence.sqlite.rows import Document, Row

META = ("epoch", "created_at", "last_position", meta.REMOVED)
_NEXT = "SELECT min(document) FROM {} WHERE document > ?"


def check_meta(connection: sqlite3.Connection, tell: Tell) -> None:
    """Tell which facts of the database are damaged."""
    means = {
        "epoch": "the service does not start: clients know the database by it",
        "created_at": "nobody needs it but people",
        "last_position": "positions could be given twice, were it not for the entries",
        meta.REMOVED: "it cannot be told whether entries went missing without a trace",
    }
    does = {"epoch": "gives the database a new one: clients read anew what they already have"}
    for key in META:
        if meta.read_meta(connection, key) is None:
            tell(
                Finding(
                    "meta.unfit",
                    "damage",
                    f"meta: {key} is damaged or missing",
                    means[key],
                    "`--fix` " + does.get(key, "makes it again"),
                    fixable=True,
                )
            )


def check_names(connection: sqlite3.Connection, tell: Tell) -> None:
    """Tell of names of which a copy is damaged or missing."""
    torn = 0
    for table in ("names", "ids"):
        for row in connection.execute(f"SELECT {names.NAME_COLUMNS} FROM {table} NOT INDEXED"):  # noqa: S608
            if not names.is_sound(row) or not _is_whole(connection, row):
                torn += 1
    if torn:
        tell(
            Finding(
                "name.torn",
                "damage",
                f"{some(torn, 'copy', 'copies')} of names of documents or authors are damaged, "
                "or lack the other copy",
                "nothing of the content is lost while the other copy is sound",
                "`--fix` makes them again",
                count=torn,
                fixable=True,
            )
        )


def _is_whole(connection: sqlite3.Connection, row: Row) -> bool:
    return names.find(connection, Kind(row[1]), row[2].decode()).whole


def nameless(connection: sqlite3.Connection, known: dict[int, Document]) -> Iterator[int]:
    """Give the ids that rows stand under, though no sound name has them."""
    found: set[int] = set()
    for table in ("entries", "tallies", "snapshots", "bases"):
        for id_ in ids_in(connection, table):
            if id_ not in known and id_ not in found:
                found.add(id_)
                yield id_


def ids_in(connection: sqlite3.Connection, table: str) -> Iterator[int]:
    """Give the ids of documents that a table has rows of, in order."""
    last = -(2**63)
    while True:
        [(next_,)] = connection.execute(_NEXT.format(table), (last,)).fetchall()
        if next_ is None:
            return
        yield next_
        last = next_


def check_nameless(connection: sqlite3.Connection, known: dict[int, Document], tell: Tell) -> int:
    """Tell of rows without a name. Returns how many entries are among them."""
    ids, entries = Numbers(), 0
    for id_ in nameless(connection, known):
        ids.add(id_)
        [(count,)] = connection.execute("SELECT count(*) FROM entries WHERE document = ?", (id_,))
        entries += count
    if ids:
        tell(
            Finding(
                "document.nameless",
                "damage",
                f"{some(ids.count, 'document')} without a name: rows stand under {ids}, "
                f"{some(entries, 'entry', 'entries')} among them",
                "either both copies of a document's name are damaged, and it is not served, or a "
                "row was filed under an id that there is not",
                "`--fix` moves the rows into quarantine with their bytes; whoever still has the "
                "document open brings it back",
                count=ids.count,
                fixable=True,
            )
        )
    return entries


# What people took away


def check_deletions(connection: sqlite3.Connection, tell: Tell) -> None:
    """Tell of deletions, and of those that are damaged."""
    for row in deletions.unsound(connection):
        deletion, _ = deletions.open_deletion(row)
        tell(
            Finding(
                "deletion.unfit",
                "damage",
                f"{deletion.document}: the row that tells of its deletion is damaged",
                "the document stays deleted, but never counts as purged; where the name is what is "
                "wrong, another document is open that was deleted",
                "`--fix`, or the next start of the service, puts it right where one byte is wrong; "
                "`--fix` believes others as they stand, not purged",
                document=deletion.document,
                fixable=True,
            )
        )
    [(count,)] = connection.execute("SELECT count(*) FROM deletions")
    if count:
        tell(
            Finding(
                "deletion.count",
                "info",
                f"{some(count, 'document')} deleted",
                "`draftsync docs restore` brings back those that are not purged",
                count=count,
            )
        )


def check_revocations(connection: sqlite3.Connection, tell: Tell) -> None:
    """Tell of revocations, and of those that are damaged."""
    if unfit := len(revocations.unsound(connection)):
        tell(
            Finding(
                "revocation.unfit",
                "damage",
                f"{some(unfit, 'revocation')} of tokens damaged",
                "they are believed as they stand; a token may be taken though it was revoked",
                "`--fix` puts them right where one byte is wrong, and else moves them into "
                "quarantine: revoke again",
                count=unfit,
                fixable=True,
            )
        )
    [(count,)] = connection.execute("SELECT count(*) FROM revocations")
    if count:
        tell(
            Finding(
                "revocation.count",
                "info",
                f"{some(count, 'revocation')} of tokens",
                "these tokens are not taken any more",
                count=count,
            )
        )
