"""How far somebody has come with a form."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.forms.definition import FormDefinition, form_definition
from sync.forms.progress import MAX_EVALUATORS, Progress, answers, progress, roots, tally


def form(required: str = "abc", optional: str = "xy") -> FormDefinition:
    """A form of questions with a letter for their id."""
    questions = [
        {"id": each, "kind": "text", "label": each, "required": each in required}
        for each in required + optional
    ]
    return form_definition(
        {"id": "f", "title": "f", "sections": [{"id": "s", "title": "s", "questions": questions}]}
    )


def share(content: dict[str, object], subject: str | None = "alice") -> float:
    return progress(form(), content, subject).share


def test_nothing_is_answered() -> None:
    assert progress(form(), {}, "alice") == Progress(0, 3, 0, 0.0)


def test_required_questions_count_and_optional_ones_are_told_apart() -> None:
    content = {"fields": {"a": "yes", "x": 1, "y": 2, "nobody asked": 3}}
    assert progress(form(), content, "alice") == Progress(1, 3, 2, 1 / 3)


def test_all_is_answered() -> None:
    content = {"fields": {"a": 1}, "ratings": {"alice/b": 1}, "comment/c": "because"}
    assert progress(form(), content, "alice") == Progress(3, 3, 0, 1.0)


def test_everybody_has_answers_of_their_own() -> None:
    content = {"fields": {"a": 1}, "ratings": {"alice/b": 1, "alice/c": 2, "bob/b": 3}}
    assert progress(form(), content, "alice").answered == 3
    assert progress(form(), content, "bob").answered == 2
    assert progress(form(), content, "carol").answered == 1
    assert progress(form(), content).answered == 1


def test_a_subject_may_have_a_slash() -> None:
    """Question ids have none, so the last one parts them."""
    content: dict[str, object] = {"ratings": {"org/alice/a": 1, "alice/a/b": 1}}
    assert progress(form(), content, "org/alice").answered == 1
    assert progress(form(), content, "alice").answered == 0


@pytest.mark.parametrize("value", [0, False, 0.0, "x", [0], {"k": None}, "0"])
def test_an_answer(value: object) -> None:
    assert share({"fields": {"a": value}}) == share({"ratings": {"alice/a": value}}) == 1 / 3


@pytest.mark.parametrize("value", [None, "", "  \n", [], {}])
def test_no_answer(value: object) -> None:
    assert share({"fields": {"a": value}, "ratings": {"alice/a": value}}) == 0
    assert share({"comment/a": value}) == 0


@pytest.mark.parametrize("root", [None, "text", ["a"], 3, {"error": "cannot be rendered"}])
def test_roots_of_another_shape_answer_nothing(root: object) -> None:
    content = {"fields": root, "ratings": root, "tags/a": root}
    assert share(content) == 0
    if not isinstance(root, str):
        assert share({"comment/a": root}) == 0


def of(kind: str, **more: object) -> FormDefinition:
    """A form of one question, q."""
    question = {"id": "q", "kind": kind, "label": "q", "required": True} | more
    return form_definition(
        {"id": "f", "title": "f", "sections": [{"id": "s", "title": "s", "questions": [question]}]}
    )


@pytest.mark.parametrize(
    ("definition", "answered"),
    [
        (of("text"), 1),
        (of("boolean"), 0),
        (of("boolean", comment=True), 0),
        (of("tags", shared=True, comment=True), 0),
    ],
)
def test_a_note_answers_nothing_but_a_text(definition: FormDefinition, answered: int) -> None:
    assert progress(definition, {"comment/q": "so"}, "alice").answered == answered


@pytest.mark.parametrize("tags", [{"refund": True}, {"": True}, {"refund": False}])
def test_shared_tags_answer_for_everybody(tags: object) -> None:
    shared, own = of("tags", shared=True), of("tags")
    assert progress(shared, {"tags/q": tags}, "alice").answered == 1
    assert progress(shared, {"tags/q": tags}).answered == 1
    assert progress(shared, {"tags/q": {}}).answered == 0
    assert progress(own, {"tags/q": tags}).answered == 0
    assert progress(of("boolean", shared=True), {"tags/q": tags}).answered == 0


def test_the_roots_that_are_looked_at() -> None:
    assert roots(of("text")) == (["fields", "ratings"], ["comment/q"])
    assert roots(of("tags", shared=True, comment=True)) == (["fields", "ratings", "tags/q"], [])
    assert roots(of("tags", comment=True)) == (["fields", "ratings"], [])


def test_where_nothing_is_required_all_questions_count() -> None:
    every = form(required="", optional="wxyz")
    assert progress(every, {}) == Progress(0, 0, 0, 0.0)
    assert progress(every, {"fields": {"w": 1}}) == Progress(0, 0, 1, 0.25)


def test_two_drafts_of_one_evaluator_add_up() -> None:
    shared = answers(form(), {"fields": {"a": 1}, "ratings": {"alice/b": 1, "bob/c": 1}})
    own = answers(form(), {"fields": {"b": 1, "x": 1}})
    together = type(shared.shared)(shared.of("alice") | own.of("alice"))
    assert tally(form(), together) == Progress(2, 3, 1, 2 / 3)


def test_whoever_writes_any_names_costs_no_memory() -> None:
    content: dict[str, object] = {"ratings": {f"s{n}/a": 1 for n in range(MAX_EVALUATORS + 50)}}
    assert len(answers(form(), content).own) == MAX_EVALUATORS


NAMES = st.sampled_from(["a", "b", "x", "alice/a", "alice/b", "bob/a", "", "/", "nobody/x"])
ROOTS = st.dictionaries(
    st.sampled_from(["fields", "ratings", "comment/a", "comment/x", "other"]),
    st.dictionaries(NAMES, st.none() | st.integers() | st.text(max_size=2)) | st.text(max_size=2),
)


@given(ROOTS, st.sampled_from([None, "alice", "bob", ""]))
def test_never_less_than_nothing_nor_more_than_all(content: Any, subject: str | None) -> None:
    found = progress(form(), content, subject)
    assert 0 <= found.answered <= found.required == 3
    assert 0 <= found.optional_answered <= 2
    assert found.share == found.answered / 3
    assert found.answered >= progress(form(), content).answered


def test_two_hundred_questions_take_less_than_a_millisecond() -> None:
    questions = [
        {"id": f"q{n}", "kind": "score", "label": "?", "min": 1, "max": 5, "required": n % 2 == 0}
        for n in range(200)
    ]
    big = form_definition(
        {"id": "f", "title": "f", "sections": [{"id": "s", "title": "s", "questions": questions}]}
    )
    content = {
        "fields": {f"q{n}": n for n in range(100)},
        "ratings": {f"alice/q{n}": n for n in range(200)},
        "comment/q7": "so",
    }
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        assert progress(big, content, "alice").share == 1
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.001
