"""``draftsync docs`` on the past of documents, and on many of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from pycrdt import Doc, Map, Text

from persistence.sqlite import open_sqlite, reading
from persistence.store import ClientRange, Deletion, Edit, Position
from sync.cli.docs import blaming, changes
from sync.core.changes import ABSENT, Change, Place
from sync.inspection.blame import Blame, Overruled, Span
from tests.cli.conftest import Run
from tests.cli.evaluation import NOON, Story
from tests.support.million import CASES, make

DRAFT = "drafts/refunds-7/c1"
LOUD = "mal\x1b[31mlory"


class Author:
    """Somebody who edits a draft, and sends each edit."""

    def __init__(self, subject: str, client: int) -> None:
        self.subject = subject
        self.doc: Doc[Any] = Doc(client_id=client)
        self._client = client
        self._sent = self.doc.get_state()
        self._clock = 0

    def edit(self, at: float, *, offline: bool = False, document: str = DRAFT) -> Edit:
        update = self.doc.get_update(self._sent)
        self._sent = self.doc.get_state()
        began, self._clock = self._clock, self._clock + 100
        clients = (ClientRange(self._client, began, self._clock),)
        return Edit(document, update, self.subject, clients, at, self._client, offline)


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """alice rates at 12:00, and again an hour later; bob was away, and typed a note."""
    path = tmp_path / "drafts.db"
    alice, bob = Author("alice", 1), Author("bob", 2)
    async with open_sqlite(path) as store:
        await Story(store, "refunds-7").begin()
        edits = []
        alice.doc.get("ratings", type=Map)["alice/polite"] = True
        edits.append(alice.edit(NOON))
        alice.doc.get("comment/polite", type=Text).insert(0, "well said, mostly")
        edits.append(alice.edit(NOON + 5))
        bob.doc.get("ratings", type=Map)["bob/correct"] = False
        edits.append(bob.edit(NOON + 3_000, offline=True))
        alice.doc.get("ratings", type=Map)["alice/polite"] = False
        text = alice.doc.get("comment/polite", type=Text)
        text.insert(len("well said"), " and done")
        edits.append(alice.edit(NOON + 3_600))
        mallory = Author(LOUD, 3)
        mallory.doc.get("answers", type=Map)["\x1b[2J"] = "\x1b]0;title\x07"
        edits.append(mallory.edit(NOON + 4_000, document="drafts/loud"))
        for edit in edits:
            await store.append([edit])
        await store.append([edits[-1]._replace(document="drafts/gone")])
        await store.delete(Deletion("drafts/gone", "lena", NOON + 5_000))
    return path


async def docs(run: Run, database: Path, *arguments: str) -> str:
    given = ("docs", *arguments, "--database", str(database))
    result = await anyio.to_thread.run_sync(run, *given)
    assert result.exit_code == 0, result.stderr
    return result.stdout


async def docs_json(run: Run, database: Path, *arguments: str) -> Any:
    return json.loads(await docs(run, database, *arguments, "--json"))


async def refused(run: Run, database: Path, *arguments: str) -> tuple[int, str]:
    given = ("docs", *arguments, "--database", str(database))
    result = await anyio.to_thread.run_sync(run, *given)
    assert result.stdout == ""
    return result.exit_code, result.stderr


def rows(shown: str) -> list[list[str]]:
    return [line.split() for line in shown.splitlines()]


# -- show


async def test_a_draft_is_shown_by_its_form(run: Run, database: Path) -> None:
    shown = await docs(run, database, "show", DRAFT)
    assert "How well did it do?" in shown
    assert ["polite", "alice", "false"] in rows(shown)
    assert ["correct", "bob", "false"] in rows(shown)
    assert ["bob", "50%", "1", "of", "2", "0"] in rows(shown)
    told = await docs_json(run, database, "show", DRAFT)
    assert told["form"]["evaluators"][0]["answers"] == {"polite": False}


async def test_a_draft_as_it_was(run: Run, database: Path) -> None:
    held = await docs_json(run, database, "show", DRAFT, "--at", "1")
    assert held["content"] == {"ratings": {"alice/polite": True}}
    assert (held["position"], held["head"]) == (1, 4)
    by_time = await docs_json(run, database, "show", DRAFT, "--at", "2026-09-21T14:13:25Z")
    assert by_time["content"]["comment/polite"] == "well said, mostly"
    assert "position 2 of 4" in await docs(run, database, "show", DRAFT, "--at", "2")


async def test_the_types_of_the_roots(run: Run, database: Path) -> None:
    shown = rows(await docs(run, database, "show", DRAFT, "--raw"))
    assert [row[:2] for row in shown[2:]] == [["comment/polite", "text"], ["ratings", "map"]]
    told = await docs_json(run, database, "show", DRAFT, "--raw")
    assert told["types"] == {"comment/polite": "text", "ratings": "map"}
    assert "form" not in told


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", DRAFT, "--at", "yesterday"), 2, "--at: expected a position"),
        (("show", DRAFT, "--at", "2020-01-01"), 1, "did not exist then"),
        (("history", "drafts/none"), 1, "there is no document"),
        (("history", "drafts/none", "--edits"), 1, "there is no document"),
        (("blame", "a//b"), 2, "segment"),
        (("blame", "drafts/none"), 1, "there is no document"),
        (("diff", DRAFT), 2, "--from POSITION|TIME"),
        (("diff", DRAFT, "--from", "1", "--to", "x"), 2, "--to: expected"),
        (("diff", DRAFT, "--with", "drafts/none"), 1, "'drafts/none'"),
        (("watch", "--since", "soon"), 2, "--since: expected"),
        (("list", "--sort", "colour"), 2, "--sort"),
        (("list", "--sort", "size", "--after", "drafts/none"), 2, "--after"),
    ],
)
async def test_what_cannot_be_asked(
    run: Run, database: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ended, told = await refused(run, database, *arguments)
    assert (ended, says in told) == (code, True), told


# -- history


async def test_versions_tell_what_changed(run: Run, database: Path) -> None:
    told = await docs_json(run, database, "history", DRAFT)
    versions = [(each["author"], each["last"], each["edits"]) for each in told["versions"]]
    assert versions == [("alice", 2, 2), ("bob", 3, 1), ("alice", 4, 1)]
    assert [change["label"] for change in told["versions"][0]["changes"]] == [
        "polite, note",
        "polite · alice",
    ]
    shown = await docs(run, database, "history", DRAFT)
    assert "polite · alice: true → false" in shown
    assert "bob (offline)" in shown
    one = await docs_json(run, database, "history", DRAFT, "--pause", "9999")
    assert [each["last"] for each in one["versions"]] == [3, 4]


async def test_every_edit(run: Run, database: Path) -> None:
    told = await docs_json(run, database, "history", DRAFT, "--edits")
    edits = [(e["position"], e["author"], e["connection"], e["offline"]) for e in told["entries"]]
    assert edits == [
        (1, "alice", 1, False),
        (2, "alice", 1, False),
        (3, "bob", 2, True),
        (4, "alice", 1, False),
    ]
    newest = await docs_json(run, database, "history", DRAFT, "--edits", "--limit", "1")
    assert [each["position"] for each in newest["entries"]] == [4]
    behind = ("history", DRAFT, "--edits", "--limit", "1", "--after", "1")
    assert [e["position"] for e in (await docs_json(run, database, *behind))["entries"]] == [2]
    versions = await docs_json(run, database, "history", DRAFT, "--limit", "1", "--after", "2")
    assert [each["last"] for each in versions["versions"]] == [3]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("x" * 100, "x" * 101, f"…{'x' * 16} → …{'x' * 17}"),
        (
            f"{'a' * 50}b{'c' * 50}",
            f"{'a' * 50}{'c' * 50}",
            f"{'c' * 16}… → …{'a' * 16}{'c' * 16}…",
        ),
        ("", "new", '"" → new'),
        (ABSENT, "y" * 99, f"– → {'y' * 59}…"),
        ({"a": 1}, None, '{"a": 1} → null'),
    ],
)
def test_a_change_on_one_line(before: object, after: object, says: str) -> None:
    told = changes.told(Change(Place("root"), before, after), None)
    assert told.startswith("root: ")
    assert told.endswith(says)


# -- blame


async def test_blame_names_who_when_and_from_what(run: Run, database: Path) -> None:
    fields = (await docs_json(run, database, "blame", DRAFT))["fields"]
    by_label = {each["label"]: each for each in fields}
    polite = by_label["polite · alice"]
    assert (polite["author"], polite["before"], polite["value"]) == ("alice", True, False)
    assert by_label["correct · bob"]["offline"] is True
    shown = await docs(run, database, "blame", DRAFT)
    assert ["correct", "·", "bob", "false", "–", "bob"] in [row[:6] for row in rows(shown)]
    before = (await docs_json(run, database, "blame", DRAFT, "--at", "1"))["fields"]
    assert [each["value"] for each in before] == [True]


def test_blame_tells_what_lost_and_who_wrote_what() -> None:
    note = Blame(
        Place("comment/q"), "fine, mostly", "fine", "bob", Position(2), NOON, True, 7_800.0,
        "carol", (), (Span("alice", "fine"), Span(None, ", mostly")),
    )  # fmt: skip
    lost = Overruled("dave", Position(3), NOON, True, 5)
    rating = Blame(
        Place("ratings", "q"), 4, ABSENT, "alice", Position(1), NOON, False, None, None, (lost,), ()
    )  # fmt: skip
    old = Blame(Place("x"), ABSENT, 1, None, None, None, False, None, None, (), ())
    when = "2026-09-21 14:13:20"
    assert blaming._grid([note, rating, old], None).rows == [
        (
            "comment/q",
            "fine, mostly",
            "fine",
            "bob",
            when,
            "offline, away 2h 10m, brought by carol",
        ),
        ("", "│ fine", "", "alice", "", ""),
        ("", "│ , mostly", "", "(unknown)", "", ""),
        ("ratings.q", "4", "–", "alice", when, "online"),
        ("", "│ 5", "", "dave", when, "overruled, made offline"),
        ("x", "(removed)", "1", "(unknown)", "–", "before the history that is kept"),
    ]


# -- diff


async def test_a_diff_goes_word_by_word(run: Run, database: Path) -> None:
    shown = (await docs(run, database, "diff", DRAFT, "--from", "2")).splitlines()
    assert shown[:2] == [f"--- {DRAFT}   position 2", f"+++ {DRAFT}   position 4"]
    assert "  well said{+ and done+}, mostly" in shown
    at = shown.index("polite · alice")
    assert shown[at + 1 : at + 3] == ["- true", "+ false"]
    told = await docs_json(run, database, "diff", DRAFT, "--from", "0", "--to", "1")
    assert told["from"]["position"] == 0
    assert [change["after"] for change in told["changes"]] == [True]


async def test_a_diff_of_two_documents(run: Run, database: Path) -> None:
    told = await docs_json(run, database, "diff", DRAFT, "--with", "drafts/loud", "--from", "1")
    assert (told["from"]["name"], told["to"]["name"]) == (DRAFT, "drafts/loud")
    assert {change["root"] for change in told["changes"]} == {"ratings", "answers"}
    same = await docs(run, database, "diff", DRAFT, "--with", DRAFT)
    assert "no difference" in same


# -- list


async def test_a_list_is_sorted_filtered_and_paged(run: Run, database: Path) -> None:
    async def listed(*arguments: str) -> list[str]:
        return [each["name"] for each in await docs_json(run, database, "list", *arguments)]

    assert await listed() == ["drafts/loud", DRAFT]
    assert await listed("--reverse") == [DRAFT, "drafts/loud"]
    assert await listed("--sort", "updated") == ["drafts/loud", DRAFT]
    assert await listed("--sort", "edits") == [DRAFT, "drafts/loud"]
    assert await listed("--sort", "edits", "--reverse") == ["drafts/loud", DRAFT]
    assert await listed("--author", "alice") == [DRAFT]
    assert await listed("--search", "LOUD") == ["drafts/loud"]
    assert await listed("--after", "drafts/loud") == [DRAFT]
    assert await listed("--after", DRAFT, "--reverse") == ["drafts/loud"]
    assert await listed("--sort", "edits", "--after", DRAFT) == ["drafts/loud"]
    assert await listed("--deleted") == ["drafts/gone", "drafts/loud", DRAFT]
    assert await listed("--limit", "1") == ["drafts/loud"]
    given = ("docs", "list", "--limit", "1", "--database", str(database))
    result = await anyio.to_thread.run_sync(run, *given)
    assert "--after 'drafts/loud'" in result.stderr
    assert "deleted by lena" in await docs(run, database, "list", "--deleted")


# -- what others wrote


async def test_nothing_from_outside_moves_the_cursor(run: Run, database: Path) -> None:
    for arguments in (
        ("list",),
        ("show", "drafts/loud"),
        ("show", "drafts/loud", "--raw"),
        ("history", "drafts/loud"),
        ("history", "drafts/loud", "--edits"),
        ("blame", "drafts/loud"),
        ("diff", "drafts/loud", "--from", "0"),
    ):
        shown = await docs(run, database, *arguments)
        assert "\\x1b" in shown or "\\u001b" in shown
        assert "\x1b" not in shown
        assert "\x07" not in shown


# -- many documents


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "drafts.db"
    assert anyio.run(make, path, 5_000, 50_000) >= 50_000
    return path


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many steps SQLite's machine took, in tens, since the test began."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    opening = reading._open

    def counted(path: Path) -> reading._Opened:
        opened = opening(path)
        opened.connection.set_progress_handler(count, 10)
        return opened

    monkeypatch.setattr(reading, "_open", counted)
    return lambda: taken * 10


ONE = f"drafts/evaluation-1/case-0{CASES // 2}"


@pytest.mark.parametrize("command", ["show", "history", "blame"])
def test_one_document_is_read_without_the_others(
    run: Run, many: Path, steps: Callable[[], int], command: str
) -> None:
    """Of 5,000 documents with 50,000 edits: a step for each of them would be too much."""
    assert run("docs", command, ONE, "--database", str(many)).exit_code == 0
    assert 0 < steps() < 5_000


def test_a_list_reads_no_edits(run: Run, many: Path, steps: Callable[[], int]) -> None:
    result = run("docs", "list", "--limit", "0", "--json", "--database", str(many))
    assert sum(each["edits"] for each in json.loads(result.stdout)) >= 50_000
    assert 0 < steps() < 50 * 5_000  # so many for each document, and none for each edit


def test_looking_takes_no_time_to_speak_of(run: Run, many: Path) -> None:
    """Far more than is ever needed, and less than anything that reads every edit."""
    for arguments, seconds in ((("list",), 1.0), (("show", ONE), 0.2), (("history", ONE), 0.3)):
        took = []
        for _ in range(3):
            began = time.perf_counter()
            assert run("docs", *arguments, "--database", str(many)).exit_code == 0
            took.append(time.perf_counter() - began)
        assert min(took) < 2 * seconds, arguments
