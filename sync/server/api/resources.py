"""What goes out, for the OpenAPI document: the answers themselves are made elsewhere.

They are of :mod:`sync.server.session_view` and :mod:`sync.server.api.events`; the tests hold them
against these models.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sync.forms.definition import form_definition
from sync.server.api.requests import NEW_SESSION, PUBLICATION, RoleWord

Time = Annotated[
    str,
    Field(
        description="ISO 8601 in UTC, to the millisecond.",
        json_schema_extra={"format": "date-time"},
    ),
]
StateWord = Literal["created", "running", "paused", "stopped"]
StepWord = Literal["join", "leave", "start", "pause", "resume", "stop"]


class Resource(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(extra="forbid", strict=True)


def answer(description: str, example: object, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """What a route answers, as JSON, for the OpenAPI document."""
    content = {"application/json": {"example": example}}
    return {status: {"description": description, "content": content}}


class CaseResource(Resource):
    """A test case."""

    id: str
    title: str


class MemberResource(Resource):
    """Somebody in the session, or invited to it."""

    subject: str
    name: str
    role: RoleWord
    joined_at: Time | None = Field(description="Null: invited, and not there yet.")
    acknowledged: int = Field(ge=0, description="They have received every event up to this offset.")


class CompletionResource(Resource):
    """A draft that was declared complete."""

    case: str
    subject: str
    at: Time


class SessionSummary(Resource):
    """A session, but for its form."""

    id: str
    state: StateWord
    project: str
    title: str
    test_cases: list[CaseResource]
    members: list[MemberResource]
    epoch: str = Field(description="Names the log of events: offsets mean nothing without it.")
    top: int = Field(ge=1, description="Offset of the last event.")
    truncated_before: int | None = Field(
        description="Offset of the first event that is kept; null when all are there."
    )
    open_steps: list[StepWord] = Field(description="What can be done now, by those who may.")
    created_by: str
    created_at: Time
    started_at: Time | None
    stopped_at: Time | None
    active_seconds: float = Field(ge=0, description="How long it has been running.")
    completed: list[CompletionResource]


class SessionResource(SessionSummary):
    """A session."""

    form: dict[str, Any] | None = Field(description="With nothing left to defaults.")


class SessionsPage(Resource):
    """Some sessions, in the order in which they were created."""

    sessions: list[SessionSummary]
    next: int | None = Field(
        description="Give it as `after` for more, though there be none in this page; null: no more."
    )


class EventResource(Resource):
    """Something that happened in a session."""

    offset: int = Field(ge=1)
    id: str
    kind: str
    actor: str
    time: Time
    data: dict[str, Any]


class EventsPage(Resource):
    """Some events, in the order of their offsets."""

    epoch: str
    top: int = Field(ge=1)
    truncated_before: int | None
    events: list[EventResource]
    next: int | None = Field(description="Give it as `after` for more; null: no more for now.")


class Published(Resource):
    """Where an event stands in the log; it is on disk."""

    id: str
    offset: int = Field(ge=1)


class TicketResource(Resource):
    """A ticket."""

    ticket: str
    expires: Time


# -- examples

_TIME = "2026-11-22T10:00:00.000Z"
SESSION: dict[str, Any] = {
    "id": "refunds-7",
    "state": "created",
    "project": "Support agent",
    "title": "Refunds, third round",
    "test_cases": [
        {"id": "refund-041", "title": "refund-041"},
        {"id": "refund-042", "title": "Refund after 30 days"},
    ],
    "members": [
        {
            "subject": "alice",
            "name": "Alice",
            "role": "lead",
            "joined_at": _TIME,
            "acknowledged": 0,
        },
        {
            "subject": "bob",
            "name": "bob",
            "role": "evaluator",
            "joined_at": None,
            "acknowledged": 0,
        },
    ],
    "epoch": "9b1c5f0e6a7d4c32",
    "top": 1,
    "truncated_before": None,
    "open_steps": ["join", "leave", "start"],
    "created_by": "alice",
    "created_at": _TIME,
    "started_at": None,
    "stopped_at": None,
    "active_seconds": 0.0,
    "completed": [],
    "form": form_definition(NEW_SESSION["form"]).to_json(),
}
SESSIONS: dict[str, Any] = {
    "sessions": [{key: value for key, value in SESSION.items() if key != "form"}],
    "next": None,
}
EVENT: dict[str, Any] = {"offset": 8, "actor": "alice", "time": _TIME} | PUBLICATION
EVENTS: dict[str, Any] = {
    "epoch": SESSION["epoch"],
    "top": 8,
    "truncated_before": None,
    "events": [EVENT],
    "next": None,
}
TICKET = {"ticket": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg", "expires": _TIME}
