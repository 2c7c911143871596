"""Documents: which there are, and what they hold, as JSON and by the form of their session."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from auth.access import Access, Identity
from persistence.store import Head, Past
from sync.core.events import iso
from sync.core.names import MAX_BYTES, DocumentName
from sync.forms.validation import IssueCode
from sync.server.api.context import Asker, Context, Parts, check_administrator, in_time
from sync.server.api.document_access import (
    LAST_POSITION,
    At,
    DraftPlace,
    Moment,
    head_of,
    newest_of,
    place_of,
    reading,
    something_of,
)
from sync.server.api.document_names import EXAMPLE, Document
from sync.server.api.etags import ETAG, IfNoneMatch, etag, matches, unchanged
from sync.server.api.history import GONE
from sync.server.api.problems import described, described_anew
from sync.server.api.resources import Resource, Time, answer
from sync.server.api.session_status import ProgressResource
from sync.server.document_text import write_document

router = APIRouter(prefix="/api/v1", tags=["documents"])

READ_AT_ONCE = 250
"""Lines of the list: others have their turn before the next are read."""

# -- as it is described


class DeletionResource(Resource):
    """Who deleted a document."""

    by: str
    at: Time


class DocumentSummary(Resource):
    """One line of a list of documents."""

    name: str
    position: int = Field(ge=1, description="Of its last edit on disk.")
    edits: int = Field(ge=0, description="On disk; not those that retention removed.")
    size: int = Field(ge=0, description="Bytes of these.")
    last_author: str
    updated_at: Time
    deleted: DeletionResource | None = Field(description="Null: it is there.")


class DocumentsPage(Resource):
    """Some documents, ordered by their names."""

    documents: list[DocumentSummary]
    next: str | None = Field(description="Give it as `after` for more; null: no more.")


class DraftEvaluatorResource(Resource):
    """What one person answers for themselves."""

    subject: str
    answers: dict[str, Any] = Field(description="By question.")
    progress: ProgressResource = Field(description="With what all share.")


class IssueResource(Resource):
    """Something that is not as the form wants it. It is flagged, and never dropped."""

    question: str
    subject: str | None = Field(description="Whose answer; null: everybody's.")
    code: IssueCode
    message: str = Field(description="What was expected.")


class DraftFormResource(Resource):
    """A draft as the form of its session has it; what is not answered is left out."""

    id: str = Field(description="The form's.")
    title: str
    shared: dict[str, Any] = Field(description="What all answer together, by question.")
    comments: dict[str, str] = Field(
        description="By question: its text, or the note beside its answer."
    )
    evaluators: list[DraftEvaluatorResource]
    progress: ProgressResource = Field(description="Of who has no answers of their own.")
    issues: list[IssueResource]
    more_issues: bool = Field(description="There are more than are told.")


class DocumentResource(Resource):
    """A document as it is on disk, or as it was."""

    name: str
    position: int = Field(ge=1, description="Of the last edit that is in it.")
    updated_at: Time | None = Field(description="Null: retention has removed when that was.")
    last_author: str | None = Field(description="Null: retention has removed who it was.")
    session: str | None = Field(description="Whose draft it is, by its name.")
    case: str | None = Field(description="The test case that it is a draft of.")
    evaluator: str | None = Field(description="Whose own draft it is; null: everybody's.")
    note: str | None = Field(description="What is wrong with it.")
    content: dict[str, Any] = Field(description="A value for each of its roots.")
    form: DraftFormResource | None = Field(description="Null for what has no form.")


_TIME = "2026-11-22T10:29:58.000Z"
_PROGRESS = {"answered": 1, "required": 1, "optional_answered": 1, "share": 1.0}
DOCUMENTS: dict[str, Any] = {
    "documents": [
        {
            "name": EXAMPLE,
            "position": 4711,
            "edits": 41,
            "size": 1807,
            "last_author": "bob",
            "updated_at": _TIME,
            "deleted": None,
        }
    ],
    "next": None,
}
DOCUMENT: dict[str, Any] = {
    "name": EXAMPLE,
    "position": 4711,
    "updated_at": _TIME,
    "last_author": "bob",
    "session": "refunds-7",
    "case": "refund-042",
    "evaluator": None,
    "note": None,
    "content": {"ratings": {"bob/accuracy": 4, "bob/verdict": "maybe"}},
    "form": {
        "id": "agent-eval",
        "title": "How well did the agent do?",
        "shared": {},
        "comments": {},
        "evaluators": [
            {
                "subject": "bob",
                "answers": {"accuracy": 4, "verdict": "maybe"},
                "progress": _PROGRESS,
            }
        ],
        "progress": {"answered": 0, "required": 1, "optional_answered": 0, "share": 0.0},
        "issues": [
            {
                "question": "verdict",
                "subject": "bob",
                "code": "unknown-option",
                "message": "expected one of the options that the question has",
            }
        ],
        "more_issues": False,
    },
}


# -- the list


@router.get(
    "/documents",
    operation_id="listDocuments",
    summary="List documents",
    response_model=DocumentsPage,
    responses={
        **answer("Those that your token may read.", DOCUMENTS),
        **described(401, 403, 422, 503),
    },
)
async def list_documents(
    who: Asker,
    parts: Parts,
    prefix: Annotated[
        str,
        Query(max_length=MAX_BYTES, description="Only names that begin so.", examples=["drafts/"]),
    ] = "",
    after: Annotated[str, Query(max_length=MAX_BYTES, description="`next` of a page.")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="Documents in a page.")] = 100,
    search: Annotated[
        str,
        Query(
            max_length=MAX_BYTES,
            description="Only names that this is a part of, in small letters or capitals.",
            examples=["refund"],
        ),
    ] = "",
    deleted: Annotated[
        bool, Query(description="Those that were deleted, instead. For administrators.")
    ] = False,
) -> JSONResponse:
    """List the documents that your token may read, ordered by their names, as they are on disk."""
    if deleted:
        check_administrator(who)
    part = search.casefold()
    told: list[dict[str, Any]] = []
    async for head in _behind(parts, prefix, after):
        if (head.deleted is not None) is not deleted or part not in head.document.casefold():
            continue
        if who.document_access(head.document) is not Access.NONE:
            if len(told) == limit:
                return JSONResponse({"documents": told, "next": told[-1]["name"]})
            told.append(_summary(head))
    return JSONResponse({"documents": told, "next": None})


async def _behind(parts: Context, prefix: str, after: str) -> AsyncIterator[Head]:
    """All documents whose names start so, behind a name; some at a time, and never all of them."""
    store = parts.sessions.store
    while heads := await in_time(store.heads(prefix, after=after, limit=READ_AT_ONCE)):
        for head in heads:
            yield head
        if len(heads) < READ_AT_ONCE:
            return
        after = heads[-1].document


def _summary(head: Head) -> dict[str, Any]:
    gone = head.deleted
    return {
        "name": head.document,
        "position": head.head,
        "edits": head.edits,
        "size": head.size,
        "last_author": head.last_author,
        "updated_at": iso(head.updated_at),
        "deleted": {"by": gone.by, "at": iso(gone.at)} if gone else None,
    }


# -- one of them

_MISSING = described_anew(
    404,
    "There is no such document, or not yet; or it was deleted.",
    {"detail": f"there is no document {EXAMPLE!r}, or nothing of it is saved yet"},
)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The document as it is on disk, or was.",
        "content": {"application/json": {"example": DOCUMENT}},
        "headers": ETAG,
    },
    304: {"description": "It is as it was.", "headers": ETAG},
    **described(401, 403, 422, 503),
    **_MISSING,
    **GONE,
}


@router.get(
    "/documents/{name}",
    operation_id="getDocument",
    summary="Read a document",
    response_model=DocumentResource,
    responses=_ANSWERS,
)
async def get_document(
    document: Document,
    who: Asker,
    parts: Parts,
    at: At = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Read what a document holds, and what the form of its session makes of it.

    It is what is saved: edits that are still on their way to the disk are not in it, and
    `position` is that of the last one which is. With `at` it is what was saved then;
    administrators may read so of deleted documents, too.
    """
    if at is not None:
        return await _as_of(parts, who, document, at, if_none_match)
    head = await head_of(parts, who, document)
    place = await place_of(parts, document)
    if matches(if_none_match, name := _etag(parts, place, head.head)):
        return unchanged(name)
    async with reading(parts, head):
        past = await newest_of(parts, head)
        return await _given(parts, past, _last_edit(past, head), place)


@router.get(
    "/documents/{name}/at/{position}",
    operation_id="getDocumentAt",
    summary="Read a document as it was",
    response_model=DocumentResource,
    responses=_ANSWERS,
)
async def get_document_at(
    document: Document,
    position: Annotated[
        int,
        Path(
            ge=1,
            le=LAST_POSITION,
            description="Of an entry of its history; between two of them it is the earlier one's.",
            examples=[4711],
        ),
    ],
    who: Asker,
    parts: Parts,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Read what a document held when the edit at a position was its last: the same as `?at=`."""
    return await _as_of(parts, who, document, position, if_none_match)


async def _as_of(
    parts: Context, who: Identity, document: DocumentName, at: Moment, if_none_match: str | None
) -> Response:
    head = await head_of(parts, who, document, history=True)
    place = await place_of(parts, document)
    async with reading(parts, head):
        past = await something_of(parts, head, at)
        if matches(if_none_match, name := _etag(parts, place, past.position)):
            return unchanged(name)
        return await _given(parts, past, _last_edit(past, head), place)


def _etag(parts: Context, place: DraftPlace | None, position: int) -> str:
    """Of the position, since a state vector stays what it is when something is deleted."""
    session = place.session.epoch if place else ""  # a session's form is for ever
    return etag(parts.sessions.store.epoch, position, session)


class _LastEdit(NamedTuple):
    author: str | None  # None: retention has removed who it was
    received_at: float | None


def _last_edit(past: Past, head: Head) -> _LastEdit:
    if past.position == head.head:
        return _LastEdit(head.last_author, head.updated_at)
    if past.entries:  # an earlier time; or saved between two readings
        return _LastEdit(past.entries[-1].edit.author, past.entries[-1].edit.received_at)
    return _LastEdit(None, None)


async def _given(parts: Context, past: Past, last: _LastEdit, place: DraftPlace | None) -> Response:
    written = await write_document(past, place.session.form if place else None)
    told = {
        "name": past.document,
        "position": past.position,
        "updated_at": None if last.received_at is None else iso(last.received_at),
        "last_author": last.author,
        "session": place.session.id if place else None,
        "case": place.case if place else None,
        "evaluator": place.evaluator if place else None,
        "note": "; ".join(written.notes) or None,
    }
    above = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    text = f'{above[:-1]},"content":{written.content},"form":{written.form}}}'
    headers = {"ETag": _etag(parts, place, past.position)}
    return Response(text, media_type="application/json", headers=headers)
