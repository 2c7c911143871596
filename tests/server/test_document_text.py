"""Documents as JSON: read here or in a worker process, sound, damaged, deep or too slow."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pycrdt import Doc, Map, Text

from persistence.memory import MemoryStore
from persistence.store import Damage, Edit, Position, Snapshot, StoredDocument
from sync.core.guard import MAX_DEPTH
from sync.forms.definition import form_definition
from sync.forms.draft import view
from sync.server import document_text
from sync.server.document_text import Unreadable, write_document

FORM = form_definition(
    {
        "id": "f",
        "title": "F",
        "sections": [
            {
                "id": "s",
                "title": "S",
                "questions": [
                    {"id": "polite", "kind": "boolean", "label": "?", "required": True},
                    {"id": "why", "kind": "text", "label": "?"},
                ],
            }
        ],
    }
).to_json()
CONTENT = {"comment/why": "so", "ratings": {"alice/polite": "no"}}


def sample() -> Doc[Any]:
    doc: Doc[Any] = Doc()
    doc.get("ratings", type=Map)["alice/polite"] = "no"
    doc.get("comment/why", type=Text).insert(0, "so")
    return doc


async def stored(*updates: bytes) -> StoredDocument:
    store = MemoryStore()
    for update in updates:
        await store.append([Edit("d", update, "alice", (), 1e9)])
    return await store.load("d")


async def sampled() -> StoredDocument:
    return await stored(sample().get_update())


async def fails(*_: object) -> None:
    raise AssertionError("it was read the other way")


@pytest.fixture(params=["here", "elsewhere"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The two ways in which a document is read; the other one fails."""
    if request.param == "here":
        monkeypatch.setattr(document_text, "_in_worker", fails)
    else:
        monkeypatch.setattr(document_text, "INLINE", 1)
        monkeypatch.setattr(document_text, "interleaved", fails)
    return str(request.param)


@pytest.mark.usefixtures("way")
async def test_both_ways_tell_the_same() -> None:
    written = await write_document(await sampled(), FORM)
    assert json.loads(written.content) == CONTENT
    assert json.loads(written.form) == view(form_definition(FORM), CONTENT).to_json()
    assert written.notes == ()


@pytest.mark.usefixtures("way")
async def test_a_snapshot_and_what_came_later() -> None:
    doc = sample()
    at = await stored(doc.get_update())
    before = doc.get_state()
    doc.get("fields", type=Map)["polite"] = True
    later = await stored(sample().get_update(), doc.get_update(before))
    snapshot = Snapshot("d", Position(1), at.entries[0].edit.update, before, 1e9)
    whole = replace(later, snapshot=snapshot, entries=later.entries[1:])
    written = await write_document(whole, FORM)
    assert json.loads(written.content) == CONTENT | {"fields": {"polite": True}}


async def test_without_a_form() -> None:
    written = await write_document(await sampled(), None)
    assert (json.loads(written.content), written.form, written.notes) == (CONTENT, "null", ())


async def test_with_a_form_of_another_version() -> None:
    written = await write_document(await sampled(), {"questions": []})
    assert (json.loads(written.content), written.form) == (CONTENT, "null")
    (note,) = written.notes
    assert note.startswith("the session's form cannot be read: questions: expected none but")


@pytest.mark.usefixtures("way")
async def test_what_is_left_out_is_told() -> None:
    found = await stored(sample().get_update(), b"\x05nonsense")
    damaged = Damage(Position(3), "entry", "its checksum is wrong")
    written = await write_document(replace(found, damaged=(damaged,)), FORM)
    assert json.loads(written.content) == CONTENT
    assert written.notes == ("1 of its edits are damaged, and left out",) * 2


async def test_a_snapshot_that_cannot_be_loaded() -> None:
    found = await sampled()
    snapshot = Snapshot("d", Position(1), b"\x05nonsense", b"", 1e9)
    with pytest.raises(Unreadable, match="it is damaged"):
        await write_document(replace(found, snapshot=snapshot, entries=()), FORM)


@pytest.mark.usefixtures("way")
async def test_what_is_as_deep_as_may_be() -> None:
    doc = sample()
    inner: Any = 1
    for _ in range(MAX_DEPTH):
        inner = [inner]
    doc.get("deep", type=Map)["down"] = inner
    written = await write_document(await stored(doc.get_update()), FORM)
    assert json.loads(written.content) == CONTENT | {"deep": {"down": inner}}


async def test_a_worker_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(document_text, "INLINE", 1)
    monkeypatch.setattr("anyio.to_process.run_sync", none)
    with pytest.raises(Unreadable, match="try again"):
        await write_document(await sampled(), None)


async def test_one_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_text, "INLINE", 1)
    monkeypatch.setattr(document_text, "WORKER_SECONDS", 0.0)
    with pytest.raises(Unreadable, match="too long"):
        await write_document(await sampled(), None)
