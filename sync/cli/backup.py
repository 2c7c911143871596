"""``draftsync backup``: a copy of the database, while it is in use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from persistence.sqlite.backup import Copy, copy_database
from persistence.store import StoreError
from sync.cli import options, screen
from sync.cli.progress import bar


def backup(
    target: Annotated[Path, typer.Argument(metavar="DEST", help="The file to make.")],
    force: Annotated[
        bool, typer.Option("--force", help="Take the place of a file that is there.")
    ] = False,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Copy the database, with the service up or down.

    The copy is of one moment, and holds whatever was saved before the command began. It is checked
    before it is put in its place. To go back to it: stop the service, move the database and the
    files -wal and -shm beside it away, put the copy in its place, and start the service. Clients
    bring along what they know beyond it.

    For example: draftsync backup /var/backups/drafts-monday.db --database draftsync.db
    """
    path = options.database_file(config, database)
    began = time.monotonic()
    try:
        with bar("copying", in_bytes=True) as report:
            copy = copy_database(path, target, report, overwrite=force)
    except StoreError as error:
        options.failed(str(error))
    told = _json(copy, time.monotonic() - began)
    if json_output:
        screen.echo_json(told)
    else:
        screen.say(_words(told))
    _tell_concerns(copy)


def _json(copy: Copy, seconds: float) -> dict[str, Any]:
    return {
        "path": str(copy.path),
        "bytes": copy.size,
        "documents": copy.documents,
        "entries": copy.entries,
        "position": copy.position,
        "seconds": round(seconds, 3),
        "findings": list(copy.findings),
    }


def _words(told: dict[str, Any]) -> str:
    return (
        f"{told['path']}: {told['documents']:,} documents with {told['entries']:,} edits, up to "
        f"position {told['position']:,}; {told['bytes']:,} bytes in {told['seconds']:.1f} s"
    )


def _tell_concerns(copy: Copy) -> None:
    if copy.older:
        screen.warn("it has the schema of an older draftsync, as the database has")
    for finding in copy.findings:
        screen.warn(f"damaged: {finding}")
    if copy.findings:
        options.failed(
            "the copy is as damaged as the database: `draftsync doctor` tells where; keep earlier "
            "copies until that is clear"
        )
