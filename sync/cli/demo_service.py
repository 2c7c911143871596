"""The service of ``draftsync demo``: ``draftsync serve``, and links that sign people in.

It stands for the application's own back end, which knows its people and gives them tokens:
``serve`` never does. To run it alone, as tests do: ``python -m sync.cli.demo_service --port 3001
--database FILE --web DIR``, with the secret in DRAFTSYNC_JWT_SECRET.

- ``GET /demo/{person}``: to the page, with a new token in the fragment, which no browser sends on.
- ``POST /demo/token`` with ``Authorization: Bearer``: the same rights in a new token. A laptop may
  have slept since: a token that has expired is taken for some hours more.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import jwt
import typer
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from auth.access import AuthError
from auth.keys import SharedSecret
from auth.tokens import TokenVerifier, mint
from sync.cli import options, running
from sync.cli.demo_people import AUDIENCE, PEOPLE, token_of
from sync.cli.demo_session import SESSION
from sync.server.api.problems import problem

TOKEN_SECONDS = 15 * 60.0
RENEWAL_SECONDS = 12 * 3600.0
"""How long after its end a token can still be swapped for a new one."""

_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class Desk:
    """Gives tokens to the people of the demo, and new ones for old."""

    def __init__(self, secret: str, ttl: float) -> None:
        """``ttl``: seconds that a token holds."""
        self._secret = secret
        self._ttl = ttl
        self._verifier = TokenVerifier(
            SharedSecret(secret), audience=AUDIENCE, leeway=RENEWAL_SECONDS
        )

    def token(self, subject: str) -> str:
        """Raises KeyError."""
        return token_of(subject, self._secret, self._ttl)

    async def renewed(self, token: str) -> str:
        """The same claims, good for as long again. Raises AuthError."""
        await self._verifier.verify(token)
        claims = claims_of(token)
        return mint(
            self._secret,
            subject=claims["sub"],
            name=claims.get("name"),
            role=claims.get("role"),
            documents=claims.get("docs"),
            sessions=claims.get("sessions"),
            ttl=self._ttl,
            audience=AUDIENCE,
            issued_at=claims.get("iat", 0.0),  # whoever is revoked gets none this way
            token_id=claims.get("jti"),
        )


def claims_of(token: str) -> dict[str, Any]:
    """What a token says that was made or checked here."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


class SignIn:
    """The ASGI callable: what is below ``/demo/``, and all else from ``app``."""

    def __init__(self, desk: Desk, app: ASGIApp) -> None:
        self._desk = desk
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/demo/"):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        who = request.url.path.removeprefix("/demo/")
        answer = await self._renew(request) if who == "token" else self._lead_in(request, who)
        answer.headers.update(_PRIVATE)
        await answer(scope, receive, send)

    async def _renew(self, request: Request) -> Response:
        if request.method != "POST":
            return _only("POST", "a token is renewed")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            token = await self._desk.renewed(given.strip() if scheme.lower() == "bearer" else "")
        except AuthError as error:
            detail = f"{error.reason}; open the link of the demo again to sign in"
            return problem(error.http_status, detail, {"WWW-Authenticate": "Bearer"})
        expires = datetime.fromtimestamp(claims_of(token)["exp"], UTC)
        return JSONResponse({"token": token, "expires": expires.isoformat()})

    def _lead_in(self, request: Request, who: str) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return _only("GET", "a link of the demo is opened")
        if who not in PEOPLE:
            detail = f"nobody of this name takes part in the demo: there are {', '.join(PEOPLE)}"
            return problem(HTTPStatus.NOT_FOUND, detail)
        fragment = {"token": self._desk.token(who), "session": SESSION}
        if (page := PEOPLE[who].page) is not None:
            fragment["page"] = page
        fragment |= {key: request.query_params[key] for key in _PLACES & {*request.query_params}}
        place = "/console" if fragment.get("page") == CONSOLE else "/"
        told = "&".join(f"{key}={quote(value, safe='')}" for key, value in fragment.items())
        return Response(status_code=HTTPStatus.FOUND, headers={"Location": f"{place}#{told}"})


CONSOLE = "console"
"""The page that is the service's own, for administrators: ``/demo/admin?page=console``."""


_PLACES = frozenset({"session", "case", "page"})
"""What a link may say, for the page to open."""


def _only(method: str, what: str) -> Response:
    return problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{what} with {method}", {"Allow": method})


def serve(
    config: options.Config = None,
    host: Annotated[str | None, typer.Option()] = None,
    port: Annotated[int | None, typer.Option()] = None,
    database: options.Database = None,
    web: Annotated[Path | None, typer.Option()] = None,
    log_level: Annotated[str | None, typer.Option()] = None,
    token_ttl: Annotated[
        float, typer.Option(help="Seconds that the tokens of links hold.", min=1)
    ] = TOKEN_SECONDS,
) -> None:
    """Run the service of the demo. All other settings are those of ``draftsync serve``."""
    settings = options.settings(
        config, host=host, port=port, database=database, web=web, log_level=log_level
    )
    if settings.jwt_secret is None or settings.jwt_audience != AUDIENCE:
        options.usage_error(
            "the demo signs tokens itself: set DRAFTSYNC_JWT_SECRET, and leave the audience alone"
        )
    desk = Desk(settings.jwt_secret.get_secret_value(), token_ttl)
    running.run(settings, [partial(SignIn, desk)])


if __name__ == "__main__":
    typer.run(serve)
