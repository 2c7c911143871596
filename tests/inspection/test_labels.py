"""Places in the words of a form."""

from __future__ import annotations

import pytest

from sync.core.changes import Place
from sync.forms.definition import form_definition
from sync.inspection.labels import label

QUESTIONS = [
    {"id": "accuracy", "kind": "score", "label": "Accuracy", "min": 1, "max": 5, "comment": True},
    {"id": "verdict", "kind": "boolean", "label": "Verdict", "shared": True},
    {"id": "topics", "kind": "tags", "label": "Topics", "shared": True},
    {"id": "remarks", "kind": "text", "label": "Remarks"},
]
FORM = form_definition(
    {
        "id": "f",
        "title": "F",
        "sections": [{"id": "s", "title": "S", "questions": QUESTIONS}],
    }
)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place("ratings", "bob/accuracy"), "Accuracy · bob"),
        (Place("ratings", "team/bob/accuracy"), "Accuracy · team/bob"),
        (Place("ratings", "/accuracy"), "ratings./accuracy"),
        (Place("ratings", "bob/unknown"), "ratings.bob/unknown"),
        (Place("ratings"), "ratings"),
        (Place("fields", "verdict"), "Verdict"),
        (Place("fields", "unknown"), "fields.unknown"),
        (Place("tags/topics", "slow"), "Topics: slow"),
        (Place("tags/topics"), "Topics"),
        (Place("tags/unknown", "slow"), "tags/unknown.slow"),
        (Place("comment/remarks"), "Remarks"),
        (Place("comment/accuracy"), "Accuracy, note"),
        (Place("comment/unknown"), "comment/unknown"),
        (Place("else", "accuracy"), "else.accuracy"),
    ],
)
def test_a_place_is_named_by_its_question(place: Place, expected: str) -> None:
    assert label(place, FORM) == expected
    assert label(place, None) == str(place)
