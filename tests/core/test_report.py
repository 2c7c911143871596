"""Reports: on histories made by hand, and what holds for any."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.report import (
    BURST_EDITS,
    IDLE_SECONDS,
    Chronicle,
    Filled,
    Report,
    Row,
    Total,
    Work,
    report,
)
from sync.core.report_formats import CSV_COLUMNS, to_csv, to_json
from sync.core.session import (
    Actor,
    Member,
    Outline,
    Role,
    Session,
    SessionId,
    Step,
    TestCase,
    created,
    draft_name,
)

NOON = 1_790_000_000.0
CASES = (TestCase("c1", "Refund after the deadline"), TestCase("c2", "Angry customer"))


def an_actor(subject: str, role: Role = Role.LEAD) -> Actor:
    return Actor(subject, subject.title(), role)


LEAD = an_actor("lena")


def a_session(evaluators: Iterable[str] = ("alice", "bob")) -> Session:
    invited = tuple(Member(each, each.title(), Role.EVALUATOR, NOON) for each in evaluators)
    outline = Outline("Support agent", "Autumn release", CASES, None, invited)
    session, _ = created(SessionId("s1"), "epoch", LEAD, NOON, outline)
    return session


def moved(session: Session, *steps: tuple[Step, float], by: Actor = LEAD) -> Session:
    for step, after in steps:
        taken = session.take(step, by, NOON + after)
        assert taken is not None
        session, _ = taken
    return session


class Edit(NamedTuple):
    """One edit of a draft: of a case, shared unless it is somebody's own."""

    author: str
    after: float  # seconds after noon
    case: str = "c1"
    own: str | None = None
    size: int = 10


def a_report(
    edits: Iterable[Edit] = (),
    session: Session | None = None,
    now: float = 3600.0,
    idle: float = IDLE_SECONDS,
) -> Report:
    return report(a_chronicle(edits, session), NOON + now, idle)


def a_chronicle(edits: Iterable[Edit] = (), session: Session | None = None) -> Chronicle:
    chronicle = Chronicle(session or a_session())
    for each in edits:
        document = draft_name("s1", each.case, each.own)
        chronicle.edit(document, each.author, NOON + each.after, each.size)
    return chronicle


def row(told: Report, subject: str, case: str = "c1") -> Row:
    [found] = [one for one in told.rows if (one.person.subject, one.case) == (subject, case)]
    return found


# -- duration and running


@pytest.mark.parametrize(
    ("steps", "duration", "active"),
    [
        ([], 0, 0),
        ([(Step.START, 600)], 3000, 3000),
        ([(Step.START, 600), (Step.PAUSE, 700)], 3000, 100),
        ([(Step.START, 600), (Step.PAUSE, 700), (Step.RESUME, 1000)], 3000, 2700),
        ([(Step.START, 600), (Step.STOP, 1600)], 1000, 1000),
        ([(Step.START, 0), (Step.PAUSE, 100), (Step.STOP, 1600)], 1600, 100),
        ([(Step.START, 0), (Step.PAUSE, 9), (Step.RESUME, 19), (Step.STOP, 29)], 29, 19),
        ([(Step.START, 4000)], 0, 0),  # the clock was set back since
        ([(Step.START, 100), (Step.PAUSE, 200), (Step.STOP, 150)], 50, 50),  # or meanwhile
    ],
)
def test_how_long_a_session_took(
    steps: list[tuple[Step, float]], duration: float, active: float
) -> None:
    told = a_report(session=moved(a_session(), *steps))
    assert (told.duration_seconds, told.active_seconds) == (duration, active)


# -- what evaluators did


@pytest.mark.parametrize(
    ("times", "active"),
    [
        ([], 0),
        ([5], 0),
        ([0, 10], 10),
        ([0, 10, 30], 30),
        ([0, 300], 300),
        ([0, 300.5], 0),
        ([0, 60, 1000, 1060], 120),
        ([0, 300, 600, 900], 900),
        ([30, 0, 10], 30),  # the server's clock was set back meanwhile
    ],
)
def test_time_between_edits_counts_up_to_five_minutes(times: list[float], active: float) -> None:
    told = a_report(Edit("alice", time) for time in times)
    assert row(told, "alice").work.active_seconds == active


def test_how_long_a_pause_counts_can_be_said() -> None:
    edits = [Edit("alice", 0), Edit("alice", 50), Edit("alice", 150)]
    assert row(a_report(edits, idle=60), "alice").work.active_seconds == 50
    assert row(a_report(edits, idle=100), "alice").work.active_seconds == 150
    assert row(a_report(edits, idle=0), "alice").work.active_seconds == 0


def test_others_edits_are_not_ones_own() -> None:
    edits = [Edit("alice", 0), Edit("bob", 100), Edit("alice", 200), Edit("bob", 250)]
    told = a_report(edits)
    assert row(told, "alice").work.active_seconds == 200
    assert row(told, "bob").work.active_seconds == 150


def test_going_back_and_forth_counts_no_moment_twice() -> None:
    edits = [Edit("alice", 60 * n, "c2" if n % 2 else "c1") for n in range(5)]
    told = a_report(edits)
    assert row(told, "alice", "c1").work.active_seconds == 120
    assert row(told, "alice", "c2").work.active_seconds == 120
    assert dict(told.evaluators)[row(told, "alice").person].work.active_seconds == 240


def test_edits_bytes_and_when() -> None:
    told = a_report(
        [Edit("alice", 7, size=5), Edit("alice", 3, size=6), Edit("alice", 9, "c2", size=1)]
    )
    assert row(told, "alice").work == Work(2, 11, NOON + 3, NOON + 7, 4.0, 0)
    assert row(told, "alice", "c2").work == Work(1, 1, NOON + 9, NOON + 9, 2.0, 0)
    assert row(told, "bob").work == Work()


def test_the_shared_draft_and_own_ones_are_one_case() -> None:
    told = a_report([Edit("alice", 0), Edit("alice", 10, own="alice"), Edit("bob", 1, own="alice")])
    assert row(told, "alice").work.edits == 2
    assert row(told, "bob").work.edits == 1


def test_a_subject_with_a_slash() -> None:
    told = a_report([Edit("team/alice", 0, own="team/alice")])
    assert row(told, "team/alice").case == "c1"


def offline(times: Iterable[float]) -> int:
    return row(a_report(Edit("alice", time) for time in times), "alice").work.offline_edits


BURST = [0.01 * n for n in range(BURST_EDITS)]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (BURST, 0),  # nothing is known of before
        ([0, *(61 + t for t in BURST)], 5),
        ([0, *(60 + t for t in BURST)], 0),  # too short an absence
        ([0, *(61 + t for t in BURST[:-1])], 0),  # too few
        ([0, *(61 + 0.1 * n for n in range(20))], 0),  # quick hands
        ([0, *(61 + t for t in BURST), 62, 63], 5),  # and then at the keyboard
        ([0, *(61 + t for t in BURST), *(200 + t for t in BURST), 200.05], 11),
        ([0, 61, 62, *(62.5 + t for t in BURST)], 0),  # the burst is not what ended the silence
    ],
)
def test_what_was_made_offline(times: list[float], expected: int) -> None:
    assert offline(times) == expected


def test_the_share_that_was_made_offline() -> None:
    told = a_report(Edit("alice", time) for time in [0, *(61 + t for t in BURST)])
    assert row(told, "alice").work.offline_share == 5 / 6
    assert row(told, "bob").work.offline_share is None


# -- who and what has a row


def pairs(told: Report) -> list[tuple[str, str]]:
    return [(one.person.subject, one.case) for one in told.rows]


def test_every_evaluator_has_a_row_for_every_case_and_others_for_what_they_did() -> None:
    told = a_report([Edit("zoe", 0, "c2"), Edit("lena", 1, "c2"), Edit("alice", 2, "unplanned")])
    assert pairs(told) == [
        ("lena", "c2"),
        *[("alice", "c1"), ("alice", "c2"), ("alice", "unplanned")],
        *[("bob", "c1"), ("bob", "c2")],
        ("zoe", "c2"),
    ]
    assert row(told, "zoe", "c2").person.role == ""
    assert row(told, "alice", "unplanned").title == ""
    assert row(told, "alice", "c1").title == "Refund after the deadline"


def test_who_was_invited_and_did_not_come_has_no_row() -> None:
    session = a_session(["alice"])
    dave = Member("dave", "Dave", Role.EVALUATOR, None)
    told = a_report([Edit("dave", 0, "c2")], replace(session, members=(*session.members, dave)))
    assert pairs(told) == [("alice", "c1"), ("alice", "c2"), ("dave", "c2")]


def test_who_left_keeps_name_and_role() -> None:
    chronicle = a_chronicle([Edit("eve", 0)])
    joined = {"subject": "eve", "name": "Éve", "role": "observer"}
    chronicle.event("session.joined", json.dumps(joined))
    chronicle.event("session.joined", json.dumps(joined | {"role": "evaluator"}))
    told = row(report(chronicle, NOON), "eve").person
    assert (told.name, told.role) == ("Éve", "evaluator")


def test_a_member_is_told_as_now() -> None:
    chronicle = a_chronicle()
    data = {"subject": "alice", "name": "Old name", "role": "observer"}
    chronicle.event("session.joined", json.dumps(data))
    told = row(report(chronicle, NOON), "alice").person
    assert (told.name, told.role) == ("Alice", "evaluator")


def test_very_many_rows_leave_out_the_blank_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.core.report.MOST_BLANK", 3)
    told = a_report([Edit("alice", 0)])
    assert (pairs(told), told.blanks) == ([("alice", "c1")], False)


def test_completion_is_told_though_nothing_was_edited() -> None:
    zoe = an_actor("zoe", Role.EVALUATOR)
    session = moved(moved(a_session(), (Step.START, 0)), (Step.JOIN, 1), by=zoe)
    session, _ = session.complete("c2", "bob", LEAD, NOON + 50, done=True)
    session, _ = session.complete("c1", "zoe", zoe, NOON + 60, done=True)
    session = moved(session, (Step.LEAVE, 70), by=zoe)
    told = a_report(session=session)
    assert row(told, "bob", "c2").completed_at == NOON + 50
    assert row(told, "zoe").completed_at == NOON + 60
    assert told.total.completed == 2
    assert [total.completed for _, _, total in told.cases] == [1, 1]


def test_how_far_the_form_is_filled_in() -> None:
    chronicle = a_chronicle([Edit("alice", 0)])
    chronicle.filled("alice", "c1", Filled(3, 4, 0.75))
    chronicle.filled("alice", "c2", Filled(0, 4, 0.0))
    chronicle.filled("bob", "c1", Filled(4, 4, 1.0))
    told = report(chronicle, NOON)
    assert row(told, "alice").filled == Filled(3, 4, 0.75)
    assert row(told, "bob", "c2").filled is None
    assert [total.filled for _, total in told.evaluators] == [
        Filled(3, 8, 0.375),
        Filled(4, 4, 1.0),
    ]
    assert told.total.filled == Filled(7, 12, 7 / 12)


def test_where_nothing_is_required_the_total_is_the_mean() -> None:
    assert Filled.sum([Filled(0, 0, 0.5), Filled(0, 0, 1.0)]) == Filled(0, 0, 0.75)
    assert Filled.sum([]) is None


def test_events_of_each_kind() -> None:
    chronicle = a_chronicle()
    for kind in ("review.note", "session.started", "review.note"):
        chronicle.event(kind, "{}")
    assert dict(report(chronicle, NOON).kinds) == {"review.note": 2, "session.started": 1}


def test_an_evaluator_sees_the_own_rows() -> None:
    told = a_report([Edit("alice", 0), Edit("bob", 0)]).of("bob")
    assert pairs(told) == [("bob", "c1"), ("bob", "c2")]
    assert told.total.work.edits == 1
    assert [total.work.edits for _, _, total in told.cases] == [1, 0]
    assert "alice" not in json.dumps(to_json(told))


# -- what is lacking


def test_a_whole_report_lacks_nothing() -> None:
    told = to_json(a_report([Edit("alice", 0)]))
    assert (told["incomplete"], told["lacking"]) == (False, [])


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda c: c.truncated(4), "retention removed the events up to offset 4"),
        (lambda c: c.thinned("drafts/s1/c1"), "retention removed the first edits of 1 draft:"),
        (
            lambda c: c.damaged("drafts/s1/c1", 3),
            "not counted, since they cannot be read: 3 damaged rows of 1 draft",
        ),
        (lambda c: c.unread("drafts/s1/c1"), "1 draft cannot be read wholly"),
        (lambda c: c.lacks("the form is none"), "the form is none"),
    ],
)
def test_what_is_not_there_is_said(what: Any, said: str) -> None:
    chronicle = a_chronicle()
    what(chronicle)
    told = to_json(report(chronicle, NOON))
    assert told["incomplete"] is True
    [sentence] = told["lacking"]
    assert said in sentence


def test_drafts_are_counted_once() -> None:
    chronicle = a_chronicle()
    for document in ("drafts/s1/c1", "drafts/s1/c1", "drafts/s1/c2"):
        chronicle.thinned(document)
        chronicle.damaged(document, 2)
    thinned, damaged = report(chronicle, NOON).lacking
    assert "2 drafts" in thinned
    assert damaged == "not counted, since they cannot be read: 6 damaged rows of 2 drafts"


# -- as it is given away


def test_as_json() -> None:
    session = moved(a_session(["alice"]), (Step.START, 0), (Step.STOP, 120))
    session = replace(session, test_cases=CASES[:1])
    chronicle = a_chronicle([Edit("alice", 1), Edit("alice", 2.5)], session)
    chronicle.event("session.started", "{}")
    chronicle.filled("alice", "c1", Filled(1, 3, 1 / 3))
    told = to_json(report(chronicle, NOON + 500))
    work = {
        "edits": 2,
        "bytes": 20,
        "first_edit_at": "2026-09-21T14:13:21.000Z",
        "last_edit_at": "2026-09-21T14:13:22.500Z",
        "active_seconds": 1.5,
        "offline_edits": 0,
        "offline_share": 0.0,
        "answered": 1,
        "required": 3,
        "completion": 0.3333,
    }
    alice = {"evaluator": "alice", "name": "Alice", "role": "evaluator"}
    case = {"case": "c1", "title": "Refund after the deadline"}
    assert told == {
        "session": "s1",
        "project": "Support agent",
        "title": "Autumn release",
        "state": "stopped",
        "created_at": "2026-09-21T14:13:20.000Z",
        "started_at": "2026-09-21T14:13:20.000Z",
        "stopped_at": "2026-09-21T14:15:20.000Z",
        "made_at": "2026-09-21T14:21:40.000Z",
        "duration_seconds": 120.0,
        "active_seconds": 120.0,
        "idle_seconds": 300.0,
        "incomplete": False,
        "lacking": [],
        "blank_rows": True,
        "rows": [alice | case | work | {"completed_at": None}],
        "evaluators": [alice | work | {"cases": 1, "completed": 0}],
        "cases": [case | work | {"evaluators": 1, "completed": 0}],
        "total": {"rows": 1, "completed": 0} | work,
        "events": {"total": 1, "kinds": {"session.started": 1}},
    }


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_as_csv() -> None:
    lines = to_csv(a_report([Edit("alice", 1), Edit("alice", 2.5)])).split("\r\n")
    assert lines[0] == ",".join(CSV_COLUMNS)
    assert lines[1] == (
        "s1,alice,Alice,evaluator,c1,Refund after the deadline,2,20,"
        "2026-09-21T14:13:21.000Z,2026-09-21T14:13:22.500Z,1.5,0,0.0,,,,,false"
    )
    assert lines[2] == "s1,alice,Alice,evaluator,c2,Angry customer,0,0,,,0.0,0,,,,,,false"
    assert (len(lines), lines[-1]) == (6, "")


@pytest.mark.parametrize(
    "evil", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x","y")', "＝1+1", "\t=1"]
)
def test_no_cell_is_a_formula(evil: str) -> None:
    session = replace(a_session(), members=(Member(evil, evil, Role.EVALUATOR, NOON),))
    for line in table(to_csv(a_report([Edit(evil, 0)], session))):
        assert (line["evaluator"], line["name"]) == ("'" + evil, "'" + evil)


@pytest.mark.parametrize("name", ['Al "the" ice', "a,b", "a;b", "Zoë", "1=1", "a\r\nb"])
def test_any_other_text_is_kept(name: str) -> None:
    session = replace(a_session(), members=(Member("alice", name, Role.EVALUATOR, NOON),))
    assert {line["name"] for line in table(to_csv(a_report(session=session)))} == {name}


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_no_cell_begins_as_a_formula(name: str) -> None:
    session = replace(a_session(), members=(Member("alice", name, Role.EVALUATOR, NOON),))
    for line in table(to_csv(a_report(session=session))):
        assert line["name"].removeprefix("'") == name.removeprefix("'")
        assert not line["name"].startswith(("=", "+", "-", "@", "\t", "\r"))


# -- whatever happened

times = st.floats(0, 10_000) | st.integers(0, 40).map(lambda n: 250.0 * n)
edit_lists = st.lists(
    st.builds(
        Edit,
        st.sampled_from(["alice", "bob", "lena", "zoe"]),
        times,
        st.sampled_from(["c1", "c2", "c3"]),
        st.sampled_from([None, "alice"]),
        st.integers(0, 100),
    ),
    max_size=60,
)


@given(edit_lists, st.floats(0, 1_000), st.lists(times, min_size=1, max_size=5).map(sorted))
def test_totals_are_sums_and_nobody_works_longer_than_there_is_time(
    edits: list[Edit], idle: float, at: list[float]
) -> None:
    steps = [Step.START, Step.PAUSE, Step.RESUME, Step.PAUSE, Step.STOP]
    session = moved(a_session(), *zip(steps, at, strict=False))
    told = a_report(edits, session, now=10_000, idle=idle)
    assert 0 <= told.active_seconds <= told.duration_seconds <= 10_000
    assert told.total.work.edits == len(edits)
    assert told.total.work.size == sum(each.size for each in edits)
    for totals in ([t for _, t in told.evaluators], [t for _, _, t in told.cases]):
        _adds_up(totals, told.total)
    for person, total in told.evaluators:
        own = [NOON + each.after for each in edits if each.author == person.subject]
        assert total.work.active_seconds <= (max(own) - min(own) if own else 0) + 1e-3
        assert 0 <= total.work.offline_edits <= total.work.edits == len(own)
    assert json.loads(json.dumps(to_json(told))) == to_json(told)
    assert len(table(to_csv(told))) == len(told.rows)


def _adds_up(totals: list[Total], whole: Total) -> None:
    summed = sum((each.work for each in totals), Work())
    assert replace(summed, active_seconds=0) == replace(whole.work, active_seconds=0)
    assert summed.active_seconds == pytest.approx(whole.work.active_seconds)
    assert sum(each.rows for each in totals) == whole.rows
    assert sum(each.completed for each in totals) == whole.completed
