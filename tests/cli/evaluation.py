"""A session as two evaluators left it, for tests of commands."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pycrdt import Doc, Map

from persistence.sqlite import open_sqlite
from persistence.store import Acknowledgement, Edit, Event, Record, SessionState, Store
from sync.core.session import (
    Actor,
    Happening,
    Member,
    Outline,
    Role,
    Session,
    SessionId,
    State,
    Step,
    TestCase,
    body,
    created,
)
from sync.server.sessions import revived

NOON = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
FORM = {
    "id": "agent-eval",
    "title": "How well did it do?",
    "sections": [
        {
            "id": "all",
            "title": "All",
            "questions": [
                {"id": name, "kind": "boolean", "label": name, "required": True}
                for name in ("polite", "correct")
            ],
        }
    ],
}
LENA = Actor("lena", "Lena", Role.LEAD)


class Story:
    """Takes the steps of one session, and records them."""

    def __init__(self, store: Store, session: str, form: Any = FORM) -> None:
        self._store = store
        cases = (TestCase("c1", "Refund after 30 days"), TestCase("c2", "Angry customer"))
        invited = (Member("dave", "Dave", Role.EVALUATOR, None),)
        outline = Outline("Support agent", "Third round", cases, form, invited)
        self.session, self._first = created(SessionId(session), "e1", LENA, NOON, outline)
        self._events = 0

    @classmethod
    async def found(cls, store: Store, session: str) -> Story:
        """Go on with one that was written before."""
        story = cls(store, session)
        stored = await store.session(session)
        assert stored is not None
        story.session, story._events = revived(stored), stored.top
        return story

    async def begin(self) -> None:
        await self._record(self.session, self._first, LENA, NOON)

    async def step(self, step: Step, after: float, actor: Actor = LENA) -> None:
        taken = self.session.take(step, actor, NOON + after)
        assert taken is not None
        await self._record(*taken, actor, NOON + after)

    async def complete(self, case: str, actor: Actor, after: float) -> None:
        now = NOON + after
        done = self.session.complete(case, actor.subject, actor, now, done=True)
        await self._record(*done, actor, now)

    async def publish(self, kind: str, data: Any, after: float) -> None:
        self._events += 1
        event = Event(f"e{self._events}", kind, "alice", NOON + after, json.dumps(data))
        await self._store.record([Record(self.session.id, event)])

    async def _record(
        self, session: Session, happening: Happening, actor: Actor, now: float
    ) -> None:
        self.session = session
        self._events += 1
        data = json.dumps(dict(happening.data))
        event = Event(f"e{self._events}", happening.kind, actor.subject, now, data)
        change = SessionState(session.epoch, str(session.state), body(session))
        await self._store.record([Record(session.id, event, change)])


def rating(document: str, subject: str, question: str, after: float) -> Edit:
    """An answer of somebody, ready for a store."""
    doc: Doc[Any] = Doc()
    doc.get("ratings", type=Map)[f"{subject}/{question}"] = True
    return Edit(document, doc.get_update(), subject, (), NOON + after)


@asynccontextmanager
async def written(
    path: Path, session: str = "s1", until: State = State.RUNNING
) -> AsyncIterator[Story]:
    """Open a database with the session in it; more may be written before it is closed."""
    async with open_sqlite(path) as store:
        story = Story(store, session)
        await story.begin()
        if until is not State.CREATED:
            await _evaluated(store, story)
        if until is State.STOPPED:
            await story.step(Step.STOP, 600)
        yield story


async def _evaluated(store: Store, story: Story) -> None:
    alice, bob = (Actor(each, each.title(), Role.EVALUATOR) for each in ("alice", "bob"))
    await story.step(Step.JOIN, 10, alice)
    await story.step(Step.JOIN, 20, bob)
    await story.step(Step.START, 60)
    draft = f"drafts/{story.session.id}/c1"
    batch = [rating(draft, "alice", "polite", 70), rating(draft, "alice", "correct", 100)]
    await store.append([*batch, rating(f"{draft}/bob", "bob", "polite", 200)])
    await story.complete("c1", alice, 300)
    await story.publish("review.note", {"text": "look at this again"}, 310)
    await store.acknowledge([Acknowledgement(story.session.id, "alice", 3)])
