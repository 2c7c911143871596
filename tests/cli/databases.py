"""Databases for tests of commands that change data, and what is in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
from pycrdt import Doc, Map, Text

from persistence.sqlite import open_sqlite, open_sqlite_readonly
from persistence.store import ClientRange, Edit, Reader, Store
from sync.core.guard import inspect
from sync.core.session import State
from sync.inspection.state import state
from tests.cli.evaluation import NOON, written

_R = TypeVar("_R")

DRAFT = "drafts/s1/c1"


def write(path: Path, job: Callable[[Store], Awaitable[_R]]) -> _R:
    """Do something with the writer of a database."""

    async def run() -> _R:
        async with open_sqlite(path) as store:
            return await job(store)

    return anyio.run(run)


def read(path: Path, job: Callable[[Reader], Awaitable[_R]]) -> _R:
    """Look into a database."""

    async def run() -> _R:
        async with open_sqlite_readonly(path) as reader:
            return await job(reader)

    return anyio.run(run)


class Person:
    """Somebody who edits one document with a Yjs client of their own."""

    def __init__(self, document: str, name: str, client: int, base: bytes | None = None) -> None:
        self.document = document
        self.name = name
        self.doc: Doc[Any] = Doc(client_id=client)
        if base is not None:
            self.doc.apply_update(base)

    def rate(self, question: str, value: Any, after: float, **more: Any) -> Edit:
        return self._edit(lambda: self._ratings(question, value), after, **more)

    def note(self, text: str, after: float, **more: Any) -> Edit:
        return self._edit(lambda: self._note(text), after, **more)

    def _ratings(self, question: str, value: Any) -> None:
        self.doc.get("ratings", type=Map)[f"{self.name}/{question}"] = value

    def _note(self, text: str) -> None:
        self.doc.get("comment/polite", type=Text).insert(0, text)

    def _edit(self, change: Callable[[], None], after: float, **more: Any) -> Edit:
        before = self.doc.get_state()
        change()
        update = self.doc.get_update(before)
        clients = tuple(ClientRange(c, *r) for c, r in inspect(update).writes.items())
        return Edit(self.document, update, self.name, clients, NOON + after, **more)


def evaluation(path: Path) -> None:
    """A session that is stopped, and drafts by two people, one of whom was offline."""

    async def make() -> None:
        async with written(path, until=State.STOPPED):
            pass

    anyio.run(make)
    write(path, _more)


async def _more(store: Store) -> None:
    alice, bob = Person("notes/x", "alice", 7), Person("notes/x", "bob", 8)
    edits = [alice.rate("polite", 4, 700, connection=11), bob.rate("polite", 2, 705, connection=12)]
    edits += [alice.note("=1+1", 710, connection=11), bob.note("well", 900, offline=True)]
    await store.append([*edits, alice.rate("polite", 5, 950, connection=13)])


async def everything(reader: Reader) -> dict[str, Any]:
    """What is in a database, but for its positions and epochs."""
    documents = {}
    for head in await reader.heads():
        past = await reader.past(head.document)
        documents[head.document] = {
            "edits": [_told(each.edit) for each in past.entries],
            "states": [
                state(await reader.past(head.document, each.position)).content
                for each in past.entries
            ],
            "deleted": past.deleted,
        }
    sessions = {
        each.session: (
            each.current.state, each.current.body, each.top, dict(each.acknowledged),
            each.created_at, each.updated_at, await reader.events(each.session),
        )
        for each in await reader.sessions()
    }  # fmt: skip
    return {"documents": documents, "sessions": sessions, "deletions": await reader.deletions()}


def _told(edit: Edit) -> Edit:
    """Whose clocks an edit brings is not told by the edits of tests.cli.evaluation."""
    return edit if edit.document.startswith("notes/") else edit._replace(clients=())


def held(path: Path, document: str) -> Any:
    """The content of a document."""

    async def look(reader: Reader) -> Any:
        return state(await reader.past(document)).content

    return read(path, look)
