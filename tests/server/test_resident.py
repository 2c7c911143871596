"""What is known of a document in memory: its last edits, and whose they were."""

from __future__ import annotations

import pytest

from persistence.store import Edit, Position
from sync.core.document import Document
from sync.core.names import DocumentName
from sync.core.room import Room
from sync.server.resident import Resident
from tests.server.parts import eventually, opened
from tests.server.watching import BEN, draft, watching

DRAFT = DocumentName("drafts/s1/a")


def edits(*authors: str) -> list[Edit]:
    return [Edit(DRAFT, b"four", author, (), float(n)) for n, author in enumerate(authors, 1)]


@pytest.mark.parametrize(
    ("authors", "places"),
    [
        (["ben"], {"ben": 10}),
        (["ben", "ben"], {"ben": 10}),
        (["ben", "carl"], {"ben": 9, "carl": 10}),
        (["ben", "carl", "ben"], {"ben": 10, "carl": 9}),
        (["ann", "ben", "carl", "ben"], {"ann": 7, "ben": 10, "carl": 9}),
    ],
)
def test_everybodys_last_edit(authors: list[str], places: dict[str, int]) -> None:
    resident = Resident(DRAFT, Room(Document(), 0))
    resident.note_committed(edits(*authors), Position(10))
    assert {by: position for by, (_, position, _) in resident.last_edits.items()} == places
    assert resident.last_edits[authors[-1]] == (DRAFT, 10, float(len(authors)))
    assert resident.last == (authors[-1], float(len(authors)))
    assert (resident.position, resident.tail) == (10, len(authors))
    assert resident.tail_size == 4 * len(authors)


async def test_the_drafts_of_a_session_that_are_in_memory() -> None:
    async with watching(unload_seconds=0.01) as watch:
        rooms = watch.office.hub.rooms
        connections = [
            await opened(watch.office.hub, DocumentName(name), BEN)
            for name in (draft(), draft("b"), "drafts/s10/a", "drafts/s1", "elsewhere")
        ]
        assert [each.document for each in rooms.drafts("s1")] == [draft(), draft("b")]
        assert rooms.drafts("s2") == []
        watch.office.hub.close(connections[0])
        await eventually(lambda: [each.document for each in rooms.drafts("s1")] == [draft("b")])
        for connection in connections:
            watch.office.hub.close(connection)
        await eventually(lambda: not len(rooms))
        assert rooms._drafts == {}
