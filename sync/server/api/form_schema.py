"""The shape of a form, for the OpenAPI document: what :mod:`sync.forms.definition` reads.

What JSON Schema cannot say, that module says: every id once, ``min`` below ``max``, and a ``step``
that leads from the one to the other.
"""

from __future__ import annotations

from typing import Any

from sync.forms.definition import (
    MAX_HELP,
    MAX_LABEL,
    MAX_NUMBER,
    MAX_OPTIONS,
    MAX_QUESTIONS,
    MAX_SECTIONS,
)

Schema = dict[str, Any]

_ID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}
_NUMBER: Schema = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
_FLAG: Schema = {"type": ["boolean", "null"], "default": False}
_NEVER: Schema = _FLAG | {"enum": [False, None]}


def _text(most: int = MAX_LABEL, *, left_out: bool = False) -> Schema:
    return {
        "type": ["string", "null"] if left_out else "string",
        "minLength": 1,
        "maxLength": most,
        "pattern": r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]+$",
    }


def _object(properties: Schema, *, optional: Schema | None = None, **more: Any) -> Schema:
    return {
        "type": "object",
        "properties": properties | (optional or {}),
        "required": list(properties),
        "additionalProperties": False,
    } | more


def _list(items: Schema, most: int) -> Schema:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def _question(kind: str, details: Schema, **optional: Schema) -> Schema:
    usual = {
        "required": _FLAG | {"description": "Whether a draft is complete only with an answer."},
        "weight": _NUMBER | {"type": ["number", "null"], "minimum": 0, "default": 1},
        "shared": _shared(kind),
        "comment": _comment(kind),
        "help": _text(MAX_HELP, left_out=True),
    }
    named = {"id": _ID, "kind": {"const": kind}, "label": _text()}
    return _object(named | details, optional=usual | optional, title=kind.title())


def _shared(kind: str) -> Schema:
    if kind == "text":
        return _NEVER | {"description": "A text is always shared."}
    return _FLAG | {"description": "One answer of everybody's, not one of each evaluator."}


def _comment(kind: str) -> Schema:
    if kind == "text":
        return _NEVER | {"description": "A text is a comment itself."}
    return _FLAG | {"description": "With a text of everybody's beside the answer."}


_OPTION: Schema = {"anyOf": [_text(), _object({"id": _text(), "label": _text()})]}
_OPTIONS = _list(_OPTION, MAX_OPTIONS) | {"uniqueItems": True}
_STEP: Schema = {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 2 * MAX_NUMBER}

_QUESTION: Schema = {
    "oneOf": [
        _question("score", {"min": _NUMBER, "max": _NUMBER}, step=_STEP),
        _question("choice", {"options": _OPTIONS}, multiple=_FLAG),
        _question("boolean", {}),
        _question("tags", {}),
        _question("text", {}),
    ]
}
_SECTION = _object({"id": _ID, "title": _text(), "questions": _list(_QUESTION, MAX_QUESTIONS)})

FORM_SCHEMA = _object(
    {"id": _ID, "title": _text(), "sections": _list(_SECTION, MAX_SECTIONS)},
    title="Form",
    description="Every id of a section, of a question, and of an option of one question, once.",
)
