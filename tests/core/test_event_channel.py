"""The protocol of the event channel: what is understood, what is refused, where one goes on."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.errors import (
    Draining,
    Forbidden,
    IllegalStep,
    InvalidSession,
    MalformedMessage,
    Overloaded,
)
from sync.core.event_channel import (
    NOT_TEXT,
    Acknowledge,
    ClientMessage,
    Code,
    EventChannel,
    Ping,
    Pong,
    Publish,
    Refused,
    RenewToken,
    Subscribe,
    error_text,
    ping_text,
    published_text,
    read,
    session_from_path,
    session_in_path,
    status_text,
    subscribed_text,
    token_text,
    verdict_text,
)
from sync.core.events import MAX_DATA

ID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


def said(**message: Any) -> bytes:
    return json.dumps(message).encode()


def publication(data: Any, event_id: Any = ID, kind: Any = "review.note") -> bytes:
    return said(type="publish", id=event_id, kind=kind, data=data)


def refused(text: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        read(text)
    return caught.value


# ------------------------------------------------------------------------------- what is understood


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (said(type="subscribe"), Subscribe()),
        (said(type="subscribe", epoch=None, after=None), Subscribe()),
        (said(type="subscribe", epoch="e", after=0), Subscribe("e", 0)),
        (said(type="subscribe", after=2**53 - 1, status=True), Subscribe(None, 2**53 - 1, True)),
        (said(type="ack", offset=7), Acknowledge(7)),
        (said(type="ping"), Ping()),
        (said(type="pong", time="2026-01-01", more=[1]), Pong()),
        (said(type="token", token="t"), RenewToken("t")),
        (b' {"type":"ack",\n"offset":7}\t', Acknowledge(7)),
        ('{"type":"subscribe","epoch":"é"}'.encode(), Subscribe("é")),
    ],
)
def test_what_a_client_may_say(text: bytes, message: ClientMessage) -> None:
    assert read(text) == message


def test_an_event_is_read_once_and_kept_compact() -> None:
    message = read(publication({"text": "schön", "score": [1, 2.5, None, True]}))
    assert isinstance(message, Publish)
    assert message.event.data == '{"text":"schön","score":[1,2.5,null,true]}'
    assert (message.event.id, message.event.kind) == (ID, "review.note")


# ---------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b"17",
        b'"subscribe"',
        b"{}",
        b'{"type":null}',
        b'{"type":["subscribe"]}',
        b'{"type":{}}',
        said(type="Subscribe"),
        said(type="event"),
        b'{"type":"subscribe"}{"type":"subscribe"}',
        b'\xef\xbb\xbf{"type":"subscribe"}',
        b'{"type":"ack","offset":NaN}',
        b'{"type":"ack","offset":Infinity}',
        b'{"type":"ack","offset":1' + b"0" * 5_000 + b"}",
        said(type="ack"),
        said(type="ack", offset=-1),
        said(type="ack", offset=1.0),
        said(type="ack", offset="1"),
        said(type="ack", offset=True),
        said(type="ack", offset=2**53),
        said(type="subscribe", after="1"),
        said(type="subscribe", after=-1),
        said(type="subscribe", after=False),
        said(type="subscribe", epoch=7),
        said(type="subscribe", status=1),
        said(type="subscribe", status=None),
        said(type="token"),
        said(type="token", token=7),
        b"[" * 100_000,
        b'{"type":"subscribe","epoch":' + b"[" * 100_000,
        NOT_TEXT,
    ],
)
def test_what_is_malformed(text: bytes) -> None:
    assert refused(text).code == Code.MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        publication({}, event_id="x"),
        publication({}, event_id=None),
        publication({}, kind="Note"),
        publication({}, kind="session.started"),
        publication({}, kind="draft.completed"),
        publication({}, kind=3),
        publication([]),
        publication("text"),
        publication(None),
        said(type="publish", id=ID, kind="note"),
        publication({}).replace(b"{}", b'{"x":NaN}').replace(b"NaN", b"1e999"),
        publication({"x": "\ud800"}),
        publication({}).replace(b"{}", b'{"x":' + b"[" * 65 + b"]" * 65 + b"}"),
    ],
)
def test_what_is_no_event(text: bytes) -> None:
    assert refused(text).code == Code.INVALID_EVENT


def test_nan_is_not_json() -> None:
    text = publication({}).replace(b"{}", b'{"x":NaN}')
    assert refused(text).code == Code.MALFORMED


def test_the_largest_event_and_a_larger_one() -> None:
    largest = {"x": "a" * (MAX_DATA - len('{"x":""}'))}
    assert isinstance(read(publication(largest)), Publish)
    larger = {"x": largest["x"] + "a"}
    error = refused(publication(larger))
    assert (error.code, error.message_id) == (Code.TOO_LARGE, ID)


@pytest.mark.parametrize(
    ("text", "message_id"),
    [
        (publication({}, kind="Bad"), ID),
        (publication({}, event_id="not a uuid"), "not a uuid"),
        (publication({}, event_id="\ud800"), "\ud800"),
        (publication({}, event_id="x" * 101), None),
        (publication({}, event_id=17), None),
        (said(type="unknown", id="q"), "q"),
        (b"{", None),
    ],
)
def test_an_error_has_the_id_of_what_it_is_about(text: bytes, message_id: str | None) -> None:
    error = refused(text)
    assert error.message_id == message_id
    told = json.loads(error.text)
    assert told["type"] == "error"
    assert ("id" in told) == (message_id is not None)


def test_what_is_not_even_text() -> None:
    with pytest.raises(UnicodeDecodeError):
        read(b'{"type":"\xff"}')


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data: bytes) -> None:
    with suppress(Refused, UnicodeDecodeError):
        read(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
TYPES = st.sampled_from(["subscribe", "publish", "ack", "ping", "pong", "token"])
FIELDS = st.sampled_from(["id", "kind", "data", "epoch", "after", "status", "offset", "token"])


@given(TYPES, st.dictionaries(FIELDS, JSON | st.just(ID) | st.just("note")))
def test_no_fields_do_harm(kind: str, fields: dict[str, Any]) -> None:
    with suppress(Refused):
        message = read(json.dumps({"type": kind} | fields).encode())
        if isinstance(message, Publish):
            assert json.loads(message.event.data) == fields["data"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Forbidden("no"), Code.FORBIDDEN),
        (IllegalStep("no", ()), Code.ILLEGAL_STEP),
        (Overloaded("no"), Code.UNAVAILABLE),
        (Draining("no"), Code.UNAVAILABLE),
        (MalformedMessage("no"), Code.MALFORMED),
    ],
)
def test_errors_of_the_core_have_a_code(error: Any, code: Code) -> None:
    assert json.loads(Refused.because(error, ID).text) == {
        "type": "error",
        "code": code,
        "message": "no",
        "id": ID,
    }


# ------------------------------------------------------------------------------------ what is told


def test_what_the_server_says_is_json() -> None:
    session = {"id": "s1", "title": "é"}
    told = subscribed_text("e", 7, session, recovered=True, truncated_before=None)
    assert json.loads(told) == {
        "type": "subscribed",
        "epoch": "e",
        "top": 7,
        "recovered": True,
        "session": session,
    }
    cut = subscribed_text("e", 7, session, recovered=False, truncated_before=3)
    assert json.loads(cut)["truncated_before"] == 3
    assert json.loads(published_text(ID, 3)) == {"type": "published", "id": ID, "offset": 3}
    assert json.loads(ping_text(9, 0.5)) == {
        "type": "ping",
        "top": 9,
        "time": "1970-01-01T00:00:00.500Z",
    }
    assert json.loads(token_text(1.0))["expires"] == "1970-01-01T00:00:01.000Z"
    assert json.loads(status_text({"x": 1})) == {"type": "status", "status": {"x": 1}}
    assert "id" not in json.loads(error_text(Code.FORBIDDEN, "no"))


@pytest.mark.parametrize(
    ("code", "reason", "word"),
    [
        (4400, "no session id", Code.MALFORMED),
        (4401, "a token is required", Code.UNAUTHORIZED),
        (4401, "token-expired: get a new one", Code.TOKEN_EXPIRED),
        (4403, "no right", Code.FORBIDDEN),
        (4404, "no session", Code.UNKNOWN_SESSION),
        (4499, "whatever comes", Code.INTERNAL),
    ],
)
def test_final_verdicts_have_a_code(code: int, reason: str, word: Code) -> None:
    assert json.loads(verdict_text(code, reason)) == {
        "type": "error",
        "code": word,
        "message": reason,
    }


# -------------------------------------------------------------------------------------- where it is


@pytest.mark.parametrize(
    ("path", "session"),
    [
        (b"/sessions/s1/events", "s1"),
        (b"/sessions/eval%2D7/events", "eval-7"),
        (b"/sessions/a%2Eb/events", "a.b"),
    ],
)
def test_the_session_in_a_path(path: bytes, session: str) -> None:
    part = session_in_path(path)
    assert part is not None
    assert session_from_path(part) == session


@pytest.mark.parametrize(
    "path", [b"/sessions/s1", b"/sessions/a/b/events", b"/sync/s1", b"/x/sessions/s1/events"]
)
def test_other_paths(path: bytes) -> None:
    assert session_in_path(path) is None


@pytest.mark.parametrize("part", [b"", b"a%2Fb", b"a%252Db", b"%00", b"%ff", b"a b", b"a+b", b"%"])
def test_what_names_no_session(part: bytes) -> None:
    """It is decoded once: %252D is %2D, which is no session's id."""
    with pytest.raises(InvalidSession):
        session_from_path(part)


# ----------------------------------------------------------------------------- where it goes on

TOP, REMOVED = 20, 5


@pytest.mark.parametrize(
    ("message", "recovered", "offset"),
    [
        (Subscribe(), True, 20),
        (Subscribe("e"), True, 20),
        (Subscribe("other"), False, 20),
        (Subscribe("e", 20), True, 20),
        (Subscribe("e", 12), True, 12),
        (Subscribe(None, 12), True, 12),
        (Subscribe("e", 5), True, 5),  # the next one is 6, the first that is left
        (Subscribe("e", 4), False, 20),
        (Subscribe("e", 0), False, 20),
        (Subscribe("e", 21), False, 20),
        (Subscribe("other", 12), False, 20),
    ],
)
def test_where_a_subscription_goes_on(message: Subscribe, recovered: bool, offset: int) -> None:
    channel = EventChannel()
    assert channel.subscribe(message, epoch="e", top=TOP, truncated=REMOVED) == recovered
    assert channel.offset == offset
    assert channel.resumes == (message.after is not None)


def test_a_log_of_which_nothing_was_removed() -> None:
    channel = EventChannel()
    assert channel.subscribe(Subscribe("e", 0), epoch="e", top=TOP, truncated=0)
    assert channel.offset == 0


def test_subscribing_again_moves() -> None:
    channel = EventChannel()
    channel.subscribe(Subscribe(status=True), epoch="e", top=TOP, truncated=0)
    assert channel.status
    channel.subscribe(Subscribe("e", 3), epoch="e", top=TOP, truncated=0)
    assert (channel.offset, channel.status) == (3, False)


@pytest.mark.parametrize("text", [publication({}), said(type="ack", offset=0)])
def test_what_needs_a_subscription(text: bytes) -> None:
    channel = EventChannel()
    with pytest.raises(Refused) as caught:
        channel.receive(text)
    assert caught.value.code == Code.NOT_SUBSCRIBED
    assert caught.value.message_id == (ID if b"publish" in text else None)
    channel.subscribe(Subscribe(), epoch="e", top=0, truncated=0)
    channel.receive(text)


@pytest.mark.parametrize(
    "text", [said(type="ping"), said(type="pong"), said(type="token", token="t")]
)
def test_what_needs_none(text: bytes) -> None:
    EventChannel().receive(text)


# ------------------------------------------------------------------------------------ the heartbeat


def test_two_pings_without_an_answer() -> None:
    channel = EventChannel()
    assert channel.beat(25.0)
    assert channel.beat(50.0)
    assert not channel.beat(75.0)


def test_a_pong_answers_all_pings() -> None:
    channel = EventChannel()
    channel.beat(25.0)
    channel.beat(50.0)
    assert channel.answered(51.5) == channel.round_trip == 26.5
    assert channel.beat(75.0)
    assert channel.answered(75.25) == channel.round_trip == 0.25


def test_a_pong_to_no_ping() -> None:
    channel = EventChannel()
    assert channel.answered(1.0) is None
    assert channel.round_trip is None
    channel.beat(25.0)
    channel.answered(26.0)
    assert channel.answered(27.0) is None
    assert channel.round_trip == 1.0


def test_ids_are_not_mixed_up() -> None:
    first, second = str(uuid4()), str(uuid4())
    messages = [read(publication({}, event_id=each)) for each in (first, second)]
    assert [m.event.id for m in messages if isinstance(m, Publish)] == [first, second]
