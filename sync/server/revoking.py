"""Tokens are revoked: on disk first, then for who comes, and for who is there.

Whoever serves connections of any kind appends to :attr:`Revoking.listeners` what ends those of
them whose tokens are revoked. (What such tokens are: :mod:`auth.revocation`.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from auth.access import TokenRevoked
from auth.revocation import Kind, Revocations
from persistence.store import Revocation, Store
from sync.core.events import iso
from sync.server.connection import Verdict
from sync.server.errands import to_the_end
from sync.server.telemetry import logger

log = logger(__name__)

CLOCKS = 20.0
"""Seconds that a token may live longer than its ``exp`` says: clocks differ."""


_BEYOND = 0.002
"""Seconds after which its moment has passed, rounded up as it is; whatever the clock does."""


def verdict() -> Verdict:
    """How a connection ends whose token was revoked."""
    return Verdict.at_once(TokenRevoked())


def revoked_now(kind: Kind, value: str, by: str, token_seconds: float) -> Revocation:
    """A revocation of this moment, for as long as a token lives: so many seconds."""
    # As a store keeps it, and rounded up: nothing made before it escapes.
    at = math.ceil(time.time() * 1_000) / 1_000
    return Revocation(kind, value, at, at + token_seconds + CLOCKS, by)


def revocation_json(revocation: Revocation) -> dict[str, str | None]:
    """As the HTTP API and the command line tell it."""
    return {
        "sub": revocation.value if revocation.kind == "sub" else None,
        "jti": revocation.value if revocation.kind == "jti" else None,
        "at": iso(revocation.at),
        "until": iso(revocation.until),
        "by": revocation.by,
    }


class Revoking:
    """Revokes tokens of one service."""

    def __init__(
        self, store: Store, revocations: Revocations, tasks: TaskGroup, token_seconds: float
    ) -> None:
        """``token_seconds``: the longest life of a token."""
        self.listeners: list[Callable[[], None]] = []
        self._store = store
        self._revocations = revocations
        self._tasks = tasks
        self._token_seconds = token_seconds

    async def load(self) -> None:
        """Take what was revoked before the service started. Raises StoreUnavailable."""
        for each in await self._store.revocations():
            self._add(each)

    async def revoke(self, kind: Kind, value: str, by: str) -> Revocation:
        """Revoke a token by its id, or all of a subject so far.

        When it returns the revocation is on disk and in effect: connections are closed, and tokens
        that are made from now on are good. Raises StoreError, ValueError.
        """
        revocation = revoked_now(kind, value, by, self._token_seconds)
        await to_the_end(self._tasks, lambda: self._revoke(revocation))
        await anyio.sleep(_BEYOND)
        return revocation

    async def _revoke(self, revocation: Revocation) -> None:
        await self._store.revoke(revocation)
        self._add(revocation)
        log.info("tokens revoked", kind=revocation.kind, value=revocation.value, by=revocation.by)
        for end_revoked in self.listeners:
            end_revoked()

    def _add(self, revocation: Revocation) -> None:
        self._revocations.add(
            revocation.kind, revocation.value, at=revocation.at, until=revocation.until
        )
