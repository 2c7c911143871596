"""Where the keys that verify tokens come from: a shared secret, a public key, or a key endpoint.

The law of keys:

1. One key, one algorithm, pinned by the kind of key when it is loaded. What a token says of its
   algorithm is compared with that and never decides anything (RFC 8725 section 3.1).
2. A key that is too weak for its algorithm is refused when it is loaded, not when it is used.
3. Nothing that a token says causes more than one fetch in COOL_DOWN seconds, and a token whose key
   is at hand never waits for a fetch.
4. No key and no secret appears in an error, a repr or a log line.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import IO, NoReturn, Protocol, TypeAlias
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm

from auth.errors import KeysUnavailable, TokenInvalid

MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2: no shorter than the hash
MIN_RSA_BITS = 2_048  # RFC 7518 section 3.3

COOL_DOWN = 30.0  # seconds from the start of one fetch to the next: at most two a minute
REFRESH_AFTER = 300.0  # seconds after which keep_fresh fetches again
STALE_AFTER = 24 * 3600.0  # seconds for which a copy serves while the endpoint is down
FETCH_TIMEOUT = 3.0  # seconds
MAX_KEY_SET_BYTES = 1 << 20

_VISIBLE = re.compile("[!-~]+")  # ASCII without spaces: all that a URL is made of

_log = logging.getLogger("draftsync.auth")

PublicKeyMaterial: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A loaded key and the one algorithm it verifies."""

    material: bytes | PublicKeyMaterial = field(repr=False)
    algorithm: str  # HS256, RS256, ES256 or EdDSA


class KeySource(Protocol):
    """Gives the key for a token."""

    async def key_for(self, kid: str | None) -> VerificationKey:
        """Return the key that a token names in its ``kid`` header, None where it names none.

        A source of one key returns it whatever the name. Raises TokenInvalid when there is no such
        key, KeysUnavailable when that cannot be found out now.
        """


class SharedSecret:
    """An HS256 secret that the issuer of tokens and this server share.

    Raises ValueError for a secret of less than MIN_SECRET_BYTES bytes (of UTF-8, for a string),
    and for one that is a public key or a certificate: everybody can sign with those.
    """

    def __init__(self, secret: str | bytes) -> None:
        material = secret.encode() if isinstance(secret, str) else bytes(secret)
        if len(material) < MIN_SECRET_BYTES:
            raise ValueError(
                f"the JWT secret must have at least {MIN_SECRET_BYTES} bytes; "
                "make one with: openssl rand -base64 48"
            )
        self.key = VerificationKey(_checked_secret(material), "HS256")

    async def key_for(self, kid: str | None) -> VerificationKey:  # noqa: ARG002 - there is but one
        """See KeySource."""
        return self.key

    def __repr__(self) -> str:
        return "SharedSecret(HS256)"


def _checked_secret(material: bytes) -> bytes:
    try:
        return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(material)
    except jwt.InvalidKeyError:
        raise ValueError(
            "the JWT secret is a key or certificate file; give a public key to --jwt-public-key, "
            "or make a secret with: openssl rand -base64 48"
        ) from None


class PublicKey:
    """The public key of whoever signs tokens, from the content of a PEM file.

    An RSA key verifies RS256, an EC key on P-256 verifies ES256, an Ed25519 key verifies EdDSA.
    Raises ValueError for anything else, and says what to give instead.
    """

    def __init__(self, pem: str | bytes) -> None:
        data = pem.encode() if isinstance(pem, str) else bytes(pem)
        self.key = pin_algorithm(_load_public_key(data))

    async def key_for(self, kid: str | None) -> VerificationKey:  # noqa: ARG002 - there is but one
        """See KeySource."""
        return self.key

    def __repr__(self) -> str:
        return f"PublicKey({self.key.algorithm})"


def _load_public_key(data: bytes) -> object:
    if b"PRIVATE KEY" in data:
        raise ValueError(
            "this is a private key, which only the issuer of tokens may hold; get the public one "
            "with: openssl pkey -in private.pem -pubout -out public.pem"
        )
    if b"BEGIN CERTIFICATE" in data:
        raise ValueError(
            "this is a certificate; get its public key with: "
            "openssl x509 -in certificate.pem -noout -pubkey > public.pem"
        )
    try:
        return load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "this is not a public key in PEM format: it must begin with -----BEGIN PUBLIC KEY-----"
        ) from None


def pin_algorithm(key: object) -> VerificationKey:
    """Bind a public key to the algorithm of its kind.

    Raises ValueError for a key that is weak or of a kind that tokens are not signed with here.
    """
    match key:
        case RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return VerificationKey(key, "RS256")
        case RSAPublicKey():
            raise ValueError(
                f"the RSA key has {key.key_size} bits and must have at least {MIN_RSA_BITS}"
            )
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return VerificationKey(key, "ES256")
        case Ed25519PublicKey():
            return VerificationKey(key, "EdDSA")
        case _:
            raise ValueError("the key must be RSA, EC on the curve P-256, or Ed25519")


class KeyRing:
    """The usable keys of one JWKS document (RFC 7517)."""

    def __init__(self, keys: Iterable[tuple[str | None, VerificationKey]]) -> None:
        self._keys = tuple(keys)
        self._named: dict[str, VerificationKey] = {}
        for kid, key in self._keys:
            if kid is not None:
                self._named.setdefault(kid, key)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str | None) -> VerificationKey | None:
        """Return the key of that name; without a name, the only key if there is only one."""
        if kid is not None:
            return self._named.get(kid)
        return self._keys[0][1] if len(self._keys) == 1 else None


def parse_key_set(data: bytes) -> KeyRing:
    """Read a JWKS document and leave out what this server must not or cannot use.

    That is: symmetric and private keys, keys for encryption, weak keys, keys of other kinds, and
    keys bound to another algorithm than the one of their kind.
    Raises ValueError when it is no JWKS document or no key is left.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("the key set is not JSON") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError('the key set must be a JSON object with a list of "keys"')
    ring = KeyRing(
        (member.get("kid"), key) for member in members if (key := _usable_key(member)) is not None
    )
    if not ring:
        raise ValueError("the key set has no key that can verify tokens here")
    return ring


def _usable_key(member: object) -> VerificationKey | None:
    if not isinstance(member, dict) or not _is_for_verifying(member):
        return None
    algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}.get(str(member.get("kty")))
    if algorithm is None or member.get("alg", algorithm) != algorithm:
        return None
    try:
        return pin_algorithm(jwt.PyJWK(member, algorithm).key)
    except (jwt.PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        return None  # one odd (or private) key must not take the others with it


def _is_for_verifying(member: dict[str, object]) -> bool:
    operations = member.get("key_ops", ["verify"])
    return (
        member.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and isinstance(member.get("kid", ""), str)
    )


@dataclass(frozen=True, slots=True)
class KeySetStatistics:
    """How a key set is doing."""

    keys: int  # usable ones in the copy that is held
    age: float | None  # seconds since the copy was asked for, None when none was ever got
    fetches: int
    failures: int
    last_failure: str | None  # why the last fetch failed, None when it did not


@dataclass(frozen=True, slots=True)
class _Copy:
    ring: KeyRing
    asked_at: float


Fetch = Callable[[str], bytes]
"""Gets the document at a URL. Blocks. Raises OSError, HTTPException or ValueError."""


class KeySet:
    """The keys published at a JWKS URL.

    The first verification fetches them. From then on they are fetched again when a token names
    an unknown key, and regularly by :meth:`keep_fresh`, which the owner runs. A fetch that fails
    leaves the copy that is held; that copy serves for STALE_AFTER seconds.

    ``fetch`` runs in a worker thread; ``timeout`` (seconds) is how long anybody waits for it.
    ``clock`` counts seconds and never goes back. For one event loop.
    Raises ValueError for a URL that is not http or https, or has credentials in it.
    """

    def __init__(
        self,
        url: str,
        *,
        fetch: Fetch | None = None,
        timeout: float = FETCH_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = _checked_host(url)
        self._url = url
        self._fetch = fetch or (lambda address: fetch_document(address, timeout))
        self._timeout = timeout
        self._clock = clock
        self._copy: _Copy | None = None
        self._flight: anyio.Event | None = None  # set when the fetch in progress has ended
        self._begun_at: float | None = None  # when the last fetch was begun
        self._fetches = 0
        self._failures = 0
        self._last_failure: str | None = None

    def __repr__(self) -> str:
        return f"KeySet({self._host})"  # the rest of the URL may hold a key to it

    async def key_for(self, kid: str | None) -> VerificationKey:
        """See KeySource. A key at hand is returned without waiting, whatever else goes on."""
        key = self._find(kid)
        if key is None and self._may_help(kid):
            await self._refresh()
            key = self._find(kid)
        if key is None:
            self._refuse(kid)
        return key

    async def keep_fresh(
        self, *, sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    ) -> NoReturn:
        """Fetch now and every REFRESH_AFTER seconds, so that withdrawn keys are forgotten.

        Run it in a task of the block that owns the key set; cancel it to stop. Failures are
        logged and tried again after COOL_DOWN seconds.
        """
        while True:
            await self._refresh()
            await sleep(COOL_DOWN if self._last_failure else REFRESH_AFTER)

    def statistics(self) -> KeySetStatistics:
        """Describe the key set as it is now."""
        copy = self._copy
        return KeySetStatistics(
            keys=len(copy.ring) if copy else 0,
            age=self._clock() - copy.asked_at if copy else None,
            fetches=self._fetches,
            failures=self._failures,
            last_failure=self._last_failure,
        )

    def _held(self) -> KeyRing | None:
        copy = self._copy
        if copy is None or self._clock() - copy.asked_at > STALE_AFTER:
            return None
        return copy.ring

    def _find(self, kid: str | None) -> VerificationKey | None:
        held = self._held()
        return held.find(kid) if held is not None else None

    def _may_help(self, kid: str | None) -> bool:
        """Tell whether a fetch can bring the key: not when the token fails to name one."""
        return kid is not None or self._held() is None

    def _refuse(self, kid: str | None) -> NoReturn:
        if self._held() is None:
            raise KeysUnavailable
        if kid is None:
            raise TokenInvalid("the token must name its key in the kid header")
        raise TokenInvalid("the token is signed with a key unknown here: get a new token")

    async def _refresh(self) -> None:
        """Fetch; or wait for the fetch in progress; or, within the cool-down, do nothing."""
        if self._flight is not None:
            await self._flight.wait()
            return
        now = self._clock()
        if self._begun_at is not None and now - self._begun_at < COOL_DOWN:
            return
        self._begun_at = now
        flight = self._flight = anyio.Event()
        try:
            await self._replace_copy(now)
        finally:
            self._flight = None
            flight.set()

    async def _replace_copy(self, now: float) -> None:
        self._fetches += 1
        try:
            # Shielded: the client that happened to cause the fetch may leave, the others wait for
            # it. Abandoned at the deadline: a thread cannot be stopped, but its time is bounded.
            with anyio.fail_after(self._timeout, shield=True):
                ring = await anyio.to_thread.run_sync(self._download, abandon_on_cancel=True)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._failures += 1
            self._last_failure = str(error) or f"no answer within {self._timeout:g} s"
            _log.warning("keys not fetched from %s: %s", self._host, self._last_failure)
        else:
            self._copy = _Copy(ring, now)
            self._last_failure = None

    def _download(self) -> KeyRing:
        return parse_key_set(self._fetch(self._url))


def _checked_host(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _VISIBLE.fullmatch(url):
        raise ValueError("the JWKS URL must begin with https:// or http:// and name a host")
    if "@" in parts.netloc:
        raise ValueError("the JWKS URL must not have a user or password in it")
    return f"{parts.scheme}://{parts.netloc}"


def fetch_document(url: str, timeout: float = FETCH_TIMEOUT) -> bytes:
    """Get a document of at most MAX_KEY_SET_BYTES. Blocks, for about ``timeout`` seconds at most.

    Redirects are followed within the scheme of the URL. The proxies of the environment are used.
    Raises OSError, HTTPException, or ValueError for a document that is too large.
    """
    deadline = time.monotonic() + timeout
    opener = urllib.request.build_opener(_RedirectsWithinScheme())
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - _checked_host, and the redirects below
    try:
        with opener.open(request, timeout=timeout) as response:
            return _read(response, deadline)
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(f"the key endpoint answered {error.code}") from None


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    body = bytearray()
    while chunk := response.read1(1 << 16):
        body += chunk
        if len(body) > MAX_KEY_SET_BYTES:
            raise ValueError(f"the key set has more than {MAX_KEY_SET_BYTES} bytes")
        # The socket's own timeout begins again with every byte.
        if time.monotonic() > deadline:
            raise TimeoutError("the key endpoint sends too slowly")
    return bytes(body)


class _RedirectsWithinScheme(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != req.type:
            fp.close()
            raise OSError("the key endpoint redirects to another scheme: give its final URL")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
