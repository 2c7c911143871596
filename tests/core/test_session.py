"""The session machine: every step of everybody in every state, and long lives at random."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sync.core.errors import Forbidden, IllegalStep, InvalidSession
from sync.core.names import document_name
from sync.core.session import (
    MAX_CASES,
    MAX_MEMBERS,
    MAX_SUBJECT,
    MAX_TEXT,
    Actor,
    Completion,
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
    draft_name,
    draft_prefix,
    restored,
    session_id,
    session_of,
)

CASES = (TestCase("c1", "The first"), TestCase("c2", "The second"))
OUTLINE = Outline("Chatbot", "Round 1", CASES)


def lead(subject: str = "lea") -> Actor:
    return Actor(subject, subject.title(), Role.LEAD)


def evaluator(subject: str = "eve") -> Actor:
    return Actor(subject, subject.title(), Role.EVALUATOR)


def observer(subject: str = "olga") -> Actor:
    return Actor(subject, subject.title(), Role.OBSERVER)


def made(outline: Outline = OUTLINE, now: float = 100.0) -> Session:
    """A session that Lea made."""
    session, _ = created(SessionId("s1"), "epoch", lead(), now, outline)
    return session


def after(session: Session, *taken: tuple[Step, Actor, float]) -> Session:
    """A session after some steps, each of which changes it."""
    for step, actor, now in taken:
        changed = session.take(step, actor, now)
        assert changed is not None
        session, _ = changed
    return session


def in_state(state: State) -> Session:
    """A session in a state, with somebody of every role in it."""
    session = after(made(), (Step.JOIN, evaluator(), 101.0), (Step.JOIN, observer(), 101.0))
    way = {
        State.CREATED: [],
        State.RUNNING: [Step.START],
        State.PAUSED: [Step.START, Step.PAUSE],
        State.STOPPED: [Step.START, Step.STOP],
    }
    return after(session, *[(step, lead(), 102.0) for step in way[state]])


def taken(
    session: Session, step: Step, actor: Actor, now: float = 200.0, role: Role | None = None
) -> tuple[Session, Happening]:
    """What comes of a step that changes something."""
    changed = session.take(step, actor, now, role)
    assert changed is not None
    return changed


# --------------------------------------------------------------------------------------- the table

OPEN = {
    State.CREATED: ("join", "leave", "start"),
    State.RUNNING: ("join", "leave", "pause", "stop"),
    State.PAUSED: ("join", "leave", "resume", "stop"),
    State.STOPPED: (),
}
MOVES = {
    (State.CREATED, Step.START): (State.RUNNING, "session.started"),
    (State.RUNNING, Step.PAUSE): (State.PAUSED, "session.paused"),
    (State.RUNNING, Step.STOP): (State.STOPPED, "session.stopped"),
    (State.PAUSED, Step.RESUME): (State.RUNNING, "session.resumed"),
    (State.PAUSED, Step.STOP): (State.STOPPED, "session.stopped"),
}
PRESENT = {Role.LEAD: lead(), Role.EVALUATOR: evaluator(), Role.OBSERVER: observer()}
NEW = {Role.LEAD: lead("ned"), Role.EVALUATOR: evaluator("ned"), Role.OBSERVER: observer("ned")}


@pytest.mark.parametrize(("state", "step", "role"), list(product(State, Step, Role)))
def test_every_step_of_everybody_in_every_state(state: State, step: Step, role: Role) -> None:
    session = in_state(state)
    actor = NEW[role] if step is Step.JOIN else PRESENT[role]
    if step not in (Step.JOIN, Step.LEAVE) and role is not Role.LEAD:
        with pytest.raises(Forbidden, match=f"only who leads a session may {step} it"):
            session.take(step, actor, 200.0)
    elif step not in OPEN[state]:
        with pytest.raises(IllegalStep, match=f"{step} is not open while a session is") as refused:
            session.take(step, actor, 200.0)
        assert refused.value.open_steps == OPEN[state]
        assert (", ".join(OPEN[state]) or "no step is open") in refused.value.reason
    else:
        changed, happening = taken(session, step, actor)
        also = {Step.JOIN: (state, "session.joined"), Step.LEAVE: (state, "session.left")}
        assert (changed.state, happening.kind) == (MOVES | {(state, s): also[s] for s in also})[
            state, step
        ]


@pytest.mark.parametrize("state", State)
def test_a_session_tells_its_open_steps(state: State) -> None:
    assert in_state(state).open_steps == OPEN[state]


@pytest.mark.parametrize(("state", "step"), MOVES)
def test_a_move_changes_nothing_but_the_state_and_its_times(state: State, step: Step) -> None:
    session = in_state(state)
    changed, happening = taken(session, step, lead())
    assert happening.data == {"state": str(changed.state)}
    times = {"started_at", "stopped_at", "running_since", "active_seconds"}
    kept = [name for name in Session.__slots__ if name not in times | {"state"}]
    assert [getattr(changed, name) for name in kept] == [getattr(session, name) for name in kept]


def test_a_lead_by_token_leads_a_session_that_they_never_joined() -> None:
    changed, _ = taken(made(), Step.START, lead("ada"))
    assert changed.state is State.RUNNING
    assert changed.member("ada") is None


def test_a_lead_in_the_session_with_a_lesser_token_leads_no_more() -> None:
    with pytest.raises(Forbidden):
        made().take(Step.START, evaluator("lea"), 200.0)


# ---------------------------------------------------------------------------------------- creation


def test_a_session_is_created_with_its_first_lead() -> None:
    invited = (Member("eve", "Eve", Role.EVALUATOR, None), Member("lea", "?", Role.OBSERVER, None))
    session, happening = created(
        SessionId("s1"), "epoch", lead(), 100.0, replace(OUTLINE, invited=invited)
    )
    members = (Member("lea", "Lea", Role.LEAD, 100.0), Member("eve", "Eve", Role.EVALUATOR, None))
    assert session == Session(
        SessionId("s1"), "epoch", "Chatbot", "Round 1", CASES, None, "lea", 100.0, members=members
    )
    assert happening == Happening(
        "session.created",
        {
            "project": "Chatbot",
            "title": "Round 1",
            "test_cases": [
                {"id": "c1", "title": "The first"},
                {"id": "c2", "title": "The second"},
            ],
            "members": [
                {"subject": "lea", "role": "lead"},
                {"subject": "eve", "role": "evaluator"},
            ],
        },
    )


@pytest.mark.parametrize("actor", [evaluator(), observer()])
def test_who_may_not_lead_a_session_does_not_create_it(actor: Actor) -> None:
    with pytest.raises(Forbidden, match="your token must say lead"):
        created(SessionId("s1"), "epoch", actor, 100.0, OUTLINE)


def cases(*ids: str) -> tuple[TestCase, ...]:
    return tuple(TestCase(each, "A title") for each in ids)


def invitations(*subjects: str) -> tuple[Member, ...]:
    return tuple(Member(each, each, Role.EVALUATOR, None) for each in subjects)


@pytest.mark.parametrize(
    "outline",
    [
        replace(OUTLINE, project="p" * MAX_TEXT, title="Prüfung — 評価 🙂"),
        replace(OUTLINE, test_cases=()),
        replace(OUTLINE, test_cases=cases(*map(str, range(MAX_CASES)))),
        replace(OUTLINE, test_cases=cases("...", "ä b", "x" * MAX_TEXT)),
        replace(OUTLINE, invited=invitations("s" * MAX_SUBJECT, "a/b")),
        replace(OUTLINE, invited=invitations(*map(str, range(MAX_MEMBERS - 1)))),
    ],
)
def test_what_sessions_are_made_of(outline: Outline) -> None:
    session = made(outline)
    for case in session.test_cases:
        assert document_name(draft_name(session.id, case.id))


@pytest.mark.parametrize(
    ("outline", "reason"),
    [
        (replace(OUTLINE, project=""), "a project has 1-200 characters"),
        (replace(OUTLINE, project="p" * 201), "a project has 1-200 characters"),
        (replace(OUTLINE, project="\ud800"), "a project has"),
        (replace(OUTLINE, title="a\nb"), "a title has"),
        (replace(OUTLINE, title="a\u2028b"), "a title has"),
        (replace(OUTLINE, test_cases=(TestCase("c", ""),)), "a test case's title has"),
        (replace(OUTLINE, test_cases=cases("")), "a test case has 1-200 characters"),
        (replace(OUTLINE, test_cases=cases("a/b")), "no slash"),
        (replace(OUTLINE, test_cases=cases(".")), "cannot name its draft"),
        (replace(OUTLINE, test_cases=cases("..")), "cannot name its draft"),
        (replace(OUTLINE, test_cases=cases("🙂" * 62)), "cannot name its draft.*255 bytes"),
        (replace(OUTLINE, test_cases=cases("a", "b", "a")), "'a' is there twice"),
        (replace(OUTLINE, test_cases=cases(*map(str, range(1_001)))), "at most 1000 test cases"),
        (replace(OUTLINE, invited=invitations("a", "a")), "every member may be named once"),
        (replace(OUTLINE, invited=invitations("")), "a member has 1-256 characters"),
        (replace(OUTLINE, invited=invitations("s" * 257)), "a member has 1-256 characters"),
        (replace(OUTLINE, invited=invitations(*map(str, range(1_000)))), "at most 999 members"),
    ],
)
def test_what_no_session_is_made_of(outline: Outline, reason: str) -> None:
    with pytest.raises(InvalidSession, match=reason):
        made(outline)


@pytest.mark.parametrize("text", ["s1", "0", "a.b_c-D", "x" * 64])
def test_a_sessions_id(text: str) -> None:
    assert session_id(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "-a", "_a", "a/b", "a b", "s1\n", "ä", "x" * 65])
def test_what_is_no_sessions_id(text: str) -> None:
    with pytest.raises(InvalidSession, match="1-64 of the characters"):
        session_id(text)


# --------------------------------------------------------------------------------- who is in it


@pytest.mark.parametrize("token", Role)
@pytest.mark.parametrize("wanted", [None, *Role])
def test_one_joins_as_what_one_wants_and_may(token: Role, wanted: Role | None) -> None:
    actor = Actor("ned", "Ned", token)
    if wanted is not None and wanted > token:
        with pytest.raises(Forbidden, match=f"as {token.word}, not {wanted.word}"):
            made().take(Step.JOIN, actor, 200.0, wanted)
        return
    changed, happening = taken(made(), Step.JOIN, actor, role=wanted)
    role = wanted or token
    assert changed.present("ned") == Member("ned", "Ned", role, 200.0)
    assert happening.data == {"subject": "ned", "name": "Ned", "role": role.word}


@pytest.mark.parametrize(
    ("invited", "token", "joined"),
    [
        (Role.OBSERVER, Role.LEAD, Role.OBSERVER),
        (Role.EVALUATOR, Role.EVALUATOR, Role.EVALUATOR),
        (Role.LEAD, Role.EVALUATOR, Role.EVALUATOR),
    ],
)
def test_the_invited_join_as_invited_or_as_far_as_their_token_goes(
    invited: Role, token: Role, joined: Role
) -> None:
    session = made(replace(OUTLINE, invited=(Member("ned", "ned", invited, None),)))
    assert session.member("ned") is not None
    assert session.present("ned") is None
    changed, _ = taken(session, Step.JOIN, Actor("ned", "Ned", token))
    assert changed.present("ned") == Member("ned", "Ned", joined, 200.0)
    assert len(changed.members) == 2


def test_joining_again_is_no_event_unless_as_something_else() -> None:
    session = in_state(State.RUNNING)
    assert session.take(Step.JOIN, evaluator(), 200.0) is None
    assert session.take(Step.JOIN, lead("eve"), 200.0) is None  # without a word, as before
    changed, happening = taken(session, Step.JOIN, evaluator(), role=Role.OBSERVER)
    assert happening.data["role"] == "observer"
    assert changed.present("eve") == Member("eve", "Eve", Role.OBSERVER, 200.0)


def test_joining_again_with_a_lesser_token_is_a_lesser_role() -> None:
    changed, happening = taken(in_state(State.RUNNING), Step.JOIN, observer("eve"))
    assert happening.data["role"] == "observer"
    assert changed.present("eve") == Member("eve", "Eve", Role.OBSERVER, 200.0)


@pytest.mark.parametrize("state", [State.CREATED, State.RUNNING, State.PAUSED])
def test_who_is_not_there_cannot_leave(state: State) -> None:
    open_for_them = tuple(step for step in OPEN[state] if step != "leave")
    with pytest.raises(IllegalStep, match="you are not in this session") as refused:
        in_state(state).take(Step.LEAVE, evaluator("ned"), 200.0)
    assert refused.value.open_steps == open_for_them


def test_the_invited_are_not_there_yet() -> None:
    session = made(replace(OUTLINE, invited=invitations("ned")))
    with pytest.raises(IllegalStep, match="you are not in this session"):
        session.take(Step.LEAVE, evaluator("ned"), 200.0)


def test_who_left_is_no_member_and_may_come_back() -> None:
    left, happening = taken(in_state(State.RUNNING), Step.LEAVE, evaluator())
    assert happening == Happening("session.left", {"subject": "eve"})
    assert left.member("eve") is None
    back, _ = taken(left, Step.JOIN, evaluator(), now=300.0)
    assert back.present("eve") == Member("eve", "Eve", Role.EVALUATOR, 300.0)


def test_a_session_that_is_full_says_so() -> None:
    session = made(replace(OUTLINE, invited=invitations(*map(str, range(MAX_MEMBERS - 1)))))
    with pytest.raises(IllegalStep, match="at most 1000 members") as refused:
        session.take(Step.JOIN, evaluator("ned"), 200.0)
    assert refused.value.open_steps == ("leave", "start")
    changed, _ = taken(session, Step.JOIN, evaluator("7"))  # who is invited has a place
    assert len(changed.members) == MAX_MEMBERS


# -------------------------------------------------------------------------------------- completion


def test_a_draft_is_completed_and_reopened() -> None:
    session = in_state(State.RUNNING)
    done, happening = session.complete("c1", "eve", evaluator(), 200.0, done=True)
    assert happening == Happening("draft.completed", {"case": "c1", "subject": "eve"})
    assert done.completion("c1", "eve") == Completion("c1", "eve", 200.0)
    assert done.completion("c2", "eve") is done.completion("c1", "lea") is None
    again, happening = done.complete("c1", "eve", evaluator(), 300.0, done=False)
    assert happening == Happening("draft.reopened", {"case": "c1", "subject": "eve"})
    assert again == session


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("state", [State.CREATED, State.STOPPED])
def test_drafts_are_completed_from_start_to_stop(state: State, done: bool) -> None:
    with pytest.raises(IllegalStep, match=f"it is {state}") as refused:
        in_state(state).complete("c1", "eve", evaluator(), 200.0, done=done)
    assert refused.value.open_steps == OPEN[state]


def test_drafts_are_completed_while_a_session_is_paused() -> None:
    done, _ = in_state(State.PAUSED).complete("c1", "eve", evaluator(), 200.0, done=True)
    assert done.completion("c1", "eve") is not None


def test_what_is_complete_is_not_completed_and_what_is_open_not_reopened() -> None:
    session = in_state(State.RUNNING)
    with pytest.raises(IllegalStep, match="not complete") as refused:
        session.complete("c1", "eve", evaluator(), 200.0, done=False)
    assert refused.value.open_steps == OPEN[State.RUNNING]
    done, _ = session.complete("c1", "eve", evaluator(), 200.0, done=True)
    with pytest.raises(IllegalStep, match="already complete"):
        done.complete("c1", "eve", evaluator(), 200.0, done=True)


@pytest.mark.parametrize(
    ("actor", "subject"),
    [
        (evaluator(), "lea"),  # another's
        (evaluator("ned"), "ned"),  # not in the session
        (observer(), "olga"),
        (observer("eve"), "olga"),
    ],
)
def test_evaluators_complete_their_own_drafts_alone(actor: Actor, subject: str) -> None:
    with pytest.raises(Forbidden, match="evaluators in the session complete their own drafts"):
        in_state(State.RUNNING).complete("c1", subject, actor, 200.0, done=True)


def test_leads_complete_everybodys_drafts() -> None:
    done, _ = in_state(State.RUNNING).complete("c1", "eve", lead("ada"), 200.0, done=True)
    assert done.completion("c1", "eve") is not None


def test_nobody_completes_the_drafts_of_strangers() -> None:
    with pytest.raises(InvalidSession, match="nobody called 'ned' is a member"):
        in_state(State.RUNNING).complete("c1", "ned", lead(), 200.0, done=True)


def test_a_lead_reopens_the_draft_of_who_left() -> None:
    done, _ = in_state(State.RUNNING).complete("c1", "eve", evaluator(), 200.0, done=True)
    left, _ = taken(done, Step.LEAVE, evaluator())
    assert left.completion("c1", "eve") is not None
    again, _ = left.complete("c1", "eve", lead(), 300.0, done=False)
    assert again.completed == ()


def test_there_is_no_draft_of_an_unknown_test_case() -> None:
    with pytest.raises(InvalidSession, match="no test case 'c3'"):
        in_state(State.RUNNING).complete("c3", "eve", evaluator(), 200.0, done=True)


# -------------------------------------------------------------------------------------- publishing


@pytest.mark.parametrize("state", [State.CREATED, State.RUNNING, State.PAUSED])
@pytest.mark.parametrize("actor", [lead(), evaluator(), observer()])
def test_members_publish_until_the_stop(state: State, actor: Actor) -> None:
    in_state(state).check_publish(actor)


@pytest.mark.parametrize("actor", [lead("ned"), evaluator("ned")])
def test_only_members_publish(actor: Actor) -> None:
    session = made(replace(OUTLINE, invited=invitations("ned")))  # who has not joined yet
    with pytest.raises(Forbidden, match="join the session first"):
        session.check_publish(actor)


@pytest.mark.parametrize("actor", [lead(), evaluator("ned")])
def test_nobody_publishes_after_the_stop(actor: Actor) -> None:
    with pytest.raises(IllegalStep, match="the session is stopped") as refused:
        in_state(State.STOPPED).check_publish(actor)
    assert refused.value.open_steps == ()


# ----------------------------------------------------------------------------------------- its time


def test_active_time_is_time_between_start_pause_resume_and_stop() -> None:
    session = made(now=100.0)
    assert session.active(150.0) == 0
    session = after(session, (Step.START, lead(), 200.0))
    assert (session.active(200.0), session.active(210.0)) == (0, 10)
    session = after(session, (Step.PAUSE, lead(), 230.0))
    assert (session.active(230.0), session.active(1e6)) == (30, 30)
    session = after(session, (Step.RESUME, lead(), 300.0), (Step.STOP, lead(), 305.0))
    assert session.active(1e6) == 35
    assert (session.started_at, session.stopped_at, session.running_since) == (200.0, 305.0, None)


def test_a_session_that_is_stopped_in_a_pause_gains_no_time() -> None:
    steps = [(Step.START, 100.0), (Step.PAUSE, 110.0), (Step.STOP, 200.0)]
    session = after(made(), *[(step, lead(), at) for step, at in steps])
    assert session.active(300.0) == 10


def test_a_clock_that_goes_back_takes_no_time_away() -> None:
    session = after(made(), (Step.START, lead(), 200.0))
    assert session.active(150.0) == 0
    session = after(session, (Step.PAUSE, lead(), 150.0), (Step.RESUME, lead(), 160.0))
    assert session.active(170.0) == 10


# ------------------------------------------------------------------------------------------ drafts


def test_the_names_of_drafts() -> None:
    assert draft_prefix("s1") == "drafts/s1/"
    assert draft_name("s1", "c1") == "drafts/s1/c1"
    assert draft_name("s1", "c1", "eve") == "drafts/s1/c1/eve"


@pytest.mark.parametrize(
    ("document", "session"),
    [
        ("drafts/s1/c1", "s1"),
        ("drafts/s1/c1/eve", "s1"),
        ("drafts/s1/c1/a/b", "s1"),
        ("drafts/s1", None),
        ("drafts/42", None),
        ("drafts", None),
        ("Drafts/s1/c1", None),
        ("x/drafts/s1/c1", None),
        ("draft/s1/c1", None),
        ("s1/c1", None),
    ],
)
def test_the_session_of_a_document(document: str, session: str | None) -> None:
    assert session_of(document) == session


ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


@given(ids, ids, st.text(min_size=1).filter(lambda text: "/" not in text), st.none() | st.text())
def test_a_draft_belongs_to_its_session_and_to_no_other(
    session: str, other: str, case: str, subject: str | None
) -> None:
    name = draft_name(session, case, subject)
    assert session_of(name) == session
    assert name.startswith(draft_prefix(session))
    assert name.startswith(draft_prefix(other)) == (session == other)


# ----------------------------------------------------------------------------------------- on disk

texts = st.text(st.characters(exclude_categories=["Cs"]))
times = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | times | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
sessions = st.builds(
    Session,
    id=ids.map(SessionId),
    epoch=texts,
    project=texts,
    title=texts,
    test_cases=st.lists(st.builds(TestCase, texts, texts), max_size=3).map(tuple),
    form=st.none() | st.dictionaries(texts, json_values),
    created_by=texts,
    created_at=times,
    state=st.sampled_from(State),
    members=st.lists(
        st.builds(Member, texts, texts, st.sampled_from(Role), st.none() | times), max_size=3
    ).map(tuple),
    completed=st.lists(st.builds(Completion, texts, texts, times), max_size=3).map(tuple),
    running_since=st.none() | times,
    active_seconds=times,
    started_at=st.none() | times,
    stopped_at=st.none() | times,
)


@given(sessions)
def test_a_session_comes_back_from_disk_as_it_was(session: Session) -> None:
    assert restored(session.id, session.epoch, str(session.state), body(session)) == session


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        "{}",
        "7" * 5_000,
        "[" * 100_000,
        body(made()).replace('"lead"', '"boss"'),
        body(made()).replace('"lead"', "3"),
        body(made()).replace('["c1","The first"]', '["c1"]'),
        body(made()).replace('["c1","The first"]', "7"),
    ],
)
def test_what_is_no_session_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        restored("s1", "epoch", "running", text)


def test_an_unknown_state_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        restored("s1", "epoch", "sleeping", body(made()))


@settings(max_examples=40)
@given(sessions, st.data())
def test_a_body_with_something_else_in_it_is_a_value_error_or_a_session(
    session: Session, data: st.DataObject
) -> None:
    told: dict[str, Any] = json.loads(body(session))
    told[data.draw(st.sampled_from(sorted(told)))] = data.draw(json_values)
    try:
        restored("s1", "epoch", "running", json.dumps(told))
    except ValueError:
        return


@pytest.mark.parametrize("key", sorted(json.loads(body(made()))))
def test_a_body_with_something_missing_is_a_value_error(key: str) -> None:
    told = json.loads(body(made()))
    del told[key]
    with pytest.raises(ValueError, match=key):
        restored("s1", "epoch", "running", json.dumps(told))


# ---------------------------------------------------------------------------- long lives at random

people = st.sampled_from(["ada", "ben", "cem", "dua"])
roles = st.sampled_from(Role)
AFTERWARDS = {"start": "running", "resume": "running", "pause": "paused", "stop": "stopped"}
PAST = {"start": "started", "resume": "resumed", "pause": "paused", "stop": "stopped"}


class Life(RuleBasedStateMachine):
    """Commands of anybody, at any time, beside a model that knows nothing of the machine."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        outline = Outline("p", "t", CASES, invited=invitations("ben"))
        self.session, happening = created(SessionId("s1"), "epoch", lead("ada"), self.now, outline)
        self.log = [happening]
        self.state = "created"
        self.members: dict[str, tuple[Role, bool]] = {
            "ada": (Role.LEAD, True),
            "ben": (Role.EVALUATOR, False),
        }
        self.complete: set[tuple[str, str]] = set()
        self.ran = 0.0

    def take_in(self, changed: tuple[Session, Happening] | None, kind: str, **data: Any) -> None:
        """The event is the one expected, and the session another."""
        assert changed is not None
        session, happening = changed
        assert (happening.kind, happening.data) == (kind, data)
        assert session != self.session
        self.session = session
        self.log.append(happening)

    def expect(self, error: type[Exception], step: Step, actor: Actor, role: Role | None) -> None:
        with pytest.raises(error) as refused:
            self.session.take(step, actor, self.now, role)
        if isinstance(refused.value, IllegalStep):
            assert set(refused.value.open_steps) <= set(OPEN[State(self.state)])

    @rule(seconds=st.integers(0, 1_000))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.ran += seconds if self.state == "running" else 0

    @rule(who=people, token=roles, wanted=st.none() | roles)
    def join(self, who: str, token: Role, wanted: Role | None) -> None:
        actor = Actor(who, who.title(), token)
        known = self.members.get(who)
        role = wanted or (min(token, known[0]) if known else token)
        if self.state == "stopped":
            self.expect(IllegalStep, Step.JOIN, actor, wanted)
        elif role > token:
            self.expect(Forbidden, Step.JOIN, actor, wanted)
        elif known == (role, True):
            assert self.session.take(Step.JOIN, actor, self.now, wanted) is None
        else:
            changed = self.session.take(Step.JOIN, actor, self.now, wanted)
            data = {"subject": who, "name": who.title(), "role": role.word}
            self.take_in(changed, "session.joined", **data)
            self.members[who] = (role, True)

    @rule(who=people, token=roles)
    def leave(self, who: str, token: Role) -> None:
        actor = Actor(who, who.title(), token)
        there = self.members.get(who, (token, False))[1]
        if self.state == "stopped" or not there:
            self.expect(IllegalStep, Step.LEAVE, actor, None)
        else:
            changed = self.session.take(Step.LEAVE, actor, self.now)
            self.take_in(changed, "session.left", subject=who)
            del self.members[who]

    @rule(step=st.sampled_from(["start", "pause", "resume", "stop"]), who=people, token=roles)
    def move(self, step: str, who: str, token: Role) -> None:
        actor = Actor(who, who.title(), token)
        if token is not Role.LEAD:
            self.expect(Forbidden, Step(step), actor, None)
        elif step not in OPEN[State(self.state)]:
            self.expect(IllegalStep, Step(step), actor, None)
        else:
            changed = self.session.take(Step(step), actor, self.now)
            self.take_in(changed, f"session.{PAST[step]}", state=AFTERWARDS[step])
            self.state = AFTERWARDS[step]

    @rule(
        who=people,
        token=roles,
        whose=people,
        case=st.sampled_from(["c1", "c2", "c3"]),
        done=st.booleans(),
    )
    def declare(self, who: str, token: Role, whose: str, case: str, done: bool) -> None:
        actor = Actor(who, who.title(), token)
        role, there = self.members.get(who, (Role.OBSERVER, False))
        own = who == whose and there and role >= Role.EVALUATOR
        known = (case, whose) in self.complete
        error: type[Exception] | None = None
        if case == "c3":
            error = InvalidSession
        elif token is not Role.LEAD and not own:
            error = Forbidden
        elif self.state not in ("running", "paused") or known == done:
            error = IllegalStep
        elif done and whose not in self.members:
            error = InvalidSession
        if error is not None:
            with pytest.raises(error):
                self.session.complete(case, whose, actor, self.now, done=done)
            return
        changed = self.session.complete(case, whose, actor, self.now, done=done)
        kind = "draft.completed" if done else "draft.reopened"
        self.take_in(changed, kind, case=case, subject=whose)
        self.complete ^= {(case, whose)}

    @rule(who=people, token=roles)
    def publish(self, who: str, token: Role) -> None:
        actor = Actor(who, who.title(), token)
        if self.state == "stopped":
            with pytest.raises(IllegalStep):
                self.session.check_publish(actor)
        elif not self.members.get(who, (token, False))[1]:
            with pytest.raises(Forbidden):
                self.session.check_publish(actor)
        else:
            self.session.check_publish(actor)

    @rule()
    def restart(self) -> None:
        session = self.session
        self.session = restored(session.id, session.epoch, str(session.state), body(session))
        assert self.session == session

    @invariant()
    def the_model_agrees(self) -> None:
        session = self.session
        assert str(session.state) == self.state
        found = {m.subject: (m.role, m.joined_at is not None) for m in session.members}
        assert found == self.members
        assert {(each.case, each.subject) for each in session.completed} == self.complete
        assert len(session.members) == len(found)
        assert len(session.completed) == len(self.complete)

    @invariant()
    def active_time_is_what_it_ran(self) -> None:
        assert self.session.active(self.now) == self.ran
        assert 0 <= self.ran <= self.now - self.session.created_at

    @invariant()
    def what_is_open_can_be_done_and_nothing_else(self) -> None:
        boss = lead("boss")
        there = self.session
        if Step.JOIN in there.open_steps:
            there, _ = taken(there, Step.JOIN, boss, self.now)
        for step in Step:
            if step in self.session.open_steps:
                there.take(step, boss, self.now)
            else:
                with pytest.raises(IllegalStep):
                    there.take(step, boss, self.now)

    @precondition(lambda self: self.state == "stopped")
    @invariant()
    def stopped_is_the_end(self) -> None:
        assert self.session.open_steps == ()
        assert self.session.stopped_at is not None
        assert self.log[-1].kind == "session.stopped"
        assert [each.kind for each in self.log].count("session.stopped") == 1


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
