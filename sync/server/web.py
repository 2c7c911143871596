"""The built web app beside the API: its files at ``/``, and nothing in the API's way.

A build names its scripts and styles under ``/assets/`` by a hash of what they hold, so that these
may be kept for ever. All else is asked for again each time, and costs a 304 while it is the same:
else a page of last week would ask for scripts that a new build has removed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from mimetypes import MimeTypes
from pathlib import Path

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from sync.server.api.problems import problem

INDEX = "index.html"

OURS = frozenset(
    {
        *("api", "sync", "sessions", "hocuspocus", "console"),
        *("docs", "openapi.json", "healthz", "readyz", "metrics"),
    }
)
"""First parts of the paths that are never a web app's, whatever its directory holds."""

POLICY = "; ".join(
    (
        "default-src 'self'",
        "connect-src 'self' ws: wss:",
        "img-src 'self' data:",
        "style-src 'self' 'unsafe-inline'",  # React's style attributes, editors' cursors
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"

_TYPES = MimeTypes(filenames=())  # the library's own: not what this machine says
_OUR_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_ELSE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class _File:
    """A file to answer with. ``name``: within the directory; ``encoding``: of what is in it."""

    name: str
    path: str
    stat: os.stat_result
    encoding: str | None = None


class WebApp:
    """The ASGI callable: files of a directory, and for all that is not for them the API.

    A path without an extension that is no file is a route of the page's own: a browser that asks
    for a page gets the start page there.
    """

    def __init__(self, directory: Path, api: ASGIApp) -> None:
        self._api = api
        self._files = StaticFiles(directory=directory, check_dir=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_ours(scope["path"]):
            await self._api(scope, receive, send)
            return
        answer = await self._answer(scope)
        answer.headers.update(SECURITY)
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            detail = f"the web app's files are read with GET and HEAD, not {scope['method']}"
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, {"Allow": "GET, HEAD"})
        asked = Headers(scope=scope)
        name = self._files.get_path(scope)
        wanted = INDEX if name == "." else name
        gzip = takes_gzip(asked)
        file = await self._find(wanted, gzip=gzip)
        if file is None and _is_route(name) and "text/html" in asked.get("accept", ""):
            wanted = INDEX
            file = await self._find(wanted, gzip=gzip)
        return _missing(wanted) if file is None else self._given(file, asked)

    async def _find(self, name: str, *, gzip: bool) -> _File | None:
        """In a thread: the disk may take its time."""
        return await anyio.to_thread.run_sync(self._look_up, name, gzip)

    def _look_up(self, name: str, gzip: bool) -> _File | None:
        if any(_is_hidden(part) for part in name.split("/")):
            return None
        if (plain := self._regular(name)) is None:
            return None
        packed = self._regular(f"{name}.gz") if gzip else None
        if packed is None or packed[1].st_mtime < plain[1].st_mtime:  # of another build
            return _File(name, *plain)
        return _File(name, *packed, "gzip")

    def _regular(self, name: str) -> tuple[str, os.stat_result] | None:
        """A file within the directory; links that lead out of it are none."""
        try:
            path, found = self._files.lookup_path(name)
        except (OSError, ValueError):  # too long, not ours to read, or a name that no file can have
            return None
        return (path, found) if found is not None and stat.S_ISREG(found.st_mode) else None

    def _given(self, file: _File, asked: Headers) -> Response:
        headers = {"Cache-Control": FOR_EVER if file.name.startswith("assets/") else ASK_AGAIN}
        headers["Vary"] = "Accept-Encoding"
        if file.encoding is not None:
            headers["Content-Encoding"] = file.encoding
        answer = FileResponse(
            file.path, headers=headers, media_type=media_type(file.name), stat_result=file.stat
        )
        same = self._files.is_not_modified(answer.headers, asked)
        return NotModifiedResponse(answer.headers) if same else answer


def media_type(name: str) -> str:
    """What a file is, by its name. With ``nosniff`` a browser takes a script as nothing else."""
    return _OUR_TYPES.get(Path(name).suffix.lower()) or _TYPES.guess_type(name)[0] or _ELSE


def _is_ours(path: str) -> bool:
    return path.lstrip("/").partition("/")[0] in OURS


def _is_hidden(part: str) -> bool:
    """What begins with a dot is not published: it lies there for other programs."""
    return part.startswith(".") and part != ".well-known"


def _is_route(name: str) -> bool:
    return not Path(name).suffix


def takes_gzip(asked: Mapping[str, str]) -> bool:
    """Tell from the headers of a request whether its answer may be packed."""
    for each in asked.get("accept-encoding", "").split(","):
        coding, _, weight = each.partition(";")
        if coding.strip().lower() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _missing(name: str) -> Response:
    if name == INDEX:
        detail = "the web app is not there now: it is being built, or was removed; try again"
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "2"})
    return problem(HTTPStatus.NOT_FOUND, "the web app has no such file: it begins at /")
