"""``draftsync docs watch``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import anyio
import typer

from persistence.store import Entry, Position, Reader, StoreError, StoreUnavailable
from sync.cli import options, screen
from sync.cli.docs import changes
from sync.cli.docs.asked import complete_names, form_of, parsed
from sync.cli.reading import look
from sync.core.changes import Change, difference
from sync.core.content import content
from sync.core.document import Document
from sync.core.errors import NativeFailure, ProtocolError
from sync.core.events import iso
from sync.core.guard import inspect
from sync.core.names import DocumentName
from sync.forms.definition import FormDefinition
from sync.inspection.labels import labelled
from sync.inspection.state import replayed_past
from sync.server.deep_stack import run_deep

FOLLOW_SECONDS = 0.25
"""Between two looks at the database for what is new."""

_PAGE = 500
_MOST_DOCUMENTS = 200  # whose content is kept, to tell what the next edit changes
_MOST_CHANGES = 4  # that one line tells
_ANY_NUMBER = 2**31  # of clients, in an entry


def watch(
    prefix: Annotated[
        str,
        typer.Argument(help="Only documents that begin so.", autocompletion=complete_names),
    ] = "",
    since: Annotated[
        str | None,
        typer.Option(metavar="POSITION|TIME", help="Begin behind this [default: now]."),
    ] = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Print every edit as it is saved, and what it changes, until Ctrl-C.

    The database is read beside the running service. With --json there is one object on each line.

    For example: draftsync docs watch drafts/refunds-7/ --since 2026-03-01T12:00
    """
    point = parsed(since, "--since")

    async def read(reader: Reader) -> None:
        await follow(reader, prefix, await _begin(reader, prefix, point), _printer(json_output))

    with suppress(KeyboardInterrupt):
        look(read, config, database)


async def follow(reader: Reader, prefix: str, after: int, tell: Callable[[Seen], None]) -> None:
    """Tell every edit behind a position, for ever. Raises StoreError."""
    known = _Known(reader)
    while True:
        try:
            page = await reader.tail(after, prefix, _PAGE)
        except StoreUnavailable:
            page = []  # such as a moment in which the service moves its log about
        for entry in page:
            tell(await known.see(entry))
            after = entry.position
        if not page:
            await anyio.sleep(FOLLOW_SECONDS)


async def _begin(reader: Reader, prefix: str, point: int | float | None) -> int:
    """The position behind which to begin."""
    if point is None:
        return await reader.last_position()
    if isinstance(point, int):
        return point
    low, high = 0, int(await reader.last_position())
    while low < high:  # positions come in the order of time, as good as
        middle = (low + high) // 2
        found = await reader.tail(middle, prefix, 1)
        if not found or found[0].edit.received_at >= point:
            high = middle
        else:
            low = found[0].position
    return low


class Seen:
    """An edit, and what it changed: None where that cannot be told."""

    def __init__(
        self, entry: Entry, changed: tuple[Change, ...] | None, form: FormDefinition | None
    ) -> None:
        self.entry = entry
        self.changed = changed
        self.form = form

    def to_json(self) -> dict[str, Any]:
        edit = self.entry.edit
        told = {
            "document": edit.document,
            "position": self.entry.position,
            "author": edit.author,
            "time": iso(edit.received_at),
            "size": len(edit.update),
            "connection": edit.connection,
            "offline": edit.offline,
        }
        if self.changed is not None:
            told["changes"] = [labelled(change, self.form) for change in self.changed]
        return told

    def told(self) -> screen.Line:
        edit = self.entry.edit
        made = " (offline)" if edit.offline else ""
        return (
            (f"{self.entry.position:>8} {screen.second(edit.received_at)[11:]} ", "dim"),
            (f"{edit.author}{made} ", "bold"),
            (f"{edit.document}  ", "cyan"),
            (self._changes(), ""),
        )

    def _changes(self) -> str:
        if self.changed is None:
            return f"{len(self.entry.edit.update):,} bytes; what it changes cannot be told"
        told = [changes.told(each, self.form) for each in self.changed[:_MOST_CHANGES]]
        more = len(self.changed) - len(told)
        told += [f"… {more} more"] if more else []
        return "; ".join(told) or "nothing that shows"


class _Known:
    """The documents that were edited of late, as they are behind their last edit."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._documents: OrderedDict[str, tuple[Document, dict[str, object]]] = OrderedDict()
        self._forms: dict[str, FormDefinition | None] = {}

    async def see(self, entry: Entry) -> Seen:
        name = entry.edit.document
        if name not in self._forms:
            self._forms[name] = await form_of(self._reader, name)
        try:
            kept = self._documents.pop(name) if name in self._documents else None
            document, before = kept or await self._before(entry)
            after = await anyio.to_thread.run_sync(
                lambda: run_deep(lambda: _apply(document, entry))
            )
        except (NativeFailure, ProtocolError, StoreError):
            return Seen(entry, None, self._forms[name])
        self._documents[name] = document, after
        if len(self._documents) > _MOST_DOCUMENTS:
            gone, _ = self._documents.popitem(last=False)
            self._forms.pop(gone, None)
        return Seen(entry, difference(before, after), self._forms[name])

    async def _before(self, entry: Entry) -> tuple[Document, dict[str, object]]:
        name, position = DocumentName(entry.edit.document), Position(entry.position - 1)
        past = await self._reader.past(name, position)

        def replayed() -> tuple[Document, dict[str, object]]:
            document = replayed_past(past).document
            return document, content(document.encode())

        return await anyio.to_thread.run_sync(lambda: run_deep(replayed))


def _apply(document: Document, entry: Entry) -> dict[str, object]:
    document.apply(entry.edit.update, inspect(entry.edit.update, _ANY_NUMBER))
    return content(document.encode())


def _printer(json_output: bool) -> Callable[[Seen], None]:
    if json_output:
        return lambda seen: screen.echo_json(seen.to_json(), indent=None)
    return lambda seen: screen.print_line(seen.told())
