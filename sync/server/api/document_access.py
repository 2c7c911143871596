"""What routes of documents share: may it be read, as of when, and by which form."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Query
from pydantic import BeforeValidator, WithJsonSchema

from auth.access import Access, Identity
from persistence.store import NOWHERE, Deletion, Head, Past
from sync.core.errors import Forbidden, UnknownSession
from sync.core.events import iso
from sync.core.names import DocumentName
from sync.core.session import Session, draft_prefix, session_of
from sync.inspection.asking import parse_at, resolve
from sync.server.api.context import Context, in_time
from sync.server.api.problems import RETRY_SECONDS, Refusal
from sync.server.inspecting import Unreadable

LAST_POSITION = 2**63 - 1

MOST_BYTES, MOST_EDITS = 64 * 2**20, 200_000
"""Of a history that is looked into by the service; what is longer, the command line reads."""

EDIT_BYTES = 600
"""That an edit takes in memory, beside its update."""

READING_BYTES = 2 * (MOST_BYTES + MOST_EDITS * EDIT_BYTES)
"""Of all that is looked into at the same time: two of the longest histories."""

FREE_BYTES = 2**20
"""What is no larger waits for nobody."""

Moment = Annotated[
    int | float,  # as parse_at has it
    BeforeValidator(parse_at),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": LAST_POSITION},
                {"type": "string", "format": "date-time"},
            ]
        }
    ),
]

At = Annotated[
    Moment | None,
    Query(
        description="As of when: a position, or a time (ISO 8601, in UTC unless it says "
        "otherwise). Left out: now.",
        examples=["4711", "2026-11-22T10:00:00Z"],
    ),
]


def check_readable(who: Identity, document: DocumentName) -> None:
    """Raises Forbidden."""
    if who.document_access(document) is Access.NONE:
        raise Forbidden(f"this token gives no right to the document {document!r}")


async def head_of(
    parts: Context, who: Identity, document: DocumentName, *, history: bool = False
) -> Head:
    """The line of a document that may be read, in a time that does not grow with the database.

    ``history``: of what it was, which administrators may read of deleted documents too. Raises
    Forbidden, Refusal.
    """
    check_readable(who, document)
    head = await in_time(parts.sessions.store.head(document))
    if head is None:
        raise await _missing(parts, document)
    if head.deleted is not None and not (history and who.administrator):
        raise Refusal(HTTPStatus.NOT_FOUND, _deleted(head.deleted, who))
    return head


async def _missing(parts: Context, document: str) -> Refusal:
    stored = await in_time(parts.sessions.store.load(document))
    detail = f"there is no document {document!r}, or nothing of it is saved yet"
    if stored.deleted is not None and stored.deleted.purged:
        detail = (
            f"the document {document!r} was deleted for ever; an administrator can allow it to "
            "begin anew, with POST …/restore"
        )
    return Refusal(HTTPStatus.NOT_FOUND, detail)


def _deleted(deletion: Deletion, who: Identity) -> str:
    told = f"the document {deletion.document!r} was deleted by {deletion.by}, {iso(deletion.at)}"
    if who.administrator:
        return f"{told}; ?at= and …/history tell what it was, POST …/restore brings it back"
    return f"{told}; an administrator can bring it back"


@asynccontextmanager
async def reading(parts: Context, *heads: Head) -> AsyncIterator[None]:
    """What becomes of reading documents: all of it belongs into the block, their pasts first.

    Who asks for much waits until others have read theirs. Raises Refusal.
    """
    size = sum(each.size + each.edits * EDIT_BYTES for each in heads)
    try:
        if size <= FREE_BYTES:
            yield
        else:
            async with parts.reading.of(size):
                yield
    except Unreadable as error:
        raise _unreadable(error) from None


async def newest_of(parts: Context, head: Head) -> Past:
    """What a document is: from its last snapshot, and not, as its history, from its first edit.

    Raises Refusal.
    """
    stored = await in_time(parts.sessions.store.load(head.document))
    if stored.head == NOWHERE:
        raise await _missing(parts, head.document)
    base, entries, last = stored.snapshot, stored.entries, stored.head
    return Past(head.document, base, entries, last, last, stored.damaged)


async def past_of(parts: Context, head: Head, at: Moment | None) -> Past:
    """What a document was. Raises Refusal, HistoryRemoved."""
    if head.size > MOST_BYTES or head.edits > MOST_EDITS:
        raise Refusal(
            HTTPStatus.CONFLICT,
            f"the history of {head.document!r} is too long to be looked into here: it has "
            f"{head.edits} edits, of {head.size} bytes; `draftsync docs` reads it from the disk",
        )
    store = parts.sessions.store
    position = await in_time(resolve(store, head.document, at))
    return await in_time(store.past(head.document, position))


async def something_of(parts: Context, head: Head, at: Moment | None) -> Past:
    """The same, where it was there already. Raises Refusal, HistoryRemoved."""
    past = await past_of(parts, head, at)
    if past.position == NOWHERE:
        raise Refusal(
            HTTPStatus.NOT_FOUND,
            f"there was nothing of the document {head.document!r} yet: its first edit was "
            f"received {iso(head.created_at)}",
        )
    return past


@dataclass(frozen=True, slots=True)
class DraftPlace:
    """Where a draft belongs."""

    session: Session
    case: str
    evaluator: str | None


async def place_of(parts: Context, document: DocumentName) -> DraftPlace | None:
    """None for what is no draft of a test case of a session."""
    with suppress(UnknownSession):
        if (name := session_of(document)) is not None:
            session = (await in_time(parts.sessions.get(name))).current
            case, _, evaluator = document.removeprefix(draft_prefix(name)).partition("/")
            if session.case(case) is not None:
                return DraftPlace(session, case, evaluator or None)
    return None


async def form_of(parts: Context, document: DocumentName) -> Mapping[str, Any] | None:
    """The form that a document is a draft of."""
    place = await place_of(parts, document)
    return place.session.form if place else None


def _unreadable(error: Unreadable) -> Refusal:
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"this document cannot be read now: {error}",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
