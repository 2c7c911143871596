from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.access import Access, Identity, SessionAccess
from auth.claims import MAX_PATTERNS, parse_object, read_identity
from auth.errors import AuthError, TokenExpired, TokenInvalid
from tests.auth.material import CLAIMS, NOW


def read(**claims: object) -> Identity:
    return read_identity({**CLAIMS, **claims}, now=NOW, max_ttl=86_400, leeway=10)


def test_the_claims_become_an_identity() -> None:
    alice = read(
        name="Alice",
        role="admin",
        docs={"drafts/42": "write", "drafts/*": "read"},
        sessions={"s1": "lead", "eval-*": "join", "watch": "observe"},
        jti="t-1",
        scope="anything else is ignored",
    )
    assert (alice.subject, alice.name, alice.administrator) == ("alice", "Alice", True)
    assert alice.documents.patterns == {"drafts/42": Access.WRITE, "drafts/*": Access.READ}
    assert alice.sessions.patterns == {
        "s1": SessionAccess.LEAD,
        "eval-*": SessionAccess.JOIN,
        "watch": SessionAccess.OBSERVE,
    }
    assert (alice.expires_at, alice.token_id) == (NOW + 3600, "t-1")
    assert isinstance(alice.expires_at, float)


@pytest.mark.parametrize("issued_at", [NOW - 60, NOW - 0.25, -(10**400)])
def test_a_token_may_tell_when_it_was_made(issued_at: float) -> None:
    assert read(iat=issued_at).issued_at == issued_at


def test_what_is_left_out_has_a_default() -> None:
    alice = read()
    assert (alice.name, alice.administrator, alice.token_id) == ("alice", False, None)
    assert alice.document_access("drafts/1") is Access.NONE
    assert alice.session_access("s1") is SessionAccess.NONE


def test_an_issuer_that_knows_no_name_leaves_the_subject() -> None:
    assert read(name="").name == "alice"


@pytest.mark.parametrize("role", ["Admin", "administrator", "admin ", "", "evaluator"])
def test_only_the_exact_role_makes_an_administrator(role: str) -> None:
    assert not read(role=role).administrator


@pytest.mark.parametrize(
    "subject", ["a", "é", "日本語", "👩‍🔬", "a b", "x" * 256, "😀" * 256, "<b>'\""]
)
def test_subjects_are_any_text(subject: str) -> None:
    assert read(sub=subject).subject == subject


@pytest.mark.parametrize(
    "subject",
    ["", "x" * 257, "a\nb", "a\0", "\x7f", "\x9b31m", "a\u2028b", "\ud800", None, 1, ["a"], True],
)
def test_subjects_are_bounded_and_printable(subject: object) -> None:
    with pytest.raises(TokenInvalid, match="sub must be"):
        read(sub=subject)


@pytest.mark.parametrize("exp", [NOW - 9.9, NOW, NOW + 0.5, NOW + 86_400, NOW + 86_410])
def test_the_leeway_is_given_at_both_ends(exp: float) -> None:
    assert read(exp=exp).expires_at == exp


@pytest.mark.parametrize("exp", [NOW - 10, NOW - 11, 0, -1, -(10**400), -1e308])
def test_expired(exp: float) -> None:
    with pytest.raises(TokenExpired, match=r"\Atoken-expired"):
        read(exp=exp)


@pytest.mark.parametrize("exp", [NOW + 86_411, NOW + 10 * 365 * 86_400, 10**400, 1e308, NOW * 1000])
def test_a_lifetime_beyond_the_maximum_is_refused(exp: float) -> None:
    with pytest.raises(TokenInvalid, match="too far ahead"):
        read(exp=exp)


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["1790000100", True, None, [], {}, float("nan"), float("inf")])
def test_times_are_numbers(claim: str, value: object) -> None:
    with pytest.raises(TokenInvalid, match=f"{claim} must be a number"):
        read(**{claim: value})


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize("ahead", [10.5, 3600, 10**400])
def test_a_token_of_the_future_is_refused(claim: str, ahead: float) -> None:
    assert read(**{claim: NOW + 10}).subject == "alice"
    with pytest.raises(TokenInvalid, match=f"{claim} lies in the future"):
        read(**{claim: int(NOW) + ahead})


@pytest.mark.parametrize("claim", ["docs", "sessions"])
def test_patterns_are_bounded_in_number(claim: str) -> None:
    word = {"docs": "read", "sessions": "join"}[claim]
    read(**{claim: {f"n{i}": word for i in range(MAX_PATTERNS)}})
    with pytest.raises(TokenInvalid, match=f"{claim} must be an object of at most 1000"):
        read(**{claim: {f"n{i}": word for i in range(MAX_PATTERNS + 1)}})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"{}x",
        b"\xef\xbb\xbf{}",  # a byte order mark
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\xff"}',
        b'{"a": NaN}',
        b'{"a": [-Infinity]}',
        b"[" * 8_000,
        b'{"a":' * 1_600,
        b'{"a": ' + b"1" * 5_000 + b"}",  # beyond Python's limit for reading an int
    ],
)
def test_only_a_strict_json_object_is_read(data: bytes) -> None:
    with pytest.raises(TokenInvalid, match="payload must be a JSON object in UTF-8"):
        parse_object(data, "payload")


@pytest.mark.parametrize(
    "data",
    [
        b'{"sub": "a", "sub": "a"}',
        b'{"sub": "a", "su\\u0062": "b"}',
        b'{"docs": {"a": "read", "a": "write"}}',
        b'{"x": [{"y": 1, "y": 2}]}',
    ],
)
def test_a_name_twice_is_refused_at_any_depth(data: bytes) -> None:
    with pytest.raises(TokenInvalid, match="twice"):
        parse_object(data, "payload")


words = st.text("ab*/ \n\0é😀\ud800", max_size=5)  # st.text() takes a second to load Unicode
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
near_misses = st.fixed_dictionaries(
    {},
    optional={
        "sub": anything | st.just("alice"),
        "exp": anything | st.just(NOW + 60),
        "iat": anything | st.just(NOW),
        "name": anything,
        "role": anything,
        "docs": anything | st.dictionaries(words, st.sampled_from(["read", "x"])),
        "sessions": anything | st.dictionaries(words, st.just("join")),
        "jti": anything,
    },
)


@given(near_misses)
def test_any_claims_give_an_identity_or_an_auth_error(claims: dict[str, object]) -> None:
    with contextlib.suppress(AuthError):
        somebody = read_identity(claims, now=NOW, max_ttl=86_400, leeway=10)
        assert 1 <= len(somebody.subject.encode()) <= 4 * 256
        assert NOW - 10 < somebody.expires_at <= NOW + 86_410


@given(st.binary(max_size=300))
def test_any_bytes_give_an_object_or_token_invalid(data: bytes) -> None:
    with contextlib.suppress(TokenInvalid):
        assert isinstance(parse_object(data, "payload"), dict)
