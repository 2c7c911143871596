"""``draftsync docs restore``: back to an earlier point, as a new edit; or back from deletion."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from persistence.store import (
    NOWHERE,
    ClientRange,
    Edit,
    Position,
    Reader,
    Store,
    StoreError,
)
from sync.cli import options, screen
from sync.cli.changing import change
from sync.cli.http import OPERATOR, Service, ServiceError, Token, Url
from sync.core.changes import ABSENT, difference
from sync.core.errors import InvalidName
from sync.core.guard import inspect
from sync.core.names import document_name
from sync.core.restoring import restoration
from sync.core.session import session_of
from sync.forms.definition import FormDefinition, InvalidForm, form_definition
from sync.inspection.asking import parse_at, resolve
from sync.inspection.labels import labelled
from sync.inspection.state import State, state
from sync.server.deep_stack import run_deep
from sync.server.sessions import revived


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a restoration did, or would do."""

    document: str
    restored_to: int | None  # the position; None: it was brought back
    position: int | None  # of the new edit; None where nothing had to be changed
    changes: Sequence[dict[str, Any]]  # labelled, as the HTTP API tells them
    brought_back: bool = False


def restore(
    name: Annotated[str, typer.Argument(help="The document's name.")],
    at: Annotated[
        str | None,
        typer.Option(help="A position, or a time such as 2026-09-21T14:00; UTC if it says none."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    url: Url = None,
    token: Token = None,
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
    try:
        document = document_name(name)
        asked = None if at is None else parse_at(at)
    except InvalidName as error:
        options.usage_error(error.reason)
    except ValueError as error:
        options.usage_error(f"--at: {error}")
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
    typer.echo(json.dumps(told, indent=2, ensure_ascii=False))


def _tell(outcome: Outcome, *, dry_run: bool) -> None:
    if outcome.brought_back:
        typer.echo(f"{outcome.document} is back")
        return
    if not outcome.changes:
        typer.echo(f"{outcome.document} holds the same as it did then: nothing to change")
        return
    table = screen.table("field", "now", "then", whole=("field",))
    for each in outcome.changes:
        then = screen.safe(_cell(each.get("after", ABSENT)))
        table.add_row(
            screen.safe(each["label"]), screen.safe(_cell(each.get("before", ABSENT))), then
        )
    screen.show(table)
    if dry_run:
        typer.echo(f"{len(outcome.changes)} fields would change; nothing was changed")
    else:
        typer.echo(f"{outcome.document} was restored by the edit at position {outcome.position}")


def _cell(value: object) -> str:
    if value is ABSENT:
        return screen.NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Restore:
    """A restoration to be done."""

    document: str
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
        now, then = await _state(store, self.document), await _state(store, self.document, position)
        if not then.position:
            raise StoreError(self._not_yet)
        form = await _form(store, self.document)
        changes = [labelled(each, form) for each in difference(now.content, then.content)]
        if self.dry_run:
            return Outcome(self.document, position, None, changes)
        update = run_deep(lambda: restoration(now.update, then.update))
        made = None if update is None else await store.append([_edit(self.document, update)])
        return Outcome(self.document, position, made, changes)

    async def _bring_back(self, store: Store) -> Outcome:
        if not await store.undelete(self.document):
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


async def _state(store: Reader, document: str, position: Position | None = None) -> State:
    past = await store.past(document, position)
    return run_deep(lambda: state(past))


async def _form(store: Reader, document: str) -> FormDefinition | None:
    session = session_of(document)
    stored = None if session is None else await store.session(session)
    form = revived(stored).form if stored is not None else None
    try:
        return form_definition(form) if form is not None else None
    except InvalidForm:
        return None


def _edit(document: str, update: bytes) -> Edit:
    """The operator's own: no connection brought it."""
    brought = tuple(
        ClientRange(client, *clocks) for client, clocks in inspect(update, 2**31).writes.items()
    )
    return Edit(document, update, OPERATOR, brought, time.time())
