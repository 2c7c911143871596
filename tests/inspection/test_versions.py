"""History as people think of versions."""

from __future__ import annotations

from sync.core.changes import ABSENT, Change, Place
from sync.forms.definition import form_definition
from sync.inspection.story import Story
from sync.inspection.versions import Version, version_page, versions
from tests.core.authors import Author
from tests.inspection.pasts import Log

SCORE, NOTES = Place("form", "score"), Place("notes")


def told(log: Log, pause: float = 120.0) -> list[tuple[str, int, int, int]]:
    return [(v.author, v.first, v.last, v.edits) for v in versions(log.past(), pause)]


def typed(log: Log, author: str, client: Author, times: list[float]) -> None:
    for time in times:
        log.add(author, client.put(f"{author} {time}", 1), time)


def test_no_edits_make_no_versions() -> None:
    assert versions(Log().past()) == []


def test_a_pause_ends_a_version() -> None:
    log = Log()
    typed(log, "alice", Author(7), [0.0, 119.0, 239.0, 359.1])
    assert told(log) == [("alice", 1, 3, 3), ("alice", 4, 4, 1)]
    assert told(log, 10.0) == [("alice", n, n, 1) for n in (1, 2, 3, 4)]


def test_authors_at_work_together_have_a_version_each() -> None:
    log, alice, bob = Log(), Author(7), Author(8)
    for time in range(4):
        typed(log, "alice", alice, [time * 1.0])
        typed(log, "bob", bob, [time + 0.5])
    assert told(log) == [("alice", 1, 7, 4), ("bob", 2, 8, 4)]


def test_versions_are_ordered_by_their_last_positions() -> None:
    log, alice, bob = Log(), Author(7), Author(8)
    typed(log, "alice", alice, [0.0])
    typed(log, "bob", bob, [1.0])
    typed(log, "alice", alice, [2.0])
    assert told(log) == [("bob", 2, 2, 1), ("alice", 1, 3, 2)]


def test_a_clock_that_steps_back_begins_no_version() -> None:
    log = Log()
    typed(log, "alice", Author(7), [5_000.0, 1.0, 2.0])
    assert told(log) == [("alice", 1, 3, 3)]


def test_versions_by_pages() -> None:
    log = Log()
    typed(log, "alice", Author(7), [0.0, 1_000.0, 2_000.0, 3_000.0, 3_001.0])
    story = Story(log.past(), {})

    def page(after: int | None, limit: int) -> tuple[list[int], int]:
        found, of = version_page(story, after=after, limit=limit)
        assert found == [each for each in versions(log.past()) if each in found]
        return [each.last for each in found], of

    assert page(None, 0) == ([1, 2, 3, 5], 4)
    assert page(None, 2) == ([3, 5], 4)
    assert page(0, 2) == ([1, 2], 4)
    assert page(2, 0) == page(2, 9) == ([3, 5], 2)
    assert page(4, 1) == ([5], 1)
    assert page(5, 1) == ([], 0)


def test_what_a_version_changed() -> None:
    log, alice, bob = Log(), Author(7), Author(8)
    log.add("alice", alice.put("score", 1), 0.0, connection=4)
    log.add("alice", alice.write("hel"), 1.0, connection=4)
    bob.hear(alice.everything())
    log.add("bob", bob.put("score", 2), 2.0, connection=5)
    alice.hear(bob.everything())
    log.add("alice", alice.put("score", 3), 60.0, offline=True, connection=6)
    log.add("alice", alice.write("lo"), 61.0, connection=6)
    bobs, alices = versions(log.past())
    assert bobs.changes == (Change(SCORE, 1, 2),)
    assert alices == Version(
        "alice", log.entries[0].position, log.entries[4].position, 0.0, 61.0, 4, (4, 6), True,
        None, (Change(SCORE, ABSENT, 3), Change(NOTES, ABSENT, "hello")),
    )  # fmt: skip


def test_what_came_to_nothing_is_no_change() -> None:
    log, alice = Log(), Author(7)
    log.add("alice", alice.put("score", 1))
    log.add("alice", alice.drop("score"))
    (only,) = versions(log.past())
    assert only.changes == ()


def test_what_lost_changed_nothing() -> None:
    log, alice, bob = Log(), Author(8), Author(7)
    log.add("alice", alice.put("score", 1))
    log.add("bob", bob.put("score", 2))
    assert [each.changes for each in versions(log.past())] == [(Change(SCORE, ABSENT, 1),), ()]


def test_edits_that_somebody_handed_on_are_their_writers() -> None:
    log, alice = Log(), Author(7)
    log.add("alice", alice.put("score", 1), 0.0)
    log.add("bob", alice.put("score", 2), 1.0, introduced=[7])
    assert told(log) == [("alice", 1, 2, 2)]


def test_how_long_the_author_was_away_before() -> None:
    log, alice = Log(), Author(7)
    log.add("alice", alice.put("score", 1), 0.0)
    log.add("alice", alice.put("score", 2), 1_000.0)
    log.add("alice", alice.put("score", 3), 1_001.0)
    assert [each.away_seconds for each in versions(log.past())] == [None, 1_000.0]


def test_as_json_in_the_words_of_a_form() -> None:
    form = form_definition(
        {"id": "f", "title": "F", "sections": [{"id": "s", "title": "S", "questions": [
            {"id": "accuracy", "kind": "score", "label": "Accuracy", "min": 1, "max": 5}]}]}
    )  # fmt: skip
    log, alice = Log(), Author(7)
    ratings = alice.doc.get("ratings", type=type(alice.map))
    log.add("alice", alice.edit(lambda: ratings.__setitem__("bob/accuracy", 4)), 1.5)
    (only,) = versions(log.past())
    assert only.to_json(form) == {
        "first": 1, "last": 1, "author": "alice", "began": "1970-01-01T00:00:01.500Z",
        "ended": "1970-01-01T00:00:01.500Z", "edits": 1, "connections": [1], "offline": False,
        "away_seconds": None,
        "changes": [{"field": "ratings.bob/accuracy", "root": "ratings", "key": "bob/accuracy",
                     "label": "Accuracy · bob", "after": 4}],
    }  # fmt: skip
