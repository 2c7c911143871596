"""Tickets: what stands for a token for half a minute, once, so that tokens stay out of addresses.

They are in memory: after a restart of the service there are none, and one asks for another.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from auth.access import Identity, Ticket
from auth.errors import TokenExpired, TokenInvalid, TooManyTickets

TICKET_SECONDS: Final = 30.0
"""How long a ticket waits to be used."""

MOST = 50_000
MOST_OF_SUBJECT = 100
"""Tickets that wait at once, of all and of one subject: some 2 KB each."""

_BYTES = 32


class MemoryTickets:
    """Tickets of one process. See :class:`auth.access.Tickets`. ``clock`` returns Unix time."""

    def __init__(
        self,
        *,
        most: int = MOST,
        most_of_subject: int = MOST_OF_SUBJECT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._most = most
        self._most_of_subject = most_of_subject
        self._clock = clock
        self._waiting: OrderedDict[str, tuple[float, Identity]] = OrderedDict()  # oldest first
        self._subjects: Counter[str] = Counter()

    def issue(self, identity: Identity) -> Ticket:
        now = self._clock()
        self._forget_old(now)
        if self._subjects[identity.subject] >= self._most_of_subject:
            raise TooManyTickets(
                f"{self._most_of_subject} tickets of yours are unused: use them, or wait 30 s"
            )
        if len(self._waiting) >= self._most:
            raise TooManyTickets()
        text, expires = secrets.token_urlsafe(_BYTES), now + TICKET_SECONDS
        self._waiting[text] = expires, identity
        self._subjects[identity.subject] += 1
        return Ticket(text, min(expires, identity.expires_at))

    def redeem(self, ticket: str) -> Identity:
        now = self._clock()
        self._forget_old(now)
        _, identity = self._waiting.get(ticket) or _refuse()
        self._remove(ticket)
        if identity.expires_at <= now:
            raise TokenExpired()
        return identity

    def _forget_old(self, now: float) -> None:
        while self._waiting:
            ticket, (expires, _) = next(iter(self._waiting.items()))
            if now < expires:
                return
            self._remove(ticket)

    def _remove(self, ticket: str) -> None:
        _, identity = self._waiting.pop(ticket)
        self._subjects[identity.subject] -= 1
        if not self._subjects[identity.subject]:
            del self._subjects[identity.subject]


def _refuse() -> tuple[float, Identity]:
    raise TokenInvalid("this ticket is unknown, used, or older than 30 s: get a new ticket")
