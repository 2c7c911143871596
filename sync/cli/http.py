"""The running service, as commands see it: over HTTP, with errors for people."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from auth.tokens import mint
from sync.cli import options
from sync.server.settings import Settings

TOKEN_SECONDS = 600.0
"""How long such a token holds; a command that lasts longer makes another one."""

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0

_AUTHORISE = (
    "a token is needed: give one with DRAFTSYNC_TOKEN or --token (draftsync token makes them); "
    "with the service's DRAFTSYNC_JWT_SECRET, an administrator's is made for you"
)
_ADVICE = "is it running? Its address is given with --url or DRAFTSYNC_URL"
_HERE = ("127.0.0.1", "localhost", "[::1]")


class ServiceError(Exception):
    """The service did not do what it was asked; the text says why, for people."""


class Unreachable(ServiceError):
    """It does not answer now. It may, later."""


class Service:
    """A service at an address. Made by :func:`open_service`."""

    def __init__(self, client: httpx.AsyncClient, url: str, token: Callable[[], str]) -> None:
        self.url = url
        self._client = client
        self._token = token

    async def holder(self) -> str | None:
        """What the lock of its database calls it. Raises ServiceError."""
        with _translated(self.url):
            told = _checked(await self._client.get("/healthz"), self.url).json()
            return told.get("holder") if isinstance(told, dict) else None

    async def get(self, *path: str, **params: Any) -> Any:
        """What is at a path below ``/api/v1/``. Raises ServiceError."""
        return await self._ask("GET", path, params=params)

    async def post(self, *path: str, body: Any = None) -> Any:
        """``body`` is sent as JSON; None is none. Raises ServiceError."""
        return await self._ask("POST", path, json=body)

    async def send(self, *path: str, data: bytes) -> Any:
        """Bytes as they are. Raises ServiceError."""
        kind = {"Content-Type": "application/octet-stream"}
        return await self._ask("POST", path, content=data, headers=kind)

    async def delete(self, *path: str, **params: Any) -> None:
        """Raises ServiceError."""
        await self._ask("DELETE", path, params=params)

    async def _ask(
        self,
        method: str,
        path: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Any:
        headers = self._headers() | dict(headers or {})
        with _translated(self.url):
            response = await self._client.request(method, _at(path), headers=headers, **more)
            answer = _checked(response, self.url)
            return None if answer.status_code == HTTPStatus.NO_CONTENT else answer.json()

    async def stream(self, *path: str, **params: Any) -> AsyncGenerator[tuple[str, Any]]:
        """Server-sent events: the name of each, and its data read as JSON.

        It ends when the service ends it. Raises ServiceError.
        """
        headers = self._headers() | {"Accept": "text/event-stream"}
        with _translated(self.url):
            async with self._client.stream(
                "GET", _at(path), params=params, headers=headers
            ) as response:
                if response.status_code != HTTPStatus.OK:
                    await response.aread()
                async for told in _told(_checked(response, self.url)):
                    yield told

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token()}"}


def _at(path: tuple[str, ...]) -> str:
    return "/api/v1/" + "/".join(quote(each, safe="") for each in path)


async def _told(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    """Read an event stream (HTML standard, section 9.2.6), as far as our service uses it."""
    name, data = "message", list[str]()
    async for line in _lines(response):
        field, _, value = line.partition(":")
        if not line:
            if data:
                yield name, json.loads("\n".join(data))
            name, data = "message", []
        elif field == "event":
            name = value.strip()
        elif field == "data":
            data.append(value.removeprefix(" "))


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    """Not httpx's own: they end at U+2028 too, which may stand within JSON."""
    left = b""
    async for part in response.aiter_bytes():
        *whole, left = (left + part).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode()


def _checked(response: httpx.Response, url: str) -> httpx.Response:
    """An answer that is none of refusal. Raises ServiceError."""
    if response.is_success:
        return response
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"{url} answers {response.status_code}: is it a draftsync service?"
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        detail += "\nits token is given with DRAFTSYNC_TOKEN or --token"
    later = response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    raise (Unreachable if later else ServiceError)(detail)


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Let only ServiceError out."""
    try:
        yield
    except httpx.ConnectError as error:
        raise Unreachable(f"no service answers at {url} ({error}): {_ADVICE}") from error
    except httpx.TimeoutException as error:
        raise Unreachable(f"the service at {url} does not answer in time: {_ADVICE}") from error
    except httpx.TransportError as error:
        raise Unreachable(f"the connection to {url} was lost: {error!r}") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ServiceError(f"{url} does not answer as a draftsync service: {error}") from error


@asynccontextmanager
async def open_service(url: str, token: Callable[[], str]) -> AsyncIterator[Service]:
    """Talk to a service. ``token`` is called for each request: one made now holds longest."""
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    here: Mapping[str, None] = {f"all://{host}": None for host in _HERE}  # never through a proxy
    async with httpx.AsyncClient(base_url=url, timeout=timeout, mounts=here) as client:
        yield Service(client, url, token)


def service_url(settings: Settings) -> str:
    """Where the service is. Ends the command with exit code 2 for what is no address."""
    url = settings.url
    if url is None:
        if settings.port == 0:
            options.usage_error("with port 0 nobody knows where the service is: give its --url")
        scheme = "https" if settings.tls_cert else "http"
        return f"{scheme}://{_reachable(settings.host)}:{settings.port}"
    if "@" in url:  # errors would tell the password
        options.usage_error("--url: an address has no user or password; there is --token")
    if not url.startswith(("http://", "https://")):
        options.usage_error(f"--url {url}: expected an address such as http://127.0.0.1:3001")
    return url.rstrip("/")


def _reachable(host: str) -> str:
    """A host to connect to, for one to listen on."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def token_source(settings: Settings) -> Callable[[], str]:
    """The token that was given, or ever new ones for an administrator, where we have the secret.

    Ends the command with exit code 2 where there is neither.
    """
    if settings.token and (given := settings.token.get_secret_value().strip()):
        if not given.isascii() or not given.isprintable():
            options.usage_error("--token: this is no token")  # errors of httpx would quote it
        return lambda: given
    if settings.jwt_secret is None:
        options.usage_error(_AUTHORISE)
    secret = settings.jwt_secret.get_secret_value()

    def made() -> str:
        return mint(
            secret,
            subject=options.OPERATOR,
            name="Operator",
            role="admin",
            ttl=min(TOKEN_SECONDS, settings.max_token_ttl),
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            max_ttl=settings.max_token_ttl,
        )

    try:
        made()
    except ValueError as error:
        options.usage_error(f"no token can be made: {error}")
    return made
