"""What receivers of webhooks are sent, how it is signed, and what comes of their answers."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.webhook import (
    MOST_RETRY_AFTER_SECONDS,
    MOST_SECONDS,
    Again,
    Answer,
    Dead,
    Gone,
    Notice,
    Taken,
    Webhook,
    backoff,
    checked_kind,
    checked_name,
    checked_url,
    decide,
    name_of,
    request_headers,
    retry_after,
    sign,
    signing_keys,
    verify,
)

NOW = 1_790_000_000.0

# The vector of Standard Webhooks' own tests.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1_614_265_330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {
    "webhook-id": MESSAGE,
    "webhook-timestamp": str(TIMESTAMP),
    "webhook-signature": SIGNATURE,
}


# -- signatures


def test_the_vector_of_standard_webhooks() -> None:
    (key,) = signing_keys(SECRET)
    assert sign(key, MESSAGE, TIMESTAMP, BODY) == SIGNATURE
    verify(SECRET, HEADERS, BODY, TIMESTAMP)


def test_what_is_sent_can_be_verified() -> None:
    headers = request_headers("a-b", b"{}", signing_keys(SECRET), int(NOW))
    assert headers["content-type"].startswith("application/cloudevents+json")
    verify(SECRET, headers, b"{}", NOW)
    verify(SECRET, {name.title(): value for name, value in headers.items()}, b"{}", NOW)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"webhook-id": ""}, "webhook-id"),
        ({"webhook-id": "msg_other"}, "signature"),
        ({"webhook-timestamp": ""}, "timestamp"),
        ({"webhook-timestamp": "hello"}, "timestamp"),
        ({"webhook-timestamp": "9" * 5_000}, "timestamp"),
        ({"webhook-timestamp": "\u0664"}, "timestamp"),
        ({"webhook-timestamp": str(TIMESTAMP + 1)}, "signature"),
        ({"webhook-signature": ""}, "signature"),
        ({"webhook-signature": SIGNATURE.replace("OE=", "OA=")}, "signature"),
        ({"webhook-signature": SIGNATURE.removeprefix("v1,")}, "signature"),
        ({"webhook-signature": SIGNATURE.replace("v1", "v2")}, "signature"),
        ({"webhook-signature": "v1,\u00e9\udc80"}, "signature"),
    ],
)
def test_forged_headers(changed: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        verify(SECRET, HEADERS | changed, BODY, TIMESTAMP)


def test_forged_bodies_and_old_messages() -> None:
    with pytest.raises(ValueError, match="signature"):
        verify(SECRET, HEADERS, BODY + b" ", TIMESTAMP)
    for seconds in (-301, 301):
        with pytest.raises(ValueError, match="too far"):
            verify(SECRET, HEADERS, BODY, TIMESTAMP + seconds)
    verify(SECRET, HEADERS, BODY, TIMESTAMP + 300)


def test_a_header_with_several_signatures() -> None:
    others = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v1a,x"
    verify(
        SECRET, HEADERS | {"webhook-signature": f"{others} {SIGNATURE} {others}"}, BODY, TIMESTAMP
    )


def test_a_secret_that_is_being_changed() -> None:
    """Receivers with the old secret and with the new one both take what is signed with both."""
    new = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    headers = request_headers("a-b", b"{}", signing_keys(f"{new} {SECRET}"), int(NOW))
    verify(new, headers, b"{}", NOW)
    verify(SECRET, headers, b"{}", NOW)


@pytest.mark.parametrize("size", [24, 25, 26, 64])
def test_secrets_with_and_without_padding(size: int) -> None:
    text = "whsec_" + base64.b64encode(bytes(size)).decode()
    assert signing_keys(text) == signing_keys(text.rstrip("=")) == (bytes(size),)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        " ",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_!!!!9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_\u00e9fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        f"{SECRET} other",
    ],
)
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="openssl rand") as refused:
        signing_keys(secret)
    assert not secret.strip() or secret not in str(refused.value) or secret == "whsec_"


# -- bodies


def a_notice(kind: str = "session.started", **changed: Any) -> Notice:
    told: dict[str, Any] = {
        "session": "s1",
        "epoch": "9b1c5f0e6a7d4c32",
        "offset": 3,
        "event_id": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
        "kind": kind,
        "actor": "alice",
        "time": 1_790_000_000.25,
        "data": '{"state":"running"}',
    }
    return Notice(**(told | changed))


def test_a_cloud_event() -> None:
    assert json.loads(a_notice().body()) == {
        "specversion": "1.0",
        "id": "9b1c5f0e6a7d4c32-7d444840-9dc0-11d1-b245-5ffdce74fad2",
        "source": "/sessions/s1",
        "type": "draftsync.session.started",
        "subject": "s1",
        "time": "2026-09-21T14:13:20.250Z",
        "datacontenttype": "application/json",
        "sessionid": "s1",
        "epoch": "9b1c5f0e6a7d4c32",
        "offset": 3,
        "actor": "alice",
        "data": {"state": "running"},
    }


@pytest.mark.parametrize("kind", ["session.started", "draft.completed", "review.note"])
def test_attributes_are_named_as_cloud_events_want(kind: str) -> None:
    """CloudEvents 1.0, section 3.1: lower-case letters and digits, 20 of them at most."""
    for name in json.loads(a_notice(kind).body()):
        assert re.fullmatch("[a-z0-9]{1,20}", name)


def test_the_subject_is_the_draft_where_there_is_one() -> None:
    data = '{"case":"case 1/ä","subject":"bob"}'
    told = json.loads(a_notice("draft.completed", data=data).body())
    assert told["subject"] == "drafts/s1/case 1/ä"
    assert json.loads(a_notice("draft.other", data='{"case":7}').body())["subject"] == "s1"


def test_an_id_is_safe_to_sign_and_in_a_header() -> None:
    """The dots of ``id.timestamp.body`` are the only ones, and nobody else's id is the same."""
    assert "." not in a_notice().id
    assert a_notice().id != a_notice(epoch="0000000000000000").id
    assert a_notice().id == a_notice(offset=4, time=NOW).id


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers() | st.none()),
)
def test_any_text_survives(actor: str, data: dict[str, Any]) -> None:
    for ascii_only in (True, False):
        text = json.dumps(data, ensure_ascii=ascii_only)
        told = json.loads(a_notice(actor=actor, data=text).body())
        assert (told["actor"], told["data"]) == (actor, data)


# -- answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_taken(status: int) -> None:
    assert decide(Answer(status), 99, 12, 0.5, NOW) == Taken()


@pytest.mark.parametrize("status", [100, 199, 300, 301, 307, 400, 401, 404, 409, 429, 500, 503])
def test_everything_else_is_tried_again(status: int) -> None:
    outcome = decide(Answer(status), 1, 12, 0.5, NOW)
    assert isinstance(outcome, Again)
    assert str(status) in outcome.reason


def test_no_answer_is_tried_again() -> None:
    assert decide(Answer(None, "no route"), 1, 12, 0.0, NOW) == Again(1.0, "no route")


def test_a_redirect_says_what_to_do() -> None:
    outcome = decide(Answer(308), 1, 12, 0.0, NOW)
    assert isinstance(outcome, Again)
    assert "give its new address" in outcome.reason


def test_the_last_attempt() -> None:
    assert isinstance(decide(Answer(500), 11, 12, 0.5, NOW), Again)
    assert decide(Answer(500), 12, 12, 0.5, NOW) == Dead("it answered 500 (tried 12 times)")
    assert decide(Answer(None, "no route"), 1, 1, 0.5, NOW) == Dead("no route (tried once)")


@pytest.mark.parametrize("attempt", [1, 12])
def test_gone(attempt: int) -> None:
    assert decide(Answer(410), attempt, 12, 0.5, NOW) == Gone("it answered 410")


def test_pauses_grow_up_to_five_minutes() -> None:
    assert [backoff(attempt, 1.0) for attempt in (1, 2, 3, 8, 9, 12, 10**9)] == [
        *(2.0, 4.0, 8.0, 256.0),
        *(300.0, 300.0, 300.0),
    ]
    assert backoff(5, 0.0) == 1.0


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_a_pause_is_within_a_second_and_five_minutes(attempt: int, chance: float) -> None:
    assert 1.0 <= backoff(attempt, chance) <= MOST_SECONDS


def test_retry_after() -> None:
    assert decide(Answer(503, retry_after="120"), 1, 12, 1.0, NOW) == Again(120, "it answered 503")
    assert decide(Answer(503, retry_after="1"), 4, 12, 1.0, NOW) == Again(16, "it answered 503")
    later = format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)
    assert decide(Answer(429, retry_after=later), 1, 12, 1.0, NOW) == Again(90, "it answered 429")
    assert retry_after("Mon, 21 Sep 2026 14:13:25 -0000", NOW) == 5.0


@pytest.mark.parametrize("header", ["9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_is_bounded(header: str) -> None:
    outcome = decide(Answer(503, retry_after=header), 1, 12, 1.0, NOW)
    assert outcome == Again(MOST_RETRY_AFTER_SECONDS, "it answered 503")


@pytest.mark.parametrize(
    "header",
    [None, "", "soon", "-5", "1.5", "\u00b2", "\u0665", "Mon, 21 Sep 2020 14:13:25 GMT", "1 Jan 0"],
)
def test_what_is_no_retry_after_is_none(header: str | None) -> None:
    assert retry_after(header, NOW) == 0.0


@given(st.text())
def test_no_retry_after_does_harm(header: str) -> None:
    assert retry_after(header, NOW) >= 0.0


# -- receivers


def test_a_receiver_is_told_what_it_wants() -> None:
    hook = Webhook("n", "u", (b"k",))
    assert hook.wants("session.started")
    assert hook.wants("draft.completed")
    assert not hook.wants("review.note")
    assert not hook.wants("sessions")
    chosen = Webhook("n", "u", (b"k",), ("session.stopped", "review.*"))
    assert [chosen.wants(kind) for kind in ("session.stopped", "session.started")] == [True, False]
    assert [chosen.wants(kind) for kind in ("review.note", "reviews")] == [True, False]
    assert Webhook("n", "u", (b"k",), ("*",)).wants("anything.at-all")


def test_a_receiver_shown_shows_no_secret() -> None:
    shown = repr(Webhook("n", "https://a.org/?token=abc", (b"key",)))
    assert "abc" not in shown
    assert "key" not in shown.replace("keys", "")


def test_the_name_has_nothing_of_the_query() -> None:
    assert name_of("https://a.org:8443/hook?token=abc") == "https://a.org:8443/hook"


@pytest.mark.parametrize("url", ["http://a", "https://a.org/x?y=z", "http://[::1]:80/", "HTTP://a"])
def test_addresses(url: str) -> None:
    assert checked_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("", "a.org/hook", "ftp://a.org", "file:///etc/passwd", "https://", "https:///x"),
        *("https://user:hunter2@a.org", "https://hunter2@a.org", "https://a.org/#hunter2"),
        *("https://a.org:hunter2", "https://a.org:99999", "https://a.org:0"),
        *("https://a.org/hunter2 x", "https://a.org/\n", "https://[::1", "//a.org"),
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="http or https") as refused:
        checked_url(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "a b", "a\n", "x" * 256, "ä" * 128])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        checked_name(name)


def test_names_and_kinds() -> None:
    assert checked_name("crm") == "crm"
    for kind in ("*", "session.*", "draft.completed", "review*"):
        assert checked_kind(kind) == kind
    for kind in ("", "a b", "*.x", "**", "Session.*", "x" * 65):
        with pytest.raises(ValueError, match="kinds are such as"):
            checked_kind(kind)
