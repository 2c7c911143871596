"""The requests of webhooks, over HTTP.

Whoever imports this module pays for httpx, some 20 MB with its certificates.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import DefaultCookiePolicy

import anyio
import anyio.to_thread
import httpx

from sync.core.webhook import Answer
from sync.server.telemetry import redact

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
"""For a connection, and for the whole of a request."""

MOST_ANSWER = 64 * 2**10
"""Bytes of an answer that are read, so that the connection can be used again."""


class HttpPost:
    """Requests that follow no redirect, keep no cookie, and wait for nobody long."""

    def __init__(self, client: httpx.AsyncClient, total_seconds: float = TOTAL_SECONDS) -> None:
        self._client = client
        self._total_seconds = total_seconds

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        answer = Answer(None, f"it did not answer within {self._total_seconds:g} s")
        with anyio.move_on_after(self._total_seconds):
            try:
                async with self._client.stream(
                    "POST", url, content=body, headers=headers
                ) as response:
                    answer = Answer(
                        response.status_code, retry_after=response.headers.get("retry-after")
                    )
                    await _drop(response)
            except httpx.TimeoutException as error:
                if answer.status is None and isinstance(error, httpx.ConnectTimeout):
                    answer = Answer(None, f"no connection within {CONNECT_SECONDS:g} s")
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
                if answer.status is None:
                    answer = Answer(None, redact(f"no answer: {_words(error)}"))
        return answer


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _drop(response: httpx.Response) -> None:
    """Read a short answer to its end, so that the connection can be used again."""
    size = 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > MOST_ANSWER:
            return


@asynccontextmanager
async def open_http_post() -> AsyncIterator[HttpPost]:
    """A client for all webhooks."""
    for library in ("httpx", "httpcore"):  # they log addresses, with what is secret in them
        logging.getLogger(library).setLevel(logging.WARNING)
    client = await anyio.to_thread.run_sync(_client)  # it reads certificates
    async with client:
        yield HttpPost(client)


def _client() -> httpx.AsyncClient:
    client = httpx.AsyncClient(
        follow_redirects=False,
        timeout=httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
    )
    client.headers.pop("accept-encoding", None)
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client
