"""Who somebody is and what they may do: the values that the server decides rights with.

The server imports this module and :mod:`auth.revocation`, and no other of the package, so it
depends on no token format and no library of one.

The law of grants:

1. No grant, no access.
2. A pattern is an exact name, or a prefix ending in ``*`` (``*`` alone is every name).
3. The most specific match decides, alone: an exact name before any prefix, a longer prefix before
   a shorter one. So ``{"drafts/*": write, "drafts/42": read}`` gives no write to ``drafts/42``.
4. Names are compared code point by code point. A ``*`` anywhere but at the end is refused, since
   it would look like a wildcard and not be one.
5. An administrator may do everything.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from auth.errors import AuthError as AuthError
from auth.errors import KeysUnavailable as KeysUnavailable
from auth.errors import TokenExpired as TokenExpired
from auth.errors import TokenInvalid as TokenInvalid
from auth.errors import TokenMissing as TokenMissing
from auth.errors import TokenRevoked as TokenRevoked
from auth.errors import TooManyTickets as TooManyTickets


class Access(enum.IntEnum):
    """What may be done with a document. Each level includes those below it."""

    NONE = 0
    READ = 1
    WRITE = 2


class SessionAccess(enum.IntEnum):
    """What may be done with a session. Each level includes those below it."""

    NONE = 0
    OBSERVE = 1
    JOIN = 2
    LEAD = 3


Level = TypeVar("Level", bound=enum.IntEnum)


@dataclass(frozen=True, slots=True)
class Grants(Generic[Level]):
    """Levels of access by pattern. A value: equal patterns are equal grants.

    Raises ValueError for an empty pattern, and for one with a ``*`` that is not its last character.
    """

    patterns: Mapping[str, Level] = field(default_factory=dict)
    _prefix_lengths: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        patterns = dict(self.patterns)  # our own: the caller's may change
        for pattern in patterns:
            _check_pattern(pattern)
        lengths = {len(pattern) - 1 for pattern in patterns if pattern.endswith("*")}
        object.__setattr__(self, "patterns", patterns)
        object.__setattr__(self, "_prefix_lengths", tuple(sorted(lengths, reverse=True)))

    def __hash__(self) -> int:
        return hash(frozenset(self.patterns.items()))

    def level(self, name: str) -> Level | None:
        """Return what the most specific pattern grants on ``name``, None where none matches."""
        # A name that itself ends in * finds the prefix spelt like it, which is its longest one.
        granted = self.patterns.get(name)
        for length in self._prefix_lengths:
            if granted is not None:
                break
            granted = self.patterns.get(name[:length] + "*")
        return granted


def _check_pattern(pattern: str) -> None:
    if not pattern:
        raise ValueError("a pattern must not be empty")
    if "*" in pattern[:-1]:
        raise ValueError("a pattern is an exact name, or a prefix with one * at its end")


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, as a verified token describes them.

    It holds until ``expires_at``, unless it is revoked (:mod:`auth.revocation`).
    """

    subject: str  # 1-256 characters, none of them a control character; names the user everywhere
    name: str  # for people to read; not unique
    administrator: bool
    documents: Grants[Access]
    sessions: Grants[SessionAccess]
    expires_at: float  # seconds since the Unix epoch, as the token says, without any leeway
    token_id: str | None  # the token's jti, to revoke it by
    issued_at: float | None = (
        None  # seconds since the Unix epoch, by the issuer's clock; see auth.revocation
    )

    def document_access(self, name: str) -> Access:
        """Tell what this identity may do with the document of that name."""
        if self.administrator:
            return Access.WRITE
        return self.documents.level(name) or Access.NONE

    def session_access(self, session: str) -> SessionAccess:
        """Tell what this identity may do with the session of that id."""
        if self.administrator:
            return SessionAccess.LEAD
        return self.sessions.level(session) or SessionAccess.NONE


class Verifier(Protocol):
    """Turns what a client presents into an identity."""

    async def verify(self, token: str) -> Identity:
        """Check a token completely and return whom it stands for.

        Raises AuthError and nothing else, whatever the text: TokenMissing when it is empty,
        TokenExpired, TokenRevoked, TokenInvalid, or KeysUnavailable when it cannot be checked now.
        May wait a few seconds for keys that are not at hand; otherwise it returns without waiting.
        It is costly enough (160-400 microseconds) to be done once per connection.
        """


@dataclass(frozen=True, slots=True)
class Ticket:
    """What stands for a token, once."""

    text: str = field(repr=False)  # 256 random bits
    expires_at: float  # seconds since the Unix epoch


class Tickets(Protocol):
    """Gives out tickets and takes them back."""

    def issue(self, identity: Identity) -> Ticket:
        """Make a ticket that stands for somebody.

        Raises TooManyTickets while too many of theirs, or of all, are unused.
        """

    def redeem(self, ticket: str) -> Identity:
        """Take a ticket back and return whom it stands for, exactly as the token told.

        It is good for one time, within 30 s. Raises TokenInvalid for any other text, and
        TokenExpired or TokenRevoked when the token that it stands for is good no more.
        """
