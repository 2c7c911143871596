"""``draftsync docs delete``: soft at first, for ever with ``--purge``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import typer

from persistence.store import Deletion, Store
from sync.cli import options, screen
from sync.cli.changing import change
from sync.cli.docs.asked import checked_name, complete_names
from sync.cli.http import Service, ServiceError, Unreachable


@dataclass(slots=True)
class Outcome:
    """What became of each document."""

    deleted: list[str] = field(default_factory=list)
    purged: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # with reasons


def delete(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Documents.", autocompletion=complete_names),
    ],
    purge: Annotated[
        bool, typer.Option("--purge", help="For ever: content and history are removed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: options.Url = None,
    token: options.Token = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Delete documents: nobody can open them until one is restored.

    With --purge nothing of them is left but their names, which stay blocked, so that no client
    brings them back; without, draftsync docs restore NAME brings all back.

    For example: draftsync docs delete drafts/42 drafts/43 --yes
    """
    settings = options.settings(config, database=database, url=url, token=token)
    documents = [checked_name(name) for name in names]
    if not yes:
        _ask(documents, purge=purge)
    job = _Delete(documents, purge)
    outcome = change(settings, job.directly, job.through)
    if json_output:
        told = {"deleted": outcome.deleted, "purged": outcome.purged, "refused": outcome.refused}
        screen.echo_json(told)
    else:
        for each in outcome.deleted:
            screen.say(f"{each} is deleted")
        for each in outcome.purged:
            screen.say(f"{each} is deleted for ever")
    for each in outcome.refused:
        screen.warn(each)
    if outcome.refused:
        raise typer.Exit(options.FAILED)


def _ask(documents: Sequence[str], *, purge: bool) -> None:
    """Where nobody can be asked, say that --yes is needed."""
    what = documents[0] if len(documents) == 1 else f"{len(documents)} documents"
    if not sys.stdin.isatty():
        options.usage_error(f"to delete {what} without being asked, give --yes")
    ever = " for ever, with all history" if purge else ""
    if not typer.confirm(screen.printable(f"Delete {what}{ever}?"), err=True):
        options.failed("nothing was deleted")


@dataclass(frozen=True, slots=True)
class _Delete:
    """A deletion to be done."""

    documents: Sequence[str]
    purge: bool
    outcome: Outcome = field(default_factory=Outcome)

    async def through(self, service: Service) -> Outcome:
        """Raises Unreachable."""
        params = {"purge": "true"} if self.purge else {}
        for document in self.documents:
            try:
                if self.purge:  # what is not deleted is not purged
                    await service.delete("documents", document)
                await service.delete("documents", document, **params)
                self._done(document)
            except Unreachable:
                raise
            except ServiceError as error:
                self.outcome.refused.append(f"{document}: {error}")
        return self.outcome

    async def directly(self, store: Store) -> Outcome:
        """Raises StoreError."""
        for document in self.documents:
            if await self._delete(store, document):
                self._done(document)
        return self.outcome

    async def _delete(self, store: Store, document: str) -> bool:
        """Once more is no harm, as with the service. False: there is none."""
        known = document in {each.document for each in await store.deletions()}
        if not known and await store.head(document) is None:
            self.outcome.refused.append(f"there is no document {document!r} in this database")
            return False
        if not known:
            await store.delete(Deletion(document, options.OPERATOR, time.time()))
        while self.purge and await store.purge(document):
            pass
        return True

    def _done(self, document: str) -> None:
        (self.outcome.purged if self.purge else self.outcome.deleted).append(document)
