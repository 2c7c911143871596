"""What the inside of a token must say: strict JSON, and the rules for each claim.

No cryptography here, no clock: bytes, claims and a time in, an Identity or TokenInvalid out.
``docs`` and ``sessions`` are ours, ``role`` and ``name`` usual, the rest is RFC 7519 section 4.1,
narrowed: what that leaves optional or loosely typed is required or refused. Claims that are not
named here are ignored.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import NoReturn, TypeGuard

from auth.access import Access, Grants, Identity, Level, SessionAccess
from auth.errors import TokenExpired, TokenInvalid

MAX_TEXT = 256  # characters of a subject, name, token id or key id
MAX_PATTERNS = 1_000  # in docs, and again in sessions

Claims = Mapping[str, object]

_DOCUMENT_WORDS = {"read": Access.READ, "write": Access.WRITE}
_SESSION_WORDS = {
    "observe": SessionAccess.OBSERVE,
    "join": SessionAccess.JOIN,
    "lead": SessionAccess.LEAD,
}

# Control characters (C0, DEL, C1) and line separators forge log lines; lone surrogates, which JSON
# can spell, cannot be written as UTF-8 and would fail far from here.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def parse_object(data: bytes, part: str) -> dict[str, object]:
    """Decode one JSON object: UTF-8, no name twice at any depth, no NaN or Infinity.

    A name twice is how one token can mean two things to two readers. ``part`` names the object
    in the reason. Raises TokenInvalid.
    """
    try:
        parsed = json.loads(
            data.decode("utf-8"), object_pairs_hook=_without_repeats, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise TokenInvalid(f"the token's {part} must be a JSON object in UTF-8") from None
    if not isinstance(parsed, dict):
        raise TokenInvalid(f"the token's {part} must be a JSON object in UTF-8")
    return parsed


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise TokenInvalid("the token says something twice: every name may appear once")
    return members


def _no_constant(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def read_identity(claims: Claims, *, now: float, max_ttl: float, leeway: float) -> Identity:
    """Check every claim and return the identity that they make up.

    ``now`` is Unix time, ``max_ttl`` and ``leeway`` are seconds: how far ahead ``exp`` may be, and
    by how much the issuer's clock may differ from ours. ``aud`` and ``iss`` are checked elsewhere.
    Raises TokenExpired or TokenInvalid.
    """
    expires_at = _expiry(claims, now, max_ttl, leeway)
    for claim in ("iat", "nbf"):
        if claim in claims and _number(claims, claim) > now + leeway:
            raise TokenInvalid(f"{claim} lies in the future: check the issuer's clock")
    subject = _text(claims, "sub")
    return Identity(
        subject=subject,
        name=_name(claims) or subject,
        administrator=_role(claims) == "admin",
        documents=_grants(claims, "docs", _DOCUMENT_WORDS),
        sessions=_grants(claims, "sessions", _SESSION_WORDS),
        expires_at=expires_at,
        token_id=_text(claims, "jti") if "jti" in claims else None,
        issued_at=_number(claims, "iat") if "iat" in claims else None,
    )


def _expiry(claims: Claims, now: float, max_ttl: float, leeway: float) -> float:
    expiry = _number(claims, "exp")
    if expiry <= now - leeway:
        raise TokenExpired
    if expiry > now + max_ttl + leeway:
        raise TokenInvalid("exp lies too far ahead: get a token with a shorter lifetime")
    return float(expiry)


def _number(claims: Claims, claim: str) -> int | float:
    """Return a NumericDate. An int may be beyond any float: compare it before converting it."""
    value = claims.get(claim)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
        raise TokenInvalid(f"{claim} must be a number: seconds since 1970-01-01 UTC")
    return value


def _is_finite(value: int | float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def is_text(value: object) -> TypeGuard[str]:
    """Tell whether a value is a string of 1 to MAX_TEXT characters, safe to store and log."""
    return isinstance(value, str) and 1 <= len(value) <= MAX_TEXT and not _UNSAFE.search(value)


def _text(claims: Claims, claim: str) -> str:
    value = claims.get(claim)
    if not is_text(value):
        raise TokenInvalid(
            f"{claim} must be a string of 1-{MAX_TEXT} characters, no control characters"
        )
    return value


def _name(claims: Claims) -> str:
    """Return the name to display, empty when the issuer knows none."""
    return "" if claims.get("name", "") == "" else _text(claims, "name")


def _role(claims: Claims) -> str:
    role = claims.get("role", "")
    if not isinstance(role, str):
        raise TokenInvalid("role must be a string, or left out")
    return role


def _grants(claims: Claims, claim: str, words: Mapping[str, Level]) -> Grants[Level]:
    granted = claims.get(claim, {})
    if not isinstance(granted, dict) or len(granted) > MAX_PATTERNS:
        raise TokenInvalid(f"{claim} must be an object of at most {MAX_PATTERNS} patterns")
    if any(_UNSAFE.search(pattern) for pattern in granted):
        raise TokenInvalid(f"the patterns of {claim} must have no control characters")
    if not all(isinstance(word, str) and word in words for word in granted.values()):
        raise TokenInvalid(f"the values of {claim} must each be one of: {', '.join(words)}")
    try:
        return Grants({pattern: words[word] for pattern, word in granted.items()})
    except ValueError:
        raise TokenInvalid(
            f"a pattern of {claim} must be an exact name, or a prefix with one * at its end"
        ) from None
