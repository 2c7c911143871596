"""What comes in: bodies of requests. Nothing is coerced, and nothing unknown is taken."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from sync.core.errors import InvalidEvent
from sync.core.events import MAX_DATA, checked_id, checked_kind, encoded
from sync.core.session import (
    MAX_CASES,
    MAX_MEMBERS,
    MAX_TEXT,
    Member,
    Outline,
    Role,
    TestCase,
)
from sync.forms.definition import InvalidForm, form_definition
from sync.server.api.form_schema import FORM_SCHEMA

MAX_FORM = 256 * 2**10
"""Bytes of a form's definition as JSON."""

MAX_SUBJECT = 256

NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
SESSION_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
CASE_ID = r"^(?!\.\.?$)[^/\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
KIND = r"^(?!(session|draft)\.)[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*$"

RoleWord = Literal["lead", "evaluator", "observer"]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=NO_CONTROL)]
Subject = Annotated[str, Field(min_length=1, max_length=MAX_SUBJECT, pattern=NO_CONTROL)]


def whole(given: object) -> object:
    """In JSON 7.0 is the number 7."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


_Positive = Annotated[int, Field(ge=1)]
Offset = Annotated[_Positive, BeforeValidator(whole, json_schema_input_type=_Positive)]


class Request(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    needed: ClassVar[bool] = False
    """Something must be said, though nothing of it must be."""


def role_of(word: RoleWord) -> Role:
    return Role[word.upper()]


def _case_id(text: str) -> str:
    if "/" in text or text in {".", ".."}:
        raise ValueError("a test case's id has no slash, and is not . or ..")
    return text


CaseId = Annotated[
    Text,
    AfterValidator(_case_id),
    Field(
        json_schema_extra={"pattern": CASE_ID},
        description="Stands in the draft's name, `drafts/{session}/{id}`: no slash.",
    ),
]


class NewCase(Request):
    """A test case."""

    id: CaseId
    title: Text | None = Field(None, description="Left out: the id.")


def _case(given: object) -> object:
    """A test case may be given by its id alone."""
    return {"id": given} if isinstance(given, str) else given


class NewMember(Request):
    """Somebody who is invited."""

    subject: Subject = Field(description="The `sub` of their token.")
    role: RoleWord = Field(description="What they are to be; no more than their token allows.")


def _form(given: dict[str, Any]) -> dict[str, Any]:
    """The form with nothing left to defaults, so that no reader needs to know them."""
    try:
        size = len(json.dumps(given, ensure_ascii=False, allow_nan=False).encode())
        form = form_definition(given)
    except InvalidForm:
        raise
    except ValueError:  # NaN, or a number without end
        raise ValueError("a form is JSON without NaN, and with numbers of a sane length") from None
    if size > MAX_FORM:
        raise ValueError(f"a form has at most {MAX_FORM} bytes as JSON; this one has {size}")
    return form.to_json()


class NewSession(Request):
    """What a session is created from."""

    id: str | None = Field(
        None,
        pattern=SESSION_ID,
        description="Left out: one is made up. Your token must say lead for it.",
    )
    project: Text
    test_cases: list[
        Annotated[NewCase, BeforeValidator(_case, json_schema_input_type=CaseId | NewCase)]
    ] = Field(
        max_length=MAX_CASES,
        description="Each by its id, or as an object with a title. Every id once.",
        json_schema_extra={"uniqueItems": True},
    )
    title: Text | None = Field(None, description="Left out: the project.")
    members: list[NewMember] = Field(
        default=[],
        max_length=MAX_MEMBERS - 1,
        description="Invitations; who creates the session leads it. Every subject once.",
        json_schema_extra={"uniqueItems": True},
    )
    form: Annotated[dict[str, Any], AfterValidator(_form), WithJsonSchema(FORM_SCHEMA)] | None = (
        Field(None, description=f"The form that is filled in; at most {MAX_FORM} bytes.")
    )

    def outline(self) -> Outline:
        """The same for the core, which checks what stands between the parts."""
        cases = tuple(TestCase(each.id, each.title or each.id) for each in self.test_cases)
        invited = tuple(
            Member(each.subject, each.subject, role_of(each.role), None) for each in self.members
        )
        return Outline(self.project, self.title or self.project, cases, self.form, invited)


class Joining(Request):
    """How somebody joins."""

    role: RoleWord | None = Field(
        None, description="Left out: as invited, or else as far as the token goes."
    )


class Completing(Request):
    """Whose draft is complete, or open again."""

    subject: Subject | None = Field(None, description="Left out: yours. Leads may name others.")


def _kind(given: str) -> str:
    return _checked(checked_kind, given)


def _event_id(given: str) -> str:
    return _checked(checked_id, given)


def _data(given: dict[str, Any]) -> dict[str, Any]:
    _checked(encoded, given)
    return given


def _checked(check: Any, given: object) -> str:
    try:
        text: str = check(given)
    except InvalidEvent as error:
        raise ValueError(error.reason) from None
    return text


class Publication(Request):
    """An event to publish."""

    id: Annotated[str, AfterValidator(_event_id)] | None = Field(
        None,
        description="A UUID; the same one again stores nothing. Left out: made from the "
        "`Idempotency-Key`, or new.",
        json_schema_extra={"format": "uuid"},
    )
    kind: Annotated[str, AfterValidator(_kind)] = Field(
        description="Not of `session.` or `draft.`, which are the service's own.",
        json_schema_extra={"pattern": KIND, "minLength": 1, "maxLength": 64},
    )
    data: Annotated[dict[str, Any], AfterValidator(_data)] = Field(
        default={}, description=f"Any JSON object of at most {MAX_DATA} bytes."
    )


# -- examples

NEW_SESSION = {
    "id": "refunds-7",
    "project": "Support agent",
    "title": "Refunds, third round",
    "test_cases": ["refund-041", {"id": "refund-042", "title": "Refund after 30 days"}],
    "members": [{"subject": "bob", "role": "evaluator"}, {"subject": "carol", "role": "observer"}],
    "form": {
        "id": "agent-eval",
        "title": "How did the agent do?",
        "sections": [
            {
                "id": "quality",
                "title": "Quality",
                "questions": [
                    {
                        "id": "accuracy",
                        "kind": "score",
                        "label": "Is it right?",
                        "min": 1,
                        "max": 5,
                        "required": True,
                    },
                    {
                        "id": "verdict",
                        "kind": "choice",
                        "label": "Verdict",
                        "options": ["pass", "fail"],
                    },
                ],
            }
        ],
    },
}
PUBLICATION = {
    "id": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
    "kind": "review.note",
    "data": {"case": "refund-042", "text": "Look at the second answer."},
}
