"""Why a client was not let in.

Errors::

    AuthError            4401  401
    ├── TokenMissing     4401  401   nothing was presented
    ├── TokenInvalid     4401  401   not a token that this server can accept, now or later
    ├── TokenExpired     4401  401   it was good once; the reason begins with "token-expired"
    ├── TokenRevoked     4401  401   it would be good, but somebody has revoked it
    ├── TooManyTickets   1013  429   too many tickets wait to be used: try again later
    └── KeysUnavailable  1013  503   the server has no key to check it with: try again later

Every error knows its answer: the WebSocket close code, the HTTP status, and a reason made for the
client's eyes. Reasons say what was expected and what to do. They are ASCII, at most
REASON_BYTES long, and never contain any part of the token.
"""

from __future__ import annotations

REASON_BYTES = 123
"""What a WebSocket close frame has room for (RFC 6455 section 5.5), so reasons fit in one."""


class AuthError(Exception):
    """The token does not authorise its bearer here, or that cannot be found out now."""

    close_code: int = 4401
    http_status: int = 401

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TokenMissing(AuthError):
    """No token was presented."""

    def __init__(
        self, reason: str = "a token is required: send ?token= or Authorization: Bearer"
    ) -> None:
        super().__init__(reason)


class TokenInvalid(AuthError):
    """The token is malformed, not signed by our key, not meant for us, or breaks a rule."""


class TokenExpired(AuthError):
    """The token's time is over. Clients tell it from the others by its first word."""

    def __init__(self, reason: str = "token-expired: get a new token and connect again") -> None:
        super().__init__(reason)


class TokenRevoked(AuthError):
    """The token has not expired, and was revoked."""

    def __init__(
        self, reason: str = "this token was revoked: sign in again for a new one, if you may"
    ) -> None:
        super().__init__(reason)


class KeysUnavailable(AuthError):
    """The key endpoint cannot be reached and no copy of its keys is held."""

    close_code = 1013
    http_status = 503

    def __init__(
        self, reason: str = "the keys that verify tokens cannot be reached: try again later"
    ) -> None:
        super().__init__(reason)


class TooManyTickets(AuthError):
    """No ticket can be given now, since so many wait to be used."""

    close_code = 1013
    http_status = 429

    def __init__(
        self, reason: str = "too many tickets are unused on this server: try again in 30 s"
    ) -> None:
        super().__init__(reason)
