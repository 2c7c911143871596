"""The status of a session as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import anyio.lowlevel

from persistence.store import Head
from sync.core.events import iso
from sync.core.session import Member, Role, Session, TestCase
from sync.forms.definition import FormDefinition
from sync.forms.progress import Answered, tally
from sync.server.connection_view import channel_presence, document_presence, milliseconds
from sync.server.draft_answers import Reading
from sync.server.meters import ChannelStatistics, Meters
from sync.server.resident import LastEdit, Resident
from sync.server.sessions import LiveSession

Json = dict[str, Any]

MOST_ROWS = 20_000
"""Of evaluators and test cases. Where there might be more, only those who did something are shown,
and no more than so many."""


BREATH_SECONDS = 0.002
"""How long a status that is made holds the event loop at a time, and what one draft takes."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One draft of a session: on disk, in memory, or both."""

    document: str
    case: str
    evaluator: str | None  # whose own it is; None: everybody's
    head: Head | None  # as it was on disk of late
    room: Resident | None
    edits: int
    reading: Reading | None = None  # None: there is no form


class Breath:
    """Lets others have their turn in between."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    async def take(self) -> None:
        if time.perf_counter() - self._last > BREATH_SECONDS:
            await anyio.lowlevel.checkpoint()
            self._last = time.perf_counter()


class People:
    """Who is in a session or connected to it, and what they did last."""

    def __init__(
        self,
        live: LiveSession,
        drafts: Iterable[Draft],
        channels: Iterable[ChannelStatistics],
        last_edits: Mapping[str, LastEdit],
    ) -> None:
        self._live = live
        self._last = _last_committed(drafts, last_edits)
        self._names: dict[str, str] = {}  # of those who are connected
        self.connections: dict[str, list[Json]] = {}  # by subject
        for draft in drafts:
            for each in draft.room.connections.values() if draft.room else ():
                self._note(each.identity.subject, each.identity.name, document_presence(each))
        for channel in channels:
            self._note(channel.subject, channel.name, channel_presence(channel))

    def _note(self, subject: str, name: str, presence: Json) -> None:
        self._names[subject] = name
        self.connections.setdefault(subject, []).append(presence)

    def here(self, subject: str) -> bool:
        """They are a member, or connected."""
        return subject in self.connections or self._live.current.member(subject) is not None

    def tell(self) -> list[Json]:
        """Members first, in the order in which they came; then those who are only connected."""
        members = self._live.current.members
        known = {member.subject for member in members}
        guests = sorted(each for each in self.connections if each not in known)
        return [*map(self._member, members), *map(self._guest, guests)]

    def _member(self, member: Member) -> Json:
        return {
            "subject": member.subject,
            "name": member.name,
            "role": member.role.word,
            "member": True,
            "joined_at": None if member.joined_at is None else iso(member.joined_at),
            "acknowledged": self._live.acknowledged.get(member.subject, 0),
        } | self._presence(member.subject)

    def _guest(self, subject: str) -> Json:
        return {
            "subject": subject,
            "name": self._names[subject],
            "role": None,
            "member": False,
            "joined_at": None,
            "acknowledged": 0,
        } | self._presence(subject)

    def _presence(self, subject: str) -> Json:
        return {
            "online": subject in self.connections,
            "connections": self.connections.get(subject, []),
            "last_committed": self._last.get(subject),
        }


def _last_committed(drafts: Iterable[Draft], last_edits: Mapping[str, LastEdit]) -> dict[str, Json]:
    """Everybody's last edit on disk, as far as it is known without reading the history."""
    found: dict[str, tuple[int, str, float]] = {
        by: (position, name, at) for by, (name, position, at) in last_edits.items()
    }
    for draft in drafts:
        if (head := draft.head) is not None:
            stored = int(head.head), head.document, head.updated_at
            found[head.last_author] = max(found.get(head.last_author, stored), stored)
    return {
        author: {"document": document, "position": position, "at": iso(at)}
        for author, (position, document, at) in found.items()
    }


class Work:
    """What is being evaluated, and how far everybody has come."""

    def __init__(
        self,
        session: Session,
        form: FormDefinition | None,
        drafts: Iterable[Draft],
        people: People,
    ) -> None:
        self._session = session
        self._form = form
        self._people = people
        self._drafts: dict[str, list[Draft]] = {}  # by test case
        for draft in drafts:
            self._drafts.setdefault(draft.case, []).append(draft)
        self._completed: dict[str, dict[str, float]] = {}  # by test case and subject
        for each in session.completed:
            self._completed.setdefault(each.case, {})[each.subject] = each.at
        evaluators = [each.subject for each in session.members if _evaluates(each)]
        many = len(evaluators) * len(session.test_cases) > MOST_ROWS
        self._evaluators = [] if many else evaluators
        self._rows = MOST_ROWS  # left

    async def tell(self, breath: Breath) -> list[Json]:
        """Every test case, in the session's order."""
        told = []
        for case in self._session.test_cases:
            told.append(self._case(case))
            await breath.take()
        return told

    def others(self) -> list[Json]:
        """Documents under the session's name that are of no test case of it."""
        known = {case.id for case in self._session.test_cases}
        return [
            _draft_json(draft)
            for case, drafts in self._drafts.items()
            for draft in drafts
            if case not in known
        ]

    def _case(self, case: TestCase) -> Json:
        drafts = self._drafts.get(case.id, [])
        told = [_draft_json(draft) for draft in drafts]
        edited = [each["last_edit"] for each in told if each["last_edit"] is not None]
        return {
            "id": case.id,
            "title": case.title,
            "documents": told,
            "open": sorted({subject for each in told for subject in each["open"]}),
            "edits": sum(draft.edits for draft in drafts),
            "last_edit": max(edited, key=_position, default=None),
            "evaluators": self._everybody(case.id, drafts),
        }

    def _everybody(self, case: str, drafts: Sequence[Draft]) -> list[Json]:
        """The evaluators, and who else has answered it, completed it, or a draft of their own."""
        completed = self._completed.get(case, {})
        busy = {draft.evaluator for draft in drafts if draft.evaluator is not None} | set(completed)
        for draft in drafts:
            if draft.reading is not None and draft.reading.answers is not None:
                busy.update(filter(self._people.here, draft.reading.answers.own))
        others = sorted(busy.difference(self._evaluators))
        shown = [*self._evaluators, *others][: self._rows]
        self._rows -= len(shown)
        return [self._evaluator(each, drafts, completed.get(each)) for each in shown]

    def _evaluator(self, subject: str, drafts: Sequence[Draft], at: float | None) -> Json:
        return {
            "subject": subject,
            "progress": self._progress(subject, drafts),
            "completed": at is not None,
            "completed_at": None if at is None else iso(at),
        }

    def _progress(self, subject: str, drafts: Sequence[Draft]) -> Json | None:
        """What the shared draft and their own answer together; None where that is not known."""
        if self._form is None:
            return None
        answered = 0
        for draft in drafts:
            if draft.evaluator in (None, subject):
                if draft.reading is None or draft.reading.answers is None:
                    return None
                answered |= draft.reading.answers.of(subject)
        return asdict(tally(self._form, Answered(answered)))


def _evaluates(member: Member) -> bool:
    return member.joined_at is not None and member.role is Role.EVALUATOR


def _draft_json(draft: Draft) -> Json:
    connections = draft.room.connections.values() if draft.room else ()
    return {
        "document": draft.document,
        "evaluator": draft.evaluator,
        "open": sorted({each.identity.subject for each in connections}),
        "edits": draft.edits,
        "last_edit": _last_edit(draft),
        "note": draft.reading.note if draft.reading else None,
    }


def _last_edit(draft: Draft) -> Json | None:
    if draft.room is not None and draft.room.last is not None:
        by, at = draft.room.last
        return {"at": iso(at), "by": by, "position": draft.room.position}
    if (head := draft.head) is not None:
        return {"at": iso(head.updated_at), "by": head.last_author, "position": head.head}
    return None


def _position(last_edit: Json) -> int:
    position: int = last_edit["position"]
    return position


def delivery(meters: Meters) -> Json:
    """How events get to those who subscribe."""
    latency = meters.latency.counts()
    return {
        "delivered": meters.delivered,
        "success": round(meters.success, 6),
        "latency_ms": {
            name: milliseconds(latency.quantile(share))
            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        },
    }
