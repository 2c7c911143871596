"""``draftsync docs export``: documents, and the whole database, as files."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

import anyio.to_thread
import typer
from anyio import from_thread

from persistence.store import (
    HistoryRemoved,
    Past,
    Position,
    Reader,
    StoredEvent,
    StoredSession,
    lost_entries,
)
from sync.cli import options, screen
from sync.cli.docs.asked import checked_name, complete_names, form_of, newest
from sync.cli.export_target import Target, whole_file
from sync.cli.progress import Report, bar
from sync.cli.reading import look
from sync.core.errors import NativeFailure
from sync.core.events import iso
from sync.core.names import DocumentName
from sync.core.session import session_of
from sync.forms.definition import FormDefinition
from sync.forms.draft import view
from sync.inspection.archive import (
    DELETIONS,
    DOCUMENTS,
    SESSIONS,
    ArchiveWriter,
    deletion_line,
    document_line,
    entry_line,
    event_line,
    session_line,
)
from sync.inspection.ratings import COLUMNS, ratings
from sync.inspection.state import State, damages, state
from sync.server.deep_stack import run_deep

_T = TypeVar("_T")

PAGE = 1_000


class Format(StrEnum):
    """What documents are exported as."""

    JSON = "json"
    CSV = "csv"
    UPDATE = "update"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which documents."""

    names: tuple[str, ...]
    prefix: str  # where no names are given

    async def of(self, reader: Reader) -> list[str]:
        """Their names, in order. Ends the command where there are none."""
        if not self.names:
            heads = await reader.heads(self.prefix)
            return [head.document for head in heads if head.deleted is None]
        for name in self.names:
            if await reader.head(name) is None:
                options.failed(f"there is no document {name!r} in this database")
        return list(self.names)


def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Documents.", autocompletion=complete_names),
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="All documents whose names begin so.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All documents.")] = False,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="json: what they hold. csv: a line for each rating. update: a Yjs update of each. "
            "archive: the whole database, with history and sessions.",
        ),
    ] = Format.JSON,
    output: Annotated[
        str, typer.Option("--output", "-o", help="A file, for updates a folder; -: stdout.")
    ] = "-",
    force: Annotated[
        bool, typer.Option("--force", help="Take the place of a file that is there.")
    ] = False,
    config: options.Config = None,
    database: options.Database = None,
) -> None:
    """Export documents, with the service up or down.

    Of a single document an update can go to a file; of several each goes to a file of its own in a
    folder. An archive is of one moment, and holds everything: draftsync docs import reads it.

    For example: draftsync docs export --all --format archive -o drafts.archive.zip
    """
    choice = _choice(names, prefix, everything=everything)
    if form is Format.ARCHIVE and not everything:
        options.usage_error("an archive is of the whole database: give --all")
    target = Target(output, force=force)
    single = len(choice.names) == 1 and form is Format.UPDATE and not target.is_folder
    if form is Format.UPDATE and not single:
        target.check_folder()
    else:
        target.check_file(binary=form in (Format.UPDATE, Format.ARCHIVE))
    with (
        target.file(several=form is Format.UPDATE and not single) as file,
        bar("exporting") as report,
    ):
        job = _Export(choice, target, file, report)
        action = {
            Format.JSON: job.json,
            Format.CSV: job.csv,
            Format.UPDATE: job.update if single else job.updates,
            Format.ARCHIVE: job.archive,
        }[form]
        look(action, config, database)
    for each in job.damaged:
        screen.warn(f"damaged: {each}")
    if job.unreadable:  # the others were
        options.failed(f"{len(job.unreadable)} documents could not be exported")
    if job.damaged:
        options.failed("what is damaged is not in it: `draftsync doctor` tells more")


def _choice(names: Sequence[str] | None, prefix: str | None, *, everything: bool) -> Choice:
    if sum((bool(names), prefix is not None, everything)) != 1:
        options.usage_error("say which documents: names, --prefix P, or --all")
    return Choice(tuple(map(checked_name, names or ())), prefix or "")


# -- what


class _Export:
    """An export under way."""

    def __init__(self, choice: Choice, target: Target, file: IO[bytes], report: Report) -> None:
        self.damaged: list[str] = []
        self.unreadable: list[str] = []
        self._choice = choice
        self._target = target
        self._file = file
        self._report = report
        self._forms: dict[str | None, FormDefinition | None] = {}

    async def json(self, reader: Reader) -> None:
        """An array of documents, written one after the other."""
        separator = b"[\n"
        async for now in self._states(reader):
            form = await self._form(reader, now.document)
            await self._write(separator + _json(now, form))
            separator = b",\n"
        await self._write(b"\n]\n" if separator == b",\n" else b"[]\n")

    async def csv(self, reader: Reader) -> None:
        """A line for each rating, below a header (RFC 4180)."""
        await self._write(self._target.encoded(_csv_lines([COLUMNS])))
        async for name in self._names(reader):
            past, form = await reader.past(name), await self._form(reader, name)
            if rows := self._read(past, partial(ratings, past, form)):
                await self._write(self._target.encoded(_csv_lines(rows)))

    async def update(self, reader: Reader) -> None:
        """One document, to a file or stdout."""
        async for now in self._states(reader):
            await self._write(now.update)

    async def _write(self, data: bytes) -> None:
        await _off(partial(self._file.write, data))

    async def updates(self, reader: Reader) -> None:
        """Each document to a file of its own."""
        async for now in self._states(reader):
            path = self._target.folder_file(now.document)
            await _off(partial(self._write_to, path, now.update))

    def _write_to(self, path: Path, update: bytes) -> None:
        if path.exists() and not self._target.force:
            options.failed(f"{path} exists already: give another folder, or --force")
        with whole_file(path) as file:
            file.write(update)

    async def archive(self, reader: Reader) -> None:
        """Everything, as of now."""
        await _off(partial(self._write_archive, reader))

    def _write_archive(self, reader: Reader) -> None:
        """On another thread, which asks the loop's to read what it writes."""
        until = from_thread.run(reader.last_position)
        told = {"created": iso(time.time()), "epoch": reader.epoch, "position": until}
        writer = ArchiveWriter(self._file, told)
        try:
            self._write_parts(reader, writer, until)
        except BaseException:
            writer.abandon()
            raise
        writer.finish()

    def _write_parts(self, reader: Reader, writer: ArchiveWriter, until: Position) -> None:
        heads = from_thread.run(reader.heads)
        with writer.part(DOCUMENTS) as lines:
            for number, head in enumerate(heads):
                self._report(number, len(heads))
                past = from_thread.run(_past, reader, head.document, until)
                self._note(past, damages(past, {}))
                if lost_entries(past.damaged):  # its snapshot may have it
                    past = from_thread.run(newest, reader, DocumentName(head.document))
                if past.base is not None or past.entries:
                    lines.write(document_line(past))
                    for entry in past.entries:
                        lines.write(entry_line(entry))
        with writer.part(DELETIONS) as lines:
            for deletion in from_thread.run(reader.deletions):
                lines.write(deletion_line(deletion))
        _archive_sessions(reader, writer)

    async def _states(self, reader: Reader) -> AsyncIterator[State]:
        """What documents hold, from their snapshots on: of those, damaged history takes nothing."""
        async for name in self._names(reader):
            past = await newest(reader, name)
            if (now := self._read(past, partial(state, past))) is not None:
                yield now

    async def _names(self, reader: Reader) -> AsyncIterator[DocumentName]:
        names = await self._choice.of(reader)
        for number, name in enumerate(names):
            self._report(number, len(names))
            yield DocumentName(name)

    async def _form(self, reader: Reader, document: str) -> FormDefinition | None:
        session = session_of(document)
        if session not in self._forms:
            self._forms[session] = await form_of(reader, document)
        return self._forms[session]

    def _read(self, past: Past, read: Callable[[], _T]) -> _T | None:
        """Read a document on a deep stack; where that fails, go on with the others."""
        try:
            told = run_deep(read)
        except NativeFailure as failure:
            self.unreadable.append(past.document)
            self.damaged.append(f"{past.document!r} cannot be read: {failure}")
            return None
        self._note(past, told.damaged if isinstance(told, State) else damages(past, {}))
        return told

    def _note(self, past: Past, damaged: Sequence[str]) -> None:
        self.damaged += [f"{past.document!r}: {each}" for each in damaged]


async def _past(reader: Reader, document: str, until: Position) -> Past:
    """A document as of a position; as of now, where retention went on beyond that since."""
    try:
        return await reader.past(document, until)
    except HistoryRemoved:
        return await reader.past(document)


def _archive_sessions(reader: Reader, writer: ArchiveWriter) -> None:
    after = 0
    with writer.part(SESSIONS) as lines:
        while page := from_thread.run(reader.sessions, None, after, PAGE):
            for stored in page:
                lines.write(session_line(stored))
                for event in _events(reader, stored):
                    lines.write(event_line(event))
            after = page[-1].number


def _events(reader: Reader, stored: StoredSession) -> Iterator[StoredEvent]:
    """The events of a session, up to what it was when it was read."""
    offset = stored.truncated
    while page := from_thread.run(reader.events, stored.session, offset, PAGE):
        yield from (event for event in page if event.offset <= stored.top)
        offset = page[-1].offset


def _json(now: State, form: FormDefinition | None) -> bytes:
    told: dict[str, Any] = now.to_json()
    told["form"] = view(form, now.content).to_json() if form is not None else None
    return screen.json_text(told).encode()


def _csv_lines(rows: Sequence[Sequence[object]]) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return lines.getvalue()


async def _off(call: Callable[[], _T]) -> _T:
    """Write files on another thread."""
    return await anyio.to_thread.run_sync(call)
