"""The view of a draft."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.forms.definition import form_definition
from sync.forms.draft import shared_tags, view
from sync.forms.progress import MAX_EVALUATORS, Progress, progress
from sync.forms.validation import MAX_ISSUES
from tests.forms.test_validation import JSON, QUESTIONS, form

CONTENT: dict[str, Any] = {
    "ratings": {"bob/accuracy": 3, "alice/polite": False, "alice/accuracy": 9, "alice/wrong": []},
    "fields": {"verdict": "pass", "mood": "x"},
    "tags/topics": {"refund": True, "login": True},
    "comment/reasoning": "Right.",
    "comment/polite": "very",
    "comment/accuracy": "",
}


def test_a_view() -> None:
    told = view(form(), CONTENT).to_json()
    assert told == {
        "id": "f",
        "title": "f",
        "shared": {"verdict": "pass", "topics": ["login", "refund"]},
        "comments": {"polite": "very", "reasoning": "Right."},
        "evaluators": [
            {
                "subject": "alice",
                "answers": {"accuracy": 9, "polite": False},
                "progress": {"answered": 5, "required": 7, "optional_answered": 0, "share": 5 / 7},
            },
            {
                "subject": "bob",
                "answers": {"accuracy": 3},
                "progress": {"answered": 4, "required": 7, "optional_answered": 0, "share": 4 / 7},
            },
        ],
        "progress": {"answered": 3, "required": 7, "optional_answered": 0, "share": 3 / 7},
        "issues": [
            {
                "question": "accuracy",
                "subject": "alice",
                "code": "out-of-range",
                "message": "expected a number from 1 to 5",
            },
            {
                "question": "mood",
                "subject": None,
                "code": "unknown-question",
                "message": "expected one of the form's questions",
            },
        ],
        "more_issues": False,
    }


def test_answers_stand_in_the_order_of_the_form() -> None:
    names = [each["id"] for each in QUESTIONS]
    content = {"ratings": {f"alice/{name}": 1 for name in reversed(names)}}
    (alice,) = view(form(), content).evaluators
    assert list(alice.answers) == names


def test_an_empty_draft() -> None:
    seen = view(form(), {})
    assert (seen.shared, seen.comments, seen.evaluators, seen.issues) == ({}, {}, (), ())
    assert seen.progress == Progress(0, 7, 0, 0.0)


def test_the_order_of_tags_is_that_of_javascript() -> None:
    """A character beyond the basic plane comes before U+FF01 there, by its surrogates."""
    assert shared_tags({"tags/q": {"\uff01": True, "🙂": True, "a": True}}, "q") == [
        "a", "🙂", "\uff01",
    ]  # fmt: skip


def test_whoever_writes_anything_costs_little() -> None:
    content = {"ratings": {f"s{n}/{n % 2 or 'accuracy'}": 9 for n in range(3 * MAX_EVALUATORS)}}
    seen = view(form(), content)
    assert len(seen.evaluators) == MAX_EVALUATORS
    assert len(seen.issues) == MAX_ISSUES
    assert seen.more_issues


NAMES = st.sampled_from(
    [*(each["id"] for each in QUESTIONS), "alice/accuracy", "bob/topics", "/x", "", "a/b/polite"]
)
OF_ONE = [f"{root}/{name}" for root in ("tags", "comment") for name in ("topics", "polite", "x")]
ROOTS = st.sampled_from(["ratings", "fields", "other", "tags/", "comment/reasoning", *OF_ONE])


@settings(max_examples=40)
@given(st.dictionaries(ROOTS, JSON | st.dictionaries(NAMES, JSON)))
def test_there_is_a_view_of_whatever_a_document_holds(content: dict[str, Any]) -> None:
    definition = form()
    seen = view(definition, content)
    told = seen.to_json()
    assert json.loads(json.dumps(told))["id"] == "f"
    assert form_definition(definition.to_json()) == seen.definition
    for each in seen.evaluators:
        assert each.progress == progress(definition, content, each.subject)
    assert all(value not in (None, "", [], {}) for value in seen.shared.values())
