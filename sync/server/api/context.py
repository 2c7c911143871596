"""What a handler is given: the parts of the service, who asks, the body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import Depends, Header, Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from auth.access import Identity
from sync.core.errors import Forbidden
from sync.server.admission import Admission
from sync.server.allowance import Allowance
from sync.server.api.event_stream import Streams
from sync.server.api.problems import RETRY_SECONDS, Refusal, invalid
from sync.server.api.requests import Request as Body
from sync.server.hub import Hub
from sync.server.metrics import Metrics
from sync.server.monitoring import Monitor
from sync.server.sessions import Sessions
from sync.server.webhooks import Webhooks

MAX_BODY = 2**20
"""Bytes of a request's body."""

BODY_SECONDS = 60.0
"""How long all of it may take to come."""

COMMIT_SECONDS = 10.0
"""How long a request waits for the disk."""

T = TypeVar("T")
Model = TypeVar("Model", bound=Body)


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of the service."""

    hub: Hub
    sessions: Sessions
    reading: Allowance
    webhooks: Webhooks
    admission: Admission
    streams: Streams
    monitor: Monitor
    metrics: Metrics | None  # None: they are at another address


async def _parts(request: Request) -> Context:
    parts: Context = request.app.state.context
    return parts


Parts = Annotated[Context, Depends(_parts)]


async def _asker(request: Request, parts: Parts) -> Identity:
    """Who asks. Raises AuthError."""
    authorization = request.headers.get("authorization", "").encode("latin-1")
    return await parts.admission.identify(request.scope["query_string"], authorization)


Asker = Annotated[Identity, Depends(_asker)]


def check_administrator(who: Identity) -> None:
    """Raises Forbidden."""
    if not who.administrator:
        raise Forbidden("this is for administrators: your token must say role admin")


async def _administrator(who: Asker) -> Identity:
    """Who asks for what only administrators may. Raises AuthError, Forbidden."""
    check_administrator(who)
    return who


Administrator = Annotated[Identity, Depends(_administrator)]

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern="^[!-~]+$",
        description="Names this request: sent again with the same key it has the same effect as "
        "once, after a restart of the service too. A UUID is a good one.",
        examples=["0b0f5c0e-6f5e-4c0e-9c55-0b6f0f2a4a11"],
    ),
]


def body_of(model: type[Model]) -> Callable[..., Awaitable[Model]]:
    """The body of a request, read after it is known who asks, and checked without coercion."""

    async def body(request: Request, _who: Asker) -> Model:
        _check_media_type(request)
        content = await content_of(request)
        if not content and not _needed(model):
            return model()
        return parsed(model, content)

    return body


def takes(model: type[Body], example: object) -> dict[str, Any]:
    """The same for the OpenAPI document."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"content": content, "required": _needed(model)}}


def _needed(model: type[Body]) -> bool:
    return model.needed or any(each.is_required() for each in model.model_fields.values())


def _check_media_type(request: Request) -> None:
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if media_type.lower() != "application/json":
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON, with Content-Type: application/json"
        )


async def content_of(request: Request, most: int = MAX_BODY) -> bytes:
    """The body of a request, of so many bytes at most. Raises Refusal."""
    content = bytearray()
    try:
        with anyio.fail_after(BODY_SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > most:
                    raise Refusal(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {most} bytes"
                    )
    except TimeoutError:
        detail = f"the body did not come within {BODY_SECONDS:.0f} s: send it again"
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, detail) from None
    except ClientDisconnect:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the body broke off") from None
    return bytes(content)


def parsed(model: type[Model], content: bytes) -> Model:
    """Read JSON. Raises Refusal: 400 for what is none, 422 for another shape."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        found: list[Any] = [
            each | {"loc": ("body", *each["loc"])}
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    if found[0]["type"] == "json_invalid":
        detail = found[0]["msg"].removeprefix("Invalid JSON: ")
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {detail}")
    raise invalid(found)


async def in_time(command: Awaitable[T]) -> T:
    """Wait for the disk, but not for ever. Raises Refusal: it may be saved later all the same."""
    try:
        with anyio.fail_after(COMMIT_SECONDS):
            return await command
    except TimeoutError:
        raise Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the disk does not answer, and what was to change is not saved yet: try again in a "
            "moment, with the same Idempotency-Key where you sent one",
            headers={"Retry-After": str(RETRY_SECONDS)},
        ) from None
