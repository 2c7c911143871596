"""Names of answers (RFC 9110, section 8.8.3): who has one is not sent it again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Header
from fastapi.responses import Response

IfNoneMatch = Annotated[str | None, Header(description="`ETag` of an answer that you have.")]

ETAG: Mapping[str, Any] = {
    "ETag": {
        "description": "Changes with every edit on disk. Send it back as `If-None-Match`.",
        "required": True,
        "schema": {"type": "string"},
    }
}
"""As it is described."""


def etag(*of: object) -> str:
    """The name of an answer that depends on these values alone."""
    text = " ".join(map(str, of))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def matches(given: str | None, etag: str) -> bool:
    """Tell whether ``If-None-Match`` names an answer (RFC 9110, section 13.1.2)."""
    listed = [each.strip().removeprefix("W/") for each in (given or "").split(",")]
    return etag in listed or listed == ["*"]


def unchanged(etag: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to who has it."""
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={**(headers or {}), "ETag": etag})
