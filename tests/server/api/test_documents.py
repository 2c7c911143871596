"""GET /api/v1/documents: the list, and what one of them holds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from pycrdt import Array, Doc, Map, Text

from persistence.memory import MemoryStore
from persistence.store import Deletion, Edit, Head, Position, StoreError, StoreUnavailable
from sync.server import document_text, inspecting
from sync.server.api import documents as documents_module
from sync.server.api.documents import (
    DOCUMENT,
    DOCUMENTS,
    DocumentResource,
    DocumentsPage,
)
from tests.server.api.client import Api, Office, open_office, problem_of
from tests.server.parts import TroubledStore
from tests.server.service import token_for
from tests.support.client import connect

NOON = 1_790_000_000.0
FORM = {
    "id": "agent-eval",
    "title": "How well did it do?",
    "sections": [
        {
            "id": "all",
            "title": "All",
            "questions": [
                {"id": "score", "kind": "score", "label": "?", "min": 1, "max": 5, "step": 1},
                {"id": "verdict", "kind": "choice", "label": "?", "options": ["pass", "fail"]}
                | {"shared": True, "required": True},
                {"id": "topics", "kind": "tags", "label": "?", "shared": True},
                {"id": "remarks", "kind": "text", "label": "?", "required": True},
            ],
        }
    ],
}
OUTLINE = {"id": "s1", "project": "p", "test_cases": ["a", "b"], "form": FORM}
DRAFT = "documents/drafts/s1/a"
READER = token_for(docs={"*": "read"})


class Draft:
    """A document, and its edits on their way to the store."""

    def __init__(self, store: MemoryStore, name: str) -> None:
        self._store = store
        self._name = name
        self._doc: Doc[Any] = Doc()

    async def edit(self, change: Callable[[Doc[Any]], object], author: str = "bob") -> None:
        before = self._doc.get_state()
        change(self._doc)
        update = self._doc.get_update(before)
        await self._store.append([Edit(self._name, update, author, (), NOON)])


def evaluated(doc: Doc[Any]) -> None:
    doc.get("ratings", type=Map).update({"bob/score": 4, "org/alice/score": 7.5})
    doc.get("fields", type=Map)["verdict"] = "pass"
    doc.get("tags/topics", type=Map)["refund"] = True
    doc.get("comment/remarks", type=Text).insert(0, "Right, 没错.")
    doc.get("list", type=Array).extend([1, None])


def reader(office: Office, **grants: str) -> Api:
    """Somebody who may read what ``grants`` say, else everything; and lead sessions."""
    docs = {name.replace("_", "/"): level for name, level in grants.items()} or {"*": "read"}
    return Api(office.http, token_for("alice", docs=docs, sessions={"*": "lead"}))


@asynccontextmanager
async def opened(store: Any) -> AsyncIterator[tuple[Office, Api]]:
    async with open_office(store) as office:
        yield office, reader(office)


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def alice(memory: MemoryStore) -> AsyncIterator[Api]:
    """She may read everything; there is a draft of a session with a form."""
    async with opened(memory) as (_, alice):
        answer = await alice.post("sessions", OUTLINE)
        assert answer.status_code == 201, answer.text
        await Draft(memory, "drafts/s1/a").edit(evaluated)
        yield alice


async def read(api: Api, path: str = DRAFT, **more: Any) -> tuple[dict[str, Any], httpx.Response]:
    answer = await api.get(path, **more)
    assert answer.status_code == 200, answer.text
    DocumentResource.model_validate_json(answer.content)
    return answer.json(), answer


# -- one


async def test_a_draft_of_a_session_with_a_form(alice: Api) -> None:
    told, _ = await read(alice)
    form = told.pop("form")
    assert told == {
        "name": "drafts/s1/a",
        "position": 1,
        "updated_at": "2026-09-21T14:13:20.000Z",
        "last_author": "bob",
        "session": "s1",
        "case": "a",
        "evaluator": None,
        "note": None,
        "content": {
            "comment/remarks": "Right, 没错.",
            "fields": {"verdict": "pass"},
            "list": [1, None],
            "ratings": {"bob/score": 4, "org/alice/score": 7.5},
            "tags/topics": {"refund": True},
        },
    }
    done = {"answered": 2, "required": 2, "share": 1.0}
    assert form == {
        "id": "agent-eval",
        "title": "How well did it do?",
        "shared": {"verdict": "pass", "topics": ["refund"]},
        "comments": {"remarks": "Right, 没错."},
        "evaluators": [
            {
                "subject": subject,
                "answers": {"score": score},
                "progress": done | {"optional_answered": 2},
            }
            for subject, score in (("bob", 4), ("org/alice", 7.5))
        ],
        "progress": done | {"optional_answered": 1},
        "issues": [
            {
                "question": "score",
                "subject": "org/alice",
                "code": "out-of-range",
                "message": "expected a number from 1 to 5",
            }
        ],
        "more_issues": False,
    }


async def test_somebodys_own_draft(alice: Api, memory: MemoryStore) -> None:
    await Draft(memory, "drafts/s1/b/org/bob").edit(evaluated)
    told, _ = await read(alice, "documents/drafts/s1/b/org/bob")
    assert (told["session"], told["case"], told["evaluator"]) == ("s1", "b", "org/bob")
    assert told["form"]["shared"]["verdict"] == "pass"


@pytest.mark.parametrize("name", ["notes", "drafts/s1", "drafts/s1/c", "drafts/s2/a", "drafts//"])
async def test_what_is_no_draft_of_a_session(alice: Api, memory: MemoryStore, name: str) -> None:
    name = name.replace("//", "/x/y/z")
    await Draft(memory, name).edit(evaluated)
    told, _ = await read(alice, f"documents/{name}")
    assert (told["name"], told["content"]["fields"]) == (name, {"verdict": "pass"})
    assert {told[each] for each in ("session", "case", "evaluator", "form")} == {None}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("drafts/s1/b", "drafts%2Fs1%2Fb"),
        ("drafts/s1/b", "drafts/s1%2fb"),
        ("drafts/s1%2Fb", "drafts%2Fs1%252Fb"),
        ("a b+c?d#e", "a%20b+c%3Fd%23e"),
        ("退款/é", quote("退款/é")),
        ("x/documents/y", "x/documents/y"),
        ("100%", "100%25"),
    ],
)
async def test_a_name_is_decoded_once(
    alice: Api, memory: MemoryStore, name: str, path: str
) -> None:
    await Draft(memory, name).edit(evaluated)
    told, _ = await read(alice, f"documents/{path}")
    assert told["name"] == name


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("none", "there is no document 'none'"),
        ("drafts/s1", "there is no document 'drafts/s1'"),  # though others begin so
        ("drafts%2F%2Fa", "no empty, '.' or '..' segment"),
        ("a%2F..%2Fb", "no empty, '.' or '..' segment"),
        ("%FF", "UTF-8"),
        ("a%07b", "control characters"),
        ("x" * 256, "1 to 255 bytes"),
        ("", "there is nothing at this address"),
        ("100%", "'%' in an address begins an escape"),
    ],
)
async def test_there_is_no_such_document(alice: Api, path: str, why: str) -> None:
    url = alice.http.base_url.copy_with(raw_path=f"/api/v1/documents/{path}".encode())
    asked = await alice.http.get(url, headers={"Authorization": f"Bearer {READER}"})
    assert why in problem_of(asked, 404)["detail"]


async def test_who_may_read(memory: MemoryStore) -> None:
    async with open_office(memory) as office:
        await Draft(memory, "drafts/s1/a").edit(evaluated)
        problem_of(await office.nobody.get(DRAFT), 401)
        problem_of(await office.nobody.get("documents"), 401)
        told = problem_of(await reader(office, other="write").get(DRAFT), 403)
        assert told["detail"] == "this token gives no right to the document 'drafts/s1/a'"
        # Whether it is there is nobody's business who may not read it.
        problem_of(await reader(office, other="write").get("documents/none"), 403)
        for level in ("read", "write"):
            assert (await reader(office, **{"drafts_s1_*": level}).get(DRAFT)).status_code == 200


async def test_nothing_is_sent_again_that_did_not_change(alice: Api) -> None:
    _, first = await read(alice)
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await alice.get(DRAFT, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    _, other = await read(alice, headers={"If-None-Match": '"other"'})
    assert other.headers["etag"] == etag


async def test_a_deletion_is_a_change(alice: Api, memory: MemoryStore) -> None:
    """Though the state vector stays what it was."""
    draft = Draft(memory, "drafts/s1/b")
    await draft.edit(evaluated)
    _, first = await read(alice, "documents/drafts/s1/b")
    await draft.edit(lambda doc: doc.get("fields", type=Map).pop("verdict"))
    asked = {"If-None-Match": first.headers["etag"]}
    told, second = await read(alice, "documents/drafts/s1/b", headers=asked)
    assert told["content"]["fields"] == {}
    assert "verdict" not in told["form"]["shared"]
    assert second.headers["etag"] != first.headers["etag"]


async def test_a_session_that_comes_later_is_a_change(memory: MemoryStore) -> None:
    async with opened(memory) as (_, alice):
        await Draft(memory, "drafts/s1/a").edit(evaluated)
        told, before = await read(alice)
        assert told["form"] is None
        assert (await alice.post("sessions", OUTLINE)).status_code == 201
        told, _ = await read(alice, headers={"If-None-Match": before.headers["etag"]})
        assert told["form"]["id"] == "agent-eval"


class SlowStore(MemoryStore):
    """Edits wait for ``taking``."""

    def __init__(self) -> None:
        super().__init__()
        self.taking = anyio.Event()

    async def append(self, batch: Sequence[Edit]) -> Position:
        await self.taking.wait()
        return await super().append(batch)


async def test_what_is_not_saved_is_not_told() -> None:
    store = SlowStore()
    store.taking.set()
    async with opened(store) as (office, alice):
        sync_url = office.service.sync_url
        async with (
            connect(sync_url, "notes", token_for("bob")) as bob,
            connect(sync_url, "notes", token_for("carol")) as carol,
        ):
            await bob.put("first", 1)
            await bob.saved()
            told, first = await read(alice, "documents/notes")
            assert (told["last_author"], list(told["content"].values())) == ("bob", [{"first": 1}])
            store.taking = anyio.Event()
            await bob.put("second", 2)
            await carol.sees("second", 2)  # everybody has it, but for the disk
            asked = {"If-None-Match": first.headers["etag"]}
            assert (await alice.get("documents/notes", headers=asked)).status_code == 304
            store.taking.set()
            await bob.saved()
            told, _ = await read(alice, "documents/notes", headers=asked)
            assert list(told["content"].values()) == [{"first": 1, "second": 2}]


async def test_it_is_read_once_and_no_room_is_loaded(memory: MemoryStore) -> None:
    store = TroubledStore(memory)
    async with opened(store) as (_, alice):
        await Draft(memory, "notes").edit(evaluated)
        _, first = await read(alice, "documents/notes")
        assert store.loads == 1
        await alice.get("documents/notes", headers={"If-None-Match": first.headers["etag"]})
        assert store.loads == 1


async def test_large_documents_are_read_elsewhere(
    alice: Api, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(doc: Doc[Any]) -> None:
        evaluated(doc)
        doc.get("notes", type=Map).update({f"key {n}": "x" * 1_000 for n in range(2_000)})

    async def never(*_: object) -> None:
        raise AssertionError("it was read on the event loop")

    monkeypatch.setattr(document_text, "interleaved", never)
    await Draft(memory, "drafts/s1/b").edit(large)
    told, _ = await read(alice, "documents/drafts/s1/b")
    assert len(told["content"]["notes"]) == 2_000
    assert told["form"]["shared"]["verdict"] == "pass"


async def test_one_that_takes_too_long(alice: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_text, "INLINE", 1)
    monkeypatch.setattr(inspecting, "WORKER_SECONDS", 0.0)
    answer = await alice.get(DRAFT)
    assert "it takes too long to be read" in problem_of(answer, 503)["detail"]
    assert answer.headers["retry-after"] == "2"


async def test_what_is_damaged_is_told(memory: MemoryStore) -> None:
    store = TroubledStore(memory)
    async with opened(store) as (_, alice):
        draft = Draft(memory, "notes")
        await draft.edit(evaluated)
        await memory.append([Edit("notes", b"\x07no update", "eve", (), NOON)])
        told, _ = await read(alice, "documents/notes")
        assert told["note"] == "1 of its edits are damaged, and left out"
        assert told["content"]["fields"] == {"verdict": "pass"}


@pytest.mark.parametrize("failure", [StoreUnavailable("locked"), StoreError("damaged")])
async def test_a_store_that_fails(memory: MemoryStore, failure: StoreError) -> None:
    store = TroubledStore(memory)
    async with opened(store) as (_, alice):
        await Draft(memory, "notes").edit(evaluated)
        store.failure = failure
        problem_of(await alice.get("documents/notes"), 503)
        store.failure = None
        assert (await alice.get("documents/notes")).status_code == 200


async def test_texts_that_json_has_to_escape(alice: Api, memory: MemoryStore) -> None:
    hard = 'a"b\\c\n\u2028🙂\x00'

    def change(doc: Doc[Any]) -> None:
        doc.get("m", type=Map)[hard] = hard
        doc.get("n", type=Map).update({"nan": float("nan"), "bytes": b"\x00\xff", "big": 2**60})

    await Draft(memory, "hard").edit(change)
    told, _ = await read(alice, "documents/hard")
    assert told["content"]["m"] == {hard: hard}
    assert told["content"]["n"] == {"nan": None, "bytes": "AP8=", "big": 2**60}


async def test_a_text_that_is_to_be_shared_is_refused(alice: Api) -> None:
    asked = json.loads(json.dumps(OUTLINE | {"id": "s2"}))
    asked["form"]["sections"][0]["questions"][3]["shared"] = True
    told = problem_of(await alice.post("sessions", asked), 422)
    assert "sections[0].questions[3].shared" in told["detail"]
    assert "a text is always shared" in told["detail"]


# -- the list


async def names(api: Api, **query: Any) -> tuple[list[str], str | None]:
    answer = await api.get("documents", params=query)
    assert answer.status_code == 200, answer.text
    DocumentsPage.model_validate_json(answer.content)
    told = answer.json()
    return [each["name"] for each in told["documents"]], told["next"]


async def test_a_list(alice: Api, memory: MemoryStore) -> None:
    draft = Draft(memory, "drafts/s1/a")
    await draft.edit(evaluated, author="carol")
    answer = await alice.get("documents")
    size = answer.json()["documents"][0]["size"]
    assert size > 100
    assert answer.json() == {
        "documents": [
            {
                "name": "drafts/s1/a",
                "position": 2,
                "edits": 2,
                "size": size,
                "last_author": "carol",
                "updated_at": "2026-09-21T14:13:20.000Z",
                "deleted": None,
            }
        ],
        "next": None,
    }


async def test_pages_of_what_one_may_read(memory: MemoryStore) -> None:
    for name in ("b/2", "a/1", "b/1", "a/é", "b/3", "c"):
        await Draft(memory, name).edit(evaluated)
    async with open_office(memory) as office:
        assert await names(reader(office)) == (["a/1", "a/é", "b/1", "b/2", "b/3", "c"], None)
        few = Api(office.http, token_for(docs={"a/*": "read", "b/1": "write", "b/3": "read"}))
        assert await names(few) == (["a/1", "a/é", "b/1", "b/3"], None)
        assert await names(few, limit=2) == (["a/1", "a/é"], "a/é")
        assert await names(few, limit=2, after="a/é") == (["b/1", "b/3"], None)
        assert await names(few, limit=1, after="b/1") == (["b/3"], None)
        assert await names(few, prefix="b/", limit=1) == (["b/1"], "b/1")
        assert await names(few, prefix="c") == ([], None)
        assert await names(few, after="zzz") == ([], None)
        assert await names(few, after="b/2") == (["b/3"], None)


async def test_a_search(memory: MemoryStore) -> None:
    for name in ("drafts/1/Refund", "drafts/2/refunds-é", "drafts/3/STRASSE", "notes"):
        await Draft(memory, name).edit(evaluated)
    async with open_office(memory) as office:
        api = reader(office)
        found = ["drafts/1/Refund", "drafts/2/refunds-é"]
        assert await names(api, search="rEfUnD") == (found, None)
        assert await names(api, search="refund", limit=1) == (found[:1], found[0])
        assert await names(api, search="refund", limit=1, after=found[0]) == (found[1:], None)
        assert await names(api, search="refund", prefix="drafts/2") == (found[1:], None)
        assert await names(api, search="É") == (found[1:], None)
        assert await names(api, search="straße") == (["drafts/3/STRASSE"], None)
        assert await names(api, search="%") == ([], None)
        few = Api(office.http, token_for(docs={"drafts/2/*": "read"}))
        assert await names(few, search="refund") == (found[1:], None)


async def test_deleted_documents_are_for_administrators(memory: MemoryStore) -> None:
    for name in ("a", "b", "c"):
        await Draft(memory, name).edit(evaluated)
    await memory.delete(Deletion("b", "carol", NOON))
    async with open_office(memory) as office:
        assert await names(reader(office)) == (["a", "c"], None)
        admin = Api(office.http, token_for("root", role="admin"))
        assert await names(admin) == (["a", "c"], None)
        answer = await admin.get("documents?deleted=true")
        (told,) = answer.json()["documents"]
        assert told["name"] == "b"
        assert told["deleted"] == {"by": "carol", "at": "2026-09-21T14:13:20.000Z"}
        refused = problem_of(await reader(office).get("documents?deleted=true"), 403)
        assert "for administrators" in refused["detail"]
        assert await names(reader(office), deleted=False) == (["a", "c"], None)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 1_001},
        {"prefix": "x" * 256},
        {"search": "x" * 256},
        {"deleted": "perhaps"},
    ],
)
async def test_queries_that_are_refused(alice: Api, query: dict[str, Any]) -> None:
    (fault,) = problem_of(await alice.get("documents", params=query), 422)["errors"]
    assert fault["parameter"] in query


class Listed(MemoryStore):
    """It notes how many lines of the list were read at once, at most."""

    most = 0

    async def heads(self, prefix: str = "", **page: Any) -> list[Head]:
        heads = await super().heads(prefix, **page)
        self.most = max(self.most, len(heads))
        return heads


@pytest.mark.parametrize("at_once", [1, 2, 9, 10])
async def test_a_long_list_is_read_in_parts(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(documents_module, "READ_AT_ONCE", at_once)
    store = Listed()
    for n in range(9):
        await Draft(store, f"d{n}").edit(evaluated)
    async with open_office(store) as office:
        alice = reader(office)
        assert await names(alice) == ([f"d{n}" for n in range(9)], None)
        assert await names(alice, limit=9) == ([f"d{n}" for n in range(9)], None)
        assert await names(alice, limit=4) == (["d0", "d1", "d2", "d3"], "d3")
        assert await names(alice, limit=2, after="d3", prefix="d") == (["d4", "d5"], "d5")
        assert await names(alice, search="D8") == (["d8"], None)
    assert store.most == min(at_once, 9)


def test_the_examples_are_true() -> None:
    DocumentResource.model_validate_json(json.dumps(DOCUMENT))
    DocumentsPage.model_validate_json(json.dumps(DOCUMENTS))
