"""Where a document's name ends in an address, and what stands behind it."""

from __future__ import annotations

from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from sync.core.errors import InvalidName
from sync.core.names import document_name
from sync.server.api.document_names import WORDS, document_name_of, routed
from tests.server.api.client import Api, Office, open_office, problem_of
from tests.server.service import token_for

ABOVE = "/api/v1/documents/"


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("x", "x"),
        ("x/y", "x%2Fy"),
        ("x%2Fy", "x%2Fy"),
        ("x/history", "x/history"),
        ("x%2Fhistory", "x%2Fhistory"),
        ("x%2fhistory", "x%2fhistory"),
        ("drafts/s1/a/blame", "drafts%2Fs1%2Fa/blame"),
        ("drafts%2Fs1/a/diff", "drafts%2Fs1%2Fa/diff"),
        ("x/history/history", "x%2Fhistory/history"),
        ("x%2Fhistory/update", "x%2Fhistory/update"),
        ("x/restore", "x/restore"),
        ("history", "history"),  # nothing stands before it
        ("/history", "%2Fhistory"),
        ("x/history/", "x%2Fhistory%2F"),
        ("x/", "x%2F"),
        ("x//history", "x%2F/history"),
        ("x/History", "x%2FHistory"),
        ("x/histories", "x%2Fhistories"),
        ("x/hist%6Fry", "x/history"),  # RFC 3986, section 6.2.2.2: the same
        ("x/at/7", "x/at/7"),
        ("x/y/at/7", "x%2Fy/at/7"),
        ("x/at/%37", "x/at/7"),
        ("x/at/seven", "x/at/seven"),
        ("x/at/7%2F8", "x/at/7%2F8"),
        ("x%2Fat/7", "x%2Fat%2F7"),
        ("x/at%2F7", "x%2Fat%2F7"),
        ("at/7", "at%2F7"),
        ("/at/7", "%2Fat%2F7"),
        ("x/at/", "x%2Fat%2F"),
        ("x/at", "x%2Fat"),
        ("x/at/history", "x%2Fat/history"),
        ("x/7", "x%2F7"),
        ("a+b%20c/update", "a+b%20c/update"),
        ("x%252Fhistory", "x%252Fhistory"),
        ("x%3Fa%23b", "x%3Fa%23b"),
        ("100%/history", "100%/history"),
        ("%FF/history", "%FF/history"),
        ("\xff/history", "\xff/history"),
        ("../x", "..%2Fx"),
        ("", ""),
    ],
)
def test_the_path_that_is_routed(sent: str, path: str) -> None:
    assert routed(f"{ABOVE}{sent}".encode("latin-1")) == ABOVE + path


@pytest.mark.parametrize("sent", [b"/api%2Fv1/documents/x", b"/api/v1%2fdocuments/x/history"])
def test_other_paths_stay_as_they_were_sent(sent: bytes) -> None:
    assert routed(sent) == sent.decode()


def asked(segment: str) -> Request:
    return Request({"type": "http", "path_params": {"name": segment}})


_TEXTS = st.lists(
    st.one_of(st.sampled_from(["history", "at", "7", "%2F", "+", "é"]), st.text(max_size=5)),
    min_size=1,
).map("/".join)


@given(_TEXTS, st.sampled_from(["", *sorted(word.decode() for word in WORDS), "at/7"]))
def test_an_encoded_name_is_found_again_whatever_it_is(text: str, below: str) -> None:
    try:
        name = document_name(text)
    except InvalidName:
        return
    address = quote_from_bytes(name.encode(), safe="") + (f"/{below}" if below else "")
    segment, _, rest = routed(f"{ABOVE}{address}".encode()).removeprefix(ABOVE).partition("/")
    assert (document_name_of(asked(segment)), rest) == (name, below)


def person(office: Office) -> Api:
    return Api(office.http, token_for(docs={"*": "read"}))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("none/history", "none"),
        ("none%2Fhistory", "none/history"),
        ("a%20b+c/history", "a b+c"),
        ("none/hist%6fry", "none"),
        ("x%2Fhistory/history", "x/history"),
        ("none/blame", "none"),
        ("none/diff?from=1", "none"),
        ("none/at/7", "none"),
        ("none/7", "none/7"),
    ],
)
async def test_the_service_finds_its_way(path: str, name: str) -> None:
    async with open_office() as office:
        told = problem_of(await person(office).get(f"documents/{path}"), 404)
        assert f"there is no document {name!r}" in told["detail"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("x/", "no empty, '.' or '..' segment"),
        ("x/history/", "no empty, '.' or '..' segment"),
        ("x//history", "no empty, '.' or '..' segment"),
        ("%FF/history", "UTF-8"),
        ("100%/history", "'%' in an address begins an escape"),
        ("", "there is nothing at this address"),
    ],
)
async def test_no_name_no_document(path: str, why: str) -> None:
    async with open_office() as office:
        url = office.http.base_url.copy_with(raw_path=f"{ABOVE}{path}".encode())
        bearer = {"Authorization": f"Bearer {token_for()}"}
        answer = await office.http.get(url, headers=bearer)
        assert why in problem_of(answer, 404)["detail"]


@pytest.mark.parametrize("path", ["documents/x", "documents/x/history", "documents/x/at/7"])
async def test_a_method_that_is_not_for_it(path: str) -> None:
    async with open_office() as office:
        for method in ("HEAD", "PUT", "PATCH"):
            answer = await person(office).request(method, path)
            assert answer.status_code == 405
            assert "GET" in answer.headers["allow"].split(", ")
            assert method not in answer.headers["allow"]


async def test_who_asks_is_looked_at_before_what_is_asked() -> None:
    async with open_office() as office:
        problem_of(await office.nobody.get("documents/x%00/history"), 401)
