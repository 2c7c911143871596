"""The session machine: who may do what to a session, and what comes of it.

::

    created ── start ──▶ running ── pause ──▶ paused
                            │  ◀── resume ──    │
                            └────── stop ───────┴──▶ stopped

Who joins, leaves or completes a draft changes the session as well. A session is a value: a command
makes another one of it and an event, or is refused. Both are to be committed together.

Rules:

1. A role is at most what the token gives: observer by ``observe``, evaluator by ``join``, lead by
   ``lead``. Only who leads starts, pauses, resumes and stops.
2. What is refused for the state of things (409) says which steps are open now, to anybody.
3. Joining again with the same role changes nothing, and is no event.
4. Nothing is open once a session is stopped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any, NewType

from sync.core.errors import Forbidden, IllegalStep, InvalidName, InvalidSession
from sync.core.names import document_name

SessionId = NewType("SessionId", str)

MAX_CASES = 1_000
MAX_MEMBERS = 1_000
MAX_TEXT = 200  # characters of a project, a title, a test case's id or title
MAX_SUBJECT = 256  # as many as a token's subject has

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class State(StrEnum):
    """Where a session is in its life."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Step(StrEnum):
    """What moves a session on, or changes who is in it."""

    JOIN = "join"
    LEAVE = "leave"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


class Role(IntEnum):
    """What somebody is in a session. Each includes what those below it may do."""

    OBSERVER = 1
    EVALUATOR = 2
    LEAD = 3

    @property
    def word(self) -> str:
        """As it is written outside."""
        return self.name.lower()


_MOVES: Mapping[State, Mapping[Step, State]] = {
    State.CREATED: {Step.START: State.RUNNING},
    State.RUNNING: {Step.PAUSE: State.PAUSED, Step.STOP: State.STOPPED},
    State.PAUSED: {Step.RESUME: State.RUNNING, Step.STOP: State.STOPPED},
    State.STOPPED: {},
}
_KINDS = {
    Step.START: "session.started",
    Step.PAUSE: "session.paused",
    Step.RESUME: "session.resumed",
    Step.STOP: "session.stopped",
}
CREATED, JOINED, LEFT = "session.created", "session.joined", "session.left"
COMPLETED, REOPENED = "draft.completed", "draft.reopened"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who gives a command, and the most that the token lets them be in this session."""

    subject: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class TestCase:
    """One case of an AI agent's behaviour that is evaluated."""

    __test__ = False  # whatever pytest thinks

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a session, or invited to it."""

    subject: str
    name: str
    role: Role
    joined_at: float | None  # None: invited, and not there yet


@dataclass(frozen=True, slots=True)
class Completion:
    """An evaluator has declared the draft of a test case to be complete."""

    case: str
    subject: str
    at: float


@dataclass(frozen=True, slots=True)
class Happening:
    """What an event says, but for its offset, id, actor and time."""

    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outline:
    """What a session is created from."""

    project: str
    title: str
    test_cases: tuple[TestCase, ...]
    form: Mapping[str, Any] | None = None  # the definition of the form that is filled in
    invited: tuple[Member, ...] = ()

    def check(self) -> None:
        """Raise InvalidSession for what no session can be made of."""
        _check_text("project", self.project)
        _check_text("title", self.title)
        _check_unique("test case", [each.id for each in self.test_cases], MAX_CASES, MAX_TEXT)
        for case in self.test_cases:
            if "/" in case.id:
                raise InvalidSession(f"a test case's id has no slash, and this is {case.id!r}")
            _check_text("test case's title", case.title)
        subjects = [each.subject for each in self.invited]
        _check_unique("member", subjects, MAX_MEMBERS - 1, MAX_SUBJECT)


@dataclass(frozen=True, slots=True)
class Session:
    """One evaluation session at one moment; times are seconds since the Unix epoch."""

    id: SessionId
    epoch: str
    project: str
    title: str
    test_cases: tuple[TestCase, ...]
    form: Mapping[str, Any] | None
    created_by: str
    created_at: float
    state: State = State.CREATED
    members: tuple[Member, ...] = ()
    completed: tuple[Completion, ...] = ()
    running_since: float | None = None
    active_seconds: float = 0.0  # running, up to the last pause or stop
    started_at: float | None = None
    stopped_at: float | None = None

    # -- what is

    @property
    def open_steps(self) -> tuple[Step, ...]:
        """What can be done to it now, by those who may."""
        if self.state is State.STOPPED:
            return ()
        return (Step.JOIN, Step.LEAVE, *_MOVES[self.state])

    def member(self, subject: str) -> Member | None:
        """Somebody who is in it, or invited."""
        return next((each for each in self.members if each.subject == subject), None)

    def present(self, subject: str) -> Member | None:
        """Somebody who has joined and not left."""
        member = self.member(subject)
        return member if member is not None and member.joined_at is not None else None

    def case(self, case: str) -> TestCase | None:
        """One of its test cases."""
        return next((each for each in self.test_cases if each.id == case), None)

    def completion(self, case: str, subject: str) -> Completion | None:
        """The declaration that somebody's draft of a test case is complete."""
        return next(
            (each for each in self.completed if (each.case, each.subject) == (case, subject)), None
        )

    def active(self, now: float) -> float:
        """Seconds that it has been running so far."""
        since = self.running_since
        return self.active_seconds + (max(0.0, now - since) if since is not None else 0.0)

    # -- what can be done

    def take(
        self, step: Step, actor: Actor, now: float, role: Role | None = None
    ) -> tuple[Session, Happening] | None:
        """Take a step; return the session that comes of it, and the event, or None for neither.

        ``role`` is what one wants to join as; without it one joins as invited, or else as far as
        the token goes. Raises Forbidden and IllegalStep.
        """
        if step is Step.JOIN:
            return self._join(actor, now, role)
        if step is Step.LEAVE:
            return self._leave(actor)
        return self._move(step, actor, now)

    def _join(
        self, actor: Actor, now: float, role: Role | None
    ) -> tuple[Session, Happening] | None:
        self._check_open(Step.JOIN)
        known = self.member(actor.subject)
        wanted = role or (min(known.role, actor.role) if known else actor.role)
        if wanted > actor.role:
            raise Forbidden(
                f"your token lets you join this session as {actor.role.word}, not {wanted.word}"
            )
        if known is not None and known.joined_at is not None and known.role == wanted:
            return None
        if known is None and len(self.members) >= MAX_MEMBERS:
            full = f"a session has at most {MAX_MEMBERS} members, and this one is full"
            raise IllegalStep(full, self._words(but=Step.JOIN))
        member = Member(actor.subject, actor.name, wanted, now)
        data = {"subject": actor.subject, "name": actor.name, "role": wanted.word}
        return self._with_member(member), Happening(JOINED, data)

    def _with_member(self, member: Member) -> Session:
        others = [each for each in self.members if each.subject != member.subject]
        return replace(self, members=(*others, member))

    def _leave(self, actor: Actor) -> tuple[Session, Happening]:
        self._check_open(Step.LEAVE)
        if self.present(actor.subject) is None:
            raise IllegalStep("you are not in this session", self._words(but=Step.LEAVE))
        members = tuple(each for each in self.members if each.subject != actor.subject)
        return replace(self, members=members), Happening(LEFT, {"subject": actor.subject})

    def _move(self, step: Step, actor: Actor, now: float) -> tuple[Session, Happening]:
        if actor.role < Role.LEAD:
            raise Forbidden(f"only who leads a session may {step} it: your token must say lead")
        self._check_open(step)
        state = _MOVES[self.state][step]
        running = state is State.RUNNING
        moved = replace(
            self,
            state=state,
            active_seconds=self.active(now),
            running_since=now if running else None,
            started_at=now if step is Step.START else self.started_at,
            stopped_at=now if step is Step.STOP else self.stopped_at,
        )
        return moved, Happening(_KINDS[step], {"state": str(state)})

    def complete(
        self, case: str, subject: str, actor: Actor, now: float, *, done: bool
    ) -> tuple[Session, Happening]:
        """Declare somebody's draft of a test case complete (``done``), or open again.

        Evaluators do so for themselves, leads for everybody. Raises Forbidden, IllegalStep, and
        InvalidSession for an unknown test case, or somebody who is not a member.
        """
        if self.case(case) is None:
            raise InvalidSession(f"this session has no test case {case!r}")
        self._check_right_to_complete(subject, actor)
        if self.state not in (State.RUNNING, State.PAUSED):
            raise IllegalStep(
                f"drafts are completed from a session's start to its stop; it is {self.state}",
                self._words(),
            )
        known = self.completion(case, subject)
        if (known is not None) == done:
            raise IllegalStep(
                f"this draft is {'already' if done else 'not'} complete", self._words()
            )
        if done and self.member(subject) is None:  # who left may have drafts that are reopened
            raise InvalidSession(f"nobody called {subject!r} is a member of this session")
        data = {"case": case, "subject": subject}
        if done:
            completed = (*self.completed, Completion(case, subject, now))
            return replace(self, completed=completed), Happening(COMPLETED, data)
        left = tuple(each for each in self.completed if each is not known)
        return replace(self, completed=left), Happening(REOPENED, data)

    def _check_right_to_complete(self, subject: str, actor: Actor) -> None:
        if actor.role is Role.LEAD:
            return
        present = self.present(actor.subject)
        if subject != actor.subject or present is None or present.role < Role.EVALUATOR:
            raise Forbidden(
                "evaluators in the session complete their own drafts, leads everybody's"
            )

    def check_publish(self, actor: Actor) -> None:
        """Raise Forbidden or IllegalStep unless somebody may publish events now."""
        if self.state is State.STOPPED:
            raise IllegalStep("the session is stopped: nothing more is published in it", ())
        if self.present(actor.subject) is None:
            raise Forbidden("only members publish events: join the session first")

    def _check_open(self, step: Step) -> None:
        if step not in self.open_steps:
            words = self._words()
            told = f"open are {', '.join(words)}" if words else "no step is open"
            raise IllegalStep(f"{step} is not open while a session is {self.state}: {told}", words)

    def _words(self, but: Step | None = None) -> tuple[str, ...]:
        return tuple(str(step) for step in self.open_steps if step is not but)


def created(
    session: SessionId, epoch: str, actor: Actor, now: float, outline: Outline
) -> tuple[Session, Happening]:
    """Make a session; whoever makes it leads it. Raises Forbidden and InvalidSession."""
    if actor.role < Role.LEAD:
        raise Forbidden("only who leads a session may create it: your token must say lead")
    outline.check()
    _check_drafts(session, outline)
    others = tuple(each for each in outline.invited if each.subject != actor.subject)
    made = Session(
        session,
        epoch,
        project=outline.project,
        title=outline.title,
        test_cases=outline.test_cases,
        form=outline.form,
        created_by=actor.subject,
        created_at=now,
        members=(Member(actor.subject, actor.name, Role.LEAD, now), *others),
    )
    data = {
        "project": made.project,
        "title": made.title,
        "test_cases": [{"id": each.id, "title": each.title} for each in made.test_cases],
        "members": [{"subject": each.subject, "role": each.role.word} for each in made.members],
    }
    return made, Happening(CREATED, data)


def _check_unique(what: str, names: list[str], most: int, longest: int) -> None:
    if len(names) > most:
        raise InvalidSession(f"a session has at most {most} {what}s")
    seen: set[str] = set()
    for name in names:
        _check_text(what, name, longest)
        if name in seen:
            raise InvalidSession(f"every {what} may be named once; {name!r} is there twice")
        seen.add(name)


def _check_drafts(session: str, outline: Outline) -> None:
    """Every test case has a draft: its id is part of a document's name."""
    for case in outline.test_cases:
        try:
            document_name(draft_name(session, case.id))
        except InvalidName as error:
            reason = f"the test case {case.id!r} cannot name its draft: {error.reason}"
            raise InvalidSession(reason) from None


def session_id(text: str) -> SessionId:
    """Check a session's id: what stands in addresses and document names. Raises InvalidSession."""
    if not _ID.fullmatch(text):
        raise InvalidSession(
            "a session's id has 1-64 of the characters A-Z a-z 0-9 . _ - and begins with a letter "
            "or digit"
        )
    return SessionId(text)


def _check_text(what: str, text: str, longest: int = MAX_TEXT) -> None:
    if not 1 <= len(text) <= longest or _UNSAFE.search(text):
        raise InvalidSession(f"a {what} has 1-{longest} characters, no control characters")


# -- drafts

_DRAFTS = "drafts/"


def draft_prefix(session: str) -> str:
    """What the names of all drafts of a session begin with."""
    return f"{_DRAFTS}{session}/"


def draft_name(session: str, case: str, subject: str | None = None) -> str:
    """The draft of a test case: one for all, or one evaluator's own."""
    shared = draft_prefix(session) + case
    return shared if subject is None else f"{shared}/{subject}"


def session_of(document: str) -> str | None:
    """The session that a document belongs to by its name; None for what is no draft of one."""
    if not document.startswith(_DRAFTS):
        return None
    session, slash, _ = document.removeprefix(_DRAFTS).partition("/")
    return session if slash else None


# -- on disk


def body(session: Session) -> str:
    """Everything of a session but its id, epoch and state, as JSON."""
    return json.dumps(
        {
            "project": session.project,
            "title": session.title,
            "test_cases": [[each.id, each.title] for each in session.test_cases],
            "form": session.form,
            "created_by": session.created_by,
            "created_at": session.created_at,
            "members": [
                [each.subject, each.name, each.role.word, each.joined_at]
                for each in session.members
            ],
            "completed": [[each.case, each.subject, each.at] for each in session.completed],
            "running_since": session.running_since,
            "active_seconds": session.active_seconds,
            "started_at": session.started_at,
            "stopped_at": session.stopped_at,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def restored(session: str, epoch: str, state: str, text: str) -> Session:
    """A session as :func:`body` wrote it. Raises ValueError for what it did not write."""
    try:
        told = json.loads(text)
        return Session(
            SessionId(session),
            epoch,
            project=told["project"],
            title=told["title"],
            test_cases=tuple(TestCase(*each) for each in told["test_cases"]),
            form=told["form"],
            created_by=told["created_by"],
            created_at=told["created_at"],
            state=State(state),
            members=tuple(
                Member(subject, name, Role[role.upper()], joined_at)
                for subject, name, role, joined_at in told["members"]
            ),
            completed=tuple(Completion(*each) for each in told["completed"]),
            running_since=told["running_since"],
            active_seconds=told["active_seconds"],
            started_at=told["started_at"],
            stopped_at=told["stopped_at"],
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no stored session: {error!r}") from error
