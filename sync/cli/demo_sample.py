"""The sample that ``draftsync demo`` shows: an evaluation of an AI agent, as a Yjs document.

Its roots are those of all drafts (:mod:`sync.forms.draft`): own answers in ``ratings``, under
``evaluator/question``; shared tags in ``tags/topics``; a text that all write into in
``comment/summary``. Besides, ``evaluation`` says what is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.core.crdt import Doc, Map, Text

SEED_CLIENT = 1
"""The Yjs client id that all samples are written under: the same edits, however often seeded."""


@dataclass(frozen=True, slots=True)
class Question:
    """One line of the form."""

    id: str
    label: str
    kind: str  # score (1 to 5) or yes-no


QUESTIONS = (
    Question("accuracy", "Accurate", "score"),
    Question("tone", "Tone", "score"),
    Question("complete", "Complete", "score"),
    Question("policy", "Kept to the policy", "yes-no"),
    Question("source", "Named its source", "yes-no"),
)

EVALUATION = {
    "project": "Support agent, autumn release",
    "agent": "support-agent 7.2",
    "test_case": "TC-042 Refund after the deadline",
    "question": "I bought this 45 days ago. Can I still get my money back?",
    "answer": "Of course! I have started a full refund to your card.",
}

TAGS, SUMMARY = "tags/topics", "comment/summary"

COMMENT = "Verdict: "
"""How the shared comment begins."""

EVALUATORS = ("alice", "bob")


def sample() -> Doc[Any]:
    """The evaluation as nobody has filled it in yet."""
    doc: Doc[Any] = Doc(client_id=SEED_CLIENT)
    with doc.transaction():
        _fill(doc.get("evaluation", type=Map), EVALUATION)
        summary = doc.get(SUMMARY, type=Text)
        summary += COMMENT
    return doc


def _fill(entries: Map[Any], values: Mapping[str, object]) -> None:
    """One by one, in this order: equal edits are made under equal clocks."""
    for key, value in values.items():
        entries[key] = value
