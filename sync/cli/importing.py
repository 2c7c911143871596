"""``draftsync docs import``: documents and sessions from elsewhere."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
import typer

from persistence.sqlite.checkup_findings import some
from persistence.store import (
    Acknowledgement,
    Edit,
    Record,
    SessionState,
    Store,
    StoredEvent,
    StoreError,
)
from sync.cli import options, screen
from sync.cli.changing import change
from sync.cli.http import Service, ServiceError, Unreachable
from sync.cli.import_sources import BadSource, Incoming, Source, Unnamed, sources
from sync.cli.progress import Report, bar
from sync.core.errors import InvalidName, NativeFailure, ProtocolError
from sync.core.names import document_name
from sync.core.session import restored, session_id
from sync.inspection.archive import ArchivedSession
from sync.inspection.merging import Merged, merge
from sync.server.deep_stack import run_deep

_T = TypeVar("_T")

BATCH_EDITS = 500
BATCH_BYTES = 2**20
"""What is written as one transaction."""

_ONLY_DIRECTLY = (
    "an archive holds authors, times and sessions, which a running service takes from nobody: "
    "stop it, import, and start it again"
)


@dataclass(slots=True)
class Tally:
    """What came of an import."""

    documents: int = 0  # that were looked at
    edits: int = 0  # that were written, or would be
    known: int = 0  # edits that brought nothing new
    deletions: int = 0
    sessions: int = 0
    events: int = 0
    refused: list[str] = field(default_factory=list)  # what is bad, and why
    left: list[str] = field(default_factory=list)  # what is there already, and stays as it is

    def to_json(self, *, dry_run: bool) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "edits": self.edits,
            "known": self.known,
            "deletions": self.deletions,
            "sessions": self.sessions,
            "events": self.events,
            "refused": self.refused,
            "left": self.left,
            "dry_run": dry_run,
        }


def import_(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Files, or folders of update files.")
    ],
    name: Annotated[str | None, typer.Option(help="The document of a single update file.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Try everything out, and write nothing.")
    ] = False,
    url: options.Url = None,
    token: options.Token = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Import archives, Yjs updates, and databases of Hocuspocus.

    Documents merge into those that are there; what is there already is recognised, so importing
    twice adds nothing. Of an archive edits keep their authors and times, sessions come with their
    events, and a session that is there already is left alone. The document of an update file is
    what its name says, percent-encoded: drafts%2F42.update. Where a service runs, it takes updates
    as the operator's edits; an archive needs the service to be stopped.

    For example: draftsync docs import drafts.archive.zip --database new.db
    """
    settings = options.settings(config, database=database, url=url, token=token)
    try:
        found = sources(paths, name)
        for each in found:
            each.check()
    except BadSource as error:
        options.failed(str(error))
    except InvalidName as error:
        options.usage_error(f"--name: {error.reason}")
    with ExitStack() as stack:
        job = _Import(
            found, settings.document_limit, dry_run, stack.enter_context(bar("importing"))
        )
        change(settings, job.directly, job.through, make=not dry_run)
    _tell(job.tally, dry_run=dry_run, json_output=json_output)


def _tell(tally: Tally, *, dry_run: bool, json_output: bool) -> None:
    for each in (*tally.refused, *tally.left):
        screen.warn(each)
    if json_output:
        told = tally.to_json(dry_run=dry_run)
        screen.echo_json(told)
    else:
        done = "would be imported" if dry_run else "imported"
        screen.say(
            f"{some(tally.edits, 'edit')} of {some(tally.documents, 'document')} {done}, "
            f"{tally.known:,} known before; {some(tally.sessions, 'session')} with "
            f"{some(tally.events, 'event')}"
        )
    if tally.refused:
        options.failed(f"{len(tally.refused):,} could not be imported, as told above")


@dataclass(slots=True)
class _Import:
    """An import under way."""

    sources: Sequence[Source]
    limit: int  # bytes of a document
    dry_run: bool
    report: Report
    tally: Tally = field(default_factory=Tally)

    # -- by the service

    async def through(self, service: Service) -> None:
        """Raises ServiceError."""
        for source in self.sources:
            if await _elsewhere(source.kind) == "archive":
                raise ServiceError(_ONLY_DIRECTLY)
        if self.dry_run:
            raise ServiceError("a service tries nothing out: stop it for --dry-run")
        async for incoming in self._documents():
            for edit in incoming.edits:
                await self._post(service, incoming, edit)

    async def _post(self, service: Service, incoming: Incoming, edit: Edit) -> None:
        try:
            await service.send("documents", incoming.document, "update", data=edit.update)
            self.tally.edits += 1
        except Unreachable:
            raise
        except ServiceError as error:
            self.tally.refused.append(f"{incoming.source}: {error}")

    # -- directly

    async def directly(self, store: Store) -> None:
        """Raises StoreError."""
        async for incoming in self._documents():
            await self._merge(store, incoming)
        for source in self.sources:
            await self._delete(store, source)
            sessions = source.sessions()
            while (found := await _elsewhere(partial(next, sessions, None))) is not None:
                await self._add_session(store, *found)

    async def _documents(self) -> AsyncIterator[Incoming]:
        """What can be ours of all sources, one document after the other."""
        for number, source in enumerate(self.sources):
            self.report(number, len(self.sources))
            found = source.documents()
            while (each := await _elsewhere(partial(next, found, None))) is not None:
                self.tally.documents += 1
                if isinstance(each, Unnamed):
                    self.tally.refused.append(f"{each.source}: {each.reason}")
                else:
                    yield each

    async def _merge(self, store: Store, incoming: Incoming) -> None:
        stored = await store.load(incoming.document)
        if stored.deleted is not None:
            self.tally.left.append(
                f"{incoming.source}: it was deleted here by {stored.deleted.by}, and stays so; "
                "draftsync docs restore brings it back"
            )
            return
        try:
            merged = run_deep(lambda: merge(stored, incoming.edits, self.limit))
        except NativeFailure as failure:
            self.tally.refused.append(f"{incoming.source}: what is here cannot be read: {failure}")
            return
        self._count(incoming, merged)
        for batch in _batches(merged.edits) if not self.dry_run else ():
            await store.append(batch)

    def _count(self, incoming: Incoming, merged: Merged) -> None:
        self.tally.edits += len(merged.edits)
        self.tally.known += merged.known
        self.tally.refused += [f"{incoming.source}: {reason}" for reason in merged.refused]

    async def _delete(self, store: Store, source: Source) -> None:
        """Documents that were deleted there are deleted here, where nobody edited them."""
        here = {each.document for each in await store.deletions()}
        for deletion in await _elsewhere(source.deletions):
            if deletion.document in here:
                continue
            try:
                document_name(deletion.document)
            except InvalidName as error:
                self.tally.refused.append(f"{source.path}: {deletion.document!r}: {error.reason}")
                continue
            head = await store.head(deletion.document)
            if head is not None and deletion.purged:
                self.tally.left.append(
                    f"{deletion.document!r} was purged there, and is kept: it is in use here"
                )
                continue
            self.tally.deletions += 1
            if not self.dry_run:
                await store.delete(deletion)
                while deletion.purged and await store.purge(deletion.document):
                    pass

    async def _add_session(
        self, store: Store, session: ArchivedSession, events: list[StoredEvent]
    ) -> None:
        name = f"the session {session.session!r}"
        if await store.session(session.session) is not None:
            self.tally.left.append(f"{name} is here already, and is left as it is")
            return
        if (objection := _objection(session, events)) is not None:
            self.tally.refused.append(f"{name} {objection}")
            return
        if not self.dry_run:
            try:
                await _record(store, session, events)
            except (ValueError, StoreError) as error:
                self.tally.refused.append(f"{name}: {error}")
                return
        self.tally.sessions += 1
        self.tally.events += len(events)


def _objection(session: ArchivedSession, events: list[StoredEvent]) -> str | None:
    """Why no service could live with a session."""
    if not events:
        return "has no events, and so no beginning"
    try:
        session_id(session.session)
        restored(session.session, *session.current)
        if not all(isinstance(json.loads(each.event.data), dict) for each in events):
            return "has an event whose data is no JSON object"
    except ProtocolError as error:
        return f"cannot be one: {error.reason}"
    except (ValueError, RecursionError) as error:
        return f"cannot be read: {error}"
    return None


async def _record(store: Store, session: ArchivedSession, events: list[StoredEvent]) -> None:
    """Write a session whole, or not at all; its events are not delivered to anybody again.

    Its epoch is a new one: what happens from now on may have other offsets where it came from.
    """
    _, state, body = session.current
    change = SessionState(secrets.token_hex(8), state, body)
    records = [Record(session.session, event) for _, event in events]
    records[0] = records[0]._replace(change=change)
    await store.record(records)
    missing = events[0].offset - 1  # removed there, and not counted here
    await store.acknowledge(
        [
            Acknowledgement(session.session, subject, offset - missing)
            for subject, offset in session.acknowledged.items()
            if offset > missing
        ]
    )
    for consumer in await store.consumers():
        await store.advance(consumer, session.session, len(events))


def _batches(edits: Sequence[Edit]) -> Iterator[list[Edit]]:
    batch: list[Edit] = []
    size = 0
    for edit in edits:
        if batch and (len(batch) == BATCH_EDITS or size + len(edit.update) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(edit)
        size += len(edit.update)
    if batch:
        yield batch


async def _elsewhere(read: Callable[[], _T]) -> _T:
    """Read files on another thread. Raises StoreError for what cannot be read after all."""
    try:
        return await anyio.to_thread.run_sync(read)
    except BadSource as error:
        raise StoreError(str(error)) from error
