"""Keys, times and tokens for the tests of auth."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any, TypeVar

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

NOW = 1_790_000_000.0
SECRET = "an old secret that only these tests know"
CLAIMS: dict[str, object] = {"sub": "alice", "aud": "draftsync", "exp": int(NOW) + 3600}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

T = TypeVar("T")


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


KEYS: dict[str, Callable[[], PrivateKey]] = {"RS256": rsa_key, "ES256": ec_key, "EdDSA": ed_key}


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def jwk(algorithm: str, **members: object) -> dict[str, Any]:
    """The public JWK of the test key for an algorithm, with more members or others."""
    public = KEYS[algorithm]().public_key()
    return {**jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True), **members}


def private_jwk(algorithm: str) -> dict[str, Any]:
    return jwt.get_algorithm_by_name(algorithm).to_jwk(KEYS[algorithm](), as_dict=True)


def jwks(*members: object) -> bytes:
    return json.dumps({"keys": members}).encode()


def signed(algorithm: str, *, kid: str | None = None, **claims: object) -> str:
    """A token signed by the test key for an asymmetric algorithm."""
    headers = {"kid": kid} if kid is not None else None
    return jwt.encode({**CLAIMS, **claims}, KEYS[algorithm](), algorithm, headers=headers)


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def raw_token(payload: bytes, header: bytes = b'{"alg":"HS256"}', key: bytes | None = None) -> str:
    """A token of exactly these bytes, with a good HS256 signature: no library in the way."""
    signing_input = f"{encoded(header)}.{encoded(payload)}"
    digest = hmac.digest(key or SECRET.encode(), signing_input.encode(), hashlib.sha256)
    return f"{signing_input}.{encoded(digest)}"


def token(header: dict[str, object] | None = None, **claims: object) -> str:
    """A good HS256 token, but for these claims; a claim of ``...`` is left out."""
    kept = {claim: value for claim, value in {**CLAIMS, **claims}.items() if value is not ...}
    return raw_token(
        json.dumps(kept).encode(), json.dumps({"alg": "HS256", **(header or {})}).encode()
    )


def at_once(coroutine: Coroutine[object, object, T]) -> T:
    """The result of a coroutine that must not wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise AssertionError("it waited")
