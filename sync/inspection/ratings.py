"""What people answered, as rows for spreadsheets: who gave which answer, and when."""

from __future__ import annotations

import json

from persistence.store import Past
from sync.core.changes import ABSENT
from sync.core.events import iso
from sync.core.report_formats import cell
from sync.core.session import session_of
from sync.forms.definition import FormDefinition
from sync.forms.progress import COMMENT, FIELDS, RATINGS, TAGS
from sync.inspection.blame import Blame, blame
from sync.inspection.labels import label

COLUMNS = (
    *("document", "session", "subject", "question", "label", "value"),
    *("position", "time", "author", "offline"),
)


def ratings(past: Past, definition: FormDefinition | None = None) -> list[list[object]]:
    """A row of COLUMNS for each answer that stands in a draft; shared ones have no subject.

    A text that a spreadsheet would take for a formula gets an apostrophe before it. Call it on a
    deep stack. Raises NativeFailure.
    """
    return [
        [cell(value) for value in _row(past.document, each, *asked, definition)]
        for each in blame(past)
        if each.value is not ABSENT and (asked := _asked(each)) is not None
    ]


def _asked(each: Blame) -> tuple[str, str] | None:
    """Whose answer it is, and to which question; None for what is no answer."""
    root, key = each.place
    if root == RATINGS and key is not None:
        subject, slash, question = key.rpartition("/")
        return (subject, question) if slash else None
    if root == FIELDS and key is not None:
        return "", key
    for beginning in (TAGS, COMMENT):
        if root.startswith(beginning):
            return "", root.removeprefix(beginning)
    return None


def _row(
    document: str, each: Blame, subject: str, question: str, definition: FormDefinition | None
) -> list[object]:
    tag = each.place.root.startswith(TAGS) and each.place.key is not None
    return [
        document,
        session_of(document),
        subject,
        question,
        label(each.place, definition) if definition else None,
        each.place.key if tag else _value(each.value),
        each.position,
        None if each.time is None else iso(each.time),
        each.author,
        str(each.offline).lower(),
    ]


def _value(value: object) -> object:
    """Numbers and texts as they are; the rest as JSON has it."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    return json.dumps(value, ensure_ascii=False)
