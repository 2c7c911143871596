"""The console's files at ``/console``: what is served, how it is guarded, that all is there."""

from __future__ import annotations

import gzip
import re
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hatchling.builders.wheel import WheelBuilder

from persistence.memory import MemoryStore
from sync.server.api.console import MEDIA_TYPES
from tests.server.service import running

HOUSE = Path(__file__).parents[2]
DIRECTORY = HOUSE / "sync" / "server" / "console"
FILES = sorted(path.name for path in DIRECTORY.iterdir())
SCRIPTS = [name for name in FILES if name.endswith(".js")]

DIRECTIVES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with (
        running(MemoryStore()) as service,
        httpx.AsyncClient(base_url=service.url) as client,
    ):
        yield client


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/index.html"])
async def test_the_page(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.text) == (200, (DIRECTORY / "index.html").read_text())
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_every_file_of_it(http: httpx.AsyncClient) -> None:
    for name in FILES:
        answer = await http.get(f"/console/{name}")
        assert answer.content == (DIRECTORY / name).read_bytes()
        assert answer.headers["content-type"] == MEDIA_TYPES[Path(name).suffix]


@pytest.mark.parametrize("path", ["/console", "/console/main.js", "/console/none.js"])
@pytest.mark.parametrize("known", [False, True])
async def test_every_answer_is_guarded(http: httpx.AsyncClient, path: str, known: bool) -> None:
    etag = (await http.get(path)).headers.get("etag", "")
    headers = (await http.get(path, headers={"If-None-Match": etag} if known else {})).headers
    policy = dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; "))
    assert policy == DIRECTIVES
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-cache"


async def test_what_is_the_same_is_not_sent_again(http: httpx.AsyncClient) -> None:
    first = await http.get("/console/main.js")
    etag = first.headers["etag"]
    for given in (etag, f"W/{etag}", f'"another", {etag}'):
        again = await http.get("/console/main.js", headers={"If-None-Match": given})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    other = await http.get("/console/main.js", headers={"If-None-Match": '"another"'})
    assert other.status_code == 200
    assert (await http.get("/console/dom.js")).headers["etag"] != etag


async def test_it_is_packed_for_who_takes_it(http: httpx.AsyncClient) -> None:
    async with http.stream("GET", "/console/main.js", headers={"Accept-Encoding": "gzip"}) as sent:
        packed = b"".join([part async for part in sent.aiter_raw()])
    plain = await http.get("/console/main.js", headers={"Accept-Encoding": "identity"})
    assert gzip.decompress(packed) == plain.content
    assert sent.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in sent.headers["vary"].split(", ")
    assert "content-encoding" not in plain.headers
    assert sent.headers["etag"] != plain.headers["etag"]
    known = {"If-None-Match": plain.headers["etag"], "Accept-Encoding": "gzip"}
    assert (await http.get("/console/main.js", headers=known)).status_code == 200


async def test_head_is_get_without_a_body(http: httpx.AsyncClient) -> None:
    answer = await http.head("/console/main.js", headers={"Accept-Encoding": "identity"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str((DIRECTORY / "main.js").stat().st_size)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_it_is_only_read(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, "/console")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    ["none.js", "../api/console.py", "%2e%2e/api/console.py", "..%2fapi%2fconsole.py", "%2fetc"],
)
async def test_nothing_else_is_served(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(f"/console/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_it_is_no_part_of_the_api(http: httpx.AsyncClient) -> None:
    assert "console" not in (await http.get("/openapi.json")).text.replace("draftsync console", "")


# ------------------------------------------------------------------------------------------ files


def test_all_that_lies_there_is_served() -> None:
    assert {Path(name).suffix for name in FILES} <= set(MEDIA_TYPES)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_imports_what_is_there(name: str) -> None:
    script = (DIRECTORY / name).read_text()
    for imported, file in re.findall(r"import \{([^}]*)\} from '\./([^']+)'", script):
        exported = set(
            re.findall(
                r"export (?:async )?(?:function|const|class) (\w+)", (DIRECTORY / file).read_text()
            )
        )
        names = [part.strip().split(" as ") for part in imported.split(",") if part.strip()]
        assert {name[0] for name in names} <= exported, file
        for word in (name[-1] for name in names):
            assert len(re.findall(rf"\b{word}\b", script)) > 1, f"{word} is not used"


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_elsewhere_and_nothing_becomes_markup(name: str) -> None:
    text = (DIRECTORY / name).read_text()
    addresses = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.\w+[^'\"\s]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(", text)
    assert "localStorage" not in text
    assert "<style" not in text
    assert not re.search(r"<script(?! type=\"module\" src=)", text)
    assert not re.search(r"\s(?:style|on\w+)=\"", text)


def test_a_wheel_has_it_all(tmp_path: Path) -> None:
    [built] = WheelBuilder(str(HOUSE)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as wheel:
        inside = {each for each in wheel.namelist() if each.startswith("sync/server/console/")}
    assert inside == {f"sync/server/console/{name}" for name in FILES}
