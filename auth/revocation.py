"""Tokens that are not taken any more, though they have not expired.

The law of revocation:

1. A token is revoked alone, by its id (``jti``), or with all tokens of its subject (``sub``) that
   were issued (``iat``) at the moment of the revocation or before.
2. A token that does not say when it was issued was issued before.
3. What a token says is taken as it stands. So of an issuer that counts whole seconds, a token made
   in the second of the revocation, though after it, is revoked as well: ask for one in the next
   second. Ours (:func:`auth.tokens.mint`) say the fraction. An issuer whose clock is ahead of ours
   has made tokens that are too new for a revocation made right after them: revoke once more.
4. A revocation is forgotten when every token that it can mean has expired.

All of it is in memory: who keeps revocations tells them again after a start.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from auth.access import Identity, Ticket, Tickets, Verifier
from auth.errors import TokenRevoked

Kind = Literal["jti", "sub"]


class _Revoked(NamedTuple):
    at: float
    until: float


class Revocations:
    """What was revoked, as far as it matters still. ``clock`` returns Unix time."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._revoked: dict[tuple[Kind, str], _Revoked] = {}
        self._first_end = math.inf  # of one of them, at the soonest

    def __len__(self) -> int:
        return len(self._revoked)

    def add(self, kind: Kind, value: str, *, at: float, until: float) -> None:
        """Take no token of that id, or none of that subject issued at ``at`` or before.

        ``until`` is when all these tokens have expired anyway. Of two revocations of the same, the
        later one holds. Both times are Unix time.
        """
        self._forget_old(self._clock())
        known = self._revoked.get((kind, value), _Revoked(at, until))
        until = max(until, known.until)
        self._revoked[kind, value] = _Revoked(max(at, known.at), until)
        self._first_end = min(self._first_end, until)

    def _forget_old(self, now: float) -> None:
        """It looks at them all, and only when there is one to forget: a start adds thousands."""
        if now >= self._first_end:
            self._revoked = {key: each for key, each in self._revoked.items() if each.until > now}
            self._first_end = min((each.until for each in self._revoked.values()), default=math.inf)

    def covers(self, identity: Identity) -> bool:
        """Tell whether the token of an identity is revoked."""
        if not self._revoked:  # as nearly always
            return False
        if identity.token_id is not None and ("jti", identity.token_id) in self._revoked:
            return True
        subject = self._revoked.get(("sub", identity.subject))
        if subject is None:
            return False
        return identity.issued_at is None or identity.issued_at <= subject.at

    def check(self, identity: Identity) -> None:
        """Raises TokenRevoked."""
        if self.covers(identity):
            raise TokenRevoked


class UnrevokedVerifier:
    """A verifier that takes no revoked token. See :class:`auth.access.Verifier`."""

    def __init__(self, verifier: Verifier, revocations: Revocations) -> None:
        self._verifier = verifier
        self._revocations = revocations

    async def verify(self, token: str) -> Identity:
        identity = await self._verifier.verify(token)
        self._revocations.check(identity)
        return identity


class UnrevokedTickets:
    """Tickets worth nothing once their token is revoked. See :class:`auth.access.Tickets`."""

    def __init__(self, tickets: Tickets, revocations: Revocations) -> None:
        self._tickets = tickets
        self._revocations = revocations

    def issue(self, identity: Identity) -> Ticket:
        return self._tickets.issue(identity)

    def redeem(self, ticket: str) -> Identity:
        identity = self._tickets.redeem(ticket)
        self._revocations.check(identity)
        return identity
