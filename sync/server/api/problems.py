"""Errors as problem details (RFC 9457). Every one says what was expected and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from auth.access import AuthError
from persistence.store import HistoryRemoved, StoreError, StoreUnavailable
from sync.core.errors import IllegalStep, ProtocolError
from sync.server.telemetry import logger

log = logger(__name__)

MEDIA_TYPE = "application/problem+json"

RETRY_SECONDS = 2
"""When to come back: by then a restart is over, or a disk has breathed."""

TICKET_SECONDS = 30
"""By then some tickets that nobody used are gone."""


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    detail: str = Field(description="What was expected.")
    pointer: str | None = Field(
        default=None, description="Where in the body: a JSON pointer (RFC 6901)."
    )
    parameter: str | None = Field(default=None, description="Which parameter or header, else.")


class Problem(BaseModel):
    """Why a request was refused, and what to do about it (RFC 9457)."""

    type: str = Field(description="Always about:blank: the status tells the kind.")
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="One or two sentences for people.")
    open_steps: list[str] | None = Field(
        None, description="With 409 for a session: the steps that are open now."
    )
    state_vector: str | None = Field(
        None, description="With 409 for an update: what the document has, in base64url."
    )
    earliest: int | None = Field(
        None, description="With 409 for a document's past: the first position that can be read."
    )
    errors: list[Fault] | None = Field(None, description="With 422: what is wrong, and where.")


class Refusal(Exception):
    """A request is refused for what only HTTP knows of."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Fault] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.errors = errors


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """An answer that refuses a request."""
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    content = json.dumps(told | {"detail": detail} | more)
    return Response(content, status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make problem details of whatever is raised in the application."""
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(ProtocolError, _on_protocol_error)
    app.add_exception_handler(AuthError, _on_auth_error)
    app.add_exception_handler(StoreError, _on_store_error)
    app.add_exception_handler(HistoryRemoved, _on_removed)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)


async def _on_refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - registered for it
    faults = [each.model_dump(exclude_none=True) for each in error.errors]
    more: dict[str, Any] = {"errors": faults} if faults else {}
    return problem(error.status, error.detail, error.headers, **more)


async def _on_protocol_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProtocolError)  # noqa: S101 - registered for it
    status = error.http_status
    if isinstance(error, IllegalStep):
        return problem(status, error.reason, open_steps=error.open_steps)
    return problem(status, error.reason, _later(status))


async def _on_auth_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, AuthError)  # noqa: S101 - registered for it
    status = error.http_status
    headers = (
        {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else _later(status)
    )
    return problem(status, error.reason, headers)


async def _on_store_error(request: Request, error: Exception) -> Response:
    log.warning("a request met a store that fails", path=request.url.path, error=str(error))
    if isinstance(error, StoreUnavailable):
        detail = "the disk cannot be read or written now: try again in a moment"
    else:
        detail = "what is stored cannot be read: whoever runs the service finds why in its log"
    return problem(503, detail, _later(503))


async def _on_removed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HistoryRemoved)  # noqa: S101 - registered for it
    return problem(HTTPStatus.CONFLICT, str(error), earliest=error.earliest)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    return await _on_refusal(_request, invalid(error.errors()))


async def _on_http(_request: Request, error: Exception) -> Response:
    """What the framework says: no such route, no such method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            detail = "there is nothing at this address: /docs shows what there is"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            detail = "this method is not for this address: the header Allow names those that are"
        case _:
            detail = error.detail
    return problem(error.status_code, detail, error.headers)


async def _on_bug(_request: Request, _error: Exception) -> Response:
    return problem(500, "something failed on the server: try again; if it lasts, report it")


def _later(status: int) -> dict[str, str] | None:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return {"Retry-After": str(TICKET_SECONDS)}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(RETRY_SECONDS)}
    return None


def invalid(errors: Sequence[Any]) -> Refusal:
    """What pydantic found wrong. Its texts never repeat what was sent."""
    faults = [_fault(each) for each in errors]
    where = faults[0].pointer or faults[0].parameter
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    detail = f"{where or 'the request'}: {faults[0].detail}{more}; errors names everything"
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=faults)


def _fault(error: Mapping[str, Any]) -> Fault:
    place, *path = error["loc"] or ("body",)
    message = error["msg"].removeprefix("Value error, ")
    if place == "body":
        return Fault(detail=message, pointer=pointer(path))
    return Fault(detail=message, parameter=str(path[0]) if path else str(place))


def pointer(path: Sequence[object]) -> str:
    """A JSON pointer to a place in the body; empty for the whole of it."""
    return "".join(f"/{str(each).replace('~', '~0').replace('/', '~1')}" for each in path)


# -- described

_EXAMPLES: Mapping[int, tuple[str, dict[str, Any]]] = {
    400: ("The body is not JSON.", {"detail": "the body is not JSON: expected value at column 1"}),
    401: (
        "No token, or not one that is good now.",
        {"detail": "token-expired: get a new token and connect again"},
    ),
    403: (
        "The token gives no right to this.",
        {"detail": "this token gives no right to the session 's1'"},
    ),
    404: ("There is no such session.", {"detail": "there is no session 's1'"}),
    408: ("The body did not come in time.", {"detail": "the body did not come within 60 s"}),
    409: (
        "Not in this state; `open_steps` can be done.",
        {
            "detail": "a session that is created cannot pause: open are join, leave, start",
            "open_steps": ["join", "leave", "start"],
        },
    ),
    413: ("The body is too large.", {"detail": "a body has at most 1048576 bytes"}),
    415: (
        "The body is of another media type.",
        {"detail": "send JSON, with Content-Type: application/json"},
    ),
    422: (
        "The request is not well formed.",
        {
            "detail": "/project: Field required; errors names everything",
            "errors": [{"detail": "Field required", "pointer": "/project"}],
        },
    ),
    429: (
        "Too many at once.",
        {"detail": "100 tickets of yours are unused: use them, or wait 30 s"},
    ),
    503: (
        "Not now: the service restarts, or its disk fails. Try again with the same key.",
        {"detail": "the server is restarting: try again"},
    ),
}
_HEADERS: Mapping[int, tuple[str, str, str]] = {
    401: ("WWW-Authenticate", "string", "Bearer"),
    429: ("Retry-After", "integer", "Seconds until it is worth another try."),
    503: ("Retry-After", "integer", "Seconds until it is worth another try."),
}


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that refuse a request, for the OpenAPI document."""
    return {status: _described(status, *_EXAMPLES[status]) for status in statuses}


def described_anew(
    status: int, description: str, more: dict[str, Any]
) -> dict[int | str, dict[str, Any]]:
    """The same for one that means something else there; ``more`` is of its example."""
    return {status: _described(status, description, more)}


def _described(status: int, description: str, more: dict[str, Any]) -> dict[str, Any]:
    example = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status} | more
    schema = {"$ref": "#/components/schemas/Problem"}
    told: dict[str, Any] = {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }
    if status in _HEADERS:
        name, kind, about = _HEADERS[status]
        told["headers"] = {name: {"description": about, "required": True, "schema": {"type": kind}}}
    return told
