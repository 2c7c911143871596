"""The tables, their migrations, and whether a file is one of ours.

``entries.previous`` is the position of the entry before it in the same document (0: it is the
first): with ``documents.head`` it makes a chain, so that an entry that went missing, because its
row, its document's name or a page of the index was damaged, is missed. Whoever deletes entries in
the middle has to set ``previous`` of the next one that stays, and its checksum.

``documents`` only sums up ``entries``, and is made again from them where it is damaged.

``meta.last_position`` is the highest position that was ever given; entries may be deleted, it
never goes back.

Every ``checksum`` covers all other columns of its row (see :mod:`persistence.sqlite.rows`).
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from pathlib import Path
from typing import cast

from sqlite_utils import Database
from sqlite_utils.db import Table
from sqlite_utils.migrations import Migrations

from persistence.sqlite.rows import seal_meta
from persistence.store import StoreError, StoreTooNew

OLDEST_SQLITE = (3, 37, 0)  # STRICT tables

migrations = Migrations("draftsync")


@migrations()
def m001_documents_and_entries(database: Database) -> None:
    """Make the tables of documents, and give the database its epoch."""
    _create(
        database,
        "meta",
        {"key": str, "value": str, "checksum": bytes},
        key="key",
    )
    _create(
        database,
        "entries",
        {
            "position": int,
            "document": str,
            "previous": int,
            "update": bytes,
            "author": str,
            "clients": str,
            "received_at": float,
            "checksum": bytes,
        },
        key="position",
    )
    _create(
        database,
        "documents",
        {
            "document": str,
            "head": int,
            "edits": int,
            "size": int,
            "last_author": str,
            "created_at": float,
            "updated_at": float,
            "snapshot": int,
            "checksum": bytes,
        },
        key="document",
    )
    _create(
        database,
        "snapshots",
        {
            "document": str,
            "position": int,
            "update": bytes,
            "state_vector": bytes,
            "taken_at": float,
            "checksum": bytes,
        },
        key="document",
    )
    _table(database, "entries").create_index(["document"], "entries_by_document")
    _fill_meta(database)


def _create(database: Database, table: str, columns: dict[str, type[object]], *, key: str) -> None:
    _table(database, table).create(columns, pk=key, not_null=set(columns), strict=True)


def _table(database: Database, name: str) -> Table:
    return cast("Table", database[name])


def _fill_meta(database: Database) -> None:
    values = {
        "epoch": secrets.token_hex(16),
        "created_at": repr(time.time()),
        "last_position": "0",
    }
    _table(database, "meta").insert_all(
        {"key": key, "value": value, "checksum": seal_meta(key, value)}
        for key, value in values.items()
    )


def check_for_writing(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError or StoreTooNew unless the database is ours, or empty. Changes nothing."""
    _check_ours(_database(connection), path, or_empty=True)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database, or a new file, to this version's schema: wholly or not at all."""
    database = _database(connection)
    if migrations.pending(database):
        with database.atomic():
            migrations.apply(database)


def check_for_reading(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError or StoreTooNew unless the database is ours and of this schema."""
    database = _database(connection)
    _check_ours(database, path, or_empty=False)
    if migrations.pending(database):
        raise StoreError(
            f"{path} was written by an older draftsync: start this version's service on it once"
        )


def _database(connection: sqlite3.Connection) -> Database:
    return Database(connection, recursive_triggers=False, execute_plugins=False)


def _check_ours(database: Database, path: Path, *, or_empty: bool) -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed")
    applied = {migration.name for migration in migrations.applied(database)}
    known = {migration.name for migration in migrations._migrations}
    if unknown := sorted(applied - known):
        raise StoreTooNew(f"{path} was written by a newer draftsync: it has {', '.join(unknown)}")
    if not applied and not (or_empty and not database.table_names()):
        raise StoreError(f"{path} is a SQLite database, but not one of draftsync's")
