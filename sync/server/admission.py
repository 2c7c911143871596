"""Who may open what: the origin, the document's name and the token of a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs

from auth.access import AuthError, Identity, Tickets, Verifier
from sync.core.names import DocumentName, name_from_path

SYNC_PATH = b"/sync/"


@dataclass(frozen=True, slots=True)
class DocumentRequest:
    """A request to open a document, as it came: nothing of it is checked."""

    name: bytes  # behind SYNC_PATH, percent-encoded
    query: bytes
    authorization: bytes  # empty without one


class Admission:
    """Checks requests. Without allowed origins any page may connect: tokens authorise."""

    def __init__(
        self, verifier: Verifier, tickets: Tickets, allowed_origins: Iterable[str] = ()
    ) -> None:
        self.tickets = tickets
        self.allowed_origins = frozenset(allowed_origins)
        self.refused: Counter[str] = Counter()
        """Tokens and tickets that were refused, by the name of the error."""
        self._verifier = verifier

    def foreign(self, origin: bytes | None) -> bool:
        """The request comes from a page of an origin that is not allowed."""
        if not self.allowed_origins or origin is None:
            return False
        return origin.decode("latin-1").lower() not in self.allowed_origins

    async def identify(self, query: bytes, authorization: bytes) -> Identity:
        """Tell who asks, by ``?ticket=``, else ``?token=``, else ``Authorization: Bearer``.

        ``authorization`` is empty without one. A ticket is used up by it. Raises AuthError.
        """
        try:
            return await self._identify(query, authorization)
        except AuthError as error:
            self.refused[type(error).__name__] += 1
            raise

    async def _identify(self, query: bytes, authorization: bytes) -> Identity:
        given = parse_qs(query.decode("latin-1"))
        if "ticket" in given:
            return self.tickets.redeem(given["ticket"][-1])
        if "token" in given:
            return await self._verifier.verify(given["token"][-1])
        return await self._verifier.verify(_bearer(authorization))

    async def verify(self, token: str) -> Identity:
        """Tell whom a token stands for. Raises AuthError."""
        return await self._verifier.verify(token)

    async def check(self, request: DocumentRequest) -> tuple[DocumentName, Identity]:
        """Tell which document is asked for, and by whom. Raises InvalidName, AuthError."""
        document = name_from_path(request.name)
        return document, await self.identify(request.query, request.authorization)


def _bearer(authorization: bytes) -> str:
    """The token of an ``Authorization`` header; empty without one."""
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
