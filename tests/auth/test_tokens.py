"""Fault 27 (bad tokens are refused), and the border to PyJWT."""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import re
import traceback
from collections.abc import Callable

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.access import Access, Identity, SessionAccess, Verifier
from auth.errors import (
    REASON_BYTES,
    AuthError,
    KeysUnavailable,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from auth.keys import KeySource, PublicKey, SharedSecret
from auth.tokens import MAX_TOKEN, TokenVerifier, mint, refusal
from tests.auth.material import (
    CLAIMS,
    KEYS,
    NOW,
    SECRET,
    at_once,
    ec_key,
    encoded,
    public_pem,
    raw_token,
    rsa_key,
    signed,
    token,
)

GOOD = json.dumps(CLAIMS).encode()


def verifier(
    keys: KeySource | None = None, issuer: str | None = None, max_ttl: float = 30 * 86_400
) -> TokenVerifier:
    return TokenVerifier(
        keys or SharedSecret(SECRET),
        audience="draftsync",
        issuer=issuer,
        max_ttl=max_ttl,
        clock=lambda: NOW,
    )


def verify(text: str, keys: KeySource | None = None, issuer: str | None = None) -> Identity:
    return at_once(verifier(keys, issuer).verify(text))


def with_claims(claims: str) -> str:
    """A token whose payload is the good claims and then this, letter for letter."""
    return raw_token(GOOD[:-1] + b", " + claims.encode() + b"}")


def with_payload(payload: bytes) -> str:
    """A good token, but for a payload that was not the one signed."""
    header, _, signature = token().split(".")
    return f"{header}.{encoded(payload)}.{signature}"


BAD_TOKENS: dict[str, tuple[str, type[AuthError], str]] = {
    # the envelope
    "nothing": ("", TokenMissing, "a token is required"),
    "a word": ("secret", TokenInvalid, "three parts"),
    "two parts": ("e30.e30", TokenInvalid, "three parts"),
    "five parts (JWE)": ("e30.e30.e30.e30.e30", TokenInvalid, "three parts"),
    "only dots": ("..", TokenInvalid, "header must be a JSON object"),
    "huge": (token(x="y" * MAX_TOKEN), TokenInvalid, "at most 8192 bytes"),
    "a megabyte of dots": ("." * (1 << 20), TokenInvalid, "at most 8192 bytes"),
    "Bearer left on": ("Bearer " + token(), TokenInvalid, "base64url"),
    "a newline at the end": (token() + "\n", TokenInvalid, "base64url"),
    "padding": (token() + "=", TokenInvalid, "base64url"),
    "the other base64": (token().replace(".", "+.", 1), TokenInvalid, "base64url"),
    "not ASCII": ("é" + token(), TokenInvalid, "base64url"),
    "a lone surrogate": ("\ud800" + token(), TokenInvalid, "base64url"),
    "a NUL": ("\0.\0.\0", TokenInvalid, "base64url"),
    "loose last bits": (raw_token(GOOD)[:-1] + "_", TokenInvalid, "malformed"),
    # the header
    "a header that is a list": (raw_token(GOOD, b'["HS256"]'), TokenInvalid, "header must be"),
    "a header nested deep": (raw_token(GOOD, b"[" * 5_000), TokenInvalid, "header must be"),
    "alg missing": (raw_token(GOOD, b"{}"), TokenInvalid, "alg must be"),
    "alg none": (token({"alg": "none"}), TokenInvalid, "alg must be"),
    "alg none, unsigned": (
        raw_token(GOOD, b'{"alg":"none"}').rpartition(".")[0] + ".",
        TokenInvalid,
        "alg must be",
    ),
    "alg NONE": (token({"alg": "NONE"}), TokenInvalid, "alg must be"),
    "alg HS512": (jwt.encode(CLAIMS, SECRET * 2, "HS512"), TokenInvalid, "alg must be"),
    "alg RS256": (signed("RS256"), TokenInvalid, "alg must be"),
    "alg a list": (token({"alg": ["HS256"]}), TokenInvalid, "alg must be"),
    "alg null": (token({"alg": None}), TokenInvalid, "alg must be"),
    "alg lower case": (token({"alg": "hs256"}), TokenInvalid, "alg must be"),
    "alg twice": (raw_token(GOOD, b'{"alg":"HS256","alg":"none"}'), TokenInvalid, "twice"),
    "crit": (token({"crit": ["exp"]}), TokenInvalid, "extensions"),
    "crit empty": (token({"crit": []}), TokenInvalid, "extensions"),
    "b64": (token({"crit": ["b64"], "b64": False}), TokenInvalid, "extensions"),
    "b64, as usual": (token({"b64": True}), TokenInvalid, "extensions"),
    "typ another": (token({"typ": "secevent+jwt"}), TokenInvalid, "typ must be"),
    "typ a number": (token({"typ": 1}), TokenInvalid, "typ must be"),
    "kid a number": (token({"kid": 1}), TokenInvalid, "kid must be"),
    "kid long": (token({"kid": "k" * 257}), TokenInvalid, "kid must be"),
    "kid a path": (token({"kid": "../../dev/null\0"}), TokenInvalid, "kid must be"),
    # the signature
    "another secret": (raw_token(GOOD, key=b"x" * 32), TokenInvalid, "signature"),
    "no signature": (token().rpartition(".")[0] + ".", TokenInvalid, "signature"),
    "a payload cut short": (
        with_payload(GOOD[:-1]),
        TokenInvalid,
        "payload must be",
    ),
    "another payload": (
        with_payload(GOOD + b" "),
        TokenInvalid,
        "signature",
    ),
    # the payload
    "a payload that is a list": (raw_token(b"[]"), TokenInvalid, "payload must be"),
    "a payload that is a token": (raw_token(token().encode()), TokenInvalid, "payload must be"),
    "a payload in UTF-16": (raw_token(GOOD.decode().encode("utf-16")), TokenInvalid, "UTF-8"),
    "a claim twice": (with_claims('"sub": "admin"'), TokenInvalid, "twice"),
    "a claim twice, spelt otherwise": (with_claims('"s\\u0075b": "x"'), TokenInvalid, "twice"),
    "a grant twice": (with_claims('"docs": {"a":"read","a":"write"}'), TokenInvalid, "twice"),
    "exp missing": (token(exp=...), TokenInvalid, "must have the claim exp"),
    "exp null": (token(exp=None), TokenInvalid, "must have the claim exp"),
    "exp a string": (token(exp=str(int(NOW) + 60)), TokenInvalid, "exp must be a number"),
    "exp true": (token(exp=True), TokenInvalid, "exp must be a number"),
    "exp an object": (token(exp={}), TokenInvalid, "exp must be a number"),
    "exp NaN": (token(exp=float("nan")), TokenInvalid, "payload must be"),
    "exp Infinity": (token(exp=float("inf")), TokenInvalid, "payload must be"),
    "exp infinite, spelt 1e999": (
        raw_token(b'{"sub":"alice","aud":"draftsync","exp":1e999}'),
        TokenInvalid,
        "exp must be a number",
    ),
    "exp of 400 digits": (token(exp=10**400), TokenInvalid, "too far ahead"),
    "exp in ten years": (token(exp=int(NOW) + 10 * 365 * 86_400), TokenInvalid, "too far ahead"),
    "exp in milliseconds": (token(exp=int(NOW) * 1000), TokenInvalid, "too far ahead"),
    "exp a minute ago": (token(exp=int(NOW) - 60), TokenExpired, "token-expired"),
    "exp zero": (token(exp=0), TokenExpired, "token-expired"),
    "exp long before Christ": (token(exp=-(10**400)), TokenExpired, "token-expired"),
    "sub missing": (token(sub=...), TokenInvalid, "must have the claim sub"),
    "sub empty": (token(sub=""), TokenInvalid, "sub must be a string of 1-256"),
    "sub long": (token(sub="é" * 257), TokenInvalid, "sub must be a string of 1-256"),
    "sub a number": (token(sub=42), TokenInvalid, "sub must be"),
    "sub with a newline": (token(sub="a\nb"), TokenInvalid, "sub must be"),
    "sub half a character": (token(sub="\ud83d"), TokenInvalid, "sub must be"),
    "aud missing": (token(aud=...), TokenInvalid, "must have the claim aud"),
    "aud another": (token(aud="billing"), TokenInvalid, "aud must be"),
    "aud a list with ours": (token(aud=["draftsync"]), TokenInvalid, "aud must be"),
    "aud our prefix": (token(aud="draft"), TokenInvalid, "aud must be"),
    "aud an object": (token(aud={"draftsync": 1}), TokenInvalid, "aud must be"),
    "nbf tomorrow": (token(nbf=int(NOW) + 86_400), TokenInvalid, "nbf lies in the future"),
    "iat tomorrow": (token(iat=int(NOW) + 86_400), TokenInvalid, "iat lies in the future"),
    "iat a string": (token(iat="now"), TokenInvalid, "iat must be a number"),
    "jti a number": (token(jti=7), TokenInvalid, "jti must be"),
    "jti empty": (token(jti=""), TokenInvalid, "jti must be"),
    "name a list": (token(name=["Alice"]), TokenInvalid, "name must be"),
    "name long": (token(name="n" * 257), TokenInvalid, "name must be"),
    "role a list": (token(role=["admin"]), TokenInvalid, "role must be"),
    "role null": (token(role=None), TokenInvalid, "role must be"),
    "docs a list": (token(docs=["drafts/*"]), TokenInvalid, "docs must be an object"),
    "docs with another word": (token(docs={"a": "admin"}), TokenInvalid, "one of: read, write"),
    "docs with a list": (token(docs={"a": ["write"]}), TokenInvalid, "one of: read, write"),
    "docs with a star inside": (token(docs={"a/*/b": "read"}), TokenInvalid, "pattern of docs"),
    "docs with no name": (token(docs={"": "read"}), TokenInvalid, "pattern of docs"),
    "docs with a NUL": (token(docs={"a\0": "read"}), TokenInvalid, "patterns of docs"),
    "sessions with a document's word": (token(sessions={"s": "write"}), TokenInvalid, "observe"),
}


@pytest.mark.parametrize(("text", "kind", "fragment"), BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_a_bad_token_is_refused(text: str, kind: type[AuthError], fragment: str) -> None:
    with pytest.raises(AuthError, match=re.escape(fragment)) as caught:
        verify(text)
    assert type(caught.value) is kind
    assert len(caught.value.reason.encode("ascii")) <= REASON_BYTES


def test_the_table_is_what_fault_27_asks_for() -> None:
    assert len(BAD_TOKENS) >= 40
    assert verify(token()).subject == "alice"  # so each is bad for its own reason


def test_a_refusal_shows_nothing_of_the_token() -> None:
    marked = token(sub="MARK" * 100, exp="MARK", role="MARK", docs={"MARK": "MARK"})
    for text in (marked, token({"crit": ["MARK"]}), token({"alg": "MARK"}), "MARK.MARK"):
        with pytest.raises(AuthError) as caught:
            verify(text)
        assert "MARK" not in "".join(traceback.format_exception_only(caught.value))
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


# --- good ones -------------------------------------------------------------------------------


def test_a_verified_token_is_an_identity() -> None:
    alice = verify(
        token(
            name="Alice",
            docs={"drafts/42": "write", "drafts/*": "read"},
            sessions={"eval-*": "join"},
            jti="t-1",
        )
    )
    assert (alice.subject, alice.name, alice.administrator) == ("alice", "Alice", False)
    assert alice.document_access("drafts/42") is Access.WRITE
    assert alice.document_access("drafts/1") is Access.READ
    assert alice.session_access("eval-1") is SessionAccess.JOIN
    assert (alice.expires_at, alice.token_id) == (NOW + 3600, "t-1")


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt"])
def test_usual_types_are_accepted(typ: str) -> None:
    assert verify(token({"typ": typ, "kid": "any", "jku": "http://127.0.0.1:1/"})).subject


def test_a_token_may_be_exactly_as_large_as_the_limit() -> None:
    candidates = (
        token({"kid": "k" * kid}, x="y" * fill) for kid in range(1, 5) for fill in range(5950, 6100)
    )
    assert verify(next(text for text in candidates if len(text) == MAX_TOKEN)).subject == "alice"


@pytest.mark.parametrize("algorithm", KEYS)
def test_every_kind_of_key_verifies_its_algorithm(algorithm: str) -> None:
    key = PublicKey(public_pem(KEYS[algorithm]()))
    assert verify(signed(algorithm), key).subject == "alice"


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("other", KEYS)
def test_a_key_verifies_no_other_algorithm(algorithm: str, other: str) -> None:
    if algorithm != other:
        with pytest.raises(TokenInvalid, match="alg must be"):
            verify(signed(other), PublicKey(public_pem(KEYS[algorithm]())))


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_public_key_is_not_a_secret(algorithm: str) -> None:
    """Algorithm confusion: HS256, signed with the bytes of the public key (CVE-2022-29217)."""
    pem = public_pem(KEYS[algorithm]())
    for forged in (raw_token(GOOD, key=pem), raw_token(GOOD, key=pem.strip())):
        with pytest.raises(TokenInvalid, match="alg must be"):
            verify(forged, PublicKey(pem))


def test_rsa_in_another_padding_or_hash_is_refused() -> None:
    for algorithm in ("RS384", "RS512", "PS256"):
        with pytest.raises(TokenInvalid, match="alg must be"):
            verify(jwt.encode(CLAIMS, rsa_key(), algorithm), PublicKey(public_pem(rsa_key())))


@pytest.mark.parametrize("length", [0, 1, 63, 65, 72, 500])
def test_an_ecdsa_signature_of_the_wrong_length_is_refused(length: int) -> None:
    cut = signed("ES256").rpartition(".")[0] + "." + encoded(b"\1" * length)
    with pytest.raises(TokenInvalid, match="signature"):
        verify(cut, PublicKey(public_pem(ec_key())))


def test_a_null_ecdsa_signature_is_refused() -> None:
    """CVE-2022-21449, as Java once had it."""
    null = signed("ES256").rpartition(".")[0] + "." + encoded(bytes(64))
    with pytest.raises(TokenInvalid, match="signature"):
        verify(null, PublicKey(public_pem(ec_key())))


def test_the_issuer_is_checked_when_one_is_set() -> None:
    assert verify(token(iss="https://anybody")).subject == "alice"
    assert verify(token(iss="https://idp"), issuer="https://idp").subject == "alice"
    for bad in (token(iss="https://idp/"), token(iss=["https://idp"]), token(iss="https")):
        with pytest.raises(TokenInvalid, match="iss must be"):
            verify(bad, issuer="https://idp")
    with pytest.raises(TokenInvalid, match="must have the claim iss"):
        verify(token(), issuer="https://idp")


def test_an_empty_audience_or_issuer_is_a_mistake_of_the_operator() -> None:
    with pytest.raises(ValueError, match="audience"):
        TokenVerifier(SharedSecret(SECRET), audience="")
    with pytest.raises(ValueError, match="issuer"):
        TokenVerifier(SharedSecret(SECRET), audience="draftsync", issuer="")


# --- the border to PyJWT ---------------------------------------------------------------------

PYJWT_ERRORS = [
    kind
    for _, kind in inspect.getmembers(jwt.exceptions, inspect.isclass)
    if issubclass(kind, jwt.PyJWTError)
]


@pytest.mark.parametrize("kind", PYJWT_ERRORS)
def test_every_pyjwt_error_is_translated(kind: type[jwt.PyJWTError]) -> None:
    translated = refusal(kind("exp"))
    assert type(translated) in (TokenInvalid, TokenExpired, KeysUnavailable)
    assert isinstance(translated, KeysUnavailable) != issubclass(kind, jwt.InvalidTokenError)
    assert isinstance(translated, TokenExpired) == issubclass(kind, jwt.ExpiredSignatureError)
    assert len(translated.reason.encode("ascii")) <= REASON_BYTES


def test_pyjwt_raises_what_it_says() -> None:
    assert len(PYJWT_ERRORS) >= 19
    assert set(PYJWT_ERRORS) >= {jwt.DecodeError, jwt.PyJWKClientError, jwt.InvalidKeyError}


# --- anything at all -------------------------------------------------------------------------


@given(
    st.one_of(
        st.binary(max_size=200).map(lambda data: data.decode("latin-1")),
        st.text("eJ0.=-", max_size=60),
    )
)
def test_any_text_is_refused_with_an_auth_error(text: str) -> None:
    with pytest.raises(AuthError):
        verify(text)


@given(st.binary(max_size=120), st.binary(max_size=60) | st.just(b'{"alg":"HS256"}'))
def test_any_signed_bytes_are_refused_with_an_auth_error(payload: bytes, header: bytes) -> None:
    with pytest.raises(AuthError):
        verify(raw_token(payload, header))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text('a*/"\0\ud800é', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab*", max_size=3), inner),
    max_leaves=6,
)


def some_of(*names: str) -> st.SearchStrategy[dict[str, object]]:
    return st.dictionaries(st.sampled_from(names), json_values, max_size=3)


@given(
    some_of("exp", "sub", "aud", "iss", "iat", "nbf", "jti", "name", "role", "docs", "sessions"),
    some_of("alg", "typ", "kid", "crit", "b64", "jwk", "jku", "zip", "cty"),
)
def test_odd_claims_give_an_identity_or_an_auth_error(
    claims: dict[str, object], header: dict[str, object]
) -> None:
    with contextlib.suppress(AuthError):
        assert verify(token(header, **claims)).subject


@given(st.data())
def test_one_changed_character_is_refused(data: st.DataObject) -> None:
    good = token()
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.sampled_from("AZaz09-_.").filter(lambda char: char != good[at]))
    with pytest.raises(AuthError):
        verify(good[:at] + other + good[at + 1 :])


# --- minting ---------------------------------------------------------------------------------


def test_a_minted_token_verifies() -> None:
    text = mint(
        SECRET,
        subject="alice",
        name="Älice",
        role="admin",
        documents={"drafts/*": "write"},
        sessions={"s1": "join"},
        ttl=3600,
        audience="draftsync",
        issuer="https://idp",
        clock=lambda: NOW + 0.7,
    )
    alice = verify(text, issuer="https://idp")
    assert (alice.subject, alice.name, alice.administrator) == ("alice", "Älice", True)
    assert alice.documents.level("drafts/1") is Access.WRITE
    assert alice.sessions.level("s1") is SessionAccess.JOIN
    assert alice.expires_at == NOW + 3600
    assert alice.token_id


def test_minted_tokens_are_told_apart_by_their_id() -> None:
    ids = {verify(simple_mint()).token_id for _ in range(10)}
    assert len(ids) == 10


def test_one_that_takes_the_place_of_another_is_revoked_with_it() -> None:
    minted = mint(
        SECRET,
        subject="alice",
        ttl=60,
        audience="draftsync",
        clock=lambda: NOW,
        issued_at=NOW - 500.5,
        token_id="the first",
    )
    alice = verify(minted)
    assert (alice.issued_at, alice.token_id) == (NOW - 500.5, "the first")
    assert alice.expires_at == NOW + 60


def simple_mint(  # every rule in turn is broken through it
    secret: str | bytes = SECRET,
    subject: str = "alice",
    name: str | None = None,
    documents: dict[str, str] | None = None,
    sessions: dict[str, str] | None = None,
    ttl: float = 60,
    audience: str = "draftsync",
    now: float = NOW,
) -> str:
    return mint(
        secret,
        subject=subject,
        name=name,
        documents=documents,
        sessions=sessions,
        ttl=ttl,
        audience=audience,
        clock=lambda: now,
    )


def test_what_is_not_given_is_not_in_the_token() -> None:
    claims = jwt.decode(simple_mint(), options={"verify_signature": False})
    assert claims.keys() == {"sub", "aud", "iat", "exp", "jti"}
    assert claims["exp"] - math.floor(claims["iat"]) == 60


def test_when_it_was_made_is_told_to_the_fraction() -> None:
    claims = jwt.decode(simple_mint(now=NOW + 0.375), options={"verify_signature": False})
    assert claims["iat"] == NOW + 0.375  # what is revoked at NOW + 0.25 does not mean it


def test_nothing_is_minted_that_would_be_refused() -> None:
    refused: dict[str, Callable[[], str]] = {
        "secret must have at least 32 bytes": lambda: simple_mint(secret="short"),
        "sub must be": lambda: simple_mint(subject=""),
        "sub must": lambda: simple_mint(subject="a\nb"),
        "name must be": lambda: simple_mint(name="n" * 257),
        "one of: read, write": lambda: simple_mint(documents={"a": "admin"}),
        "pattern of docs": lambda: simple_mint(documents={"*/a": "read"}),
        "one of: observe, join, lead": lambda: simple_mint(sessions={"a": "write"}),
        "grant by prefix": lambda: simple_mint(
            documents={f"draft-{i}": "read" for i in range(500)}
        ),
        "ttl must be more than 0 and at most 2592000": lambda: simple_mint(ttl=0),
        "ttl must be more": lambda: simple_mint(ttl=-1),
        "ttl must": lambda: simple_mint(ttl=31 * 86_400),
        "ttl": lambda: simple_mint(ttl=float("nan")),
        "audience": lambda: simple_mint(audience=""),
    }
    for reason, call in refused.items():
        with pytest.raises(ValueError, match=reason):
            call()


def test_a_short_life_is_rounded_up_to_a_whole_second() -> None:
    assert verify(simple_mint(ttl=0.1)).expires_at == NOW + 1


async def test_it_is_the_verifier_that_the_server_asks_for() -> None:
    asked: Verifier = verifier()
    assert (await asked.verify(token())).subject == "alice"


async def test_the_wall_clock_is_the_default() -> None:
    text = mint(SECRET, subject="alice", ttl=60, audience="draftsync")
    assert (await TokenVerifier(SharedSecret(SECRET), audience="draftsync").verify(text)).subject
