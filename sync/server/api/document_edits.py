"""Documents changed over HTTP: Yjs updates in and out, back to an earlier state, deletion."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Annotated, Any, NoReturn, Self, TypeVar

import anyio
from fastapi import APIRouter, Depends, Query
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from auth.access import Access, Identity
from persistence.store import Past, Position, lost_entries
from sync.core.errors import Forbidden, MalformedMessage
from sync.core.names import DocumentName
from sync.core.yprotocol import decode_state_vector
from sync.inspection.asking import parse_at
from sync.server import document_edits
from sync.server.api.context import (
    Administrator,
    Asker,
    Context,
    Parts,
    body_of,
    check_administrator,
    content_of,
    takes,
)
from sync.server.api.document_access import (
    At,
    head_of,
    newest_of,
    reading,
    something_of,
)
from sync.server.api.document_names import EXAMPLE, Document
from sync.server.api.etags import ETAG, IfNoneMatch, etag, matches, unchanged
from sync.server.api.problems import (
    RETRY_SECONDS,
    Fault,
    Refusal,
    described,
    described_anew,
    problem,
)
from sync.server.api.requests import Request, whole
from sync.server.api.resources import Resource, answer
from sync.server.connection import Verdict

router = APIRouter(prefix="/api/v1", tags=["documents"])

BYTES = "application/octet-stream"

EDIT_SECONDS = 30.0
"""How long an edit may take to be on disk: a large one is tried out first."""

POSITION_HEADER, NOTE_HEADER = "Draftsync-Position", "Draftsync-Note"

# -- as it is described


class Edited(Resource):
    """Where an edit stands; it is on disk."""

    position: int = Field(
        ge=0, description="Of the edit; where nothing was new, of the document's last one."
    )


class RestoredResource(Edited):
    """A document as it was, or back."""

    changes: int = Field(ge=0, description="Places that were not as they are to be.")


def _not_both(schema: dict[str, Any]) -> None:
    schema["not"] = {"required": ["position", "time"]}
    for each in schema["properties"].values():
        del each["default"]


_Unsigned = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Restoring(Request):
    """What a document is to be again; nothing: what it was when it was deleted."""

    model_config = ConfigDict(json_schema_extra=_not_both)

    position: Annotated[_Unsigned, BeforeValidator(whole, json_schema_input_type=_Unsigned)] = (
        Field(0, description="As it was when the edit at this position was its last.")
    )
    time: str = Field(
        "",
        min_length=1,
        description="As it was at this time: ISO 8601, in UTC unless it says otherwise.",
        json_schema_extra={"format": "date-time"},
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.model_fields_set) == 2:
            raise ValueError("name one of the two: position or time")
        if self.time and isinstance(parse_at(self.time), int):
            raise ValueError("expected a time such as 2026-03-01T12:00:00Z")
        return self

    @property
    def at(self) -> int | float | None:
        """As :func:`sync.inspection.asking.parse_at` has it; None: nothing was said."""
        if not self.model_fields_set:
            return None
        return parse_at(self.time) if self.time else self.position


_EDITS = {
    "requestBody": {
        "required": True,
        "content": {BYTES: {"schema": {"type": "string", "format": "binary"}}},
    }
}
_UPDATE_HEADERS = {
    **ETAG,
    POSITION_HEADER: {
        "description": "Of the last edit that is in it.",
        "required": True,
        "schema": {"type": "integer"},
    },
    NOTE_HEADER: {
        "description": "What is wrong with it: edits that are damaged were left out.",
        "schema": {"type": "string"},
    },
}

_REMOVED = {
    "detail": f"{EXAMPLE!r} cannot be read as it was at position 12: its history up to position "
    "4600 was removed by retention; ask for position 4600 or later",
    "earliest": 4600,
}

T = TypeVar("T")


# -- updates in


@router.post(
    "/documents/{name}/update",
    operation_id="updateDocument",
    summary="Send a Yjs update",
    response_model=Edited,
    responses={
        **answer("It is on disk.", {"position": 4712}),
        **described(400, 401, 403, 404, 408, 413, 415, 503),
        **described_anew(
            409,
            "It stands on edits that are not here, and nothing of it was taken: send what is "
            "missing at `state_vector`. Or the document's session is stopped.",
            {
                "detail": "the update stands on edits that this document does not have",
                "state_vector": "AA",
            },
        ),
    },
    openapi_extra=_EDITS,
)
async def update_document(
    document: Document, who: Asker, parts: Parts, request: HttpRequest
) -> Response:
    """Merge a Yjs update (v1) into a document, as an edit of yours: whoever has the document open
    gets it. A document that there is not comes into being with it.

    An `Idempotency-Key` is not needed: an update that is sent again brings nothing new, changes
    nothing, and is answered with the position of the document's last edit.
    """
    _check_writer(who, document)
    media_type = request.headers.get("content-type", BYTES).partition(";")[0].strip().lower()
    if media_type != BYTES:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send a Yjs update, with Content-Type: {BYTES}"
        )
    with parts.hub.counted(who):  # what is on its way is in memory, as that of connections
        update = await content_of(request, parts.hub.limits.room.document)
    try:
        position = await _in_time(document_edits.edit(parts.hub, document, who, update))
    except document_edits.Incomplete as error:
        vector = base64.urlsafe_b64encode(error.state_vector).rstrip(b"=").decode()
        detail = f"{error}: send what is missing at state_vector, too"
        return problem(HTTPStatus.CONFLICT, detail, state_vector=vector)
    except document_edits.Ended as error:
        _refuse(error.verdict)
    return JSONResponse({"position": position})


async def _in_time(command: Awaitable[T]) -> T:
    try:
        with anyio.fail_after(EDIT_SECONDS):
            return await command
    except TimeoutError:
        raise Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "this is not saved yet, and may be later: send it again, that is no harm",
            headers={"Retry-After": str(RETRY_SECONDS)},
        ) from None


_STATUSES = {
    4400: HTTPStatus.BAD_REQUEST,
    4401: HTTPStatus.UNAUTHORIZED,
    4403: HTTPStatus.FORBIDDEN,
    4404: HTTPStatus.NOT_FOUND,
    4409: HTTPStatus.CONFLICT,
    4413: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    1009: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    1011: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def _refuse(verdict: Verdict) -> NoReturn:
    """What the room says to a connection, as HTTP says it."""
    status = _STATUSES.get(verdict.code, HTTPStatus.SERVICE_UNAVAILABLE)
    headers = {
        HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
        HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": str(RETRY_SECONDS)},
    }
    raise Refusal(status, verdict.reason, headers=headers.get(status))


def _check_writer(who: Identity, document: DocumentName) -> None:
    if who.document_access(document) is not Access.WRITE:
        raise Forbidden(f"this token gives no right to write to the document {document!r}")


# -- updates out


@router.get(
    "/documents/{name}/update",
    operation_id="getDocumentUpdate",
    summary="Get a document as a Yjs update",
    response_class=Response,
    responses={
        200: {
            "description": "A Yjs update (v1).",
            "content": {BYTES: {"schema": {"type": "string", "format": "binary"}}},
            "headers": _UPDATE_HEADERS,
        },
        304: {"description": "It is as it was."},
        **described(401, 403, 404, 422, 503),
        **described_anew(409, "That part of the history was removed.", _REMOVED),
    },
)
async def get_document_update(
    document: Document,
    who: Asker,
    parts: Parts,
    sv: Annotated[
        str | None,
        Query(
            description="What you have: a state vector as Yjs encodes it, in base64url. What you "
            "lack is answered, and all deletions.",
            examples=["AA"],
        ),
    ] = None,
    at: At = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Read a document as one Yjs update, as far as it is saved. Applied to an empty Yjs document
    it makes the same. Administrators may read what is deleted, until it is purged.
    """
    state_vector = _state_vector(sv)
    head = await head_of(parts, who, document, history=True)
    if at is None and matches(if_none_match, name := _etag(parts, head.head, sv)):
        return unchanged(name)
    async with reading(parts, head):
        past = await (newest_of(parts, head) if at is None else something_of(parts, head, at))
        if matches(if_none_match, name := _etag(parts, past.position, sv)):
            return unchanged(name)
        update, lost = await document_edits.update_of(past, state_vector)
    headers = {"ETag": name, POSITION_HEADER: str(past.position)}
    if lost:
        headers[NOTE_HEADER] = f"{lost} of its edits are damaged, and left out"
    return Response(update, media_type=BYTES, headers=headers)


def _state_vector(given: str | None) -> bytes | None:
    if given is None:
        return None
    try:
        text = given.rstrip("=")
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        decode_state_vector(decoded)
    except (binascii.Error, ValueError, MalformedMessage):
        detail = "expected a state vector as Yjs encodes it, in base64url"
        faults = [Fault(detail=detail, parameter="sv")]
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        raise Refusal(status, f"sv: {detail}", errors=faults) from None
    return decoded


def _etag(parts: Context, position: Position, state_vector: str | None) -> str:
    return etag(parts.sessions.store.epoch, position, state_vector)


# -- back to what it was


@router.post(
    "/documents/{name}/restore",
    operation_id="restoreDocument",
    summary="Restore a document",
    response_model=RestoredResource,
    responses={
        **answer(
            "It is as it was, on disk and for everybody who has it open.",
            {"position": 4712, "changes": 3},
        ),
        **described(400, 401, 403, 404, 408, 413, 415, 422, 503),
        **described_anew(
            409,
            "That part of the history was removed, or is damaged; or it is not deleted, and "
            "nothing says what it is to be again; or its session is stopped.",
            {"detail": "it is not deleted: there is nothing to bring back"},
        ),
    },
    openapi_extra=takes(Restoring, {"position": 4000}),
)
async def restore_document(
    document: Document,
    who: Asker,
    parts: Parts,
    given: Annotated[Restoring, Depends(body_of(Restoring))],
) -> Response:
    """Make a document what it was at a position or a time. That is an edit of yours as any other:
    nothing is taken out of the history, whoever has the document open gets it, and what they write
    meanwhile stays. `changes` tells how many places were not as they are now.

    Without a body, a deleted document is brought back (administrators only).

    An `Idempotency-Key` is not needed: once a document is what it was, restoring it again changes
    nothing, and is answered with the position of its last edit.
    """
    if given.at is None:
        return JSONResponse(await _bring_back(parts, document, who))
    _check_writer(who, document)
    head = await head_of(parts, who, document)
    async with reading(parts, head):
        past = await something_of(parts, head, given.at)
        _check_whole(past)
        try:
            restoring = document_edits.restore(parts.hub, document, who, past)
            position, changes = await _in_time(restoring)
        except document_edits.Ended as error:
            _refuse(error.verdict)
    return JSONResponse({"position": position, "changes": changes})


def _check_whole(past: Past) -> None:
    """What is lost of the history must not be taken out of the document, too. Raises Refusal."""
    if lost := lost_entries(past.damaged):
        raise Refusal(
            HTTPStatus.CONFLICT,
            f"what {past.document!r} was then cannot be read: its edit at position {lost[0]} is "
            "damaged; `draftsync doctor` tells more",
        )


async def _bring_back(parts: Context, document: DocumentName, who: Identity) -> dict[str, int]:
    check_administrator(who)
    position = await _in_time(parts.hub.deleting.bring_back(document))
    return {"position": position, "changes": 0}


# -- deletion


@router.delete(
    "/documents/{name}",
    operation_id="deleteDocument",
    summary="Delete a document",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "It is deleted, on disk and for everybody who had it open."},
        **described(401, 403, 404, 422, 503),
        **described_anew(
            409,
            "It is not deleted, and is to be purged.",
            {"detail": "delete it first: what is not deleted is not purged"},
        ),
    },
)
async def delete_document(
    document: Document,
    who: Administrator,
    parts: Parts,
    purge: Annotated[
        bool, Query(description="Remove for ever what is deleted: it cannot be brought back.")
    ] = False,
) -> Response:
    """Delete a document. Whoever has it open is told so, after what they sent is saved; nobody can
    open it, or write to it, until an administrator brings it back: restore it without a body.
    Deleting it once more is no harm. Administrators only.

    `?purge=true` removes for ever what is deleted. Its name stays taken, so that nobody who was
    away brings the document back with a copy, until it is restored: it begins anew then, empty.
    """
    if purge:
        await _in_time(parts.hub.deleting.purge(document))
    else:
        await _in_time(parts.hub.deleting.delete(document, who.subject))
    return Response(status_code=HTTPStatus.NO_CONTENT)
