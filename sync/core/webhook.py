"""Webhooks: what a receiver is sent, how it is signed, and what comes of the answer.

The body is a CloudEvent 1.0 in structured JSON; its attributes' names have only a-z and 0-9, as the
specification asks. The signature is that of Standard Webhooks 1.0, so any library of theirs can
verify it; :func:`verify` does so with nothing but the standard library, and may be copied.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from sync.core.events import OWN_KINDS, iso
from sync.core.session import draft_name

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"

TOLERANCE_SECONDS = 300.0
"""How far a receiver's clock may be from ours."""

FIRST_SECONDS = 1.0
MOST_SECONDS = 300.0
"""Of a pause between two attempts."""

MOST_RETRY_AFTER_SECONDS = 3_600.0
"""However long a receiver asks us to wait."""

MIN_KEY, MAX_KEY = 24, 64
"""Bytes of a signing key, by Standard Webhooks."""

MAX_NAME = 255
"""Bytes of a consumer's name."""

DEFAULT_KINDS = tuple(f"{own}*" for own in OWN_KINDS)

_SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with
_KINDS = re.compile(r"(?=.)[a-z0-9_.-]{0,64}\*?")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")


# -- who is told


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of events. Its address may hold a token in its query: it is not shown."""

    name: str  # in the store, in logs and to people; it has nothing secret
    url: str = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)  # the first is the newest
    kinds: tuple[str, ...] = DEFAULT_KINDS  # kinds, or with a * at the end all that begin so

    def wants(self, kind: str) -> bool:
        """Whether events of a kind are for it."""
        return any(
            kind.startswith(each[:-1]) if each.endswith("*") else kind == each
            for each in self.kinds
        )


def checked_url(url: str) -> str:
    """An address to send to. Raises ValueError, which does not say the address."""
    expected = "a webhook is an http or https URL, such as https://hooks.example.org/draftsync"
    try:
        parts = urlsplit(url)
        port = parts.port  # a bad one is only found when it is looked at
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError(expected)
    if _UNSAFE.search(url):
        raise ValueError(f"{expected}: without spaces or control characters")
    if parts.username is not None or parts.fragment:
        raise ValueError(
            f"{expected}: without user, password and fragment (deliveries are signed instead)"
        )
    return url


def name_of(url: str) -> str:
    """The name of a receiver that was given none: its address without the query."""
    return url.partition("?")[0]


def checked_name(name: str) -> str:
    """Raises ValueError."""
    if _UNSAFE.search(name) or not 1 <= len(name.encode()) <= MAX_NAME:
        raise ValueError(f"a webhook's name has 1-{MAX_NAME} bytes, and no spaces")
    return name


def checked_kind(kind: str) -> str:
    """Raises ValueError."""
    if not _KINDS.fullmatch(kind):
        raise ValueError("kinds are such as session.started, draft.* or *")
    return kind


def signing_keys(secret: str) -> tuple[bytes, ...]:
    """The keys of a secret; several, with spaces between, while they are changed.

    Raises ValueError, which does not say the secret.
    """
    keys = tuple(_key(each) for each in secret.split())
    if not keys:
        raise ValueError(_EXPECTED_SECRET)
    return keys


_EXPECTED_SECRET = (
    f"a webhook's secret is {_SECRET_PREFIX} and base64 of {MIN_KEY}-{MAX_KEY} random bytes: make "
    f'one with: echo "{_SECRET_PREFIX}$(openssl rand -base64 32)"'
)


def _key(secret: str) -> bytes:
    if not secret.startswith(_SECRET_PREFIX):
        raise ValueError(_EXPECTED_SECRET)
    text = secret.removeprefix(_SECRET_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(_EXPECTED_SECRET) from None
    if not MIN_KEY <= len(key) <= MAX_KEY:
        raise ValueError(_EXPECTED_SECRET)
    return key


# -- what it is told


@dataclass(frozen=True, slots=True)
class Notice:
    """An event of a session, as receivers are told of it."""

    session: str
    epoch: str  # of the session
    offset: int
    event_id: str  # unique in its session
    kind: str
    actor: str
    time: float
    data: str  # JSON

    @property
    def id(self) -> str:
        """Unique among all sessions of all databases, and the same at every attempt."""
        return f"{self.epoch}-{self.event_id}"

    def body(self) -> bytes:
        """As a CloudEvent. ``data`` is JSON already, and stays as it is."""
        attributes = {
            "specversion": "1.0",
            "id": self.id,
            "source": f"/sessions/{self.session}",
            "type": f"draftsync.{self.kind}",
            "subject": self._subject(),
            "time": iso(self.time),
            "datacontenttype": "application/json",
            "sessionid": self.session,
            "epoch": self.epoch,
            "offset": self.offset,
            "actor": self.actor,
        }
        text = json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))
        return f'{text[:-1]},"data":{self.data}}}'.encode()

    def _subject(self) -> str:
        """What it is about: the draft of a test case, or the session."""
        if self.kind.startswith("draft."):
            case = json.loads(self.data).get("case")
            if isinstance(case, str):
                return draft_name(self.session, case)
        return self.session


def request_headers(
    message: str, body: bytes, keys: Iterable[bytes], timestamp: int
) -> dict[str, str]:
    """What goes with a body: who sends what kind of text, and the signatures."""
    return {
        "content-type": CONTENT_TYPE,
        "user-agent": "draftsync",
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(key, message, timestamp, body) for key in keys),
    }


def sign(key: bytes, message: str, timestamp: int, body: bytes) -> str:
    """The signature of a message, by Standard Webhooks: HMAC-SHA256 of ``id.timestamp.body``."""
    signed = hmac.digest(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    tolerance: float = TOLERANCE_SECONDS,
) -> None:
    """What a receiver does before it believes a message. Raises ValueError for a forged one.

    ``body`` are the bytes as they came, not JSON that was read and written again; ``now`` is in
    seconds since the Unix epoch. Drop what has a ``webhook-id`` that was there before.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message, timestamp, signatures = (
        given.get(f"webhook-{each}", "") for each in ("id", "timestamp", "signature")
    )
    if not (message and timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 16):
        raise ValueError("webhook-id and webhook-timestamp are needed")
    if abs(now - int(timestamp)) > tolerance:
        raise ValueError("webhook-timestamp is too far from now: an old message, or a wrong clock")
    expected = [sign(key, message, int(timestamp), body).encode() for key in signing_keys(secret)]
    if not any(
        hmac.compare_digest(each.encode(errors="replace"), one)
        for each in signatures.split()
        for one in expected
    ):
        raise ValueError("webhook-signature is not that of this body, id, timestamp and secret")


# -- what comes of it


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; ``status`` is None where no answer came, and ``reason`` says why."""

    status: int | None
    reason: str = ""
    retry_after: str | None = None  # the header


@dataclass(frozen=True, slots=True)
class Taken:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Again:
    """It is to be sent again, so many seconds later."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Dead:
    """It was sent as often as it may be."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The receiver wants nothing more."""

    reason: str


Outcome = Taken | Again | Dead | Gone


def decide(answer: Answer, attempt: int, attempts: int, chance: float, now: float) -> Outcome:
    """Tell what comes of the answer to an attempt, of which the first is 1.

    ``chance`` is random, of 0 to 1; ``now`` in seconds since the Unix epoch, for a date in
    Retry-After.
    """
    if answer.status is not None and 200 <= answer.status < 300:
        return Taken()
    reason = reason_of(answer)
    if answer.status == 410:
        return Gone(reason)
    if attempt >= attempts:
        times = "once" if attempt == 1 else f"{attempt} times"
        return Dead(f"{reason} (tried {times})")
    asked = min(retry_after(answer.retry_after, now), MOST_RETRY_AFTER_SECONDS)
    return Again(max(backoff(attempt, chance), asked), reason)


def reason_of(answer: Answer) -> str:
    """Why an event was not taken, in words."""
    if answer.status is None:
        return answer.reason
    if 300 <= answer.status < 400:
        return f"it answered {answer.status}, and redirects are not followed: give its new address"
    return f"it answered {answer.status}"


def backoff(attempt: int, chance: float) -> float:
    """Seconds to wait after an attempt failed: up to twice as long each time, by chance."""
    most = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(attempt, 32))
    return FIRST_SECONDS + chance * (most - FIRST_SECONDS)


def retry_after(header: str | None, now: float) -> float:
    """Seconds that a Retry-After header asks for; 0 without one, or one that is none."""
    if header is None:
        return 0.0
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0
