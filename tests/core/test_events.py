"""What may be published, and how an event looks on the wire."""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.core.errors import InvalidEvent
from sync.core.events import (
    MAX_DATA,
    MAX_DEPTH,
    NewEvent,
    checked_id,
    checked_kind,
    encoded,
    event_text,
    iso,
    new_event,
    repeatable_id,
)

ID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


def test_an_event_is_an_id_a_kind_and_data() -> None:
    assert new_event(ID, "review.note", {"text": "gut", "n": [1, 2.5, None, True]}) == NewEvent(
        ID, "review.note", '{"text":"gut","n":[1,2.5,null,true]}'
    )


@pytest.mark.parametrize(
    ("event_id", "kind", "data"), [("x", "note", {}), (ID, "X", {}), (ID, "note", [])]
)
def test_what_is_wrong_in_any_part_is_no_event(event_id: str, kind: str, data: Any) -> None:
    with pytest.raises(InvalidEvent):
        new_event(event_id, kind, data)


# ---------------------------------------------------------------------------------------------- ids


@given(st.uuids(), st.booleans())
def test_a_uuid_is_taken_as_it_is_written(event_id: uuid.UUID, upper: bool) -> None:
    text = str(event_id).upper() if upper else str(event_id)
    assert checked_id(text) == text  # or its sender would not know the answer


@pytest.mark.parametrize(
    "event_id",
    [
        None,
        7,
        True,
        [],
        {},
        "",
        "1",
        ID[:-1],
        ID + "0",
        ID + "\n",
        " " + ID,
        ID.replace("-", ""),
        "{" + ID + "}",
        "urn:uuid:" + ID,
        ID.replace("7", "g", 1),
        ID.replace("7", "٧"),  # a digit, to int()
        ID.replace("-", "_"),
        "\ud800",
    ],
)
def test_what_is_no_uuid_in_its_usual_form(event_id: object) -> None:
    with pytest.raises(InvalidEvent, match="id must be a UUID, such as"):
        checked_id(event_id)


# -------------------------------------------------------------------------------------------- kinds


@pytest.mark.parametrize(
    "kind", ["note", "review.note", "a", "a.1", "a-b_c.d", "session", "drafts.x", "x" * 64]
)
def test_a_kind_is_words_with_dots(kind: str) -> None:
    assert checked_kind(kind) == kind


@pytest.mark.parametrize(
    "kind",
    [None, 1, [], "", ".", "a.", ".a", "a..b", "A", "1a", "a b", "a\n", "ä", "x" * 65, "\ud800"],
)
def test_what_is_no_kind(kind: object) -> None:
    with pytest.raises(InvalidEvent, match="kind must be words of a-z"):
        checked_kind(kind)


@pytest.mark.parametrize("kind", ["session.stopped", "draft.completed", "session.x", "draft.1"])
def test_the_servers_own_kinds_are_its_own(kind: str) -> None:
    with pytest.raises(InvalidEvent, match="the server's own"):
        checked_kind(kind)


# --------------------------------------------------------------------------------------------- data

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
objects = st.dictionaries(texts, json_values)


@settings(max_examples=30)
@given(objects)
def test_data_is_kept_as_it_is(data: dict[str, Any]) -> None:
    text = encoded(data)
    assert json.loads(text) == data
    assert text.encode()  # what the store keeps is UTF-8


@pytest.mark.parametrize("data", [None, 1, "text", [], [{}], True, ({},)])
def test_data_is_an_object(data: object) -> None:
    with pytest.raises(InvalidEvent, match="data must be a JSON object"):
        encoded(data)


@pytest.mark.parametrize("letter", ["a", "ä", "評", "🙂", '"', "\n"])
def test_the_size_of_data_is_its_bytes_as_json(letter: str) -> None:
    each = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    most = (MAX_DATA - len('{"x":""}')) // each
    assert len(encoded({"x": letter * most}).encode()) <= MAX_DATA
    with pytest.raises(InvalidEvent, match=f"at most {MAX_DATA} bytes as JSON; this one has"):
        encoded({"x": letter * (most + 1)})


def test_data_of_exactly_the_limit_is_taken() -> None:
    data = {"x": "a" * (MAX_DATA - len('{"x":""}'))}
    assert len(encoded(data)) == MAX_DATA


def nested(depth: int, *, lists: bool = False, innermost: Any = None) -> dict[str, Any]:
    """An object with others in it: so many in all."""
    value: Any = innermost
    for _ in range(depth - 1):
        value = [value] if lists else {"x": value}
    return {"x": value}


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("innermost", [None, "[[[[", "{" * 100])
def test_data_is_nested_as_deep_as_it_says(lists: bool, innermost: Any) -> None:
    assert encoded(nested(MAX_DEPTH, lists=lists, innermost=innermost))
    with pytest.raises(InvalidEvent, match=f"nested at most {MAX_DEPTH} deep"):
        encoded(nested(MAX_DEPTH + 1, lists=lists, innermost=innermost))


def test_data_may_be_wide() -> None:
    assert encoded({"x": [[]] * 10_000, "y": {str(n): {} for n in range(1_000)}})


@pytest.mark.parametrize("depth", [500, 5_000, 20_000])
def test_data_that_is_far_too_deep_is_refused_as_well(depth: int) -> None:
    with pytest.raises(InvalidEvent, match="nested at most"):
        encoded(nested(depth))


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        [{"y": math.nan}],
        "\ud800",
        {"\udfff": 1},
        "\udc00\ud800",
        pytest.param(10**5_000, id="5,000 digits"),  # Python writes no more than 4,300
        b"bytes",
        {1, 2},
        object(),
    ],
)
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(InvalidEvent, match="data must be JSON that can be written as UTF-8"):
        encoded({"x": value})


@pytest.mark.parametrize("number", [2**53 + 1, -(10**400), 1e308, 5e-324, -0.0])
def test_numbers_that_json_can_say_are_taken(number: float) -> None:
    assert json.loads(encoded({"x": number})) == {"x": number}


# ----------------------------------------------------------------------------------------- the wire

moments = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)).map(
    lambda moment: moment.replace(tzinfo=UTC).timestamp()
)


@settings(max_examples=30)
@given(st.integers(1, 2**53), texts, texts, texts, moments, objects)
def test_an_events_text_is_the_json_of_its_parts(
    offset: int, event_id: str, kind: str, actor: str, at: float, data: dict[str, Any]
) -> None:
    text = event_text(offset, event_id, kind, actor, at, encoded(data))
    assert json.loads(text) == {
        "type": "event",
        "offset": offset,
        "id": event_id,
        "kind": kind,
        "actor": actor,
        "time": iso(at),
        "data": data,
    }
    assert "\n" not in text  # a line of an event stream


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1.0, "1970-01-01T00:00:01.000Z"),
        (1_763_847_923.25, "2025-11-22T21:45:23.250Z"),
        (1_763_847_923.9996, "2025-11-22T21:45:24.000Z"),  # as it is stored
        (1_763_847_923.0004, "2025-11-22T21:45:23.000Z"),
        (-0.5, "1969-12-31T23:59:59.500Z"),
    ],
)
def test_a_time_is_iso_8601_in_utc_to_the_millisecond(seconds: float, text: str) -> None:
    assert iso(seconds) == text


@given(st.integers(0, 4_102_444_800_000))
def test_a_time_as_stores_keep_it_is_told_exactly(milliseconds: int) -> None:
    told = datetime.fromisoformat(iso(milliseconds / 1_000))
    assert round(told.timestamp() * 1_000) == milliseconds


# --------------------------------------------------------------------------------- idempotency keys

anything = st.text()  # keys come as they are, lone surrogates too


@given(anything, anything, anything, anything)
def test_a_repeatable_id_is_a_uuid_and_always_the_same(
    epoch: str, subject: str, step: str, key: str
) -> None:
    event_id = repeatable_id(epoch, subject, step, key)
    assert checked_id(event_id) == event_id == repeatable_id(epoch, subject, step, key)


@given(*[st.lists(anything, min_size=4, max_size=4)] * 2)
def test_different_commands_have_different_ids(one: list[str], other: list[str]) -> None:
    assert (repeatable_id(*one) == repeatable_id(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("e", "a", "b\nc", "d"), ("e", "a\nb", "c", "d")),
        (("e", "a", "b", "\nc"), ("e", "a", "b\n", "c")),
        (("e", "a", '","', ""), ("e", "a", "", '","')),
    ],
)
def test_no_part_of_a_command_passes_for_another(one: list[str], other: list[str]) -> None:
    assert repeatable_id(*one) != repeatable_id(*other)
