"""What became of a document: its edits and versions, who set what, what differs; all edits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pycrdt import Doc, Map, Text

from persistence.memory import MemoryStore
from persistence.sqlite import open_sqlite
from persistence.store import Damage, Deletion, Edit, Past, Position, Snapshot
from sync.core.events import iso
from sync.server import history_text, inspecting
from sync.server.api import document_access
from sync.server.api.documents import DocumentResource
from sync.server.api.edits import EDITS, EditsPage
from sync.server.api.history import (
    BLAME,
    DIFF,
    HISTORY,
    VERSIONS,
    BlamePage,
    DiffResource,
    HistoryPage,
    VersionsPage,
)
from tests.server.api.client import Api, Office, open_office, problem_of
from tests.server.api.test_documents import NOON, OUTLINE
from tests.server.service import token_for

NAME = "drafts/s1/a"
AT = "documents/drafts%2Fs1%2Fa"

Change = Callable[[Doc[Any]], object]


class Writing:
    """Documents that several authors write, and their edits on the way to the store."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self._docs: dict[str, Doc[Any]] = {}

    async def edit(
        self,
        change: Change,
        author: str = "bob",
        *,
        name: str = NAME,
        minutes: float = 0,
        **more: Any,
    ) -> Position:
        doc = self._docs.setdefault(name, Doc())
        before = doc.get_state()
        change(doc)
        update = doc.get_update(before)
        received = NOON + 60 * minutes
        return await self.store.append([Edit(name, update, author, (), received, **more)])

    async def thin(self, name: str = NAME, *, minutes: float) -> Position:
        """Remove what was received before; return what history begins with."""
        begin = (await self.store.past(name, await self.position(name, minutes))).position
        past = await self.store.past(name, begin)
        doc: Doc[Any] = Doc()
        for entry in past.entries:
            doc.apply_update(entry.edit.update)
        whole = Snapshot(name, begin, doc.get_update(), doc.get_state(), NOON + 60 * minutes)
        await self.store.rebase(whole)
        head = await self.store.head(name)
        assert head is not None
        now = self._docs[name]
        await self.store.compact(
            Snapshot(name, head.head, now.get_update(), now.get_state(), NOON + 6_000)
        )
        while await self.store.thin(name, NOON + 60 * minutes):
            pass
        return begin

    async def position(self, name: str, minutes: float) -> Position:
        return await self.store.position_at(name, NOON + 60 * minutes - 1)


def verdict(value: str) -> Change:
    return lambda doc: doc.get("fields", type=Map).update({"verdict": value})


def score(value: int, of: str = "bob") -> Change:
    return lambda doc: doc.get("ratings", type=Map).update({f"{of}/score": value})


def remark(text: str, at: int = 0) -> Change:
    return lambda doc: doc.get("comment/remarks", type=Text).insert(at, text)


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def office(memory: MemoryStore) -> AsyncIterator[Office]:
    async with open_office(memory) as office:
        yield office


@pytest.fixture
async def writing(memory: MemoryStore) -> Writing:
    """Bob and carol have filled in a draft; positions 1 to 4, minutes 0, 1, 10, 11."""
    writing = Writing(memory)
    await writing.edit(verdict("pass"), connection=7)
    await writing.edit(score(3), minutes=1, connection=7)
    await writing.edit(verdict("fail"), "carol", minutes=10, connection=8, offline=True)
    await writing.edit(score(4), minutes=11, connection=9)
    return writing


@pytest.fixture
async def alice(office: Office, writing: Writing) -> Api:
    """She reads everything, and there is a session with a form. ``writing`` is done."""
    assert writing.store is not None
    alice = Api(office.http, token_for("alice", docs={"*": "read"}, sessions={"*": "lead"}))
    assert (await alice.post("sessions", OUTLINE)).status_code == 201
    return alice


@pytest.fixture
def admin(office: Office) -> Api:
    return Api(office.http, token_for("root", docs={"none": "read"}, role="admin"))


async def got(api: Api, path: str, model: Any, **query: Any) -> dict[str, Any]:
    answer = await api.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    model.model_validate_json(answer.content)
    told: dict[str, Any] = answer.json()
    return told


def test_the_examples_are_true() -> None:
    for model, example in (
        (HistoryPage, HISTORY),
        (VersionsPage, VERSIONS),
        (BlamePage, BLAME),
        (DiffResource, DIFF),
        (EditsPage, EDITS),
    ):
        model.model_validate_json(json.dumps(example))


# -- edits


async def test_every_edit_is_told(alice: Api) -> None:
    told = await got(alice, f"{AT}/history", HistoryPage)
    assert told["entries"][2] == {
        "position": 3,
        "author": "carol",
        "time": iso(NOON + 600),
        "size": told["entries"][2]["size"],
        "connection": 8,
        "offline": True,
    }
    assert told["entries"][2]["size"] > 10
    assert [each["position"] for each in told["entries"]] == [1, 2, 3, 4]
    assert [each["offline"] for each in told["entries"]] == [False, False, True, False]
    assert {told["name"]: told["thinned"]} == {NAME: 0}
    assert told["next"] is None
    assert told["damaged"] == []


async def test_pages_of_edits(alice: Api) -> None:
    seen, after = [], 0
    while after is not None:
        told = await got(alice, f"{AT}/history", HistoryPage, after=after, limit=3)
        assert len(told["entries"]) <= 3
        seen += [each["position"] for each in told["entries"]]
        after = told["next"]
    assert seen == [1, 2, 3, 4]


async def test_what_retention_removed(alice: Api, writing: Writing) -> None:
    assert await writing.thin(minutes=5) == 2
    told = await got(alice, f"{AT}/history", HistoryPage)
    assert told["thinned"] == 2
    assert [each["position"] for each in told["entries"]] == [3, 4]
    told = await got(alice, f"{AT}/history", VersionsPage, view="versions")
    assert told["earliest"] == 2
    assert [each["last"] for each in told["versions"]] == [3, 4]
    assert told["versions"][0]["changes"][0]["before"] == "pass"


# -- versions


async def test_versions_in_words_of_the_form(alice: Api) -> None:
    told = await got(alice, f"{AT}/history", VersionsPage, view="versions")
    assert told["earliest"] == 1
    first, second, third = told["versions"]
    assert (first["author"], first["first"], first["last"], first["edits"]) == ("bob", 1, 2, 2)
    assert (first["began"], first["ended"]) == (iso(NOON), iso(NOON + 60))
    assert first["connections"] == [7]
    assert [each["label"] for each in first["changes"]] == ["?", "? · bob"]
    assert "before" not in first["changes"][0]
    assert (second["author"], second["offline"]) == ("carol", True)
    assert second["changes"] == [
        {
            "field": "fields.verdict",
            "root": "fields",
            "key": "verdict",
            "before": "pass",
            "after": "fail",
            "label": "?",
        }
    ]
    assert (third["author"], third["last"]) == ("bob", 4)


async def test_pages_of_versions(alice: Api) -> None:
    async def page(**query: Any) -> tuple[list[int], int | None]:
        told = await got(alice, f"{AT}/history", VersionsPage, view="versions", **query)
        return [each["last"] for each in told["versions"]], told["next"]

    assert await page(limit=2) == ([2, 3], 3)
    assert await page(limit=2, after=3) == ([4], None)
    assert await page(limit=3) == ([2, 3, 4], None)
    assert await page(after=2, limit=1) == ([3], 3)
    assert await page(after=4) == ([], None)


async def test_a_page_of_versions_has_a_bound(alice: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_text, "MOST_BYTES", 10)
    told = await got(alice, f"{AT}/history", VersionsPage, view="versions")
    assert [each["last"] for each in told["versions"]] == [2]  # too large, and alone
    assert told["next"] == 2


# -- who set what


async def test_blame(alice: Api) -> None:
    told = await got(alice, f"{AT}/blame", BlamePage)
    assert (told["name"], told["position"], told["damaged"]) == (NAME, 4, [])
    fields = {each["field"]: each for each in told["fields"]}
    assert fields.keys() == {"fields.verdict", "ratings.bob/score"}
    found = fields["fields.verdict"]
    assert (found["value"], found["before"], found["author"]) == ("fail", "pass", "carol")
    assert (found["position"], found["time"], found["offline"]) == (3, iso(NOON + 600), True)
    assert fields["ratings.bob/score"]["label"] == "? · bob"
    told = await got(alice, f"{AT}/blame", BlamePage, at="2")
    assert [each["author"] for each in told["fields"]] == ["bob", "bob"]
    assert told["position"] == 2


async def test_there_was_nothing_yet(alice: Api) -> None:
    for path in (f"{AT}/blame?at={iso(NOON - 1)}", f"{AT}?at=0", f"{AT}?at={iso(NOON - 1)}"):
        told = problem_of(await alice.get(path), 404)
        assert f"its first edit was received {iso(NOON)}" in told["detail"]


# -- what differs


async def test_two_points_of_a_document(alice: Api) -> None:
    told = await got(alice, f"{AT}/diff", DiffResource, **{"from": 2, "to": iso(NOON + 600)})
    assert told["from"] == {"name": NAME, "position": 2}
    assert told["to"] == {"name": NAME, "position": 3}
    assert [(each["before"], each["after"]) for each in told["changes"]] == [("pass", "fail")]
    assert told["changes"][0]["label"] == "?"
    back = await got(alice, f"{AT}/diff", DiffResource, **{"from": 3, "to": 2})
    assert [(each["before"], each["after"]) for each in back["changes"]] == [("fail", "pass")]
    same = await got(alice, f"{AT}/diff", DiffResource, **{"from": 4})
    assert same["changes"] == []


async def test_from_the_beginning(alice: Api, writing: Writing) -> None:
    told = await got(alice, f"{AT}/diff", DiffResource)
    assert told["from"] == {"name": NAME, "position": 0}
    assert [each["after"] for each in told["changes"]] == ["fail", 4]
    assert not [each for each in told["changes"] if "before" in each]
    await writing.thin(minutes=5)
    told = await got(alice, f"{AT}/diff", DiffResource)
    assert told["from"] == {"name": NAME, "position": 2}
    assert [each["before"] for each in told["changes"]] == ["pass", 3]


async def test_two_documents(alice: Api, writing: Writing) -> None:
    other = "drafts/s1/b"
    await writing.edit(verdict("maybe"), name=other)
    await writing.edit(verdict("pass"), name=other)
    told = await got(alice, f"{AT}/diff", DiffResource, **{"with": other})
    assert told["from"] == {"name": NAME, "position": 4}
    assert told["to"] == {"name": other, "position": 6}
    assert [(each.get("before"), each.get("after")) for each in told["changes"]] == [
        ("fail", "pass"),
        (4, None),
    ]
    query = {"with": other, "from": 2, "to": 5}
    told = await got(alice, f"{AT}/diff", DiffResource, **query)
    assert [each.get("after") for each in told["changes"]] == ["maybe", None]


async def test_both_documents_must_be_readable(office: Office, alice: Api) -> None:
    bob = Api(office.http, token_for("bob", docs={NAME: "read"}))
    assert (await bob.get(f"{AT}/diff?from=1")).status_code == 200
    told = problem_of(await bob.get(f"{AT}/diff?with=drafts/s1/b"), 403)
    assert "'drafts/s1/b'" in told["detail"]
    told = problem_of(await alice.get(f"{AT}/diff?with=none"), 404)
    assert "there is no document 'none'" in told["detail"]
    told = problem_of(await alice.get(f"{AT}/diff?with=a//b"), 404)
    assert "there is no such document: a document name has no empty" in told["detail"]


# -- as it was


async def test_a_document_as_it_was(alice: Api) -> None:
    times = {"1": 1, "2": 2, iso(NOON + 60): 2, iso(NOON + 599): 2, "4": 4, "99": 4}
    for at, position in times.items():
        told = await got(alice, AT, DocumentResource, at=at)
        assert told["position"] == position, at
    told = await got(alice, AT, DocumentResource, at="3")
    assert (told["last_author"], told["updated_at"]) == ("carol", iso(NOON + 600))
    assert told["content"] == {"fields": {"verdict": "fail"}, "ratings": {"bob/score": 3}}
    assert told["form"]["shared"] == {"verdict": "fail"}
    assert (told["session"], told["case"]) == ("s1", "a")
    for at in "1234":
        assert await got(alice, AT, DocumentResource, at=at) == await got(
            alice, f"{AT}/at/{at}", DocumentResource
        )
    now = await got(alice, AT, DocumentResource)
    assert now == await got(alice, AT, DocumentResource, at="4")


async def test_what_was_does_not_change(alice: Api, writing: Writing) -> None:
    first = await alice.get(f"{AT}/at/2")
    etags = {(await alice.get(f"{AT}/at/{at}")).headers["etag"] for at in (1, 2, 3)}
    assert len(etags) == 3
    await writing.edit(verdict("pass"), minutes=20)
    for path in (f"{AT}/at/2", f"{AT}?at=2"):
        answer = await alice.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (answer.status_code, answer.content) == (304, b"")
    assert (await alice.get(f"{AT}/at/2")).content == first.content


async def test_between_the_edits_of_others(alice: Api, writing: Writing) -> None:
    await writing.edit(verdict("pass"), name="other")
    await writing.edit(verdict("pass"), minutes=20)
    assert (await got(alice, f"{AT}/at/5", DocumentResource))["position"] == 4
    assert (await got(alice, f"{AT}/at/6", DocumentResource))["position"] == 6


async def test_what_is_not_kept(alice: Api, writing: Writing) -> None:
    await writing.thin(minutes=5)
    before = iso(NOON + 30)
    for path in (
        f"{AT}/at/1",
        f"{AT}?at=1",
        f"{AT}?at={before}",
        f"{AT}/blame?at=1",
        f"{AT}/diff?from=1",
        f"{AT}/diff?from=3&to={before}",
    ):
        told = problem_of(await alice.get(path), 409)
        assert told["earliest"] == 2
        assert "ask for position 2 or later" in told["detail"]
    told = await got(alice, f"{AT}/at/2", DocumentResource)
    assert told["content"] == {"fields": {"verdict": "pass"}, "ratings": {"bob/score": 3}}
    assert (told["last_author"], told["updated_at"]) == (None, None)


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("?at=yesterday", "at"),
        ("?at=", "at"),
        ("?at=-1", "at"),
        ("?at=99999999999999999999", "at"),
        ("/at/0", "position"),
        ("/at/now", "position"),
        ("/at/9223372036854775808", "position"),
        ("/blame?at=1.5", "at"),
        ("/diff?from=x", "from"),
        ("/diff?to=x", "to"),
        ("/history?after=-1", "after"),
        ("/history?limit=0", "limit"),
        ("/history?limit=1001", "limit"),
        ("/history?view=all", "view"),
    ],
)
async def test_what_is_refused(alice: Api, path: str, parameter: str) -> None:
    (fault,) = problem_of(await alice.get(AT + path), 422)["errors"]
    assert fault["parameter"] == parameter


async def test_a_time_says_what_was_expected(alice: Api) -> None:
    told = problem_of(await alice.get(f"{AT}?at=yesterday"), 422)
    assert "expected a position such as 4711 or a time such as" in told["detail"]


# -- who may


PATHS = ("", "/at/2", "/history", "/history?view=versions", "/blame", "/diff?from=1")


@pytest.mark.parametrize("path", PATHS)
async def test_who_may_read_it(office: Office, alice: Api, path: str) -> None:
    problem_of(await office.nobody.get(AT + path), 401)
    stranger = Api(office.http, token_for("eve", docs={"drafts/s1/b": "write"}))
    told = problem_of(await stranger.get(AT + path), 403)
    assert f"no right to the document {NAME!r}" in told["detail"]
    problem_of(await stranger.get(f"documents/none{path}"), 403)  # there or not
    problem_of(await alice.get(f"documents/none{path}"), 404)
    assert (await alice.get(AT + path)).status_code == 200


@pytest.mark.parametrize("path", [*PATHS, "?at=2", f"/diff?with={NAME}"])
async def test_a_deleted_document(alice: Api, admin: Api, writing: Writing, path: str) -> None:
    await writing.store.delete(Deletion(NAME, "carol", NOON + 900))
    told = problem_of(await alice.get(AT + path), 404)
    assert f"was deleted by carol, {iso(NOON + 900)}" in told["detail"]
    assert "an administrator can bring it back" in told["detail"]
    answer = await admin.get(AT + path)
    if path:
        assert answer.status_code == 200, answer.text
    else:
        assert "?at= and …/history tell what it was" in problem_of(answer, 404)["detail"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_document_deleted_for_ever(
    alice: Api, admin: Api, writing: Writing, path: str
) -> None:
    await writing.store.delete(Deletion(NAME, "carol", NOON + 900))
    while await writing.store.purge(NAME):
        pass
    for api in (alice, admin):
        told = problem_of(await api.get(AT + path), 404)
        assert f"the document {NAME!r} was deleted for ever" in told["detail"]


# -- what it costs


class Watched(MemoryStore):
    """Counts what would read all documents."""

    lists = 0

    async def heads(self, prefix: str = "", **page: Any) -> list[Any]:
        self.lists += 1
        return await super().heads(prefix, **page)


@pytest.mark.parametrize("path", [*PATHS, "?at=2"])
async def test_no_list_is_read_and_no_room_loaded(path: str) -> None:
    store = Watched()
    writing = Writing(store)
    await writing.edit(verdict("pass"))
    await writing.edit(score(3), minutes=1)
    async with open_office(store) as office:
        admin = Api(office.http, token_for("root", role="admin"))
        before = store.lists
        assert (await admin.get(AT + path)).status_code == 200
        assert store.lists == before
        told = (await admin.get("status")).json()
        assert told["rooms"] == 0


@pytest.mark.parametrize("path", ["/history?view=versions", "/blame", "/diff?from=1"])
async def test_the_worker_says_the_same(
    alice: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await alice.get(AT + path)
    monkeypatch.setattr(inspecting, "INLINE", 0)
    monkeypatch.setattr(inspecting, "PACKED", 3)
    there = await alice.get(AT + path)
    assert there.status_code == 200
    assert there.content == here.content


@pytest.mark.parametrize(
    ("setting", "why"),
    [("WORKER_SECONDS", "it takes too long"), ("TURN_SECONDS", "others are being read")],
)
@pytest.mark.parametrize("path", ["/history?view=versions", "/blame", "/diff?from=1"])
async def test_what_takes_too_long(
    alice: Api, path: str, setting: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspecting, "INLINE", 0)
    monkeypatch.setattr(inspecting, setting, 0.0)
    answer = await alice.get(AT + path)
    assert why in problem_of(answer, 503)["detail"]
    assert answer.headers["retry-after"] == "2"


async def test_what_is_too_long(alice: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("MOST_EDITS", 3), ("MOST_BYTES", 30)):
        with monkeypatch.context() as patched:
            patched.setattr(document_access, name, most)
            for path in ("/at/1", "/history?view=versions", "/blame", "/diff?from=1"):
                told = problem_of(await alice.get(AT + path), 409)
                assert "too long to be looked into here: it has 4 edits" in told["detail"]
            for path in ("", "/history"):
                assert (await alice.get(AT + path)).status_code == 200


class Held:
    """The processor time that the event loop took at most before others had their turn."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self.longest, last = max(self.longest, now - last), now


def typed(count: int) -> list[bytes]:
    """Updates of somebody who types, with a score now and then."""
    doc: Doc[Any] = Doc()
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    text = doc.get("comment/remarks", type=Text)
    ratings = doc.get("ratings", type=Map)
    for n in range(count):
        if n % 1_000 == 999:
            ratings["bob/score"] = n // 1_000
        else:
            text.insert(n % 50, "x")
    return updates


@pytest.mark.usefixtures("uncollected")
async def test_a_long_history_does_not_hold_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspecting, "WORKER_SECONDS", 90.0)  # a busy machine is no failure
    edits = [
        Edit("long", update, ("bob", "carol")[n // 500 % 2], (), NOON + n / 10, connection=7)
        for n, update in enumerate(typed(20_000))
    ]
    async with open_sqlite(str(tmp_path / "drafts.db")) as store, open_office(store) as office:
        await store.append(edits)
        admin = Api(office.http, token_for("root", role="admin", docs={"none": "read"}))
        await admin.get("documents/long/diff?from=9", timeout=90)  # the worker is started once
        for path in ("/at/19000", "/history?view=versions", "/blame", "/diff?from=9"):
            held = Held()
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(held.watch())
                answer = await admin.get(f"documents/long{path}", timeout=90)
                watching.cancel()
            assert answer.status_code == 200, answer.text
            assert held.longest < 0.05, path


# -- what is damaged


class Damaged(MemoryStore):
    """One of its entries fails its checksum."""

    async def past(self, document: str, position: int | None = None) -> Past:
        past = await super().past(document, position)
        entries = tuple(each for each in past.entries if each.position != 2)
        damage = Damage(Position(2), "entry", "its checksum is wrong")
        return replace(past, entries=entries, damaged=(damage,))


async def test_what_is_damaged_is_told() -> None:
    store = Damaged()
    writing = Writing(store)
    await writing.edit(verdict("pass"))
    await writing.edit(score(3))
    await store.append([Edit(NAME, b"\x07no update", "eve", (), NOON)])
    async with open_office(store) as office:
        admin = Api(office.http, token_for("root", role="admin"))
        for path, model in (
            ("/history?view=versions", VersionsPage),
            ("/blame", BlamePage),
            ("/diff?from=1", DiffResource),
        ):
            told = await got(admin, AT + path, model)
            assert len(told["damaged"]) == 2, told["damaged"]
            checksum, unreadable = told["damaged"]
            assert checksum == "entry 2: its checksum is wrong"
            assert unreadable.startswith("entry 3: ")
        told = await got(admin, f"{AT}/at/3", DocumentResource)
        assert told["note"] == "2 of its edits are damaged, and left out"
        refused = problem_of(await admin.post(f"{AT}/restore", {"position": 3}), 409)
        assert "its edit at position 2 is damaged" in refused["detail"]


# -- all edits


async def edits(admin: Api, **query: Any) -> tuple[list[tuple[str, int]], int]:
    told = await got(admin, "edits", EditsPage, **query)
    return [(each["document"], each["position"]) for each in told["edits"]], told["next"]


async def test_all_edits_as_they_come(admin: Api, writing: Writing) -> None:
    assert await edits(admin) == ([], 4)
    assert await edits(admin, after=4) == ([], 4)
    await writing.edit(verdict("pass"), name="other", minutes=20, connection=8)
    await writing.edit(verdict("pass"), minutes=21)
    assert await edits(admin, after=4) == ([("other", 5), (NAME, 6)], 6)
    assert await edits(admin, after=4, limit=1) == ([("other", 5)], 5)
    assert await edits(admin, after=4, prefix="drafts/") == ([(NAME, 6)], 6)
    assert await edits(admin, after=4, prefix="none") == ([], 6)
    assert await edits(admin, after=99) == ([], 6), "the database is an older one now: a backup"
    told = await got(admin, "edits", EditsPage, after=4, limit=1)
    assert told["edits"][0] == {
        "document": "other",
        "position": 5,
        "author": "bob",
        "time": iso(NOON + 1_200),
        "size": told["edits"][0]["size"],
        "connection": 8,
        "offline": False,
    }


async def test_all_edits_are_for_administrators(office: Office, alice: Api) -> None:
    problem_of(await office.nobody.get("edits"), 401)
    problem_of(await alice.get("edits"), 403)


@pytest.mark.parametrize("query", ["after=-1", "limit=0", "limit=1001", f"prefix={'x' * 256}"])
async def test_edits_that_are_refused(admin: Api, query: str) -> None:
    (fault,) = problem_of(await admin.get(f"edits?{query}"), 422)["errors"]
    assert fault["parameter"] == query.partition("=")[0]


async def test_an_edit_that_comes_meanwhile_is_not_passed_over(writing: Writing) -> None:
    """Between the two readings of the store."""

    class Busy(MemoryStore):
        async def last_position(self) -> Position:
            found = await super().last_position()
            await writing.edit(verdict("pass"), name="other")
            return found

    writing.store = busy = Busy()
    async with open_office(busy) as office:
        admin = Api(office.http, token_for("root", role="admin"))
        _, following = await edits(admin, after=0, prefix="none")
        seen, _ = await edits(admin, after=following)
        assert seen[0][1] == following + 1


def is_json(answer: httpx.Response) -> bool:
    return answer.headers["content-type"] == "application/json"


async def test_answers_are_json(alice: Api) -> None:
    for path in PATHS:
        assert is_json(await alice.get(AT + path)), path


class SlowStore(MemoryStore):
    """It notes how many read at the same time."""

    reading = most = 0

    async def past(self, document: str, position: int | None = None) -> Past:
        self.reading += 1
        self.most = max(self.most, self.reading)
        await asyncio.sleep(0.005)
        self.reading -= 1
        return await super().past(document, position)


async def test_large_histories_are_in_memory_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(document_access, "FREE_BYTES", document_access.EDIT_BYTES)
    monkeypatch.setattr(document_access, "READING_BYTES", 1)
    store = SlowStore()
    await Writing(store).edit(score(3))
    async with open_office(store) as office:
        api = Api(office.http, token_for(docs={"*": "write"}))
        asked = [f"{AT}/blame", f"{AT}/diff", f"{AT}?at=1", f"{AT}/update?at=1"]
        answers = await asyncio.gather(
            *[api.get(each) for each in asked], api.post(f"{AT}/restore", {"position": 1})
        )
        assert [each.status_code for each in answers] == [200] * 5
    assert store.most == 1
