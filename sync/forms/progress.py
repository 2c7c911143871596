"""How far somebody has come with a form, by the content of a draft.

A draft has these roots:

- ``ratings``, a map ``{subject/question id: value}``: what each evaluator answers for themselves;
- ``fields``, a map ``{question id: value}``: what all answer together, the last writer's word;
- ``tags/{question id}``, a map ``{tag: true}``: shared tags, so that adding and removing merge;
- ``comment/{question id}``, a text: the answer to a question of kind text, else a note beside it.

A value is a number, the id of an option or a list of them, true or false, or a list of tags. To
take an answer back is to delete its key.

A question is answered for somebody by a value of theirs, or one that all share, that is neither
null nor empty; a text by one that is not blank, and shared tags by one of them. A note answers
nothing. Whether a value fits its question is told by :mod:`sync.forms.validation` and not looked at
here; roots of another shape answer nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NewType

from sync.forms.definition import FormDefinition, Question, Tags, Text

MAX_EVALUATORS = 1_000
"""Of one draft, of whom answers are counted: whoever writes there may write anybody's name."""

FIELDS, RATINGS, TAGS, COMMENT = "fields", "ratings", "tags/", "comment/"

Answered = NewType("Answered", int)
"""A set of questions as one number: bit n is question n of the form. ``|`` joins two of them."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What of a form is answered.

    ``share`` is from 0 to 1: of the required questions, or of all where none is required.
    """

    answered: int  # required questions
    required: int
    optional_answered: int
    share: float


@dataclass(frozen=True, slots=True)
class Answers:
    """The questions that the content of one draft answers."""

    shared: Answered  # for everybody
    own: Mapping[str, Answered]  # by subject, beside these

    def of(self, subject: str | None) -> Answered:
        """What is answered for somebody; None: for somebody who answered nothing themselves."""
        return Answered(self.shared | self.own.get(subject, 0)) if subject else self.shared


def progress(
    definition: FormDefinition, content: Mapping[str, object], subject: str | None = None
) -> Progress:
    """How far ``subject`` has come; None: what everybody's answers are, nobody's own."""
    return tally(definition, answers(definition, content).of(subject))


def tally(definition: FormDefinition, answered: Answered) -> Progress:
    """Count what is answered."""
    required = definition.required
    theirs = (answered & required).bit_count()
    optional = (answered & ~required).bit_count()
    of_all = required.bit_count()
    share = theirs / of_all if of_all else optional / len(definition.questions)
    return Progress(theirs, of_all, optional, share)


def answers(definition: FormDefinition, content: Mapping[str, object]) -> Answers:
    """Read once, for everybody, what a draft answers. ``content``: a value for each root."""
    places = definition.places
    shared = 0
    for name, value in items(content, FIELDS):
        if (place := places.get(name)) is not None and is_answer(value):
            shared |= 1 << place
    for place, question in enumerate(definition.questions):
        if _answered_in_its_root(question, content):
            shared |= 1 << place
    return Answers(Answered(shared), _own(places, content))


def _answered_in_its_root(question: Question, content: Mapping[str, object]) -> bool:
    """By the text or the shared tags that have a root of their own."""
    match question.kind:
        case Text():
            text = content.get(COMMENT + question.id)
            return isinstance(text, str) and is_answer(text)
        case Tags():
            tags = content.get(TAGS + question.id)
            return question.shared and isinstance(tags, Mapping) and bool(tags)
        case _:
            return False


def roots(definition: FormDefinition) -> tuple[list[str], list[str]]:
    """The roots that :func:`answers` looks at: those that are maps, and those that are texts."""
    of = definition.questions
    tags = [TAGS + each.id for each in of if isinstance(each.kind, Tags) and each.shared]
    return [FIELDS, RATINGS, *tags], [COMMENT + each.id for each in of if each.kind == Text()]


def _own(places: Mapping[str, int], content: Mapping[str, object]) -> dict[str, Answered]:
    own: dict[str, Answered] = {}
    for name, value in items(content, RATINGS):
        subject, _, question = name.rpartition("/")
        place = places.get(question)
        if place is None or not subject or not is_answer(value):
            continue
        if subject in own or len(own) < MAX_EVALUATORS:
            own[subject] = Answered(own.get(subject, 0) | 1 << place)
    return own


def items(content: Mapping[str, object], root: str) -> Iterator[tuple[str, object]]:
    """The entries of a root that is a map; none of another one."""
    found = content.get(root)
    return iter(found.items()) if isinstance(found, Mapping) else iter(())


def is_answer(value: object) -> bool:
    """Zero and false are answers; blanks are none."""
    if isinstance(value, str):
        return not value.isspace() and value != ""
    return value is not None and value != [] and value != {}
