"""What differs between two contents, place by place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.core.changes import ABSENT, Change, Place, difference, patched, places, same

values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=3,
)
contents = st.dictionaries(
    st.text("ab", max_size=2), values | st.dictionaries(st.text("ab"), values, max_size=3)
)


def held(content: dict[str, Any]) -> dict[str, Any]:
    """An empty root holds nothing."""
    return {root: value for root, value in content.items() if value not in ("", [], {})}


@settings(max_examples=50)
@given(contents, contents)
def test_what_differs_makes_one_of_the_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    changes = difference(one, other)
    assert same(patched(one, changes), held(other))
    assert all(not same(each.before, each.after) for each in changes)
    assert bool(changes) != same(held(one), held(other))


def test_a_place_is_a_key_of_a_map_or_a_whole_root() -> None:
    content = {"form": {"a": 1, "b": {"c": 2}, "d": {}}, "notes": "hi"}
    assert places(content) == {
        Place("form", "a"): 1,
        Place("form", "b"): {"c": 2},
        Place("form", "d"): {},
        Place("notes"): "hi",
    }
    assert [str(place) for place in places(content)] == ["form.a", "form.b", "form.d", "notes"]


def test_a_root_that_is_empty_holds_nothing() -> None:
    empty = {"form": {}, "list": [], "notes": ""}
    assert places(empty) == {}
    assert difference({}, empty) == difference(empty, {}) == ()
    assert difference({"notes": "hi"}, {"notes": ""}) == (Change(Place("notes"), "hi", ABSENT),)


def test_changes_come_by_place() -> None:
    before = {"form": {"b": 1, "a": 1, "c": 1}, "notes": "hi"}
    after = {"form": {"b": 2, "a": 1, "d": None}, "list": [1]}
    assert difference(before, after) == (
        Change(Place("form", "b"), 1, 2),
        Change(Place("form", "c"), 1, ABSENT),
        Change(Place("form", "d"), ABSENT, None),
        Change(Place("list"), ABSENT, [1]),
        Change(Place("notes"), "hi", ABSENT),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [(True, 1), (0, False), ([1], [True]), ({"a": 0}, {"a": False}), (None, 0), ([], {}), ("", [])],
)
def test_json_values_that_python_takes_for_the_same(one: object, other: object) -> None:
    assert not same(one, other)
    assert same(one, one)


def test_as_json_nothing_is_left_out_and_null_is_told() -> None:
    assert Change(Place("form", "a"), ABSENT, None).to_json() == {
        "field": "form.a", "root": "form", "key": "a", "after": None,
    }  # fmt: skip
    assert Change(Place("notes"), "hi", ABSENT).to_json() == {
        "field": "notes", "root": "notes", "key": None, "before": "hi",
    }  # fmt: skip
