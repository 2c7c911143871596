"""How far somebody has come with a form, by the content of a draft.

A draft holds what all share in its root ``fields`` (``{question id: value}``), what each evaluator
answers in ``ratings`` (``{subject/question id: value}``), and a text per comment in the roots
``comment/{question id}``. A question is answered for somebody by a value of theirs, or one that all
share, that is neither null nor empty, or by a comment. Whether a value fits its question is not
looked at here; roots of another shape answer nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NewType

from sync.forms.definition import FormDefinition

MAX_EVALUATORS = 1_000
"""Of one draft, of whom answers are counted: whoever writes there may write anybody's name."""

FIELDS, RATINGS, COMMENT = "fields", "ratings", "comment/"

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
    for name, value in _items(content, FIELDS):
        if (place := places.get(name)) is not None and _answers(value):
            shared |= 1 << place
    for name, place in places.items():
        comment = content.get(COMMENT + name)
        if isinstance(comment, str) and _answers(comment):
            shared |= 1 << place
    return Answers(Answered(shared), _own(places, content))


def _own(places: Mapping[str, int], content: Mapping[str, object]) -> dict[str, Answered]:
    own: dict[str, Answered] = {}
    for name, value in _items(content, RATINGS):
        subject, _, question = name.rpartition("/")
        place = places.get(question)
        if place is None or not subject or not _answers(value):
            continue
        if subject in own or len(own) < MAX_EVALUATORS:
            own[subject] = Answered(own.get(subject, 0) | 1 << place)
    return own


def _items(content: Mapping[str, object], root: str) -> Iterator[tuple[str, object]]:
    """The entries of a root that is a map; none of another one."""
    found = content.get(root)
    return iter(found.items()) if isinstance(found, Mapping) else iter(())


def _answers(value: object) -> bool:
    """Zero and false are answers; blanks are none."""
    if isinstance(value, str):
        return not value.isspace() and value != ""
    return value is not None and value != [] and value != {}
