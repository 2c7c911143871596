"""What came of a session: who worked on what, how much and for how long, and how far they are.

A :class:`Chronicle` takes in a session's events and edits, in any number, and keeps of them what
counts; :func:`report` makes a value of it. Rules:

1. An edit belongs to whoever brought it and to the test case of its draft, the shared one and
   evaluators' own ones alike.
2. The time between two edits of one person, in whichever of the session's drafts, is time that
   they worked on the draft of the later one, unless it is longer than ``idle_seconds``. So no
   moment counts twice, however somebody goes back and forth, and the sums are sums.
3. At least BURST_EDITS edits of one person to one draft, each within BURST_SECONDS of the one
   before and the first after more than OFFLINE_SECONDS of nothing, were made offline: no hand is so
   quick. An absence that arrives merged into one edit cannot be told from a long edit.
4. What is not there any more, or cannot be read, is said.

Times are seconds since the Unix epoch, as the server received the edits.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import groupby, pairwise, product

from sync.core.session import JOINED, Role, Session, draft_prefix

IDLE_SECONDS = 300.0
"""The longest time between two edits in which somebody is thought to be at work."""

OFFLINE_SECONDS = 60.0
BURST_SECONDS = 0.05
BURST_EDITS = 5

MOST_BLANK = 10_000
"""Rows of evaluators and test cases, up to which those without any work have a row too."""


@dataclass(frozen=True, slots=True)
class Work:
    """Edits, and the time that they took."""

    edits: int = 0
    size: int = 0  # bytes of their updates
    first_at: float | None = None
    last_at: float | None = None
    active_seconds: float = 0.0
    offline_edits: int = 0

    @property
    def offline_share(self) -> float | None:
        """Of the edits; None where there are none."""
        return self.offline_edits / self.edits if self.edits else None

    def __add__(self, other: Work) -> Work:
        return Work(
            self.edits + other.edits,
            self.size + other.size,
            min(_known(self.first_at, other.first_at), default=None),
            max(_known(self.last_at, other.last_at), default=None),
            self.active_seconds + other.active_seconds,
            self.offline_edits + other.offline_edits,
        )


def _known(*moments: float | None) -> list[float]:
    return [moment for moment in moments if moment is not None]


@dataclass(frozen=True, slots=True)
class Filled:
    """How far a form is filled in: by its required questions, or by all where none is required."""

    answered: int  # required questions
    required: int
    share: float  # 0 to 1

    @classmethod
    def sum(cls, parts: Sequence[Filled]) -> Filled | None:
        """Of several drafts together; None of none."""
        if not parts:
            return None
        answered, required = sum(p.answered for p in parts), sum(p.required for p in parts)
        mean = sum(p.share for p in parts) / len(parts)
        return cls(answered, required, answered / required if required else mean)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is or was in the session, or edited its drafts without."""

    subject: str
    name: str
    role: str  # the word; empty for who was never a member


@dataclass(frozen=True, slots=True)
class Row:
    """What one person did for one test case."""

    person: Person
    case: str
    title: str  # empty for a draft of no test case of the session
    work: Work
    filled: Filled | None  # None: the session has no form, or the draft cannot be read
    completed_at: float | None


@dataclass(frozen=True, slots=True)
class Total:
    """What some rows add up to."""

    rows: int
    work: Work
    filled: Filled | None
    completed: int  # rows that are declared complete

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Total:
        found = tuple(rows)
        return cls(
            len(found),
            sum((row.work for row in found), Work()),
            Filled.sum([row.filled for row in found if row.filled is not None]),
            sum(row.completed_at is not None for row in found),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a session, up to one moment."""

    session: Session
    made_at: float
    duration_seconds: float  # from its start to its stop, or to now
    active_seconds: float  # of these it ran, and was not paused
    idle_seconds: float
    rows: tuple[Row, ...]  # by person, then by test case
    kinds: Mapping[str, int]  # events of each kind, by name
    blanks: bool  # every evaluator has a row for every test case, though nothing was done
    lacking: tuple[str, ...]  # why it is incomplete; empty when it is not

    @property
    def evaluators(self) -> tuple[tuple[Person, Total], ...]:
        """A total of each person's rows."""
        groups = groupby(self.rows, key=lambda row: row.person)
        return tuple((person, Total.of(rows)) for person, rows in groups)

    @property
    def cases(self) -> tuple[tuple[str, str, Total], ...]:
        """Each test case, its title, and a total of its rows."""
        rows: dict[str, list[Row]] = {case.id: [] for case in self.session.test_cases}
        titles = {case.id: case.title for case in self.session.test_cases}
        for row in self.rows:
            rows.setdefault(row.case, []).append(row)
        return tuple((case, titles.get(case, ""), Total.of(rows[case])) for case in rows)

    @property
    def total(self) -> Total:
        return Total.of(self.rows)

    def of(self, subject: str) -> Report:
        """What of it one person may see who sees no others: the own rows."""
        return replace(self, rows=tuple(r for r in self.rows if r.person.subject == subject))


# -- from what it is made


@dataclass(slots=True)
class _Strokes:
    """One person's edits to one draft."""

    case: str
    size: int = 0
    times: array[float] = field(default_factory=lambda: array("d"))


class Chronicle:
    """Takes in what happened in a session, one thing after the other, and keeps what counts."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.kinds: Counter[str] = Counter()
        self._prefix = draft_prefix(session.id)
        self._strokes: dict[str, dict[str, _Strokes]] = {}  # by person, by document
        self._people = {
            each.subject: Person(each.subject, each.name, each.role.word)
            for each in session.members
        }
        self._filled: dict[tuple[str, str], Filled] = {}  # by person and test case
        self._thinned: set[str] = set()
        self._damaged: Counter[str] = Counter()
        self._unread: set[str] = set()
        self._others: list[str] = []
        self._truncated = 0

    def event(self, kind: str, data: str) -> None:
        """An event of the session; ``data`` is its JSON, and is read where it tells names."""
        self.kinds[kind] += 1
        if kind == JOINED:
            told = json.loads(data)
            person = Person(told["subject"], told["name"], told["role"])
            if self.session.member(person.subject) is None:
                self._people[person.subject] = person  # who left

    def edit(self, document: str, author: str, time: float, size: int) -> None:
        """An edit of one of its drafts."""
        drafts = self._strokes.setdefault(author, {})
        if (strokes := drafts.get(document)) is None:
            strokes = drafts[document] = _Strokes(case_of(self._prefix, document))
        strokes.size += size
        strokes.times.append(time)

    def filled(self, subject: str, case: str, filled: Filled) -> None:
        """How far somebody is with the form of a test case."""
        self._filled[subject, case] = filled

    # what is lacking

    def truncated(self, offset: int) -> None:
        """Retention removed the events up to an offset (0: none)."""
        self._truncated = offset

    def thinned(self, document: str) -> None:
        """Retention removed the first edits of a draft."""
        self._thinned.add(document)

    def damaged(self, document: str, rows: int) -> None:
        """So many rows of a draft could not be read."""
        self._damaged[document] += rows

    def unread(self, document: str) -> None:
        """What a draft holds could not be read, or not all of it."""
        self._unread.add(document)

    def lacks(self, reason: str) -> None:
        """Something else is not there; the reason is half a sentence."""
        self._others.append(reason)

    # what comes of it

    @property
    def cases(self) -> list[str]:
        """The test cases in their order, and then whatever else has drafts."""
        named = [case.id for case in self.session.test_cases]
        others = {each.case for drafts in self._strokes.values() for each in drafts.values()}
        return [*named, *sorted(others.difference(named))]

    @property
    def people(self) -> list[Person]:
        """The members, those who were, and whoever else edited."""
        others = (
            self._strokes.keys() | {each.subject for each in self.session.completed}
        ).difference(self._people)
        return [*self._people.values(), *(Person(each, each, "") for each in sorted(others))]

    @property
    def blanks(self) -> bool:
        """Whether evaluators have rows for test cases that they did nothing for."""
        return len(self._evaluators()) * len(self.session.test_cases) <= MOST_BLANK

    @property
    def pairs(self) -> list[tuple[Person, str]]:
        """Who and which test case has a row, in the order of the rows."""
        pairs = {
            (who, each.case) for who, drafts in self._strokes.items() for each in drafts.values()
        }
        pairs |= {(each.subject, each.case) for each in self.session.completed}
        if self.blanks:
            pairs.update(product(self._evaluators(), [case.id for case in self.session.test_cases]))
        people = {person.subject: (place, person) for place, person in enumerate(self.people)}
        cases = {case: place for place, case in enumerate(self.cases)}
        ordered = sorted(pairs, key=lambda pair: (people[pair[0]][0], cases[pair[1]]))
        return [(people[subject][1], case) for subject, case in ordered]

    def _evaluators(self) -> list[str]:
        return [
            each.subject
            for each in self.session.members
            if each.role is Role.EVALUATOR and each.joined_at is not None
        ]

    def works(self, idle_seconds: float) -> dict[tuple[str, str], Work]:
        """What each person did for each test case."""
        works: dict[tuple[str, str], Work] = {}
        for who, drafts in self._strokes.items():
            for strokes in drafts.values():
                key = who, strokes.case
                works[key] = works.get(key, Work()) + _work(strokes)
            for case, seconds in _active(drafts.values(), idle_seconds).items():
                works[who, case] = replace(works[who, case], active_seconds=seconds)
        return works

    def rows(self, idle_seconds: float) -> Iterator[Row]:
        """All rows, in order."""
        works = self.works(idle_seconds)
        titles = {case.id: case.title for case in self.session.test_cases}
        completed = {(each.subject, each.case): each.at for each in self.session.completed}
        for person, case in self.pairs:
            key = person.subject, case
            work, filled = works.get(key, Work()), self._filled.get(key)
            yield Row(person, case, titles.get(case, ""), work, filled, completed.get(key))

    @property
    def lacking(self) -> Iterator[str]:
        """Why what it knows is not everything, in sentences."""
        if self._truncated:
            yield (
                f"retention removed the events up to offset {self._truncated}: they are not counted"
            )
        if self._thinned:
            drafts = _counted(len(self._thinned), "draft")
            yield f"retention removed the first edits of {drafts}: they are not counted"
        if self._damaged:
            rows = _counted(self._damaged.total(), "damaged row")
            drafts = _counted(len(self._damaged), "draft")
            yield f"not counted, since they cannot be read: {rows} of {drafts}"
        if self._unread:
            drafts = _counted(len(self._unread), "draft")
            yield f"{drafts} cannot be read wholly: completion is not known for certain"
        yield from self._others


def report(chronicle: Chronicle, now: float, idle_seconds: float = IDLE_SECONDS) -> Report:
    """Make a report of everything that a chronicle took in."""
    session = chronicle.session
    ended = session.stopped_at if session.stopped_at is not None else now
    started = session.started_at
    duration = max(0.0, ended - started) if started is not None else 0.0
    return Report(
        session,
        made_at=now,
        duration_seconds=duration,
        active_seconds=min(duration, session.active(now)),
        idle_seconds=idle_seconds,
        rows=tuple(chronicle.rows(idle_seconds)),
        kinds=dict(sorted(chronicle.kinds.items())),
        blanks=chronicle.blanks,
        lacking=tuple(chronicle.lacking),
    )


def case_of(prefix: str, document: str) -> str:
    """The test case of a draft: ``{prefix}{case}``, or ``{prefix}{case}/{subject}``."""
    return document.removeprefix(prefix).partition("/")[0]


def _work(strokes: _Strokes) -> Work:
    """Everything but the time that it took."""
    times = sorted(strokes.times)  # the server's clock may have been set back
    return Work(len(times), strokes.size, times[0], times[-1], 0.0, _offline(times))


def _offline(times: list[float]) -> int:
    """How many of one person's edits to one draft came in bursts after a silence."""
    found = run = 0  # a run: edits of a burst, so far; 0 outside of one
    for before, after in pairwise(times):
        if after - before > OFFLINE_SECONDS:
            found, run = found + _whole(run), 1
        elif run:
            if after - before <= BURST_SECONDS:
                run += 1
            else:
                found, run = found + _whole(run), 0
    return found + _whole(run)


def _whole(run: int) -> int:
    return run if run >= BURST_EDITS else 0


def _active(drafts: Iterable[_Strokes], idle_seconds: float) -> dict[str, float]:
    """How long one person worked, by test case."""
    seconds: dict[str, float] = {}
    for (before, _), (after, case) in pairwise(merge(*map(_timeline, drafts))):
        if after - before <= idle_seconds:
            seconds[case] = seconds.get(case, 0.0) + after - before
    return seconds


def _timeline(strokes: _Strokes) -> Iterator[tuple[float, str]]:
    return ((time, strokes.case) for time in sorted(strokes.times))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
