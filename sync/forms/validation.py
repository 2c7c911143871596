"""What of a draft is not as its form wants it. Edits are flagged, and never dropped.

The web app has the same rules in TypeScript; ``tests/forms/vectors.json`` holds both together.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from sync.forms.definition import (
    Boolean,
    Choice,
    FormDefinition,
    Question,
    Score,
    Tags,
    Text,
    is_whole,
)
from sync.forms.progress import COMMENT, FIELDS, RATINGS, TAGS, answers, is_answer, items

IssueCode = Literal[
    "required",
    "not-a-number",
    "out-of-range",
    "off-step",
    "unknown-option",
    "not-a-boolean",
    "not-a-list",
    "not-text",
    "duplicate",
    "unknown-question",
]

MAX_ISSUES = 1_000
"""That are told of one draft: whoever writes there may write anything."""


@dataclass(frozen=True, slots=True)
class Issue:
    """Something that is not as the form wants it."""

    question: str
    subject: str | None  # whose answer; None: everybody's
    code: IssueCode
    message: str  # what was expected, for people

    def to_json(self) -> dict[str, Any]:
        """As the web app has it."""
        return {
            "question": self.question,
            "subject": self.subject,
            "code": self.code,
            "message": self.message,
        }


class Flaw(NamedTuple):
    """What is wrong with a value, whoever gave it."""

    code: IssueCode
    expected: str


def issues(
    definition: FormDefinition, content: Mapping[str, object], most: int = MAX_ISSUES
) -> tuple[Issue, ...]:
    """What is wrong with a draft, in the order of the form; what the form does not ask comes last.

    ``content``: a value for each root, of any shape. At most ``most`` are told.
    """
    return tuple(islice(_issues(definition, content), most))


def missing(
    definition: FormDefinition, content: Mapping[str, object], subject: str | None
) -> tuple[Issue, ...]:
    """The required questions that are not answered for somebody; None: by what all share."""
    left = definition.required & ~answers(definition, content).of(subject)
    return tuple(
        Issue(each.id, None if _is_shared(each) else subject, "required", "expected an answer")
        for place, each in enumerate(definition.questions)
        if left >> place & 1
    )


def flaws(question: Question, value: object) -> list[Flaw]:
    """What is wrong with an answer to a question; nothing with none."""
    if not is_answer(value):
        return []
    match question.kind:
        case Score() as score:
            return _score_flaws(score, value)
        case Choice(options, multiple):
            known = {each.id for each in options}
            return _list_flaws(value, known) if multiple else _option_flaws(value, known)
        case Boolean():
            return [] if isinstance(value, bool) else [Flaw("not-a-boolean", "true or false")]
        case Tags():
            return _list_flaws(value)
        case Text():
            return [] if isinstance(value, str) else [_NOT_TEXT]


# -- what stands where

_Answer = tuple[str | None, object]  # whose, None: everybody's; and what


def _issues(definition: FormDefinition, content: Mapping[str, object]) -> Iterator[Issue]:
    given = _given(content)
    for question in definition.questions:
        for code, expected in _root_flaws(question, content):
            yield _issue(question.id, None, code, expected)
        for subject, value in given.pop(question.id, ()):
            for code, expected in flaws(question, value):
                yield _issue(question.id, subject, code, expected)
    for name in _beside(definition, content):
        given.setdefault(name, [(None, None)])
    for name in sorted(given):
        for subject, _ in given[name]:
            yield _issue(name, subject, "unknown-question", "one of the form's questions")


def _issue(question: str, subject: str | None, code: IssueCode, expected: str) -> Issue:
    return Issue(question, subject, code, f"expected {expected}")


def _given(content: Mapping[str, object]) -> dict[str, list[_Answer]]:
    """By question, asked or not: everybody's answer, and then those of each by their names."""
    given: dict[str, list[_Answer]] = {
        name: [(None, value)] for name, value in items(content, FIELDS)
    }
    own = [(*name.rpartition("/")[::2], value) for name, value in items(content, RATINGS)]
    for subject, question, value in sorted(own, key=_SUBJECT):
        given.setdefault(question, []).append((subject or None, value))
    return given


_SUBJECT = itemgetter(0)


def _root_flaws(question: Question, content: Mapping[str, object]) -> list[Flaw]:
    """Of the roots that a question has for itself."""
    found: list[Flaw] = []
    tags, text = content.get(TAGS + question.id), content.get(COMMENT + question.id)
    if is_answer(tags) and not isinstance(tags, Mapping):
        found.append(_NOT_A_LIST)
    if is_answer(text) and not isinstance(text, str):
        found.append(_NOT_TEXT)
    return found


def _beside(definition: FormDefinition, content: Mapping[str, object]) -> Iterator[str]:
    """What has a root of its own, and the form does not ask."""
    for root, value in content.items():
        for prefix in (TAGS, COMMENT):
            name = root.removeprefix(prefix)
            if root.startswith(prefix) and name not in definition.places and is_answer(value):
                yield name


def _is_shared(question: Question) -> bool:
    return question.shared or isinstance(question.kind, Text)


# -- values

_NOT_TEXT = Flaw("not-text", "a text")
_NOT_A_LIST = Flaw("not-a-list", "a list")
_UNKNOWN_OPTION = Flaw("unknown-option", "one of the options that the question has")


def _score_flaws(score: Score, value: object) -> list[Flaw]:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return [Flaw("not-a-number", "a number")]
    low, high, step = score.min, score.max, score.step
    if not low <= value <= high:
        return [Flaw("out-of-range", f"a number from {low} to {high}")]
    if step is None or is_whole((value - low) / step):
        return []
    return [Flaw("off-step", f"{low} and a whole number of steps of {step}")]


def _option_flaws(value: object, known: Collection[str]) -> list[Flaw]:
    if not isinstance(value, str):
        return [_NOT_TEXT]
    return [] if value in known else [_UNKNOWN_OPTION]


def _list_flaws(value: object, known: Collection[str] | None = None) -> list[Flaw]:
    """``known``: what may be in it; None: any text."""
    if not isinstance(value, list | tuple):
        return [_NOT_A_LIST]
    texts = [each for each in value if isinstance(each, str)]
    found: list[Flaw] = []
    if len(texts) < len(value):
        found.append(Flaw("not-text", "a list of texts"))
    if known is not None and not all(each in known for each in texts):
        found.append(_UNKNOWN_OPTION)
    if len(set(texts)) < len(texts):
        found.append(Flaw("duplicate", "everything once"))
    return found
