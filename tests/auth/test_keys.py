"""Where keys come from, and fault 29: the key endpoint is down, slow, or asked for unknown keys."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from auth.errors import AuthError, KeysUnavailable, TokenInvalid
from auth.keys import (
    COOL_DOWN,
    MAX_KEY_SET_BYTES,
    REFRESH_AFTER,
    STALE_AFTER,
    KeySet,
    PublicKey,
    SharedSecret,
    fetch_document,
    parse_key_set,
)
from auth.tokens import TokenVerifier
from tests.auth.material import (
    KEYS,
    NOW,
    SECRET,
    at_once,
    ec_key,
    ed_key,
    jwk,
    jwks,
    private_jwk,
    private_pem,
    public_pem,
    rsa_key,
    signed,
    token,
)

# --- a shared secret ---------------------------------------------------------------------------


def test_a_secret_is_the_key_whatever_the_kid() -> None:
    keys = SharedSecret(SECRET)
    for kid in (None, "any"):
        key = at_once(keys.key_for(kid))
        assert (key.material, key.algorithm) == (SECRET.encode(), "HS256")


@pytest.mark.parametrize("secret", ["é" * 16, b"x" * 32, bytes(32), "x" * 500])
def test_a_long_secret_will_do(secret: str | bytes) -> None:
    assert SharedSecret(secret).key.algorithm == "HS256"


@pytest.mark.parametrize("secret", ["", "secret", b"x" * 31, "x" * 31])
def test_a_short_secret_is_refused_with_a_recipe(secret: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"at least 32 bytes; make one with: openssl rand"):
        SharedSecret(secret)


def test_a_key_file_is_no_secret() -> None:
    for file in (public_pem(rsa_key()), private_pem(ec_key()), json.dumps(jwk("RS256"))):
        with pytest.raises(ValueError, match="--jwt-public-key"):
            SharedSecret(file)


def test_a_secret_is_not_shown() -> None:
    keys = SharedSecret(SECRET)
    assert SECRET not in repr(keys) + repr(keys.key) + str(keys.key)
    for refused in ("MARK", public_pem(rsa_key()).decode() + "MARK"):
        with pytest.raises(ValueError) as caught:
            SharedSecret(refused)
        assert "MARK" not in str(caught.value)


# --- a public key ------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", KEYS)
def test_the_kind_of_key_pins_the_algorithm(algorithm: str) -> None:
    for pem in (public_pem(KEYS[algorithm]()), public_pem(KEYS[algorithm]()).decode()):
        keys = PublicKey(pem)
        assert at_once(keys.key_for(None)).algorithm == algorithm
        assert at_once(keys.key_for("any")) == keys.key
        assert repr(keys) == f"PublicKey({algorithm})"


CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
SSH_KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJ alice@host"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (private_pem(rsa_key()), "private key.*openssl pkey -in private.pem -pubout"),
        (private_pem(ed_key()), "private key"),
        (private_pem(rsa_key()) + public_pem(rsa_key()), "private key"),
        (CERTIFICATE, "certificate.*openssl x509"),
        (SSH_KEY, "must begin with -----BEGIN PUBLIC KEY-----"),
        (b"", "must begin with"),
        (b"\xff\x00", "must begin with"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "must begin with"),
        (json.dumps(jwk("RS256")).encode(), "must begin with"),
        (public_pem(rsa_key(1024)), "1024 bits and must have at least 2048"),
        (public_pem(ec.generate_private_key(ec.SECP384R1())), "curve P-256"),
        (public_pem(ec.generate_private_key(ec.SECP256K1())), "curve P-256"),
    ],
)
def test_another_file_is_refused_with_what_to_give_instead(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PublicKey(content)


# --- a JWKS document ---------------------------------------------------------------------------


def test_keys_are_found_by_name() -> None:
    ring = parse_key_set(jwks(*(jwk(algorithm, kid=algorithm) for algorithm in KEYS)))
    for algorithm in KEYS:
        key = ring.find(algorithm)
        assert key is not None
        assert key.algorithm == algorithm
    assert ring.find("another") is None
    assert ring.find(None) is None  # which of the three?


def test_an_only_key_needs_no_name() -> None:
    ring = parse_key_set(jwks(jwk("ES256")))
    assert ring.find(None) is not None
    assert ring.find("another") is None


UNUSABLE: dict[str, object] = {
    "a symmetric key": {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode()},
    "a symmetric key that claims RS256": {"kty": "oct", "k": "eHg", "alg": "RS256"},
    "a private key": private_jwk("RS256"),
    "another private key": private_jwk("EdDSA"),
    "half a private key": jwk("RS256", d="AQAB"),
    "for encryption": jwk("RS256", use="enc"),
    "not for verifying": jwk("RS256", key_ops=["encrypt"]),
    "odd key_ops": jwk("RS256", key_ops="verify"),
    "another hash": jwk("RS256", alg="RS512"),
    "HS256 on an RSA key": jwk("RS256", alg="HS256"),
    "alg none": jwk("RS256", alg="none"),
    "a name that is no string": jwk("RS256", kid=7),
    "another curve": jwk("ES256", crv="P-384"),
    "a curve that nobody has": jwk("ES256", crv="P-1"),
    "a point off the curve": jwk("ES256", x="AAAA", y="AAAA"),
    "no curve": {"kty": "OKP", "x": "AAAA"},
    "a modulus that is a number": {"kty": "RSA", "n": 7, "e": "AQAB"},
    "a modulus that is null": {"kty": "RSA", "n": None, "e": None},
    "a short modulus": {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
    "an empty object": {},
    "no object": "RSA",
    "null": None,
    "kty a list": {"kty": ["RSA"]},
}


@pytest.mark.parametrize("member", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_key_is_left_out_alone(member: object) -> None:
    assert len(parse_key_set(jwks(member, jwk("EdDSA"), member))) == 1
    with pytest.raises(ValueError, match="no key that can verify"):
        parse_key_set(jwks(member))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"keys": {}}',
        b'{"keys": []}',
        b"<html>",
        b"\xff",
        b"[" * 99_999,
    ],
)
def test_what_is_not_a_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError):
        parse_key_set(document)


# --- the copy of a key set, its age and its refreshing -----------------------------------------


class Endpoint:
    """A key endpoint in memory with a clock of its own. It can fail, and be held up."""

    def __init__(self, *kids: str) -> None:
        self.kids = kids
        self.failure: Exception | None = None
        self.fetches = 0
        self.now = 1000.0
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.keys = KeySet("https://idp/keys", fetch=self.fetch, timeout=10, clock=lambda: self.now)

    def fetch(self, url: str) -> bytes:
        assert url == "https://idp/keys"
        self.fetches += 1
        self.entered.set()
        assert self.open.wait(10)
        if self.failure is not None:
            raise self.failure
        return jwks(*(jwk("EdDSA", kid=kid) for kid in self.kids))

    @contextmanager
    def held_up(self) -> Iterator[None]:
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()


async def test_keys_are_fetched_once_and_kept() -> None:
    endpoint = Endpoint("k1", "k2")
    assert endpoint.fetches == 0
    await endpoint.keys.key_for("k1")
    for kid in ("k1", "k2"):
        assert at_once(endpoint.keys.key_for(kid)).algorithm == "EdDSA"
    assert endpoint.fetches == 1


async def test_a_new_key_is_found_after_the_cool_down() -> None:
    endpoint = Endpoint("k1")
    await endpoint.keys.key_for("k1")
    endpoint.kids = ("k2",)
    with pytest.raises(TokenInvalid, match="unknown here"):
        at_once(endpoint.keys.key_for("k2"))
    endpoint.now += COOL_DOWN
    assert (await endpoint.keys.key_for("k2")).algorithm == "EdDSA"
    with pytest.raises(TokenInvalid):
        at_once(endpoint.keys.key_for("k1"))  # withdrawn


async def test_unknown_keys_cause_at_most_two_fetches_a_minute() -> None:
    endpoint = Endpoint("k1")
    await endpoint.keys.key_for("k1")
    for second in range(600):
        endpoint.now = 1000 + second
        for n in range(5):
            with pytest.raises(TokenInvalid):
                await endpoint.keys.key_for(f"unknown-{second}-{n}")
    assert endpoint.fetches == 600 / COOL_DOWN


async def test_a_failing_endpoint_is_asked_no_more_often() -> None:
    endpoint = Endpoint("k1")
    endpoint.failure = OSError("connection refused")
    for second in range(600):
        endpoint.now = 1000 + second
        with pytest.raises(KeysUnavailable):
            await endpoint.keys.key_for("k1")
    assert endpoint.fetches == 600 / COOL_DOWN


@pytest.mark.parametrize(
    "failure", [OSError("down"), TimeoutError(), ConnectionResetError(), ValueError("bad JSON")]
)
async def test_a_copy_serves_for_a_day_while_the_endpoint_is_down(failure: Exception) -> None:
    endpoint = Endpoint("k1")
    await endpoint.keys.key_for("k1")
    endpoint.failure = failure
    endpoint.now += STALE_AFTER
    assert at_once(endpoint.keys.key_for("k1")).algorithm == "EdDSA"
    with pytest.raises(TokenInvalid):
        await endpoint.keys.key_for("k2")
    endpoint.now += COOL_DOWN
    with pytest.raises(KeysUnavailable) as caught:
        await endpoint.keys.key_for("k1")
    assert (caught.value.close_code, caught.value.http_status) == (1013, 503)
    endpoint.failure = None
    endpoint.now += COOL_DOWN
    assert (await endpoint.keys.key_for("k1")).algorithm == "EdDSA"


async def test_a_token_without_a_kid_causes_no_fetch_of_its_own() -> None:
    endpoint = Endpoint("k1", "k2")
    await endpoint.keys.key_for("k1")
    endpoint.now += COOL_DOWN
    with pytest.raises(TokenInvalid, match="must name its key in the kid header"):
        at_once(endpoint.keys.key_for(None))
    assert endpoint.fetches == 1


async def test_a_token_without_a_kid_fits_an_only_key() -> None:
    assert (await Endpoint("k1").keys.key_for(None)).algorithm == "EdDSA"


async def test_many_verifications_cause_one_fetch() -> None:
    endpoint = Endpoint("k1")
    found: list[str] = []

    async def verify(kid: str) -> None:
        found.append((await endpoint.keys.key_for(kid)).algorithm)

    async with anyio.create_task_group() as group:
        with endpoint.held_up():
            for _ in range(50):
                group.start_soon(verify, "k1")
            await anyio.wait_all_tasks_blocked()
            assert not found
    assert found == ["EdDSA"] * 50
    assert endpoint.fetches == 1


async def test_a_known_key_never_waits_for_a_fetch() -> None:
    endpoint = Endpoint("k1")
    await endpoint.keys.key_for("k1")
    endpoint.now += COOL_DOWN
    async with anyio.create_task_group() as group:
        with endpoint.held_up():
            group.start_soon(refused, endpoint.keys, "unknown", TokenInvalid)
            await anyio.to_thread.run_sync(endpoint.entered.wait)
            await anyio.wait_all_tasks_blocked()
            assert at_once(endpoint.keys.key_for("k1")).algorithm == "EdDSA"
    assert endpoint.fetches == 2


async def refused(keys: KeySet, kid: str, kind: type[AuthError]) -> None:
    with pytest.raises(kind):
        await keys.key_for(kid)


async def test_a_failed_fetch_fails_all_who_waited_for_it() -> None:
    endpoint = Endpoint("k1")
    endpoint.failure = OSError("down")
    async with anyio.create_task_group() as group:
        with endpoint.held_up():
            for _ in range(10):
                group.start_soon(refused, endpoint.keys, "k1", KeysUnavailable)
            await anyio.wait_all_tasks_blocked()
    assert endpoint.fetches == 1


async def test_the_others_are_served_when_the_first_to_ask_leaves() -> None:
    endpoint = Endpoint("k1")
    served: list[bool] = []

    async def leave(scope: anyio.CancelScope) -> None:
        with scope:
            await endpoint.keys.key_for("k1")
            served.append(False)  # cancelled where it next waits, or here if it does not

    async def stay() -> None:
        await endpoint.keys.key_for("k1")
        served.append(True)

    async with anyio.create_task_group() as group:
        with endpoint.held_up():
            scope = anyio.CancelScope()
            group.start_soon(leave, scope)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(stay)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert True in served
    assert endpoint.fetches == 1


async def test_nobody_waits_longer_than_the_timeout() -> None:
    release = threading.Event()

    def hang(_url: str) -> bytes:
        release.wait(30)
        return b""

    keys = KeySet("https://idp/keys", fetch=hang, timeout=0.01)
    try:
        with pytest.raises(KeysUnavailable):
            await keys.key_for("k1")
        assert keys.statistics().last_failure == "no answer within 0.01 s"
    finally:
        release.set()


class Stop(Exception):
    """Ends keep_fresh."""


async def test_keep_fresh_fetches_regularly_and_sooner_after_a_failure() -> None:
    endpoint = Endpoint("k1")
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        endpoint.now += seconds
        endpoint.failure = OSError("down") if len(pauses) == 2 else None
        if len(pauses) == 4:
            raise Stop

    with pytest.raises(Stop):
        await endpoint.keys.keep_fresh(sleep=sleep)
    assert pauses == [REFRESH_AFTER, REFRESH_AFTER, COOL_DOWN, REFRESH_AFTER]
    assert endpoint.fetches == 4


async def test_a_key_set_describes_itself() -> None:
    endpoint = Endpoint("k1", "k2")
    before = endpoint.keys.statistics()
    assert (before.keys, before.age, before.fetches, before.last_failure) == (0, None, 0, None)
    await endpoint.keys.key_for("k1")
    endpoint.now += COOL_DOWN
    endpoint.failure = OSError("down")
    with pytest.raises(TokenInvalid):
        await endpoint.keys.key_for("k3")
    after = endpoint.keys.statistics()
    assert (after.keys, after.age, after.fetches) == (2, COOL_DOWN, 2)
    assert (after.failures, after.last_failure) == (1, "down")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://idp/keys",
        "data:application/json,{}",
        "idp/keys",
        "https://",
        "",
        "https://user:pass@idp/keys",
        "https://idp/a b",
        "https://idp/\r\nHost: x",
    ],
)
def test_only_a_plain_http_url_will_do(url: str) -> None:
    with pytest.raises(ValueError, match="the JWKS URL must"):
        KeySet(url)


def test_the_url_is_shown_without_what_may_be_secret() -> None:
    assert repr(KeySet("https://idp:8443/keys?code=hush")) == "KeySet(https://idp:8443)"


# --- a real endpoint ---------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Answers every kind of trouble at its own path."""

    gone = threading.Event()

    def do_GET(self) -> None:
        answer: Callable[[], None] = getattr(self, "answer_" + self.path.strip("/"))
        answer()

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content_length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_keys(self) -> None:
        self.send(jwks(*(jwk(algorithm, kid=algorithm) for algorithm in KEYS)))

    def answer_error(self) -> None:
        self.send(b"no", 500)

    def answer_moved(self) -> None:
        self.send(b"", 302, location="/keys")

    def answer_file(self) -> None:
        self.send(b"", 302, location="file:///etc/passwd")

    def answer_ftp(self) -> None:
        self.send(b"", 302, location="ftp://127.0.0.1/keys")

    def answer_tls(self) -> None:
        self.send(b"", 302, location="https://127.0.0.1/keys")

    def answer_loop(self) -> None:
        self.send(b"", 302, location="/loop")

    def answer_large(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.stream(lambda: b" " * (1 << 16), times=1 << 10)

    def answer_silent(self) -> None:
        self.gone.wait(30)

    def answer_slow(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.stream(self.one_byte, times=10_000)

    def one_byte(self) -> bytes:
        self.gone.wait(0.005)
        return b" "

    def stream(self, chunk: Callable[[], bytes], times: int) -> None:
        try:
            for _ in range(times):
                self.wfile.write(chunk())
        except ConnectionError:
            pass  # the client has had enough, as it should

    def answer_html(self) -> None:
        self.send(b"<html>sign in</html>")

    def answer_cut(self) -> None:
        self.send(jwks(jwk("EdDSA"))[:-5], content_length="1000")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("no_proxy", "127.0.0.1")
        Handler.gone.clear()  # of an earlier one, where other modules' tests came in between
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            Handler.gone.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("path", ["/keys", "/moved"])
@pytest.mark.parametrize("algorithm", KEYS)
async def test_tokens_verify_by_the_keys_of_a_real_endpoint(
    endpoint: str, path: str, algorithm: str
) -> None:
    verifier = TokenVerifier(KeySet(endpoint + path), audience="draftsync", clock=lambda: NOW)
    assert (await verifier.verify(signed(algorithm, kid=algorithm))).subject == "alice"
    with pytest.raises(TokenInvalid, match="kid"):
        await verifier.verify(token())
    with pytest.raises(TokenInvalid, match="alg"):
        await verifier.verify(token({"kid": algorithm}))


@pytest.mark.parametrize(
    ("path", "failure"),
    [
        ("/error", "the key endpoint answered 500"),
        ("/file", "the key endpoint answered 302"),
        ("/ftp", "redirects to another scheme"),
        ("/tls", "redirects to another scheme"),
        ("/loop", "the key endpoint answered 302"),
        ("/large", f"more than {MAX_KEY_SET_BYTES} bytes"),
        ("/silent", "timed out"),
        ("/slow", "too slowly"),
        ("/html", "the key set is not JSON"),
        ("/cut", "the key set is not JSON"),
    ],
)
async def test_trouble_at_the_endpoint_is_told_apart(
    endpoint: str, path: str, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fetch(url: str) -> bytes:
        return fetch_document(url, timeout=0.1)

    keys = KeySet(endpoint + path, fetch=fetch, timeout=30)
    with pytest.raises(KeysUnavailable):
        await keys.key_for("k1")
    assert failure in str(keys.statistics().last_failure)
    assert failure in caplog.text


async def test_nobody_listens() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_port
    keys = KeySet(f"http://127.0.0.1:{port}/keys")
    with pytest.raises(KeysUnavailable):
        await keys.key_for("k1")
