"""The cases that Python and TypeScript have in common; README.md says what they consist of."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sync.forms.definition import FormDefinition, Question, Text, form_definition
from sync.forms.draft import DraftView, view
from sync.forms.progress import progress
from sync.forms.validation import missing

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors.json").read_text())

every_case = pytest.mark.parametrize("case", CASES, ids=[each["name"] for each in CASES])


def seen(case: dict[str, Any]) -> tuple[FormDefinition, DraftView]:
    form = form_definition(case["form"])
    return form, view(form, case["content"])


def own(seen: DraftView, question: Question) -> dict[str, object]:
    """Everybody's own answers to a question, by subject."""
    return {
        each.subject: each.answers[question.id]
        for each in seen.evaluators
        if question.id in each.answers
    }


@every_case
def test_answers(case: dict[str, Any]) -> None:
    form, draft = seen(case)
    answers, others = {}, {}
    for question in form.questions:
        if isinstance(question.kind, Text):
            continue
        if not question.shared:
            mine = own(draft, question)
            if case["subject"] in mine:
                answers[question.id] = mine.pop(case["subject"])
            if mine:
                others[question.id] = mine
        elif question.id in draft.shared:
            answers[question.id] = draft.shared[question.id]
    # What stands elsewhere is seen, and is nobody's answer.
    assert answers == case["answers"]
    assert others == case["others"]
    assert draft.comments == case["texts"]


@every_case
def test_progress(case: dict[str, Any]) -> None:
    form, draft = seen(case)
    found = progress(form, case["content"], case["subject"])
    assert asdict(found) == pytest.approx(case["progress"])
    by_subject = {each.subject: each.progress for each in draft.evaluators}
    assert by_subject.get(case["subject"], draft.progress) == found


@every_case
def test_issues(case: dict[str, Any]) -> None:
    _, draft = seen(case)
    told = [issue.to_json() for issue in draft.issues]
    assert all(each.pop("message").startswith("expected ") for each in told)
    assert told == case["issues"]


@every_case
def test_what_is_missing(case: dict[str, Any]) -> None:
    form = form_definition(case["form"])
    found = missing(form, case["content"], case["subject"])
    assert [each.question for each in found] == case["missing"]
    assert {each.code for each in found} <= {"required"}


def test_the_cases_are_what_readers_rely_on() -> None:
    assert len(CASES) >= 40
    assert len({each["name"] for each in CASES}) == len(CASES)
    for case in CASES:
        assert form_definition(case["form"]).to_json() == case["form"], "nothing left to defaults"
    codes = {issue["code"] for case in CASES for issue in case["issues"]}
    kinds = {q["kind"] for case in CASES for q in case["form"]["sections"][0]["questions"]}
    assert len(codes) == 9  # all but required, which has a list of its own
    assert len(kinds) == 5
