"""Documents' names in addresses, and what stands behind them.

A name may have slashes. It is percent-encoded once (``drafts%2F42``), and its slashes may stay
where that leaves no doubt. The law of addresses below ``/api/v1/documents/``, by the path as it was
sent:

1. A last segment that is one of :data:`WORDS`, or the last two where they are ``at`` and anything,
   are a resource below a document, if something stands before them.
2. All else is a name. So the document ``x/history`` is asked for as ``x%2Fhistory``.

The framework matches decoded paths, to which the two are the same: so every request goes through
:class:`DocumentNames`, which hands on the name as one segment, encoded as it came.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Path, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sync.core.errors import InvalidName
from sync.core.names import DocumentName, document_name, name_from_path
from sync.server.api.context import Asker
from sync.server.api.problems import Refusal

WORDS = frozenset({b"update", b"history", b"blame", b"diff", b"restore"})
"""What a segment behind a name asks for."""

_AT = b"at"
_ABOVE = b"/api/v1/documents/"
_SLASH = b"%2F"


class DocumentNames:
    """A layer around the API: makes one segment of a document's name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_ABOVE.decode()):
            scope = {**scope, "path": routed(scope["raw_path"])}
        await self._app(scope, receive, send)


def routed(raw_path: bytes) -> str:
    """The path by which the framework finds its way: ``/api/v1/documents/{name}/…``.

    ``raw_path`` is as it was sent, without the query. The name is left encoded.
    """
    if not raw_path.startswith(_ABOVE):  # /api%2Fv1/…: nothing is there
        return raw_path.decode("latin-1")
    name, below = _split(raw_path.removeprefix(_ABOVE))
    segments = [name.replace(b"/", _SLASH), *below]
    return (_ABOVE + b"/".join(segments)).decode("latin-1")


def _split(rest: bytes) -> tuple[bytes, list[bytes]]:
    """A name as it was sent, and the segments behind it, decoded."""
    above, _, last = rest.rpartition(b"/")
    decoded = unquote_to_bytes(last)
    if above and decoded in WORDS:
        return above, [decoded]
    name, _, word = above.rpartition(b"/")
    if name and last and unquote_to_bytes(word) == _AT:
        return name, [_AT, decoded.replace(b"/", _SLASH)]
    return rest, []


def document_name_of(request: Request) -> DocumentName:
    """The name in the address of a route with ``{name}``, decoded once.

    Raises Refusal: 404, there cannot be such a document.
    """
    try:
        return name_from_path(request.path_params["name"].encode("latin-1"))
    except InvalidName as error:
        raise _no_such(error) from None


def checked_name(given: str) -> DocumentName:
    """A name that is given otherwise. Raises Refusal, as :func:`document_name_of` does."""
    try:
        return document_name(given)
    except InvalidName as error:
        raise _no_such(error) from None


def _no_such(error: InvalidName) -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, f"there is no such document: {error.reason}")


EXAMPLE = "drafts/refunds-7/refund-042"


async def _document(
    request: Request,
    name: Annotated[  # noqa: ARG001 - for the description: it is decoded from the address
        str,
        Path(
            description="Its name, percent-encoded once. Slashes may stay, but where what follows "
            "the last one is a word of these addresses: `x/history` is `x%2Fhistory`.",
            examples=[EXAMPLE],
        ),
    ],
    _who: Asker,
) -> DocumentName:
    """The same for handlers, once it is known that somebody asks who may ask at all."""
    return document_name_of(request)


Document = Annotated[DocumentName, Depends(_document)]
