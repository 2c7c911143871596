"""People who take steps in sessions, one after the other, through any number of kills.

Each request has an idempotency key. One that got no answer is sent again to the next server, and
must have been done once when that answers, whether or not it was done before the kill. What a log
must say then is known exactly.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.support.events import LOST, Api, Event, Message, Reading

STEPS: Mapping[str, Mapping[str, str]] = {
    "created": {"start": "running"},
    "running": {"pause": "paused", "stop": "stopped"},
    "paused": {"resume": "running", "stop": "stopped"},
    "stopped": {},
}
KINDS = {
    "start": "session.started",
    "pause": "session.paused",
    "resume": "session.resumed",
    "stop": "session.stopped",
    "join": "session.joined",
    "leave": "session.left",
    "complete": "draft.completed",
    "reopen": "draft.reopened",
}
CREATED, NOTE = "session.created", "walk.note"
CASES = ("first", "second")


@dataclass
class Fold:
    """A session as its events tell it, from nothing on."""

    state: str = ""
    members: dict[str, tuple[str, bool]] = field(default_factory=dict)  # role, and whether there
    completed: set[tuple[str, str]] = field(default_factory=set)

    def take(self, event: Event) -> None:
        """The next event."""
        data = event.data
        match event.kind:
            case "session.created":
                self.state = "created"
                for each in data["members"]:
                    there = each["subject"] == event.actor
                    self.members[each["subject"]] = (each["role"], there)
            case "session.joined":
                self.members[data["subject"]] = (data["role"], True)
            case "session.left":
                del self.members[data["subject"]]
            case "draft.completed":
                self.completed.add((data["case"], data["subject"]))
            case "draft.reopened":
                self.completed.remove((data["case"], data["subject"]))
            case moved if moved in KINDS.values():
                step = next(step for step, kind in KINDS.items() if kind == moved)
                self.state = STEPS[self.state][step]
            case _:
                assert self.state != "stopped", f"published in a session that is over: {event}"

    def check(self, session: Message) -> None:
        """What the service says of the session is what its events say."""
        members = {
            each["subject"]: (each["role"], each["joined_at"] is not None)
            for each in session["members"]
        }
        completed = {(each["case"], each["subject"]) for each in session["completed"]}
        said = (session["state"], members, completed)
        assert said == (self.state, self.members, self.completed), session["id"]


@dataclass(frozen=True)
class Request:
    """One request, with the key that makes it the same when it is sent again."""

    session: str
    path: str  # behind the session's own; for a new session there is none
    kind: str  # of the event that it brings about
    body: Any = None
    key: str = field(default_factory=lambda: str(uuid4()))


class Stage:
    """One session after the other, with a lead and evaluators who all act at once."""

    def __init__(self, name: str, tokens: Mapping[str, str], chance: random.Random) -> None:
        self.name = name
        self.number = 0
        self.sessions = [self.session]
        self._unsettled = [self.session]
        lead, *others = tokens.items()
        self.walkers: list[Walker] = [
            Lead(self, *lead, chance),
            *(Evaluator(self, *other, chance) for other in others),
        ]

    @property
    def session(self) -> str:
        """The one that is played now."""
        return f"{self.name}-{self.number}"

    def turn(self) -> None:
        """Go on to the next session."""
        self.number += 1
        self.sessions.append(self.session)
        self._unsettled.append(self.session)

    @property
    def answered(self) -> int:
        """Steps that were answered, in all sessions."""
        return sum(walker.done.total() + walker.refused for walker in self.walkers)

    def unsettled(self) -> list[str]:
        """Sessions in which something may have happened since they were asked for last."""
        sessions = self._unsettled
        pending = [walker.pending.session for walker in self.walkers if walker.pending is not None]
        self._unsettled = list({self.session, *pending})
        return sessions

    def check_absent(self, session: str) -> None:
        """A session that is not there was never said to be."""
        assert 0 in self.walkers[0].possible(session, CREATED), session

    def check(self, session: Message, log: Reading) -> None:
        """A session is what its log says, and the log says what was answered, once."""
        fold = Fold()
        for event in log.events:
            fold.take(event)
        fold.check(session)
        assert (session["top"], session["epoch"]) == (log.top, log.epoch or session["epoch"])
        told = Counter((event.actor, event.kind) for event in log.events)
        for walker in self.walkers:
            for kind in {*KINDS.values(), CREATED, NOTE}:
                told_by = told.pop((walker.name, kind), 0)
                assert told_by in walker.possible(session["id"], kind), (session, walker.name, kind)
        assert not told


class Walker:
    """Takes one step after the other, and counts in ``done`` what was answered."""

    refusals: tuple[int, ...] = (409,)

    def __init__(self, stage: Stage, name: str, token: str, chance: random.Random) -> None:
        self.stage = stage
        self.name = name
        self.chance = random.Random(chance.random())
        self.done: Counter[tuple[str, str]] = Counter()  # by session and kind
        self.refused = 0
        self.resent = 0
        self._token = token
        self.pending: Request | None = None

    def possible(self, session: str, kind: str) -> set[int]:
        """How many events of a kind there may be: one more, as long as an answer is missing."""
        done, pending = self.done[session, kind], self.pending
        unknown = pending is not None and (pending.session, pending.kind) == (session, kind)
        return {done, done + unknown}

    async def walk(self, url: str) -> None:
        """Take steps until the service is gone."""
        with suppress(*LOST):
            async with Api(url, self._token) as api:
                if self.pending is not None:
                    self.resent += 1
                    await self._ask(api, self.pending)
                while True:
                    await self._ask(api, self.choose())

    async def _ask(self, api: Api, request: Request) -> None:
        self.pending = request
        path = f"/sessions/{request.session}{request.path}" if request.path else "/sessions"
        answer = await api.post(path, request.body, request.key)
        self.pending = None
        if answer.status_code in self.refusals:
            self.refused += 1
        else:
            assert answer.is_success, f"{request}: {answer} {answer.text}"
            self.done[request.session, request.kind] += 1
            self.succeeded(request)

    def choose(self) -> Request:
        """What to do next; some of it is not open."""
        raise NotImplementedError

    def succeeded(self, request: Request) -> None:
        """It was done."""


class Lead(Walker):
    """Creates sessions, and takes each through its life."""

    _state = ""

    def choose(self) -> Request:
        session = self.stage.session
        if not self._state:
            invited = [
                {"subject": each.name, "role": "evaluator"} for each in self.stage.walkers[1:]
            ]
            cases = list(CASES)
            body = {"id": session, "project": "p", "test_cases": cases, "members": invited}
            return Request(session, "", CREATED, body)
        legal = self.chance.random() < 0.85
        steps = list(STEPS[self._state]) if legal else ["start", "pause", "resume"]
        step = self.chance.choice(steps)
        return Request(session, f"/{step}", KINDS[step])

    def succeeded(self, request: Request) -> None:
        step = request.path.removeprefix("/")
        self._state = STEPS[self._state][step] if step else "created"
        if self._state == "stopped":
            self._state = ""
            self.stage.turn()


class Evaluator(Walker):
    """Joins and leaves, completes drafts and opens them again, publishes."""

    refusals = (404, 409)  # the next session is not there yet
    _joined = ""

    def choose(self) -> Request:
        session = self.stage.session
        if self._joined != session:
            return Request(session, "/join", KINDS["join"])
        match self.chance.choice(("leave", "note", "note", "complete", "reopen")):
            case "leave":
                return Request(session, "/leave", KINDS["leave"])
            case "note":
                note = {"id": str(uuid4()), "kind": NOTE, "data": {"text": "a note"}}
                return Request(session, "/events", NOTE, note)
            case step:
                case = self.chance.choice(CASES)
                return Request(session, f"/drafts/{case}/{step}", KINDS[step])

    def succeeded(self, request: Request) -> None:
        if request.path in ("/join", "/leave"):
            self._joined = request.session if request.path == "/join" else ""
