"""What is flagged of a draft. Most of it is in vectors.json; here is what only Python sees."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.forms.definition import FormDefinition, Question, form_definition
from sync.forms.validation import MAX_ISSUES, flaws, issues, missing

QUESTIONS: list[dict[str, Any]] = [
    {"id": "accuracy", "kind": "score", "label": "?", "min": 1, "max": 5, "step": 1},
    {"id": "verdict", "kind": "choice", "label": "?", "options": ["pass", "fail"], "shared": True},
    {"id": "wrong", "kind": "choice", "label": "?", "options": ["a", "b"], "multiple": True},
    {"id": "polite", "kind": "boolean", "label": "?", "comment": True},
    {"id": "topics", "kind": "tags", "label": "?", "shared": True},
    {"id": "labels", "kind": "tags", "label": "?"},
    {"id": "reasoning", "kind": "text", "label": "?"},
]


def form() -> FormDefinition:
    section = {"id": "s", "title": "s", "questions": [{"required": True} | q for q in QUESTIONS]}
    return form_definition({"id": "f", "title": "f", "sections": [section]})


def question(name: str) -> Question:
    found = form().question(name)
    assert found is not None
    return found


def codes(content: dict[str, object]) -> list[tuple[str, str | None, str]]:
    return [(each.question, each.subject, each.code) for each in issues(form(), content)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, b"4", None, ""])
def test_numbers_that_json_does_not_have(value: object) -> None:
    found = [flaw.code for flaw in flaws(question("accuracy"), value)]
    assert found == ([] if value in (None, "") else ["not-a-number"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("accuracy", "4", "expected a number"),
        ("accuracy", 7, "expected a number from 1 to 5"),
        ("accuracy", 1.5, "expected 1 and a whole number of steps of 1"),
        ("wrong", "a", "expected a list"),
        ("wrong", ["c"], "expected one of the options that the question has"),
        ("labels", ["a", "a"], "expected everything once"),
        ("labels", [1], "expected a list of texts"),
        ("polite", 1, "expected true or false"),
        ("speed", 1, "expected one of the form's questions"),
    ],
)
def test_messages_say_what_was_expected(name: str, value: object, message: str) -> None:
    (issue,) = issues(form(), {"ratings": {f"alice/{name}": value}})
    assert issue.message == message
    assert issue.to_json() == {
        "question": name,
        "subject": "alice",
        "code": issue.code,
        "message": message,
    }


def test_roots_of_another_shape() -> None:
    content: dict[str, object] = {
        "tags/topics": ["refund"],
        "tags/labels": "refund",
        "comment/reasoning": {"ops": []},
        "comment/polite": [1],
        "fields": "a text",
        "ratings": [1, 2],
    }
    assert codes(content) == [
        ("polite", None, "not-text"),
        ("topics", None, "not-a-list"),
        ("labels", None, "not-a-list"),
        ("reasoning", None, "not-text"),
    ]


def test_a_root_of_which_all_was_deleted_is_no_issue() -> None:
    """Nothing in a document then tells what kind it was: it is read as an empty list."""
    assert codes({"comment/reasoning": [], "comment/polite": [], "tags/topics": []}) == []
    assert codes({"comment/gone": [], "tags/gone": {}}) == []
    assert codes({"tags/topics": " \n"}) == []


def test_what_is_not_asked_is_told_once() -> None:
    assert codes({"tags/x": {"a": True}, "comment/x": "a", "fields": {"x": 1}}) == [
        ("x", None, "unknown-question")
    ]


def test_not_more_than_can_be_told() -> None:
    content: dict[str, object] = {"ratings": {f"s{n}/accuracy": 9 for n in range(MAX_ISSUES + 9)}}
    assert len(issues(form(), content)) == MAX_ISSUES
    assert len(issues(form(), content, MAX_ISSUES + 1)) == MAX_ISSUES + 1


def test_what_is_missing_is_whose_it_would_be() -> None:
    content: dict[str, object] = {
        "ratings": {"alice/accuracy": 4, "alice/wrong": ["a"]},
        "tags/topics": {"refund": True},
    }
    told = missing(form(), content, "alice")
    assert [(each.question, each.subject) for each in told] == [
        ("verdict", None), ("polite", "alice"), ("labels", "alice"), ("reasoning", None),
    ]  # fmt: skip
    assert {(each.code, each.message) for each in told} == {("required", "expected an answer")}
    assert len(missing(form(), content, None)) == 6


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(QUESTIONS), JSON)
def test_there_is_an_answer_about_any_value(asked: dict[str, Any], value: object) -> None:
    found = flaws(question(asked["id"]), value)
    assert len({flaw.code for flaw in found}) == len(found)
