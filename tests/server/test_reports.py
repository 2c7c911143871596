"""Reports, from what a store holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pycrdt import Doc, Map, Text

from persistence.memory import MemoryStore
from persistence.store import (
    Damage,
    Edit,
    Event,
    History,
    Position,
    Reader,
    Record,
    SessionState,
    Snapshot,
    StoredDocument,
    StoredEvent,
    StoreError,
    StoreUnavailable,
)
from sync.core.errors import UnknownSession
from sync.core.report import Filled, Report, Row, report
from sync.core.session import (
    Actor,
    Member,
    Outline,
    Role,
    Session,
    SessionId,
    TestCase,
    body,
    created,
    draft_name,
)
from sync.server import reports
from sync.server.draft_answers import DraftAnswers
from sync.server.reports import read_chronicle
from tests.server.parts import DISK_FULL, TroubledStore

NOON = 1_790_000_000.0
FORM = {
    "id": "agent-eval",
    "title": "How well did the agent do?",
    "sections": [
        {
            "id": "all",
            "title": "Everything",
            "questions": [
                *(
                    {"id": name, "kind": "boolean", "label": name, "required": True}
                    for name in ("polite", "correct", "complete")
                ),
                {"id": "remarks", "kind": "text", "label": "Remarks", "required": True},
            ],
        }
    ],
}


def a_session(form: Any = FORM) -> Session:
    invited = tuple(Member(each, each, Role.EVALUATOR, NOON) for each in ("alice", "bob"))
    cases = (TestCase("c1", "One"), TestCase("c2", "Two"))
    outline = Outline("project", "title", cases, form, invited)
    session, _ = created(SessionId("s1"), "e", Actor("lena", "Lena", Role.LEAD), NOON, outline)
    return session


async def record(store: MemoryStore, session: Session, *kinds: str) -> None:
    change = SessionState(session.epoch, str(session.state), body(session))
    events = [
        Event(f"{kind} {number}", kind, "lena", NOON + number, "{}")
        for number, kind in enumerate(kinds or ("session.created",))
    ]
    await store.record([Record(session.id, event, change) for event in events])


def answered(roots: dict[str, dict[str, Any]], comments: dict[str, str] | None = None) -> bytes:
    doc: Doc[Any] = Doc()
    for root, values in roots.items():
        for key, value in values.items():
            doc.get(root, type=Map)[key] = value
    for question, text in (comments or {}).items():
        doc.get(f"comment/{question}", type=Text).insert(0, text)
    return doc.get_update()


async def edited(
    store: MemoryStore, update: bytes, case: str = "c1", own: str | None = None, by: str = "alice"
) -> None:
    await store.append([Edit(draft_name("s1", case, own), update, by, (), NOON + 60)])


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore()
    await record(store, a_session())
    yield store
    await store.close()


async def reported(reader: Reader) -> Report:
    return report(await read_chronicle(reader, "s1", DraftAnswers(reader)), NOON + 3600)


def row(told: Report, subject: str, case: str = "c1") -> Row:
    [found] = [one for one in told.rows if (one.person.subject, one.case) == (subject, case)]
    return found


async def test_an_unknown_session(store: MemoryStore) -> None:
    with pytest.raises(UnknownSession):
        await read_chronicle(store, "s2", DraftAnswers(store))


async def test_all_pages_of_events_and_edits(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "PAGE", 3)
    await record(store, a_session(), *["review.note"] * 7)
    batch = [Edit("drafts/s1/c1", b"12345", "alice", (), NOON + n) for n in range(8)]
    await store.append(batch)
    await store.append([Edit("drafts/s10/c1", b"x", "alice", (), NOON)])
    told = await reported(store)
    assert dict(told.kinds) == {"review.note": 7, "session.created": 1}
    work = row(told, "alice").work
    assert (work.edits, work.size, work.active_seconds) == (8, 40, 7)
    assert told.total.work.edits == 8


async def test_the_history_behind_a_snapshot_counts(store: MemoryStore) -> None:
    await edited(store, update := answered({"fields": {"polite": True}}))
    await edited(store, answered({"fields": {"correct": False}}))
    await store.compact(Snapshot("drafts/s1/c1", Position(1), update, b"", NOON))
    told = await reported(store)
    assert row(told, "alice").work.edits == 2
    assert row(told, "alice").filled == Filled(2, 4, 0.5)


async def test_answers_are_everybodys_or_ones_own(store: MemoryStore) -> None:
    await edited(store, answered({"fields": {"polite": True}}, {"remarks": "fine"}))
    await edited(store, answered({"ratings": {"alice/correct": True, "bob/polite": False}}))
    await edited(store, answered({"fields": {"complete": False}}), own="alice")
    told = await reported(store)
    assert row(told, "alice").filled == Filled(4, 4, 1.0)
    assert row(told, "bob").filled == Filled(2, 4, 0.5)
    assert row(told, "bob", "c2").filled == Filled(0, 4, 0.0)


async def test_no_form_no_completion() -> None:
    store = MemoryStore()
    await record(store, a_session(form=None))
    await edited(store, answered({"fields": {"polite": True}}))
    told = await reported(store)
    assert (row(told, "alice").filled, told.lacking) == (None, ())


async def test_a_form_that_is_none_is_said() -> None:
    store = MemoryStore()
    await record(store, a_session(form={"id": "x"}))
    [lacking] = (await reported(store)).lacking
    assert "form cannot be read" in lacking


# -- what is lacking


async def test_what_retention_removed_is_said(store: MemoryStore) -> None:
    await record(store, a_session(), "review.note", "review.note")
    await store.truncate("s1", NOON + 1)
    await edited(store, update := answered({"fields": {"polite": True}}))
    await edited(store, answered({"fields": {"correct": True}}))
    await store.compact(Snapshot("drafts/s1/c1", Position(1), update, b"", NOON))
    await store.thin("drafts/s1/c1", NOON + 3600)
    told = await reported(store)
    assert told.lacking == (
        "retention removed the events up to offset 2: they are not counted",
        "retention removed the first edits of 1 draft: they are not counted",
    )
    assert row(told, "alice").work.edits == 1
    assert row(told, "alice").filled == Filled(2, 4, 0.5)


class DamagedReader(TroubledStore):
    """A store with damaged rows."""

    async def history(self, document: str, after: int = 0, limit: int = 1_000) -> History:
        whole = await super().history(document, after, limit)
        lost = Damage(Position(1), "entry", "its checksum does not fit")
        return replace(whole, damaged=(lost, Damage(Position(9), "document", "as well")))

    async def load(self, document: str) -> StoredDocument:
        whole = await super().load(document)
        return replace(whole, damaged=(Damage(Position(1), "entry", "…"),))

    async def events(
        self, session: str, after: int = 0, limit: int = 1_000, kind: str | None = None
    ) -> list[StoredEvent]:
        if after:
            raise StoreError("event 2 fails its checksum")
        return await super().events(session, after, min(limit, 1), kind)


async def test_damaged_rows_are_said(store: MemoryStore) -> None:
    await record(store, a_session(), "review.note")
    await edited(store, answered({"fields": {"polite": True}}))
    told = await reported(DamagedReader(store))
    assert told.lacking == (
        "not counted, since they cannot be read: 1 damaged row of 1 draft",
        "1 draft cannot be read wholly: completion is not known for certain",
        "events behind offset 1 are not counted: event 2 fails its checksum",
    )
    assert dict(told.kinds) == {"session.created": 1}


async def test_a_disk_that_fails_is_no_report(store: MemoryStore) -> None:
    troubled = TroubledStore(store)
    troubled.failure = DISK_FULL
    with pytest.raises(StoreUnavailable):
        await reported(troubled)


async def test_a_draft_that_cannot_be_read_is_said(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await edited(store, answered({"fields": {"polite": True}}))
    monkeypatch.setattr("sync.server.draft_answers.HUGE", 10)
    told = await reported(store)
    assert "1 draft cannot be read wholly" in told.lacking[0]
    assert row(told, "alice").filled is None
    assert row(told, "alice", "c2").filled == Filled(0, 4, 0.0)
