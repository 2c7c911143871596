"""GET /api/v1/sessions/{id}/report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from pycrdt import Doc, Map

from persistence.memory import MemoryStore
from persistence.store import Edit, StoreUnavailable
from sync.core.report_formats import CSV_COLUMNS
from sync.server.api import reports as reports_module
from sync.server.api.reports import CSV_EXAMPLE, EXAMPLE, ReportResource
from tests.server.api.client import (
    ADMIN,
    JOIN,
    LEAD,
    NONE,
    OBSERVE,
    Office,
    open_office,
    problem_of,
)
from tests.server.parts import eventually

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
NOON = 1_790_000_000.0


def rating(subject: str, question: str) -> bytes:
    doc: Doc[Any] = Doc()
    doc.get("ratings", type=Map)[f"{subject}/{question}"] = True
    return doc.get_update()


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    for subject, question, after in (
        ("bob", "polite", 0),
        ("bob", "correct", 60),
        ("carol", "polite", 70),
    ):
        update = rating(subject, question)
        await store.append([Edit("drafts/s1/a", update, subject, (), NOON + after)])
    return store


@pytest.fixture
async def office(store: MemoryStore) -> AsyncIterator[Office]:
    """Bob and Carol have evaluated; Alice leads."""
    async with open_office(store) as office:
        alice = await office.created(form=FORM)
        for subject in ("bob", "carol"):
            assert (await office.api(subject, JOIN).post("sessions/s1/join")).is_success
        assert (await alice.post("sessions/s1/start")).is_success
        assert (await office.api("bob", JOIN).post("sessions/s1/drafts/a/complete")).is_success
        yield office


async def report_of(office: Office, subject: str = "alice", right: str = LEAD) -> Any:
    answer = await office.api(subject, right).get("sessions/s1/report")
    assert answer.status_code == 200, answer.text
    ReportResource.model_validate_json(answer.content)
    return answer.json()


def rows(told: Any) -> list[tuple[str, str]]:
    return [(row["evaluator"], row["case"]) for row in told["rows"]]


EVERYBODY = [("bob", "a"), ("bob", "b"), ("carol", "a"), ("carol", "b")]


async def test_a_report(office: Office) -> None:
    told = await report_of(office)
    assert rows(told) == EVERYBODY
    bob = told["rows"][0]
    assert (bob["edits"], bob["active_seconds"], bob["completion"]) == (2, 60.0, 1.0)
    assert bob["completed_at"] is not None
    assert told["total"]["edits"] == 3
    assert told["events"]["kinds"] == {
        "draft.completed": 1,
        "session.created": 1,
        "session.joined": 2,
        "session.started": 1,
    }
    assert (told["incomplete"], told["state"]) == (False, "running")


@pytest.mark.parametrize(
    ("subject", "right", "seen"),
    [
        ("alice", LEAD, EVERYBODY),
        ("root", ADMIN, EVERYBODY),
        ("olga", OBSERVE, EVERYBODY),
        ("bob", JOIN, EVERYBODY[:2]),
        ("carol", JOIN, EVERYBODY[2:]),
        ("dave", JOIN, []),
    ],
)
async def test_who_sees_whom(
    office: Office, subject: str, right: str, seen: list[tuple[str, str]]
) -> None:
    told = await report_of(office, subject, right)
    assert rows(told) == seen
    assert {each["evaluator"] for each in told["evaluators"]} == {who for who, _ in seen}
    lines = await csv_of(office, subject, right, format="csv")
    assert [(line["evaluator"], line["case"]) for line in lines] == seen


async def csv_of(
    office: Office, subject: str = "alice", right: str = LEAD, accept: str = "*/*", **query: Any
) -> list[dict[str, str]]:
    api = office.api(subject, right)
    headers = {"Accept": accept}
    answer = await api.get("sessions/s1/report", params=query, headers=headers)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="s1.csv"'
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


async def test_csv_by_format_and_by_accept(office: Office) -> None:
    lines = await csv_of(office, format="csv")
    assert tuple(lines[0]) == CSV_COLUMNS
    assert await csv_of(office, accept="text/csv") == lines
    assert await csv_of(office, accept="text/csv;q=0.9, */*;q=0.1") == lines


async def test_format_is_more_than_accept(office: Office) -> None:
    told = await office.api().get(
        "sessions/s1/report", params={"format": "json"}, headers={"Accept": "text/csv"}
    )
    assert told.headers["content-type"] == "application/json"


async def test_how_long_a_pause_counts(office: Office) -> None:
    answer = await office.api().get("sessions/s1/report", params={"idle_seconds": 59})
    assert answer.json()["rows"][0]["active_seconds"] == 0
    assert answer.json()["idle_seconds"] == 59


@pytest.mark.parametrize(
    "query", [{"format": "xml"}, {"idle_seconds": "-1"}, {"idle_seconds": "x"}, {"format": ""}]
)
async def test_what_is_not_understood(office: Office, query: dict[str, str]) -> None:
    problem_of(await office.api().get("sessions/s1/report", params=query), 422)


async def test_who_may_not(office: Office) -> None:
    problem_of(await office.nobody.get("sessions/s1/report"), 401)
    problem_of(await office.api("eve", NONE).get("sessions/s1/report"), 403)
    problem_of(await office.api("eve", NONE).get("sessions/s2/report"), 403)
    problem_of(await office.api().get("sessions/s2/report"), 404)


async def test_a_disk_that_fails(
    office: Office, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: Any) -> Any:
        raise StoreUnavailable("the disk fails")

    monkeypatch.setattr(store, "history", failing)
    problem_of(await office.api().get("sessions/s1/report"), 503)


class SlowHistory:
    """A store that reads no history before it may."""

    def __init__(self, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reading = self.most = 0
        self.release = anyio.Event()
        self._history = store.history
        monkeypatch.setattr(store, "history", self._read)

    async def _read(self, *given: Any) -> Any:
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            await self.release.wait()
            return await self._history(*given)
        finally:
            self.reading -= 1


async def test_only_some_are_made_at_once(
    office: Office, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowHistory(store, monkeypatch)
    statuses: list[int] = []

    async def ask() -> None:
        statuses.append((await office.api().get("sessions/s1/report")).status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
        await eventually(lambda: slow.reading == reports_module.MOST_AT_ONCE)
        slow.release.set()
    assert (statuses, slow.most) == ([200] * 5, reports_module.MOST_AT_ONCE)


async def test_a_report_that_takes_too_long(
    office: Office, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports_module, "REPORT_SECONDS", 0.05)
    SlowHistory(store, monkeypatch)
    late = problem_of(await office.api().get("sessions/s1/report"), 503)
    assert "draftsync sessions report" in late["detail"]


def test_the_examples_are_such_answers() -> None:
    ReportResource.model_validate_json(json.dumps(EXAMPLE))
    [line] = csv.DictReader(io.StringIO(CSV_EXAMPLE, newline=""))
    assert None not in line.values()
    row = EXAMPLE["rows"][0]
    assert line == {
        column: str({**row, "session": "refunds-7", "incomplete": "false"}[column])
        for column in CSV_COLUMNS
    }
