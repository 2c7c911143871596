"""The administrator's console at ``/console``: a page for whoever runs the service.

Its files are plain ES modules and one style sheet, as they lie in ``sync/server/console``: nothing
is built. They hold no data and need no token; all that the page shows it asks the API for, with the
token of whoever sits before it. They are read when the service starts, so that no request names a
path on the disk.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from sync.server.api.etags import matches, unchanged
from sync.server.api.problems import Refusal
from sync.server.web import takes_gzip

router = APIRouter()

INDEX = "index.html"

MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Of the files that are served; all else in the directory is not."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",  # text never becomes markup
        "trusted-types 'none'",
    )
)
SECURITY: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for again each time, which costs a 304
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class _File:
    """One file of the page. ``etag`` names what is in it, and so does ``packed_etag``, packed."""

    media_type: str
    content: bytes
    packed: bytes
    etag: str
    packed_etag: str


def _read(path: Path) -> _File:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:32]
    return _File(
        MEDIA_TYPES[path.suffix],
        content,
        gzip.compress(content, mtime=0),
        f'"{digest}"',
        f'"{digest}-gzip"',
    )


_FILES: Mapping[str, _File] = {
    path.name: _read(path)
    for path in sorted((Path(__file__).parents[1] / "console").iterdir())
    if path.suffix in MEDIA_TYPES
}


@router.api_route("/console", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/console/", methods=["GET", "HEAD"], include_in_schema=False)
async def page(request: Request) -> Response:
    """The page itself; what it shows is behind the fragment of its address."""
    return _given(_FILES[INDEX], request)


@router.api_route("/console/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def part(request: Request, name: str) -> Response:
    """A script, the style sheet or the icon of the page."""
    if (file := _FILES.get(name)) is None:
        detail = "the console has no such file: it begins at /console"
        raise Refusal(HTTPStatus.NOT_FOUND, detail, headers=SECURITY)
    return _given(file, request)


def _given(file: _File, request: Request) -> Response:
    gzipped = takes_gzip(request.headers)
    etag = file.packed_etag if gzipped else file.etag
    headers = {**SECURITY, "ETag": etag}
    if matches(request.headers.get("if-none-match"), etag):
        return unchanged(etag, headers)
    if gzipped:
        headers["Content-Encoding"] = "gzip"
    content = file.packed if gzipped else file.content
    answer = Response(content, headers=headers, media_type=file.media_type)
    if request.method == "HEAD":
        answer.body = b""  # its length stays told
    return answer
