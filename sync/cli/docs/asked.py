"""What people ask of a document, and the words for what is there."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, suppress
from typing import Annotated

import typer

from persistence.store import NOWHERE, Past, Reader, StoredDocument, StoreError
from sync.cli import options, screen
from sync.cli.reading import look
from sync.core.errors import InvalidName
from sync.core.names import DocumentName, document_name
from sync.core.session import restored, session_of
from sync.forms.definition import FormDefinition, InvalidForm, form_definition

_MOST_NAMES = 1_000
"""That a shell completes."""


def complete_names(context: typer.Context, incomplete: str) -> list[str]:
    """The documents whose names begin so, for a shell; none where there is no database to ask."""

    async def read(reader: Reader) -> list[str]:
        return [head.document for head in await reader.heads(incomplete)][:_MOST_NAMES]

    with redirect_stderr(io.StringIO()), suppress(typer.Exit, OSError):  # the line is being typed
        return look(read, context.params.get("config"), context.params.get("database"))
    return []


Name = Annotated[
    str,
    typer.Argument(help="The document's name.", autocompletion=complete_names),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="POSITION|TIME", help="As it was then: 4711, or 2026-03-01T12:00 (UTC)."
    ),
]


class NoSuchDocument(StoreError):
    """It was never written, or not yet at that time; the text says which."""


def checked_name(name: str) -> DocumentName:
    """Check a document's name, or end with exit code 2."""
    try:
        return document_name(name)
    except InvalidName as error:
        options.usage_error(error.reason)


def parsed(at: str | None, option: str = "--at") -> int | float | None:
    """Read a point in time, or end with exit code 2."""
    from sync.inspection.asking import parse_at  # it brings the patterns, which few commands need

    try:
        return None if at is None else parse_at(at)
    except ValueError as error:
        options.usage_error(f"{option}: {error}")


async def newest(reader: Reader, document: DocumentName) -> Past:
    """A document as it is, from its snapshot on. Raises NoSuchDocument, StoreError."""
    stored = await reader.load(document)
    if stored.head == NOWHERE and not stored.damaged:
        raise NoSuchDocument(f"there is no document {document!r} in this database")
    return _as_past(stored)


def _as_past(stored: StoredDocument) -> Past:
    return Past(
        stored.document,
        stored.snapshot,
        stored.entries,
        stored.head,
        stored.head,
        stored.damaged,
        stored.deleted,
    )


async def past(
    reader: Reader,
    document: DocumentName,
    at: int | float | None = None,
    *,
    or_nothing: bool = False,
) -> Past:
    """A document with its history, up to a point. Raises NoSuchDocument, StoreError.

    ``or_nothing``: before its first edit it is taken as empty.
    """
    from sync.inspection.asking import resolve

    position = await resolve(reader, document, at)
    found = await reader.past(document, position)
    if found.head == NOWHERE and not found.damaged:
        raise NoSuchDocument(f"there is no document {document!r} in this database")
    if not or_nothing and found.position == NOWHERE and found.base is None and not found.damaged:
        raise NoSuchDocument(
            f"the document {document!r} did not exist then; its first edit is later"
        )
    return found


async def form_of(reader: Reader, document: str) -> FormDefinition | None:
    """The form that a draft of a session is filled in by; None where there is none, or no more."""
    session = session_of(document)
    try:
        stored = await reader.session(session) if session else None
        if stored is None:
            return None
        form = restored(stored.session, *stored.current).form
        return None if form is None else form_definition(form)
    except (StoreError, ValueError, InvalidForm):
        return None  # what is damaged of the session is told by `draftsync doctor`


def words(value: object) -> str:
    """A JSON value on one line; texts as they are."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def tell_damage(damaged: tuple[str, ...]) -> None:
    """Tell to stderr what could not be read."""
    for each in damaged:
        screen.warn(f"damaged: {each}")
