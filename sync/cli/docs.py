"""``draftsync docs``: looking into the drafts, with the service up or down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.json import JSON
from rich.table import Table

from persistence.store import NOWHERE, Head, Reader, StoredDocument
from sync.cli import options, screen
from sync.cli.reading import with_reader
from sync.core.content import content
from sync.core.errors import InvalidName, NativeFailure
from sync.core.names import document_name
from sync.core.replay import replay
from sync.server.deep_stack import run_deep

app = typer.Typer(help="Look into the drafts.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Shown:
    """One document, as it is on disk."""

    name: str
    content: dict[str, object]
    position: int
    epoch: str
    size: int  # bytes of the document as one update
    damaged: list[str]  # what could not be read, in words

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "content": self.content,
            "position": self.position,
            "epoch": self.epoch,
            "size": self.size,
            "damaged": self.damaged,
        }


@app.command("list")
def list_documents(
    prefix: Annotated[str, typer.Argument(help="Only names that begin so.")] = "",
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """List the documents.

    For example: draftsync docs list drafts/ --database draftsync.db
    """

    async def read(reader: Reader) -> list[Head]:
        return await reader.heads(prefix)

    heads = with_reader(read, options.settings(config, database=database))
    if json_output:
        typer.echo(json.dumps([_head_json(head) for head in heads], indent=2, ensure_ascii=False))
    else:
        screen.show(_list_table(heads))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The document's name.")],
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Show what a document holds.

    For example: draftsync docs show drafts/42 --json
    """
    try:
        document = document_name(name)
    except InvalidName as error:
        options.usage_error(error.reason)

    async def read(reader: Reader) -> tuple[str, StoredDocument]:
        return reader.epoch, await reader.load(document)

    epoch, stored = with_reader(read, options.settings(config, database=database))
    if stored.head == NOWHERE and not stored.damaged:
        options.failed(f"there is no document {name!r} in this database")
    try:
        shown = run_deep(lambda: _shown(stored, epoch))
    except NativeFailure as failure:
        options.failed(f"the document {name!r} cannot be read: {failure}")
    if json_output:
        typer.echo(json.dumps(shown.as_json(), indent=2, ensure_ascii=False))
    else:
        _print_document(shown)
    for damage in shown.damaged:
        typer.echo(f"damaged: {damage}", err=True)


def _shown(stored: StoredDocument, epoch: str) -> Shown:
    snapshot = stored.snapshot.update if stored.snapshot else None
    replayed = replay(snapshot, [entry.edit.update for entry in stored.entries])
    update = replayed.document.encode()
    damaged = [f"{each.what} {each.position}: {each.reason}" for each in stored.damaged]
    damaged += [
        f"entry {stored.entries[index].position}: {reason}"
        for index, reason in replayed.left_out.items()
    ]
    return Shown(stored.document, content(update), stored.head, epoch, len(update), damaged)


def _head_json(head: Head) -> dict[str, object]:
    return {
        "name": head.document,
        "position": head.head,
        "edits": head.edits,
        "size": head.size,
        "last_author": head.last_author,
        "created_at": _time(head.created_at),
        "updated_at": _time(head.updated_at),
        "snapshot": head.snapshot,
    }


def _list_table(heads: list[Head]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("document", overflow="fold")
    for column in ("edits", "bytes", "position"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("last author", overflow="fold")
    table.add_column("last edit", no_wrap=True)
    for head in heads:
        table.add_row(
            head.document,
            f"{head.edits:,}",
            f"{head.size:,}",
            str(head.head),
            head.last_author,
            _time(head.updated_at),
        )
    return table


def _print_document(shown: Shown) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("field", no_wrap=True)
    table.add_column("value")
    for root, value in shown.content.items():
        if isinstance(value, dict):
            for key, item in value.items():
                table.add_row(f"{root}.{key}", _cell(item))
        else:
            table.add_row(root, _cell(value))
    screen.show(f"{shown.name}   position {shown.position}, {shown.size:,} bytes")
    screen.show(table)


def _cell(value: object) -> str | JSON:
    return value if isinstance(value, str) else JSON(json.dumps(value, ensure_ascii=False))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds")
