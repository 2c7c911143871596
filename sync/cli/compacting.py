"""``draftsync docs compact``: snapshots, thinned history, and space given back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from persistence.store import Head, Position, Snapshot, Store, StoreError, lost_entries
from sync.cli import options, screen
from sync.cli.changing import change
from sync.cli.docs.asked import complete_names
from sync.cli.progress import Report, bar
from sync.core.errors import NativeFailure
from sync.core.snapshot import TakenSnapshot
from sync.inspection.state import replayed_past
from sync.server.deep_stack import run_deep

_BY_ITSELF = (
    "a service does this by itself: it writes snapshots when a document is left alone, and with "
    "--history-seconds removes what is older and gives the space back. To compact now, stop it"
)


@dataclass(slots=True)
class Outcome:
    """What was done."""

    documents: int = 0  # that were looked at
    snapshots: int = 0  # that were written
    removed: int = 0  # entries of old history
    freed: int = 0  # bytes that the disk got back of what the file had, at its largest
    failed: list[str] = field(default_factory=list)  # documents that stay as they are, and why

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "snapshots": self.snapshots,
            "removed": self.removed,
            "bytes": self.freed,
            "failed": self.failed,
        }


def compact(
    prefix: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|PREFIX", help="Documents that begin so.", autocompletion=complete_names
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All documents.")] = False,
    history_seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Remove history that is older; without, all of it is kept."),
    ] = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Write snapshots, remove old history, and give space back to the disk.

    What documents hold stays as it is. The service has to be stopped: it does all this by itself.

    For example: draftsync docs compact --all --history-seconds 7776000
    """
    if (prefix is not None) == everything:
        options.usage_error("say which documents: a name, the beginning of names, or --all")
    given = {} if history_seconds is None else {"history_seconds": history_seconds}
    settings = options.settings(config, database=database, **given)
    if settings.url is not None:
        options.usage_error(
            "compacting is done on a database, not by the service that DRAFTSYNC_URL names: say "
            "with --database which one"
        )
    size = _size(settings.database)
    with bar("compacting") as report:
        before = None if history_seconds is None else time.time() - history_seconds
        job = _Compaction(prefix or "", before, report)
        outcome = change(settings, job.directly, _BY_ITSELF)
    sizes = {"size_before": size, "size": _size(settings.database)}
    if json_output:
        screen.echo_json(outcome.to_json() | sizes)
    else:
        screen.say(
            f"{outcome.documents:,} documents: {outcome.snapshots:,} snapshots written, "
            f"{outcome.removed:,} old edits removed; the file has {sizes['size']:,} bytes, "
            f"before it had {size:,}"
        )
    for each in outcome.failed:
        screen.warn(each)
    if outcome.failed:
        raise typer.Exit(options.FAILED)


def _size(database: str) -> int:
    """Bytes of the file; 0 where there is none yet to be told of."""
    try:
        return Path(database).stat().st_size
    except OSError:
        return 0


@dataclass(slots=True)
class _Compaction:
    """A compaction under way."""

    prefix: str
    before: float | None  # seconds since 1970: history until then goes
    report: Report
    outcome: Outcome = field(default_factory=Outcome)

    async def directly(self, store: Store) -> Outcome:
        """Raises StoreError."""
        heads = await store.heads(self.prefix)
        if not heads and self.prefix:
            raise StoreError(f"there is no document whose name begins with {self.prefix!r}")
        for number, head in enumerate(heads):
            self.report(number, len(heads))
            self.outcome.documents += 1
            await self._compact(store, head)
        while freed := await store.reclaim():
            self.outcome.freed += freed
        return self.outcome

    async def _compact(self, store: Store, head: Head) -> None:
        try:
            if head.snapshot < head.head:
                await self._write_snapshot(store, head)
            if self.before is not None:
                await self._thin(store, head.document, self.before)
        except (_Unsound, NativeFailure) as error:
            self.outcome.failed.append(f"{head.document!r} stays as it is: {error}")

    async def _write_snapshot(self, store: Store, head: Head) -> None:
        snapshot = await _taken(store, head.document, head.head)
        await store.compact(snapshot)
        self.outcome.snapshots += 1

    async def _thin(self, store: Store, document: str, before: float) -> None:
        """Keep what the document was where its history is to begin, then remove what was before."""
        position = await store.position_at(document, before)
        head = await store.head(document)
        if head is None or position <= head.thinned:
            return
        await store.rebase(await _taken(store, document, min(position, head.snapshot)))
        while removed := await store.thin(document, before):
            self.outcome.removed += removed


class _Unsound(Exception):
    """No snapshot can be taken; the text says why."""


async def _taken(store: Store, document: str, position: Position) -> Snapshot:
    """A document as of a position, verified."""
    past = await store.past(document, position)
    if lost := lost_entries(past.damaged):
        raise _Unsound(f"entry {lost[0]} is damaged; `draftsync doctor` tells more")

    def take() -> TakenSnapshot:
        replayed = replayed_past(past)
        if replayed.left_out:
            raise _Unsound(f"{len(replayed.left_out)} of its edits cannot be read")
        taken = TakenSnapshot.of(replayed.document)
        if not taken.verify():
            raise _Unsound("its snapshot cannot be loaded again")
        return taken

    taken = run_deep(take)
    return Snapshot(document, past.position, taken.update, taken.state_vector, time.time())
