"""The people of ``draftsync demo``, and what their tokens let them do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from auth.tokens import mint

AUDIENCE = "draftsync"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who takes part; ``documents``, ``sessions`` and ``role`` are claims of a token."""

    name: str
    part: str  # what they are there for, in words
    documents: Mapping[str, str] | None = None
    sessions: Mapping[str, str] | None = None
    role: str | None = None
    page: str | None = None  # of the web app, that their link opens; None: the form


_WRITES, _READS = {"drafts/*": "write"}, {"drafts/*": "read"}

PEOPLE: Mapping[str, Person] = {
    "alice": Person("Alice", "evaluator", _WRITES, {"*": "join"}),
    "bob": Person("Bob", "evaluator", _WRITES, {"*": "join"}),
    "lena": Person("Lena", "lead", _WRITES, {"*": "lead"}),
    "olga": Person("Olga", "observer", _READS, {"*": "observe"}),
    "admin": Person("Admin", "administrator", role="admin", page="monitor"),
}
"""By the ``sub`` of their tokens."""


def token_of(subject: str, secret: str, ttl: float) -> str:
    """A token for one of the people, good for ``ttl`` seconds. Raises KeyError, ValueError."""
    person = PEOPLE[subject]
    return mint(
        secret,
        subject=subject,
        name=person.name,
        role=person.role,
        documents=person.documents,
        sessions=person.sessions,
        ttl=ttl,
        audience=AUDIENCE,
    )
