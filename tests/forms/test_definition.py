"""Forms read from JSON: what comes of them, and what is said about those that are none."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.forms.definition import (
    MAX_QUESTIONS,
    MAX_SECTIONS,
    Boolean,
    Choice,
    InvalidForm,
    Option,
    Score,
    Tags,
    Text,
    form_definition,
)

FORM: dict[str, Any] = {
    "id": "agent-eval",
    "title": "Behaviour of the agent",
    "sections": [
        {
            "id": "quality",
            "title": "Quality",
            "questions": [
                {
                    "id": "accuracy",
                    "kind": "score",
                    "label": "Accurate?",
                    "min": 1,
                    "max": 5,
                    "step": 0.5,
                    "required": True,
                    "weight": 2,
                    "help": "1: wrong\n5: right",
                },
                {
                    "id": "verdict",
                    "kind": "choice",
                    "label": "Verdict",
                    "options": ["pass", {"id": "fail", "label": "Failed"}],
                    "required": True,
                    "shared": True,
                    "comment": True,
                },
            ],
        },
        {
            "id": "rest",
            "title": "The rest",
            "questions": [
                {"id": "polite", "kind": "boolean", "label": "Polite?", "required": True},
                {"id": "topics", "kind": "tags", "label": "Topics", "weight": 0},
                {"id": "remarks", "kind": "text", "label": "Remarks", "help": None},
            ],
        },
    ],
}


def question(raw: dict[str, Any], place: int, section: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = raw["sections"][section]["questions"][place]
    return found


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    raw = copy.deepcopy(FORM)
    change(raw)
    return raw


def test_what_a_form_says() -> None:
    form = form_definition(FORM)
    assert (form.id, form.title) == ("agent-eval", "Behaviour of the agent")
    assert [section.id for section in form.sections] == ["quality", "rest"]
    accuracy, verdict, polite, topics, remarks = form.questions
    assert (accuracy.kind, accuracy.weight, accuracy.help) == (
        Score(1, 5, 0.5), 2, "1: wrong\n5: right",
    )  # fmt: skip
    assert verdict.kind == Choice((Option("pass", "pass"), Option("fail", "Failed")))
    assert (polite.kind, topics.kind, remarks.kind) == (Boolean(), Tags(), Text())
    assert [each.required for each in form.questions] == [True, True, True, False, False]
    assert [each.weight for each in form.questions] == [2, 1, 1, 0, 1]
    assert [each.shared for each in form.questions] == [False, True, False, False, False]
    assert [each.comment for each in form.questions] == [False, True, False, False, False]
    assert [each.word for each in form.questions] == ["score", "choice", "boolean", "tags", "text"]
    assert form.question("polite") is polite
    assert form.question("nobody") is None


def test_json_out_is_json_in() -> None:
    form = form_definition(FORM)
    told = form.to_json()
    assert form_definition(json.loads(json.dumps(told))) == form
    assert told["sections"][0]["questions"][1] == {
        "id": "verdict",
        "kind": "choice",
        "label": "Verdict",
        "options": [{"id": "pass", "label": "pass"}, {"id": "fail", "label": "Failed"}],
        "multiple": False,
        "required": True,
        "weight": 1,
        "shared": True,
        "comment": True,
    }


def test_a_form_is_a_value() -> None:
    assert form_definition(FORM) == form_definition(copy.deepcopy(FORM))
    assert hash(form_definition(FORM)) == hash(form_definition(FORM))
    with pytest.raises(AttributeError):
        form_definition(FORM).title = "other"  # type: ignore[misc] # that is the point


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        (lambda f: f.pop("id"), "id", "1-64 of the characters"),
        (lambda f: f.update(id="a/b"), "id", "1-64"),
        (lambda f: f.update(id=7), "id", "not 7"),
        (lambda f: f.update(title=""), "title", "1-500 characters"),
        (lambda f: f.update(title="\x00"), "title", "none of them control"),
        (lambda f: f.update(title=["x"]), "title", "not a list"),
        (lambda f: f.update(titel="x"), "titel", "these keys: id, sections, title"),
        (lambda f: f.update(sections={}), "sections", "a list of sections, not an object"),
        (lambda f: f.update(sections=[]), "sections", "1 to 100 sections, not 0"),
        (lambda f: f.update(sections=["x"]), "sections[0]", "an object, not 'x'"),
        (lambda f: f["sections"][1].update(id="quality"), "sections", "'quality' is there twice"),
        (lambda f: f["sections"][1].update(questions=[]), "sections[1].questions", "not 0"),
        (lambda f: f["sections"][1].pop("title"), "sections[1].title", "not nothing"),
        (lambda f: question(f, 0, 1).update(id="verdict"), "sections", "'verdict' is there twice"),
        (lambda f: question(f, 0).update(id="a/b"), "sections[0].questions[0].id", "letter"),
        (lambda f: question(f, 0).update(kind="stars"), "sections[0].questions[0].kind", "score,"),
        (lambda f: question(f, 0).update(kind=[]), "sections[0].questions[0].kind", "not a list"),
        (lambda f: question(f, 0).pop("kind"), "sections[0].questions[0].kind", "not nothing"),
        (lambda f: question(f, 0).update(required=1), "sections[0].questions[0].required", "true"),
        (lambda f: question(f, 0).update(weight=-1), "sections[0].questions[0].weight", "0 or"),
        (lambda f: question(f, 0).update(weight="1"), "sections[0].questions[0].weight", "'1'"),
        (lambda f: question(f, 0).update(weight=True), "sections[0].questions[0].weight", "true"),
        (lambda f: question(f, 0).update(max=1), "sections[0].questions[0].max", "than min"),
        (lambda f: question(f, 0).pop("min"), "sections[0].questions[0].min", "a number"),
        (lambda f: question(f, 0).update(max=1e99), "sections[0].questions[0].max", "so large"),
        (lambda f: question(f, 0).update(max=10**5000), "sections[0].questions[0].max", "large"),
        (lambda f: question(f, 0).update(max=float("nan")), "sections[0].questions[0].max", "a n"),
        (lambda f: question(f, 0).update(step=0), "sections[0].questions[0].step", "than 0"),
        (lambda f: question(f, 0).update(step=3), "sections[0].questions[0].step", "from 1 to 5"),
        (lambda f: question(f, 0).update(step=8), "sections[0].questions[0].step", "from 1 to 5"),
        (
            lambda f: question(f, 0).update(step=5e-324),
            "sections[0].questions[0].step",
            "from 1 to 5",
        ),
        (lambda f: question(f, 0).update(options=["x"]), "sections[0].questions[0].options", "min"),
        (lambda f: question(f, 1).pop("options"), "sections[0].questions[1].options", "a list"),
        (lambda f: question(f, 1).update(options=[]), "sections[0].questions[1].options", "1 to"),
        (
            lambda f: question(f, 1).update(options=["a", "a"]),
            "sections[0].questions[1].options",
            "every option id once",
        ),
        (
            lambda f: question(f, 1).update(options=["a", 3]),
            "sections[0].questions[1].options[1]",
            "an object or a text, not 3",
        ),
        (
            lambda f: question(f, 1).update(options=[{"id": "a"}]),
            "sections[0].questions[1].options[0].label",
            "a text",
        ),
        (lambda f: question(f, 1).update(multiple=0), "sections[0].questions[1].multiple", "true"),
        (lambda f: question(f, 1).update(shared="yes"), "sections[0].questions[1].shared", "'yes'"),
        (lambda f: question(f, 0).update(comment=1), "sections[0].questions[0].comment", "not 1"),
        (
            lambda f: question(f, 2, 1).update(shared=True),
            "sections[1].questions[2].shared",
            "a text is always shared",
        ),
        (
            lambda f: question(f, 2, 1).update(comment=True),
            "sections[1].questions[2].comment",
            "a text is a comment itself",
        ),
        (lambda f: question(f, 2, 1).update(shared=0), "sections[1].questions[2].shared", "not 0"),
        (lambda f: question(f, 2, 1).update(help=3), "sections[1].questions[2].help", "not 3"),
        (lambda f: question(f, 2, 1).update(min=3), "sections[1].questions[2].min", "none but"),
    ],
)
def test_what_is_wrong_is_named(
    change: Callable[[dict[str, Any]], object], path: str, expected: str
) -> None:
    with pytest.raises(InvalidForm) as refused:
        form_definition(changed(change))
    assert refused.value.path == path
    assert expected in str(refused.value)
    assert str(refused.value).startswith(path)


@pytest.mark.parametrize("value", [False, None])
def test_a_text_may_say_that_it_has_what_no_text_has_not(value: object) -> None:
    form = form_definition(changed(lambda f: question(f, 2, 1).update(shared=value, comment=value)))
    assert form == form_definition(FORM)


@pytest.mark.parametrize("raw", [None, [], "form", 3, True])
def test_what_is_no_object(raw: object) -> None:
    with pytest.raises(InvalidForm, match="the form: expected an object"):
        form_definition(raw)


def test_how_much_there_may_be() -> None:
    questions = [{"id": f"q{n}", "kind": "text", "label": "x"} for n in range(MAX_QUESTIONS)]
    most = {"id": "a", "title": "x", "questions": questions}
    assert len(form_definition(FORM | {"sections": [most]}).questions) == MAX_QUESTIONS
    one = {"id": "b", "title": "x", "questions": [{"id": "more", "kind": "text", "label": "x"}]}
    with pytest.raises(InvalidForm, match="at most 500 questions in all"):
        form_definition(FORM | {"sections": [most, one]})
    sections = [one | {"id": f"s{n}"} for n in range(MAX_SECTIONS + 1)]
    with pytest.raises(InvalidForm, match="1 to 100 sections, not 101"):
        form_definition(FORM | {"sections": sections})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)
PATHS = [
    ("id",), ("title",), ("sections",), ("sections", 0), ("sections", 0, "questions"),
    *[("sections", 0, "questions", 0, key) for key in question(FORM, 0)],
    *[("sections", 0, "questions", 1, key) for key in question(FORM, 1)],
]  # fmt: skip


@given(st.sampled_from(PATHS), JSON)
def test_whatever_stands_anywhere_it_is_a_form_or_refused(path: tuple[Any, ...], put: Any) -> None:
    raw = copy.deepcopy(FORM)
    *above, last = path
    place: Any = raw
    for each in above:
        place = place[each]
    place[last] = put
    with suppress(InvalidForm):
        form = form_definition(raw)
        assert form_definition(form.to_json()) == form
