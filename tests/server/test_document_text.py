"""What a document held, as JSON texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pycrdt import Doc, Map, Text

from persistence.store import NOWHERE, Damage, Edit, Entry, Past, Position, Snapshot
from sync.core.errors import NativeFailure
from sync.server import document_text
from sync.server.document_text import write_document
from sync.server.inspecting import Unreadable
from tests.server.api.test_documents import FORM

Change = Callable[[Doc[Any]], object]


def past(*changes: Change, merged: int = 0) -> Past:
    """A document after some edits; the first ``merged`` are in its base."""
    doc: Doc[Any] = Doc()
    entries, base = [], None
    for n, change in enumerate(changes, 1):
        before = doc.get_state()
        change(doc)
        entries.append(Entry(Position(n), Edit("notes", doc.get_update(before), "bob", (), 1.0)))
        if n == merged:
            base = Snapshot("notes", Position(n), doc.get_update(), doc.get_state(), 1.0)
    head = entries[-1].position if entries else NOWHERE
    return Past("notes", base, tuple(entries[merged:]), head, head)


def verdict(value: str) -> Change:
    return lambda doc: doc.get("fields", type=Map).update({"verdict": value})


def remark(text: str) -> Change:
    return lambda doc: doc.get("comment/remarks", type=Text).insert(0, text)


WRITTEN = {"comment/remarks": "b a", "fields": {"verdict": "fail"}}


@pytest.mark.parametrize("inline", [2**20, 0], ids=["here", "worker"])
@pytest.mark.parametrize("merged", [0, 2, 4])
async def test_what_it_holds(merged: int, inline: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_text, "INLINE", inline)
    of = past(verdict("pass"), remark("a"), verdict("fail"), remark("b "), merged=merged)
    written = await write_document(of, None)
    assert json.loads(written.content) == WRITTEN
    assert (written.form, written.notes) == ("null", ())
    written = await write_document(of, FORM)
    shown = json.loads(written.form)
    assert (shown["id"], shown["shared"]) == ("agent-eval", {"verdict": "fail"})


async def test_nothing() -> None:
    written = await write_document(past(), None)
    assert (written.content, written.form, written.notes) == ("{}", "null", ())


@pytest.mark.parametrize("inline", [2**20, 0], ids=["here", "worker"])
async def test_what_is_lost_is_counted_once(inline: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_text, "INLINE", inline)
    whole = past(verdict("pass"), remark("a"), verdict("fail"))
    torn = Entry(Position(4), Edit("notes", b"\x07no update", "eve", (), 1.0))
    damage = (
        Damage(Position(5), "entry", "its checksum is wrong"),
        Damage(Position(3), "document", "its checksum is wrong"),  # of no edit
    )
    of = replace(whole, entries=(*whole.entries, torn), damaged=damage)
    written = await write_document(of, None)
    assert written.notes == ("2 of its edits are damaged, and left out",)
    assert json.loads(written.content)["fields"] == {"verdict": "fail"}


async def test_a_form_that_cannot_be_read() -> None:
    written = await write_document(past(verdict("pass")), {"id": "x"})
    assert written.form == "null"
    assert written.notes[0].startswith("the session's form cannot be read: ")
    assert json.loads(written.content) == {"fields": {"verdict": "pass"}}


async def test_a_base_that_the_library_fails_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(_: object) -> None:
        raise NativeFailure("no")

    monkeypatch.setattr(document_text, "interleaved", failing)
    with pytest.raises(Unreadable, match="it is damaged"):
        await write_document(past(verdict("pass")), None)
