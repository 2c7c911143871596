"""Who wrote what last: as much of it as is kept."""

from __future__ import annotations

import pytest

from persistence.store import Position
from sync.core.names import DocumentName
from sync.server import last_edits
from sync.server.last_edits import LastEdits

DRAFT = DocumentName("drafts/s1/a")


def test_only_so_many_last_edits_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_edits, "MOST_SESSIONS", 2)
    monkeypatch.setattr(last_edits, "MOST_SUBJECTS", 3)
    last = LastEdits()
    for number in range(5):
        last.of("s1")[f"somebody-{number}"] = DRAFT, Position(number), 1.0
    assert [*last.of("s1")] == ["somebody-2", "somebody-3", "somebody-4"]
    last.of("s2"), last.of("s1"), last.of("s3")
    assert (len(last.known("s1")), len(last.known("s2"))) == (3, 0)
    assert last.known("unknown") == {}
    assert [*last._by_session] == ["s1", "s3"]
