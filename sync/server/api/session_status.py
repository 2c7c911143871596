"""What goes on in a session, for who may observe it."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import Field

from sync.server.api.context import Asker, Parts, in_time
from sync.server.api.monitoring import Milliseconds, QuantilesResource
from sync.server.api.problems import described
from sync.server.api.requests import RoleWord
from sync.server.api.resources import Resource, StateWord, Time, answer
from sync.server.api.sessions import SessionPath, observed

router = APIRouter(prefix="/api/v1", tags=["monitoring"])

# -- as it is described


class PresenceResource(Resource):
    """One open connection of somebody."""

    kind: Literal["document", "events", "stream"] = Field(description="Streams are over HTTP.")
    document: str | None = Field(description="The draft; null for the channel of events.")
    access: Literal["write", "read"] | None = Field(description="To the draft, now.")
    since: Time
    last_seen: Time = Field(description="When the last message of it came.")
    unsaved: int = Field(ge=0, description="Edits, or events, of it that are not on disk.")
    latency_ms: Milliseconds | None = Field(description="Of a ping and its pong; null: not known.")


class CommittedResource(Resource):
    """An edit on disk."""

    document: str
    position: int = Field(ge=1)
    at: Time


class PersonResource(Resource):
    """Somebody in the session, or connected to it."""

    subject: str
    name: str
    role: RoleWord | None = Field(description="Null for who is only connected.")
    member: bool = Field(description="False for who is only connected.")
    joined_at: Time | None
    acknowledged: int = Field(ge=0, description="They have received every event up to this offset.")
    online: bool
    connections: list[PresenceResource]
    last_committed: CommittedResource | None = Field(
        description="Their last edit, as far as it is known without reading the history."
    )


class LastEditResource(Resource):
    """The last edit of a draft."""

    at: Time
    by: str
    position: int = Field(ge=1)


class DraftResource(Resource):
    """A draft that exists, or is open."""

    document: str
    evaluator: str | None = Field(description="Whose own it is; null: everybody's.")
    open: list[str] = Field(description="Subjects who have it open.")
    edits: int = Field(ge=0, description="On disk; not those that retention removed.")
    last_edit: LastEditResource | None
    note: str | None = Field(description="What is wrong with it, or why it could not be read.")


class ProgressResource(Resource):
    """How far somebody has come with the form."""

    answered: int = Field(ge=0, description="Required questions that are answered.")
    required: int = Field(ge=0)
    optional_answered: int = Field(ge=0)
    share: float = Field(
        ge=0, le=1, description="Of the required questions, or of all where none is required."
    )


class EvaluatorResource(Resource):
    """An evaluator and a test case."""

    subject: str
    progress: ProgressResource | None = Field(
        description="Null without a form, and while a draft cannot be read."
    )
    completed: bool = Field(description="They have declared their draft complete.")
    completed_at: Time | None


class CaseStatusResource(Resource):
    """What goes on with a test case."""

    id: str
    title: str
    documents: list[DraftResource]
    open: list[str] = Field(description="Subjects who have one of its drafts open.")
    edits: int = Field(ge=0)
    last_edit: LastEditResource | None
    evaluators: list[EvaluatorResource] = Field(
        description="All evaluators, and who else has answered or completed something."
    )


class SessionDeliveryResource(Resource):
    """How events got to subscribers, since somebody is connected."""

    delivered: int = Field(ge=0)
    success: float = Field(ge=0, le=1, description="Share of those that were due.")
    latency_ms: QuantilesResource = Field(description="From the commit to the socket.")


class SessionStatusResource(Resource):
    """A session now: state, and no log."""

    session: str
    state: StateWord
    epoch: str
    top: int = Field(ge=1)
    time: Time
    active_seconds: float = Field(ge=0)
    connections: int = Field(ge=0)
    members: list[PersonResource]
    test_cases: list[CaseStatusResource]
    other_documents: list[DraftResource] = Field(
        description="Under the session's name, but of no test case of it."
    )
    delivery: SessionDeliveryResource | None = Field(description="Null while nobody subscribes.")


STATUS: dict[str, Any] = {
    "session": "refunds-7",
    "state": "running",
    "epoch": "9b1c5f0e6a7d4c32",
    "top": 8,
    "time": "2026-11-22T10:30:00.000Z",
    "active_seconds": 1500.0,
    "connections": 1,
    "members": [
        {
            "subject": "bob",
            "name": "Bob",
            "role": "evaluator",
            "member": True,
            "joined_at": "2026-11-22T10:02:10.000Z",
            "acknowledged": 8,
            "online": True,
            "connections": [
                {
                    "kind": "document",
                    "document": "drafts/refunds-7/refund-042",
                    "access": "write",
                    "since": "2026-11-22T10:02:11.000Z",
                    "last_seen": "2026-11-22T10:29:58.120Z",
                    "unsaved": 0,
                    "latency_ms": 21.0,
                }
            ],
            "last_committed": {
                "document": "drafts/refunds-7/refund-042",
                "position": 4711,
                "at": "2026-11-22T10:29:58.000Z",
            },
        }
    ],
    "test_cases": [
        {
            "id": "refund-042",
            "title": "Refund after 30 days",
            "documents": [
                {
                    "document": "drafts/refunds-7/refund-042",
                    "evaluator": None,
                    "open": ["bob"],
                    "edits": 41,
                    "last_edit": {"at": "2026-11-22T10:29:58.000Z", "by": "bob", "position": 4711},
                    "note": None,
                }
            ],
            "open": ["bob"],
            "edits": 41,
            "last_edit": {"at": "2026-11-22T10:29:58.000Z", "by": "bob", "position": 4711},
            "evaluators": [
                {
                    "subject": "bob",
                    "progress": {
                        "answered": 3,
                        "required": 4,
                        "optional_answered": 1,
                        "share": 0.75,
                    },
                    "completed": False,
                    "completed_at": None,
                }
            ],
        }
    ],
    "other_documents": [],
    "delivery": {
        "delivered": 96,
        "success": 1.0,
        "latency_ms": {"p50": 0.4, "p95": 1.6, "p99": 3.1},
    },
}


@router.get(
    "/sessions/{session}/status",
    operation_id="getSessionStatus",
    summary="See who is there, and how far they are",
    response_model=SessionStatusResource,
    responses=answer("The session now.", STATUS) | described(401, 403, 404, 503),
)
async def session_status(session: SessionPath, who: Asker, parts: Parts) -> JSONResponse:
    """See who is connected, on which draft, what of theirs is not saved yet, and how far every
    evaluator has come with every test case. Who subscribes to the events with `"status": true` gets
    the same whenever it changes.
    """
    live = await observed(parts, session, who)
    return JSONResponse(await in_time(parts.monitor.board.status(live)))
