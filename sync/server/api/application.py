"""The HTTP application: what every request goes through, and the description of it all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, FastAPI, Security
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic.json_schema import models_json_schema
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sync.server.admission import Admission
from sync.server.allowance import Allowance
from sync.server.api import (
    console,
    document_access,
    document_edits,
    documents,
    edits,
    events,
    health,
    history,
    monitoring,
    problems,
    reports,
    revocations,
    session_status,
    sessions,
    tickets,
    webhooks,
)
from sync.server.api.context import Context
from sync.server.api.document_names import DocumentNames
from sync.server.api.event_stream import Streams
from sync.server.api.exchange import Exchange
from sync.server.api.requests import Completing, Joining, NewSession, Publication
from sync.server.hub import Hub
from sync.server.metrics import Metrics
from sync.server.monitoring import Monitor
from sync.server.sessions import Sessions
from sync.server.telemetry import logger
from sync.server.webhooks import Webhooks

log = logger(__name__)

OPEN: Sequence[APIRouter] = (health.router, monitoring.scrapes, console.router)
"""Routes for anybody."""

GUARDED: Sequence[APIRouter] = (
    sessions.router,
    events.router,
    documents.router,
    history.router,
    document_edits.router,
    edits.router,
    reports.router,
    tickets.router,
    revocations.router,
    webhooks.router,
    session_status.router,
    monitoring.router,
)
"""Routes for who brings a token. Another one is to be added here."""

BODIES = (
    *(NewSession, Joining, Completing, Publication),
    *(webhooks.Replaying, document_edits.Restoring, revocations.Revoking),
)
"""What :func:`sync.server.api.context.takes` names in descriptions of routes."""

_REF = "#/components/schemas/{model}"
_METHODS = ["GET", "POST", "PUT", "DELETE"]
_ASKED = ["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "If-None-Match"]
_TOLD = ["Location", "ETag", "Retry-After", "WWW-Authenticate"]
_TOLD += [document_edits.POSITION_HEADER, document_edits.NOTE_HEADER]

_ABOUT = """\
Sessions in which people evaluate AI agents together, the log of what happens in them, and tickets.

* **Tokens** are JWTs: `Authorization: Bearer …`. Where headers cannot be sent, `?token=`, or better
  `?ticket=`, does as well.
* **Errors** are problem details (RFC 9457), `application/problem+json`.
* **Repeats**: whatever changes a session takes an `Idempotency-Key`. Send it again after a failure,
  and it has happened once. Changes of documents, deletions and revocations need none: sent again
  they have the same effect as once.
* **Saved means on disk**: what is answered is committed.
"""
_TAGS = [
    {"name": "sessions", "description": "Who evaluates what, and how far it is."},
    {"name": "events", "description": "Everything that happened in a session, in order."},
    {"name": "documents", "description": "What is filled in, as far as it is saved."},
    {"name": "reports", "description": "What came of a session."},
    {"name": "tickets", "description": "They keep tokens out of addresses."},
    {"name": "revocations", "description": "Tokens that are not taken any more."},
    {"name": "webhooks", "description": "Events that other services are sent."},
    {"name": "monitoring", "description": "What goes on now."},
    {"name": "health", "description": "For whoever runs the service. No token is needed."},
]
_BEARER = HTTPBearer(
    bearerFormat="JWT",
    scheme_name="bearer",
    description="A token: `draftsync token --sub alice --session 's*=lead'` prints one.",
    auto_error=False,
)
_DOCS_POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
    "; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"  # a token is typed there
)
_DOCS = (Path(__file__).parent / "docs.html").read_text()


class Api(FastAPI):
    """The framework's application, and the description of it without the framework's mistakes.

    It does not know the bodies, which are read elsewhere, drops the nulls of examples, and names
    errors of a shape that is not ours.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, openapi_url=None)
        self._describing = anyio.Lock()
        self._document = b""

    async def document(self) -> Response:
        """The OpenAPI document; to make it takes a tenth of a second, once, and in a thread."""
        async with self._describing:
            if not self._document:
                self._document = await anyio.to_thread.run_sync(self._described)
        return Response(self._document, media_type="application/json")

    def _described(self) -> bytes:
        return json.dumps(self.openapi(), ensure_ascii=False).encode()

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            described = super().openapi()
            schemas = described["components"]["schemas"]
            schemas |= _schemas()
            for route in _routes():
                _correct(route, described["paths"])
            for never in ("HTTPValidationError", "ValidationError"):
                schemas.pop(never, None)
        return super().openapi()


def _schemas() -> dict[str, Any]:
    _, bodies = models_json_schema([(each, "validation") for each in BODIES], ref_template=_REF)
    _, answers = models_json_schema([(problems.Problem, "serialization")], ref_template=_REF)
    schemas: dict[str, Any] = bodies["$defs"] | answers["$defs"]
    return schemas


def _correct(route: APIRoute, paths: dict[str, Any]) -> None:
    if not route.include_in_schema:
        return
    for method in route.methods or ():
        answers = paths[route.path_format][method.lower()]["responses"]
        if HTTPStatus.UNPROCESSABLE_ENTITY not in route.responses:
            answers.pop("422", None)  # any text is well formed there
        for status, answer in route.responses.items():
            for media_type, content in answer.get("content", {}).items():
                if "example" in content:
                    described = answers[str(status)]["content"][media_type]
                    described["example"] = content["example"]


PROBED = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"}
"""What is asked for with HEAD, too: by load balancers, and by who looks for broken links."""

Layer = Callable[[ASGIApp], ASGIApp]
"""Something to serve beside the API: it answers what is its own, and hands on the rest."""


class Application:
    """The ASGI callable for HTTP."""

    def __init__(
        self,
        hub: Hub,
        all_sessions: Sessions,
        all_webhooks: Webhooks,
        admission: Admission,
        monitor: Monitor,
        metrics: Metrics | None,
        layers: Sequence[Layer] = (),
    ) -> None:
        """``metrics``: None where they are at another address. ``layers``: the last is first."""
        self.streams = Streams(hub)
        monitor.streams = self.streams.statistics
        context = Context(
            hub,
            all_sessions,
            Allowance(document_access.READING_BYTES),
            all_webhooks,
            admission,
            self.streams,
            monitor,
            metrics,
        )
        self._admission = admission
        self._app = _shared(DocumentNames(_api(context)), admission)
        for layer in layers:
            self._app = layer(self._app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(receive, send)
        app = _refusal if self._admission.foreign(_origin(scope)) else self._app
        if scope["method"] == "HEAD" and scope["path"] in PROBED:
            scope = {**scope, "method": "GET"}  # whoever sends the answer leaves the body out
        try:
            await app(scope, exchange.receive, exchange.send)
        except Exception:  # it was answered with 500; a bug costs this request, not the server
            log.exception("a request failed", method=scope["method"], path=scope["path"])

    def end_streams(self) -> None:
        """Let event streams send what there is, and end."""
        self.streams.ending.set()


_refusal = problems.problem(403, "pages of this origin may not use the service")


def _origin(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"origin"), None)


def _api(context: Context) -> FastAPI:
    api = Api(
        title="draftsync",
        summary="Offline-first sync for collaborative evaluation forms.",
        description=_ABOUT,
        version="1",
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api.state.context = context
    problems.install(api)
    api.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, _on_method)
    for router in OPEN:
        api.include_router(router)
    for router in GUARDED:
        api.include_router(router, dependencies=[Security(_BEARER)])
    api.add_api_route("/openapi.json", api.document, include_in_schema=False)
    api.add_api_route("/docs", _docs, include_in_schema=False, response_class=HTMLResponse)
    return api


def _shared(app: ASGIApp, admission: Admission) -> ASGIApp:
    """Let pages of other origins use it: tokens authorise, never cookies."""
    return CORSMiddleware(
        app,
        allow_origins=sorted(admission.allowed_origins) or ["*"],
        allow_methods=_METHODS,
        allow_headers=_ASKED,
        expose_headers=_TOLD,
        max_age=600,
    )


async def _docs() -> HTMLResponse:
    return HTMLResponse(_DOCS, headers={"Content-Security-Policy": _DOCS_POLICY})


async def _on_method(request: Request, _error: Exception) -> Response:
    allowed = ", ".join(sorted(methods_at(request.url.path))) or "GET"
    detail = f"this address takes {allowed}, not {request.method}"
    return problems.problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, {"Allow": allowed})


def methods_at(path: str) -> set[str]:
    """All methods of an address; the framework names those of one route only."""
    matching = [each for each in _routes() if each.path_regex.match(path)]
    methods = {method for route in matching for method in route.methods or ()}
    return methods | {"HEAD"} if path in PROBED else methods


def _routes() -> list[APIRoute]:
    routes = [each for router in (*OPEN, *GUARDED) for each in router.routes]
    return [each for each in routes if isinstance(each, APIRoute)]
