"""``draftsync docs restore``: back to an earlier point, as a new edit; or back from deletion."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from persistence.store import (
    NOWHERE,
    ClientRange,
    Edit,
    Reader,
    Store,
    StoreError,
    lost_entries,
)
from sync.cli import options, screen
from sync.cli.changing import change
from sync.cli.docs.asked import At, Name, checked_name, form_of, newest, parsed, words
from sync.cli.http import Service, ServiceError
from sync.core.changes import difference
from sync.core.guard import inspect
from sync.core.names import DocumentName
from sync.core.restoring import restoration
from sync.inspection.asking import resolve
from sync.inspection.labels import labelled
from sync.inspection.state import state
from sync.server.deep_stack import run_deep


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a restoration did, or would do."""

    document: str
    restored_to: int | None  # the position; None: it was brought back
    position: int | None  # of the new edit; None where nothing had to be changed
    changes: Sequence[dict[str, Any]]  # labelled, as the HTTP API tells them
    brought_back: bool = False


def restore(
    name: Name,
    at: At = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    url: options.Url = None,
    token: options.Token = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Make a document what it was at an earlier point, or bring a deleted one back.

    It is a new edit, made of ordinary changes: whoever has the document open sees them happen, and
    nothing of its history is lost. Without --at, a deleted document is brought back as it was.

    For example: draftsync docs restore drafts/42 --at 4711 --dry-run
    """
    settings = options.settings(config, database=database, url=url, token=token)
    document, asked = checked_name(name), parsed(at)
    if at is None and dry_run:
        options.usage_error("--dry-run shows what --at would change: give that, too")
    job = _Restore(document, at, asked, dry_run)
    outcome = change(settings, job.directly, job.through)
    if json_output:
        _tell_json(outcome, dry_run=dry_run)
    else:
        _tell(outcome, dry_run=dry_run)


def _tell_json(outcome: Outcome, *, dry_run: bool) -> None:
    told = {
        "name": outcome.document,
        "restored_to": outcome.restored_to,
        "position": outcome.position,
        "brought_back": outcome.brought_back,
        "changes": list(outcome.changes),
        "dry_run": dry_run,
    }
    screen.echo_json(told)


def _tell(outcome: Outcome, *, dry_run: bool) -> None:
    if outcome.brought_back:
        screen.say(f"{outcome.document} is back")
        return
    if not outcome.changes:
        screen.say(f"{outcome.document} holds the same as it did then: nothing to change")
        return
    grid = screen.Grid("field", "now", "then", whole=("field",))
    for each in outcome.changes:
        grid.add(each["label"], _cell(each, "before"), _cell(each, "after"))
    screen.page(grid)
    if dry_run:
        screen.say(f"{len(outcome.changes)} fields would change; nothing was changed")
    else:
        screen.say(f"{outcome.document} was restored by the edit at position {outcome.position}")


def _cell(change: Mapping[str, Any], side: str) -> str:
    return words(change[side]) if side in change else screen.NOTHING


@dataclass(frozen=True, slots=True)
class _Restore:
    """A restoration to be done."""

    document: DocumentName
    at: str | None  # as it was given
    asked: int | float | None  # a position or a time
    dry_run: bool

    @property
    def _not_yet(self) -> str:
        return f"{self.document!r} was not there yet at {self.at}"

    async def through(self, service: Service) -> Outcome:
        """Raises ServiceError."""
        if self.at is None:
            await service.post("documents", self.document, "restore", body={})
            return Outcome(self.document, None, None, (), brought_back=True)
        now = await service.get("documents", self.document)
        then = await service.get("documents", self.document, at=self.at)
        position = then["position"]
        if not position:
            raise ServiceError(self._not_yet)
        between = {"from": now["position"], "to": position}
        told = await service.get("documents", self.document, "diff", **between)
        for each in told["damaged"]:  # a restoration is refused then
            screen.warn(f"damaged: {each}")
        made = None
        if told["changes"] and not self.dry_run:
            body = {"position": position}
            done = await service.post("documents", self.document, "restore", body=body)
            made = done["position"]
        return Outcome(self.document, position, made, told["changes"])

    async def directly(self, store: Store) -> Outcome:
        """Raises StoreError, NativeFailure."""
        if self.asked is None:
            return await self._bring_back(store)
        await self._check_there(store)
        position = await resolve(store, self.document, self.asked)
        past = await store.past(self.document, position)
        if not past.position:
            raise StoreError(self._not_yet)
        if lost := lost_entries(past.damaged):
            raise StoreError(
                f"what {self.document!r} was then cannot be read: its edit at position {lost[0]} "
                "is damaged; `draftsync doctor` tells more"
            )
        current = await newest(store, self.document)
        now, then = run_deep(lambda: (state(current), state(past)))
        form = await form_of(store, self.document)
        changes = [labelled(each, form) for each in difference(now.content, then.content)]
        if self.dry_run:
            return Outcome(self.document, position, None, changes)
        update = run_deep(lambda: restoration(now.update, then.update))
        made = None if update is None else await store.append([_edit(self.document, update)])
        return Outcome(self.document, position, made, changes)

    async def _bring_back(self, store: Store) -> Outcome:
        if not await store.undelete(self.document):
            await self._check_there(store)
            raise StoreError(
                f"{self.document!r} is not deleted; say with --at which point of its history is to "
                "be restored"
            )
        return Outcome(self.document, None, None, (), brought_back=True)

    async def _check_there(self, store: Reader) -> None:
        head = await store.head(self.document)
        if head is None or head.head == NOWHERE:
            raise StoreError(f"there is no document {self.document!r} in this database")
        if head.deleted is not None:
            raise StoreError(
                f"{self.document!r} was deleted by {head.deleted.by}: bring it back first, with "
                "draftsync docs restore and no --at"
            )


def _edit(document: str, update: bytes) -> Edit:
    """The operator's own: no connection brought it."""
    brought = tuple(
        ClientRange(client, *clocks) for client, clocks in inspect(update, 2**31).writes.items()
    )
    return Edit(document, update, options.OPERATOR, brought, time.time())
