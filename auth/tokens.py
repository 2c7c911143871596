"""JSON Web Tokens: checking them, and minting our own.

A token goes through three gates, each bounded by the one before:

1. the envelope: at most MAX_TOKEN bytes, three parts of base64url, strict JSON in the first two,
   a header that asks for nothing unusual;
2. PyJWT, with one key and its one algorithm: signature, audience, issuer, required claims;
3. the claims (:mod:`auth.claims`): types, times, text, grants.

PyJWT's own checks of time are off, since it reads the wall clock and takes ``"exp": "99"``; the
third gate makes them. Every exception of PyJWT is translated here, by :func:`refusal`.
"""

from __future__ import annotations

import base64
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

import jwt
from jwt.types import Options

from auth.access import Identity
from auth.claims import is_text, parse_object, read_identity
from auth.errors import AuthError, KeysUnavailable, TokenExpired, TokenInvalid, TokenMissing
from auth.keys import KeySource, SharedSecret, VerificationKey

MAX_TOKEN = 8_192  # bytes
MAX_TTL: Final = 30 * 24 * 3600.0  # seconds
LEEWAY: Final = 10.0  # seconds by which the issuer's clock may differ from ours

_SEGMENT = re.compile("[A-Za-z0-9_-]*")
_TYPES = {"jwt", "at+jwt"}  # RFC 7519 section 5.1, RFC 9068 section 2.1

_OPTIONS: Options = {
    "require": ["exp", "sub", "aud"],
    "strict_aud": True,
    "enforce_minimum_key_length": True,  # an error in place of InsecureKeyLengthWarning
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}
_pyjwt = jwt.PyJWT(options=_OPTIONS)


class TokenVerifier:
    """Verifies tokens that one issuer made for one audience. See :class:`auth.access.Verifier`.

    ``audience`` must be the token's ``aud``, one string; ``issuer``, unless None, its ``iss``.
    ``max_ttl`` (seconds) bounds how far ahead ``exp`` may lie, ``leeway`` (seconds) what is
    forgiven between the issuer's clock and ours. ``clock`` returns Unix time.
    Raises ValueError for an empty audience or issuer.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        audience: str,
        issuer: str | None = None,
        max_ttl: float = MAX_TTL,
        leeway: float = LEEWAY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not audience:
            raise ValueError("the audience must not be empty")
        if issuer == "":
            raise ValueError("the issuer must not be empty; leave it out to accept any")
        self._keys = keys
        self._audience = audience
        self._issuer = issuer
        self._max_ttl = max_ttl
        self._leeway = leeway
        self._clock = clock

    async def verify(self, token: str) -> Identity:
        """Check a token completely and return whom it stands for. Raises AuthError."""
        kid = _open_envelope(token)
        return self._check(token, await self._keys.key_for(kid))

    def _check(self, token: str, key: VerificationKey) -> Identity:
        try:
            claims = _pyjwt.decode(
                token,
                key.material,
                algorithms=[key.algorithm],
                audience=self._audience,
                issuer=self._issuer,
            )
        except jwt.PyJWTError as error:
            raise refusal(error) from None  # its text may quote the token
        return read_identity(claims, now=self._clock(), max_ttl=self._max_ttl, leeway=self._leeway)


def _open_envelope(token: str) -> str | None:
    """Pass the first gate and return the key id that the token names."""
    if not token:
        raise TokenMissing
    if len(token) > MAX_TOKEN:
        raise TokenInvalid(f"the token must have at most {MAX_TOKEN} bytes: grant by prefix")
    segments = token.split(".")
    if len(segments) != 3:
        raise TokenInvalid("the token must be a signed JWT: three parts joined by dots")
    header, payload, _signature = map(_decode_segment, segments)
    kid = _check_header(parse_object(header, "header"))
    parse_object(payload, "payload")
    return kid


def _decode_segment(segment: str) -> bytes:
    if not _SEGMENT.fullmatch(segment) or len(segment) % 4 == 1:
        raise TokenInvalid("each part of the token must be base64url without padding")
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _check_header(header: Mapping[str, object]) -> str | None:
    if "crit" in header or "b64" in header:
        raise TokenInvalid("the token's header must not require extensions (crit, b64)")
    if not _is_known_type(header.get("typ", "JWT")):
        raise TokenInvalid("the token's typ must be JWT or at+jwt, or left out")
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not is_text(kid):
        raise TokenInvalid("the token's kid must be a string of 1-256 characters")
    return kid


def _is_known_type(typ: object) -> bool:
    return isinstance(typ, str) and typ.lower().removeprefix("application/") in _TYPES


_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.InvalidSignatureError, "the token's signature is not by the key of this server"),
    (jwt.InvalidAlgorithmError, "the token's alg must be the one algorithm of the server's key"),
    (jwt.InvalidAudienceError, "aud must be one string, the audience of this server"),
    (jwt.InvalidIssuerError, "iss must be one string, the issuer that this server trusts"),
    (jwt.ImmatureSignatureError, "the token is not valid yet: check the issuer's clock"),
    (jwt.exceptions.InvalidSubjectError, "sub must be a string"),
    (jwt.exceptions.InvalidJTIError, "jti must be a string"),
    (jwt.InvalidIssuedAtError, "iat must be a number: seconds since 1970-01-01 UTC"),
    (jwt.InvalidTokenError, "the token is malformed: a signed JWT in compact form is expected"),
)


def refusal(error: jwt.PyJWTError) -> AuthError:
    """Translate an exception of PyJWT. What is wrong with our keys is not the token's fault."""
    match error:
        case jwt.ExpiredSignatureError():
            return TokenExpired()
        case jwt.MissingRequiredClaimError():
            return TokenInvalid(f"the token must have the claim {error.claim}")
        case jwt.InvalidTokenError():
            return TokenInvalid(next(text for kind, text in _REASONS if isinstance(error, kind)))
        case _:
            return KeysUnavailable()


def mint(
    secret: str | bytes,
    *,
    subject: str,
    name: str | None = None,
    role: str | None = None,
    documents: Mapping[str, str] | None = None,
    sessions: Mapping[str, str] | None = None,
    ttl: float,
    audience: str,
    issuer: str | None = None,
    max_ttl: float = MAX_TTL,
    clock: Callable[[], float] = time.time,
    issued_at: float | None = None,
    token_id: str | None = None,
) -> str:
    """Make an HS256 token that a TokenVerifier of the same secret and audience accepts.

    ``documents`` maps patterns to ``read`` or ``write``, ``sessions`` to ``observe``, ``join`` or
    ``lead``. The token holds for ``ttl`` seconds from the current whole second, and has a random
    ``jti`` to revoke it by. One that takes the place of another without a new sign-in keeps when
    that was issued, and its id: it is revoked with it. Raises ValueError with what was expected,
    for anything that the verifier would refuse.
    """
    if not 0 < ttl <= max_ttl:
        raise ValueError(f"the ttl must be more than 0 and at most {max_ttl:.0f} seconds")
    now = clock()
    claims = {
        "sub": subject,
        "name": name,
        "role": role,
        "docs": None if documents is None else dict(documents),
        "sessions": None if sessions is None else dict(sessions),
        "aud": audience,
        "iss": issuer,
        "iat": now if issued_at is None else issued_at,  # to the fraction: see auth.revocation
        "exp": math.ceil(int(now) + ttl),
        "jti": token_id or secrets.token_urlsafe(16),
    }
    shared = SharedSecret(secret)
    present = {claim: value for claim, value in claims.items() if value is not None}
    token = _pyjwt.encode(present, secret, algorithm="HS256")
    verifier = TokenVerifier(
        shared, audience=audience, issuer=issuer, max_ttl=max_ttl, clock=lambda: now
    )
    try:
        _open_envelope(token)
        verifier._check(token, shared.key)
    except AuthError as error:
        raise ValueError(error.reason) from None
    return token
