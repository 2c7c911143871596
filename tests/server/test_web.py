"""The built web app at ``/``: its files, its routes, and nothing in the API's way."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest
from pydantic import ValidationError

from persistence.memory import MemoryStore
from sync.server import web
from sync.server.settings import load_settings
from tests.server.service import Running, running, token_for

INDEX = "<!doctype html><title>the app</title>"
SCRIPT = "export const answer = 42 // " + "long enough to be worth packing " * 20
SECRET_FILE = "not for anybody"
IN_THE_WAY = "a file in the way of the service"

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text(SECRET_FILE)
    built = tmp_path / "dist"
    (built / "assets").mkdir(parents=True)
    (built / "api").mkdir()
    for name, text in {
        "index.html": INDEX,
        "sw.js": "// a worker",
        "manifest.webmanifest": "{}",
        "icon.svg": "<svg/>",
        "assets/index-1a2b.js": SCRIPT,
        "assets/index-3c4d.css": "p {}",
        "assets/font.woff2": "font",
        "healthz": IN_THE_WAY,
        "api/v1": IN_THE_WAY,
        ".env": SECRET_FILE,
    }.items():
        (built / name).write_text(text)
    (built / "assets/index-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (built / "link.txt").symlink_to(tmp_path / "secret.txt")
    return built


@pytest.fixture
async def http(built: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        running(MemoryStore(), web=built) as service,
        httpx.AsyncClient(base_url=service.url) as client,
    ):
        yield client


# ------------------------------------------------------------------------------------------ files


async def test_the_start_page(http: httpx.AsyncClient) -> None:
    answer = await http.get("/")
    assert (answer.status_code, answer.text) == (200, INDEX)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("path", "media_type", "cached"),
    [
        ("/index.html", "text/html; charset=utf-8", "no-cache"),
        ("/sw.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/manifest.webmanifest", "application/manifest+json", "no-cache"),
        ("/icon.svg", "image/svg+xml", "no-cache"),
        ("/assets/index-1a2b.js", "text/javascript; charset=utf-8", web.FOR_EVER),
        ("/assets/index-3c4d.css", "text/css; charset=utf-8", web.FOR_EVER),
        ("/assets/font.woff2", "font/woff2", web.FOR_EVER),
        ("/assets/../sw.js", "text/javascript; charset=utf-8", "no-cache"),
    ],
)
async def test_what_a_file_is_and_how_long_it_is_kept(
    http: httpx.AsyncClient, path: str, media_type: str, cached: str
) -> None:
    answer = await http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == cached


async def test_a_file_that_is_the_same_is_not_sent_again(
    http: httpx.AsyncClient, built: Path
) -> None:
    first = await http.get("/")
    known = {"If-None-Match": first.headers["etag"]}
    again = await http.get("/", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    (built / "index.html").write_text(INDEX + " of another build")
    assert (await http.get("/", headers=known)).text.endswith("of another build")


async def test_head_is_get_without_a_body(http: httpx.AsyncClient) -> None:
    answer = await http.head("/sw.js")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len("// a worker"))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_files_are_only_read(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, "/sw.js")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.headers["content-type"] == "application/problem+json"
    assert method in answer.json()["detail"]


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("identity", False),
        ("", False),
    ],
)
async def test_a_packed_file_for_who_takes_it(
    http: httpx.AsyncClient, accepted: str, packed: bool
) -> None:
    async with http.stream(
        "GET", "/assets/index-1a2b.js", headers={"Accept-Encoding": accepted}
    ) as answer:
        sent = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert (gzip.decompress(sent) if packed else sent).decode() == SCRIPT
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == web.FOR_EVER


async def test_a_file_that_is_not_packed_is_sent_plain(http: httpx.AsyncClient) -> None:
    answer = await http.get("/sw.js", headers={"Accept-Encoding": "gzip"})
    assert answer.text == "// a worker"
    assert "content-encoding" not in answer.headers


async def test_a_packed_file_of_another_build_is_left_alone(
    http: httpx.AsyncClient, built: Path
) -> None:
    (built / "sw.js.gz").write_bytes(gzip.compress(b"// an old worker"))
    os.utime(built / "sw.js.gz", (0, 0))
    assert (await http.get("/sw.js")).text == "// a worker"


@pytest.mark.parametrize("path", ["/", "/assets/index-1a2b.js", "/none.js", "/some/route"])
async def test_every_answer_is_guarded(http: httpx.AsyncClient, path: str) -> None:
    headers = (await http.get(path, headers=PAGE)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"].split("; ")
    assert "default-src 'self'" in policy
    assert "connect-src 'self' ws: wss:" in policy
    assert "frame-ancestors 'none'" in policy
    assert not [each for each in policy if "unsafe" in each and not each.startswith("style-src")]


# ----------------------------------------------------------------------------------------- routes


@pytest.mark.parametrize("path", ["/monitor", "/some/route", "/some/route/", "/assets"])
async def test_a_route_of_the_page_is_the_start_page(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path, headers=PAGE)
    assert (answer.status_code, answer.text) == (200, INDEX)
    assert answer.headers["cache-control"] == "no-cache"
    other = await http.get(path, headers={"Accept": "application/json"})
    assert other.status_code == 404  # a script asks for data, and is not to get a page


@pytest.mark.parametrize("path", ["/none.js", "/assets/gone-5e6f.js", "/favicon.ico"])
async def test_a_file_that_is_not_there(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path, headers=PAGE)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_build_that_is_being_made(http: httpx.AsyncClient, built: Path) -> None:
    (built / "index.html").unlink()
    for path in ("/", "/some/route"):
        answer = await http.get(path, headers=PAGE)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert "being built" in answer.json()["detail"]


@pytest.mark.parametrize("first", sorted(web.OURS))
async def test_what_is_the_services_stays_so(http: httpx.AsyncClient, first: str) -> None:
    for path in (f"/{first}", f"/{first}/some/where"):
        answer = await http.get(path, headers=PAGE)
        assert INDEX not in answer.text
        assert IN_THE_WAY not in answer.text
        assert answer.headers.get("content-security-policy") != web.POLICY


async def test_the_api_beside_it(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz", headers=PAGE)).json()["status"] == "ok"
    lead = {"Authorization": f"Bearer {token_for('lena', sessions={'*': 'lead'})}"}
    body = {"id": "s1", "project": "Help desk agent", "test_cases": ["a"]}
    assert (await http.post("/api/v1/sessions", json=body, headers=lead)).status_code == 201
    assert (await http.get("/docs", headers=PAGE)).status_code == 200
    assert (await http.get("/openapi.json")).json()["info"]["title"] == "draftsync"


# ------------------------------------------------------------------------------------ ways around


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/../../../../../../etc/passwd",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/..\\secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/link.txt",
        "/.env",
        "/assets/../.env",
        "/%00",
        "/index.html%00.js",
        "/" + "a" * 5_000,
        "/%ff%fe",
    ],
)
async def test_nothing_but_the_directory_is_served(built: Path, path: str) -> None:
    async with running(MemoryStore(), web=built) as service:
        status, answer = await exactly(service, path)
    assert status in {400, 404}, answer
    assert SECRET_FILE not in answer
    assert "root:" not in answer


async def exactly(service: Running, path: str) -> tuple[int, str]:
    """Ask for a path as it stands here, which no client of good manners does."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    answer = b""
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(request.encode())
        async for part in stream:
            answer += part
    return int(answer.split(b" ", 2)[1]), answer.decode(errors="replace")


async def test_asking_exactly_finds_what_is_there(built: Path) -> None:
    async with running(MemoryStore(), web=built) as service:
        assert (await exactly(service, "/assets/../sw.js"))[0] == 200


# ---------------------------------------------------------------------------------------- setting


async def test_without_a_web_app_there_is_none() -> None:
    async with (
        running(MemoryStore()) as service,
        httpx.AsyncClient(base_url=service.url) as http,
    ):
        answer = await http.get("/", headers=PAGE)
    assert answer.status_code == 404
    assert "/docs" in answer.json()["detail"]


def test_a_directory_that_holds_no_app(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValidationError, match=r"no index\.html in .*make web"):
            load_settings(web=directory)


def test_it_is_a_setting(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRAFTSYNC_WEB", str(built))
    assert load_settings().web == built
