"""Documents: which there are, and what they hold, as JSON and by the form of their session."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from operator import attrgetter
from typing import Annotated, Any

import anyio.lowlevel
from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from auth.access import Access
from persistence.store import Head, StoredDocument
from sync.core.errors import Forbidden, UnknownSession
from sync.core.events import iso
from sync.core.names import MAX_BYTES, DocumentName
from sync.core.session import Session, draft_prefix, session_of
from sync.forms.validation import IssueCode
from sync.server.api.context import Asker, Context, Parts, in_time
from sync.server.api.document_names import EXAMPLE, Document
from sync.server.api.monitoring import ProgressResource
from sync.server.api.problems import RETRY_SECONDS, Refusal, described
from sync.server.api.resources import Resource, Time
from sync.server.document_text import Unreadable, Written, write_document

router = APIRouter(prefix="/api/v1", tags=["documents"])

BREATH = 500
"""Names that are looked at before others have their turn."""

# -- as it is described


class DocumentSummary(Resource):
    """One line of a list of documents."""

    name: str
    position: int = Field(ge=1, description="Of its last edit on disk.")
    edits: int = Field(ge=0, description="On disk; not those that retention removed.")
    last_author: str
    updated_at: Time


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
    """A document as it is on disk."""

    name: str
    position: int = Field(ge=1, description="Of its last edit on disk: later ones are not in it.")
    updated_at: Time
    last_author: str
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
            "last_author": "bob",
            "updated_at": _TIME,
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
        200: {
            "description": "Those that your token may read.",
            "content": {"application/json": {"example": DOCUMENTS}},
        },
        **described(401, 422, 503),
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
) -> JSONResponse:
    """List the documents that your token may read, ordered by their names, as they are on disk."""
    heads = await in_time(parts.sessions.store.heads(prefix))
    told: list[dict[str, Any]] = []
    for place in range(bisect_right(heads, after, key=_NAMED), len(heads)):
        if place % BREATH == 0:
            await anyio.lowlevel.checkpoint()
        if who.document_access(heads[place].document) is not Access.NONE:
            if len(told) == limit:
                return JSONResponse({"documents": told, "next": told[-1]["name"]})
            told.append(_summary(heads[place]))
    return JSONResponse({"documents": told, "next": None})


_NAMED = attrgetter("document")


def _summary(head: Head) -> dict[str, Any]:
    return {
        "name": head.document,
        "position": head.head,
        "edits": head.edits,
        "last_author": head.last_author,
        "updated_at": iso(head.updated_at),
    }


# -- one of them

_ETAG = {
    "ETag": {
        "description": "Changes with every edit on disk. Send it back as `If-None-Match`.",
        "required": True,
        "schema": {"type": "string"},
    }
}


@router.get(
    "/documents/{name}",
    operation_id="getDocument",
    summary="Read a document",
    response_model=DocumentResource,
    responses={
        200: {
            "description": "The document as it is on disk now.",
            "content": {"application/json": {"example": DOCUMENT}},
            "headers": _ETAG,
        },
        304: {"description": "It is as it was.", "headers": _ETAG},
        **described(401, 403, 404, 422, 503),
    },
)
async def get_document(
    document: Document,
    who: Asker,
    parts: Parts,
    if_none_match: Annotated[
        str | None, Header(description="`ETag` of an answer that you have.")
    ] = None,
) -> Response:
    """Read what a document holds, and what the form of its session makes of it.

    It is what is saved: edits that are still on their way to the disk are not in it, and
    `position` is that of the last one which is.
    """
    if who.document_access(document) is Access.NONE:
        raise Forbidden(f"this token gives no right to the document {document!r}")
    place = await _place(parts, document)
    head = await _head(parts, document)
    if _matches(if_none_match, etag := _etag(parts, place, head.head)):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
    stored = await in_time(parts.sessions.store.load(document))
    written = await _written(stored, place)
    told = _told(document, head, stored, place, written)
    etag = _etag(parts, place, stored.head)
    return Response(told, media_type="application/json", headers={"ETag": etag})


async def _head(parts: Context, document: DocumentName) -> Head:
    heads = await in_time(parts.sessions.store.heads(document))
    if not heads or heads[0].document != document:
        detail = f"there is no document {document!r}, or nothing of it is saved yet"
        raise Refusal(HTTPStatus.NOT_FOUND, detail)
    return heads[0]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a draft belongs."""

    session: Session
    case: str
    evaluator: str | None


async def _place(parts: Context, document: DocumentName) -> _Place | None:
    """None for what is no draft of a test case of a session."""
    with suppress(UnknownSession):
        if (name := session_of(document)) is not None:
            session = (await in_time(parts.sessions.get(name))).current
            case, _, evaluator = document.removeprefix(draft_prefix(name)).partition("/")
            if session.case(case) is not None:
                return _Place(session, case, evaluator or None)
    return None


def _etag(parts: Context, place: _Place | None, position: int) -> str:
    """Of the position, since a state vector stays what it is when something is deleted."""
    session = place.session.epoch if place else ""  # a session's form is for ever
    text = f"{parts.sessions.store.epoch} {position} {session}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _matches(given: str | None, etag: str) -> bool:
    """As RFC 9110 has it, section 13.1.2."""
    listed = [each.strip().removeprefix("W/") for each in (given or "").split(",")]
    return etag in listed or listed == ["*"]


async def _written(stored: StoredDocument, place: _Place | None) -> Written:
    try:
        return await write_document(stored, place.session.form if place else None)
    except Unreadable as error:
        raise Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"this document cannot be read now: {error}",
            headers={"Retry-After": str(RETRY_SECONDS)},
        ) from None


def _told(
    document: DocumentName,
    head: Head,
    stored: StoredDocument,
    place: _Place | None,
    written: Written,
) -> str:
    author, at = head.last_author, head.updated_at
    if stored.entries and stored.entries[-1].position > head.head:  # saved between two readings
        author, at = stored.entries[-1].edit.author, stored.entries[-1].edit.received_at
    told = {
        "name": document,
        "position": stored.head,
        "updated_at": iso(at),
        "last_author": author,
        "session": place.session.id if place else None,
        "case": place.case if place else None,
        "evaluator": place.evaluator if place else None,
        "note": "; ".join(written.notes) or None,
    }
    above = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return f'{above[:-1]},"content":{written.content},"form":{written.form}}}'
