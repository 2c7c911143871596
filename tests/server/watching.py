"""Parts to watch sessions with: a board on a hub and its sessions, without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pycrdt import Doc, Map, Text

from auth.access import Grants, Identity, SessionAccess
from persistence.store import ClientRange, Edit, Store
from sync.core.names import DocumentName
from sync.core.session import Outline, SessionId, Step, TestCase
from sync.core.yprotocol import decode_state_vector
from sync.server.meters import ChannelStatistics, Meters
from sync.server.sessions import LiveSession, Sessions, open_sessions
from sync.server.status import StatusBoard
from tests.server.parts import Office, TroubledStore, eventually, identity, open_office
from tests.support.client import Peer

FORM: dict[str, Any] = {
    "id": "f",
    "title": "Form",
    "sections": [
        {
            "id": "s",
            "title": "Section",
            "questions": [
                {"id": "q1", "kind": "score", "label": "1", "min": 1, "max": 5, "required": True},
                {"id": "q2", "kind": "boolean", "label": "2", "required": True},
                {"id": "q3", "kind": "text", "label": "3", "required": True},
                {"id": "q4", "kind": "tags", "label": "4", "required": True},
                {"id": "q5", "kind": "text", "label": "5"},
            ],
        }
    ],
}
S1 = SessionId("s1")


def somebody(subject: str, access: SessionAccess = SessionAccess.JOIN) -> Identity:
    """Who may write to all documents, and has a right to all sessions."""
    return replace(identity(subject), sessions=Grants({"*": access}))


ADA = somebody("ada", SessionAccess.LEAD)
BEN, CARL = somebody("ben"), somebody("carl")
OLGA = somebody("olga", SessionAccess.OBSERVE)


class Events:
    """The event channel as the board sees it."""

    def __init__(self) -> None:
        self.open: list[ChannelStatistics] = []
        self.meters = Meters()
        self.of_session: Meters | None = None

    def statistics(self, session: str | None = None) -> list[ChannelStatistics]:
        return [each for each in self.open if session in (None, each.session)]

    def meters_of(self, _session: str) -> Meters | None:
        return self.of_session


def channel(subject: str, session: str = S1, **more: Any) -> ChannelStatistics:
    """A connection of the event channel."""
    usual = ChannelStatistics(
        id=1, session=session, subject=subject, name=subject.title(), opened_at=1e9, heard_at=0.0,
        offset=0, lag=0, round_trip=None, received=0, sent=0, in_flight=0, queued_bytes=0,
        resumes=0,
    )  # fmt: skip
    return replace(usual, **more)


@dataclass
class Watch:
    """A hub, its sessions, and a board."""

    store: Store
    office: Office
    sessions: Sessions
    board: StatusBoard
    events: Events = field(default_factory=Events)

    async def session(
        self,
        *evaluators: Identity,
        cases: Iterable[str] = ("a", "b"),
        form: dict[str, Any] | None = FORM,
        name: SessionId = S1,
        start: bool = True,
    ) -> LiveSession:
        """A session of Ada's that runs, and who has joined it."""
        outline = Outline("Project", "Title", tuple(TestCase(c, c) for c in cases), form)
        live, _ = await self.sessions.create(name, ADA, outline)
        for each in evaluators:
            await self.sessions.step(name, Step.JOIN, each)
        if start:
            await self.sessions.step(name, Step.START, ADA)
        return live

    @property
    def loads(self) -> int:
        """How many documents were read from the store."""
        assert isinstance(self.store, TroubledStore)
        return self.store.loads

    @property
    def rooms(self) -> int:
        return len(self.office.hub.rooms)

    async def settled(self) -> None:
        """Wait until everything that was fed is on disk, and the rooms know."""
        rooms = self.office.hub.rooms.everyone()
        await eventually(lambda: all(not each.room.dirty and each.room.settled for each in rooms))


@asynccontextmanager
async def watching(store: Store | None = None, **limits: Any) -> AsyncIterator[Watch]:
    """Run a hub, sessions and a board."""
    store = store or TroubledStore()
    async with (
        open_office(store, **limits) as office,
        open_sessions(store, office.hub) as sessions,
    ):
        events = Events()
        yield Watch(store, office, sessions, StatusBoard(store, office.hub, events), events)


def answered(peer: Peer, *answers: str, root: str = "ratings") -> bytes:
    """Give answers, such as ``ben/q1``; return the update."""

    def change(doc: Doc[Any]) -> None:
        for each in answers:
            doc.get(root, type=Map)[each] = 1

    return peer.edit(change)


def commented(peer: Peer, question: str, text: str) -> bytes:
    """Write a comment; return the update."""
    return peer.edit(lambda doc: doc.get(f"comment/{question}", type=Text).insert(0, text))


async def stored(store: Store, document: str, *updates: bytes, author: str = "ben") -> None:
    """Put a draft on disk that nobody has open."""
    doc: Doc[Any] = Doc()
    for update in updates:
        before = decode_state_vector(doc.get_state())
        doc.apply_update(update)
        clocks = decode_state_vector(doc.get_state())
        brought = tuple(
            ClientRange(client, before.get(client, 0), end)
            for client, end in clocks.items()
            if end > before.get(client, 0)
        )
        await store.append([Edit(document, update, author, brought, 1e9)])


def case_of(status: dict[str, Any], case: str = "a") -> dict[str, Any]:
    """What a status says of a test case."""
    found: dict[str, Any] = next(each for each in status["test_cases"] if each["id"] == case)
    return found


def draft_of(status: dict[str, Any], document: str) -> dict[str, Any]:
    """What a status says of a draft."""
    found: dict[str, Any] = next(
        each
        for case in status["test_cases"]
        for each in case["documents"]
        if each["document"] == document
    )
    return found


def member_of(status: dict[str, Any], subject: str) -> dict[str, Any]:
    """What a status says of somebody."""
    found: dict[str, Any] = next(each for each in status["members"] if each["subject"] == subject)
    return found


def shares(status: dict[str, Any], case: str = "a") -> dict[str, float | None]:
    """How far everybody has come with a test case."""
    return {
        each["subject"]: each["progress"] and each["progress"]["share"]
        for each in case_of(status, case)["evaluators"]
    }


def draft(case: str = "a", subject: str | None = None) -> DocumentName:
    return DocumentName(f"drafts/s1/{case}" + (f"/{subject}" if subject else ""))
