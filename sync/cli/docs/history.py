"""``draftsync docs history``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from persistence.store import Damage, EntryInfo, Past, Position, Reader
from sync.cli import options, screen
from sync.cli.docs import changes
from sync.cli.docs.asked import (
    Name,
    NoSuchDocument,
    checked_name,
    form_of,
    past,
    tell_damage,
)
from sync.cli.reading import look
from sync.core.errors import NativeFailure
from sync.core.events import iso
from sync.core.names import DocumentName
from sync.forms.definition import FormDefinition
from sync.inspection.story import Story, retell
from sync.inspection.versions import PAUSE_SECONDS, Version, version_page
from sync.server.deep_stack import run_deep

_MOST_CHANGES = 8  # of a version that are shown
_PAGE = 1_000


def history(
    name: Name,
    edits: Annotated[
        bool, typer.Option("--edits", help="Every edit, instead of versions of many.")
    ] = False,
    pause: Annotated[
        float, typer.Option(min=0, help="Seconds without an edit that end a version.")
    ] = PAUSE_SECONDS,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0: all.")] = 100,
    after: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="POSITION", help="The first behind this one [default: the newest]."
        ),
    ] = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Tell who changed what in a document, and when.

    A version is what one person did until they paused. Times are when the service received it;
    what was made offline may be older.

    For example: draftsync docs history drafts/refunds-7/42 --pause 600
    """
    document = checked_name(name)
    path = options.database_file(config, database)
    if edits:
        _edits(document, limit, after, path, json_output)
    else:
        _versions(document, pause, limit, after, path, json_output)


# -- versions


def _versions(
    document: DocumentName,
    pause: float,
    limit: int,
    after: int | None,
    database: str,
    json_output: bool,
) -> None:
    async def read(reader: Reader) -> tuple[Past, FormDefinition | None]:
        return await past(reader, document), await form_of(reader, document)

    found, form = look(read, None, database)

    def read_versions(story: Story) -> tuple[list[Version], int, tuple[str, ...]]:
        return *version_page(story, pause, after, limit), story.damaged

    try:
        shown, all_, damaged = run_deep(lambda: retell(found, read_versions))
    except NativeFailure as failure:
        options.failed(f"the document {document!r} cannot be read: {failure}")
    if json_output:
        earliest = found.base.position if found.base else 0
        told = [each.to_json(form) for each in shown]
        screen.echo_json({"name": document, "earliest": earliest, "versions": told})
    else:
        screen.page(*_heading(document, found), _version_grid(shown, form))
    _tell_more(len(shown), all_, after)
    tell_damage(damaged)


def _heading(document: str, found: Past) -> Iterator[screen.Line]:
    yield screen.line(document, "bold")
    if found.base is not None:
        removed = f"what was before position {found.base.position} was removed by retention"
        yield screen.line(removed, "dim")


def _version_grid(shown: list[Version], form: FormDefinition | None) -> screen.Grid:
    grid = screen.Grid(
        "position", "received (UTC)", "author", "edits", "changed",
        right=("position", "edits"), whole=("received (UTC)",),
    )  # fmt: skip
    for each in shown:
        first, *rest = list(_changed(each, form)) or ["(nothing that shows)"]
        grid.add(
            str(each.last),
            screen.second(each.ended_at),
            each.author + _how(each),
            f"{each.edits:,}",
            first,
        )
        for line in rest:
            grid.add("", "", "", "", line)
    return grid


def _changed(version: Version, form: FormDefinition | None) -> Iterator[str]:
    found = version.changes
    for change in found[:_MOST_CHANGES]:
        yield changes.told(change, form)
    if len(found) > _MOST_CHANGES:
        yield f"… {len(found) - _MOST_CHANGES} more"


def _how(version: Version) -> str:
    if not version.offline:
        return ""
    away = version.away_seconds
    return " (offline)" if away is None else f" (offline, away {screen.span(away)})"


# -- edits


def _edits(
    document: DocumentName, limit: int, after: int | None, database: str, json_output: bool
) -> None:
    async def read(reader: Reader) -> tuple[list[EntryInfo], list[Damage], Position, bool]:
        return await _all_edits(reader, document, after or 0)

    found, damaged, thinned, known = look(read, None, database)
    if not known:
        options.failed(str(NoSuchDocument(f"there is no document {document!r} in this database")))
    shown = found[:limit] if limit and after is not None else found[-limit:]
    if json_output:
        told = [_edit_json(each) for each in shown]
        screen.echo_json({"name": document, "thinned": thinned, "entries": told})
    else:
        screen.page(_edit_grid(shown))
    _tell_more(len(shown), len(found), after)
    tell_damage(tuple(map(_damage, damaged)))


async def _all_edits(
    reader: Reader, document: DocumentName, after: int
) -> tuple[list[EntryInfo], list[Damage], Position, bool]:
    found: list[EntryInfo] = []
    damaged: list[Damage] = []
    position: int | None = after
    while position is not None:
        page = await reader.history(document, position, _PAGE)
        found += page.entries
        damaged += page.damaged
        position = page.next
    known = bool(found or damaged) or bool((await reader.load(document)).head)
    return found, damaged, page.thinned, known


def _edit_grid(shown: list[EntryInfo]) -> screen.Grid:
    grid = screen.Grid(
        "position", "received (UTC)", "author", "connection", "bytes", "made",
        right=("position", "connection", "bytes"), whole=("received (UTC)",),
    )  # fmt: skip
    for each in shown:
        grid.add(
            str(each.position),
            screen.second(each.received_at),
            each.author,
            str(each.connection) if each.connection else screen.NOTHING,
            f"{each.size:,}",
            "offline" if each.offline else "online",
        )
    return grid


def _edit_json(each: EntryInfo) -> dict[str, Any]:
    return {
        "position": each.position,
        "author": each.author,
        "time": iso(each.received_at),
        "size": each.size,
        "connection": each.connection,
        "offline": each.offline,
    }


# -- both


def _tell_more(shown: int, all_: int, after: int | None) -> None:
    if shown < all_ and after is None:
        screen.warn(f"these are the newest {shown:,} of {all_:,}: --limit 0 for all")


def _damage(damage: Damage) -> str:
    return f"{damage.what} {damage.position}: {damage.reason}"
