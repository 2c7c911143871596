"""``draftsync docs list``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from persistence.store import NOWHERE, Head, Reader
from sync.cli import options, screen
from sync.cli.docs.asked import complete_names
from sync.cli.reading import look
from sync.core.events import iso


class Order(StrEnum):
    """What a list is ordered by."""

    NAME = "name"
    SIZE = "size"
    EDITS = "edits"
    UPDATED = "updated"


_KEYS = {
    Order.SIZE: lambda head: head.size,
    Order.EDITS: lambda head: head.edits,
    Order.UPDATED: lambda head: head.updated_at,
}


def list_documents(
    prefix: Annotated[
        str,
        typer.Argument(help="Only names that begin so.", autocompletion=complete_names),
    ] = "",
    sort: Annotated[
        Order, typer.Option(help="By name; or the largest, most edited or newest first.")
    ] = Order.NAME,
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    author: Annotated[
        str | None, typer.Option(help="Only those that this subject edited last.")
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="Only names with this in them, in any case.")
    ] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Also those deleted.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0: all.")] = 100,
    after: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those behind this one.")
    ] = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """List the documents.

    The state tells whether a document has a snapshot, whether its first edits were thinned out,
    and whether it is deleted.

    For example: draftsync docs list drafts/ --sort updated --limit 20
    """

    async def read(reader: Reader) -> list[Head]:
        return await reader.heads(prefix)

    heads = [
        head
        for head in look(read, config, database)
        if (deleted or head.deleted is None)
        and (author is None or head.last_author == author)
        and (search is None or search.casefold() in head.document.casefold())
    ]
    behind = _behind(_ordered(heads, sort, reverse=reverse), after, sort, reverse=reverse)
    shown = behind[:limit] if limit else behind
    if json_output:
        screen.echo_json([_head_json(head) for head in shown])
    else:
        screen.page(_grid(shown))
    if len(shown) < len(behind):
        screen.warn(
            f"these are {len(shown):,}, and {len(behind) - len(shown):,} come behind: "
            f"--after {shown[-1].document!r}, or --limit 0"
        )


def _ordered(heads: list[Head], sort: Order, *, reverse: bool) -> list[Head]:
    """By name; where it is by something else, those that are equal are by name."""
    if sort is Order.NAME:
        return heads[::-1] if reverse else heads
    return sorted(heads, key=_KEYS[sort], reverse=not reverse)


def _behind(heads: list[Head], after: str | None, sort: Order, *, reverse: bool) -> list[Head]:
    if after is None:
        return heads
    if sort is Order.NAME:
        return [
            each for each in heads if (each.document < after) == reverse and each.document != after
        ]
    names = [head.document for head in heads]
    if after not in names:
        options.usage_error(f"--after: there is no {after!r} in this list; by name it could be any")
    return heads[names.index(after) + 1 :]


def _head_json(head: Head) -> dict[str, object]:
    told: dict[str, object] = {
        "name": head.document,
        "position": head.head,
        "edits": head.edits,
        "size": head.size,
        "last_author": head.last_author,
        "created_at": iso(head.created_at),
        "updated_at": iso(head.updated_at),
        "snapshot": head.snapshot,
        "thinned": head.thinned,
    }
    if head.deleted is not None:
        told["deleted"] = {"by": head.deleted.by, "at": iso(head.deleted.at)}
    return told


def _grid(heads: list[Head]) -> screen.Grid:
    grid = screen.Grid(
        "document", "edits", "bytes", "last author", "last edit", "state",
        right=("edits", "bytes"), whole=("last edit",),
    )  # fmt: skip
    for head in heads:
        grid.add(
            head.document,
            f"{head.edits:,}",
            f"{head.size:,}",
            head.last_author or "(unreadable)",
            screen.second(head.updated_at),
            _state(head),
        )
    return grid


def _state(head: Head) -> str:
    marks = [
        f"deleted by {head.deleted.by}" if head.deleted else "",
        "snapshot" if head.snapshot != NOWHERE else "",
        "thinned" if head.thinned != NOWHERE else "",
        "" if head.last_author else "damaged",
    ]
    return ", ".join(filter(None, marks)) or screen.NOTHING
