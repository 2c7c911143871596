"""Who may open what: the origin, the document's name and the token of a request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs

from auth.access import Identity, Verifier
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

    def __init__(self, verifier: Verifier, allowed_origins: Iterable[str] = ()) -> None:
        self._verifier = verifier
        self._allowed_origins = frozenset(allowed_origins)

    def foreign(self, origin: bytes | None) -> bool:
        """The request comes from a page of an origin that is not allowed."""
        if not self._allowed_origins or origin is None:
            return False
        return origin.decode("latin-1").lower() not in self._allowed_origins

    async def check(self, request: DocumentRequest) -> tuple[DocumentName, Identity]:
        """Tell which document is asked for, and by whom. Raises InvalidName, AuthError."""
        document = name_from_path(request.name)
        return document, await self._verifier.verify(_token(request))


def _token(request: DocumentRequest) -> str:
    """The token of a request: ``?token=``, or ``Authorization: Bearer``; empty without one."""
    given = parse_qs(request.query.decode("latin-1")).get("token", [])
    if given:
        return given[-1]
    scheme, _, token = request.authorization.decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
