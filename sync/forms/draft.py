"""A draft as its form has it: who answers what, what is noted, how far everybody is.

Whatever stands in a document, there is a view of it. What does not fit its question is shown as it
is, and flagged; what the form does not ask is flagged; roots of another shape hold nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sync.forms.definition import FormDefinition, Tags
from sync.forms.progress import (
    COMMENT,
    FIELDS,
    RATINGS,
    TAGS,
    Answers,
    Progress,
    answers,
    is_answer,
    items,
    tally,
)
from sync.forms.validation import MAX_ISSUES, Issue, issues


@dataclass(frozen=True, slots=True)
class Evaluator:
    """What one person answers for themselves, and how far they are with what all share."""

    subject: str
    answers: Mapping[str, object]  # by question, in the form's order
    progress: Progress


@dataclass(frozen=True, slots=True)
class DraftView:
    """A draft, by the questions of its form; what is not answered is left out."""

    definition: FormDefinition
    shared: Mapping[str, object]  # by question; tags as a list
    comments: Mapping[str, str]  # by question: its text, or the note beside it
    evaluators: tuple[Evaluator, ...]  # by their names; no more than MAX_EVALUATORS
    progress: Progress  # of somebody without answers of their own
    issues: tuple[Issue, ...]  # no more than MAX_ISSUES
    more_issues: bool  # there are more than these

    def to_json(self) -> dict[str, Any]:
        """As the HTTP API has it."""
        return {
            "id": self.definition.id,
            "title": self.definition.title,
            "shared": dict(self.shared),
            "comments": dict(self.comments),
            "evaluators": [
                {
                    "subject": each.subject,
                    "answers": dict(each.answers),
                    "progress": asdict(each.progress),
                }
                for each in self.evaluators
            ],
            "progress": asdict(self.progress),
            "issues": [each.to_json() for each in self.issues],
            "more_issues": self.more_issues,
        }


def view(definition: FormDefinition, content: Mapping[str, object]) -> DraftView:
    """Look at a draft. ``content``: a value for each of its roots, of any shape."""
    answered = answers(definition, content)
    found = issues(definition, content, MAX_ISSUES + 1)
    return DraftView(
        definition,
        _shared(definition, content),
        _comments(definition, content),
        _evaluators(definition, content, answered),
        tally(definition, answered.shared),
        found[:MAX_ISSUES],
        len(found) > MAX_ISSUES,
    )


def shared_tags(content: Mapping[str, object], question: str) -> list[str]:
    """The tags of a question that all share, in one order everywhere: that of UTF-16."""
    return sorted((tag for tag, _ in items(content, TAGS + question)), key=_utf16)


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")


def _shared(definition: FormDefinition, content: Mapping[str, object]) -> dict[str, object]:
    given = dict(items(content, FIELDS))
    for question in definition.questions:
        tags = shared_tags(content, question.id) if isinstance(question.kind, Tags) else []
        if question.shared and tags:
            given[question.id] = tags
    return _in_order(definition, given)


def _comments(definition: FormDefinition, content: Mapping[str, object]) -> dict[str, str]:
    texts = {name: content.get(COMMENT + name) for name in definition.places}
    return {name: text for name, text in texts.items() if isinstance(text, str) and text}


def _evaluators(
    definition: FormDefinition, content: Mapping[str, object], answered: Answers
) -> tuple[Evaluator, ...]:
    given: dict[str, dict[str, object]] = {subject: {} for subject in answered.own}
    for name, value in items(content, RATINGS):
        subject, _, question = name.rpartition("/")
        if subject in given:
            given[subject][question] = value
    return tuple(
        Evaluator(
            subject,
            _in_order(definition, given[subject]),
            tally(definition, answered.of(subject)),
        )
        for subject in sorted(given)
    )


def _in_order(definition: FormDefinition, given: Mapping[str, object]) -> dict[str, object]:
    """The answers to questions of the form, in its order."""
    return {name: value for name in definition.places if is_answer(value := given.get(name))}
