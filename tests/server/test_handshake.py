"""What is a handshake for a WebSocket beyond doubt, and what is left to Hypercorn."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.server.handshake import MAX_HEAD, acceptance, read_upgrade

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
PLAIN = (
    b"GET /sync/drafts/1?token=abc HTTP/1.1",
    b"Host: localhost:3001",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: " + KEY,
)

CHROME = b"""\
GET /sync/drafts/1?token=abc HTTP/1.1
Host: localhost:3001
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0
Upgrade: websocket
Origin: https://app.example.org
Sec-WebSocket-Version: 13
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: de-DE,de;q=0.9
Cookie: theme=dark; note="\xe4\xf6"
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"""
FIREFOX = b"""\
GET /sync/drafts/1?token=abc HTTP/1.1
Host: localhost:3001
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0
Accept: */*
Accept-Encoding: gzip, deflate, br, zstd
Sec-WebSocket-Version: 13
Origin: https://app.example.org
Sec-WebSocket-Extensions: permessage-deflate
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
DNT: 1
Connection: keep-alive, Upgrade
Sec-Fetch-Dest: empty
Upgrade: websocket"""
SAFARI = b"""\
GET /sync/drafts/1?token=abc HTTP/1.1
Upgrade: websocket
Connection: Upgrade
Host: localhost:3001
Origin: https://app.example.org
Pragma: no-cache
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13
Sec-WebSocket-Extensions: permessage-deflate"""
NODE_WS = b"""\
GET /sync/drafts/1?token=abc HTTP/1.1
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
Host: localhost:3001"""
PYTHON_WEBSOCKETS = b"""\
GET /sync/drafts/1?token=abc HTTP/1.1
Host: localhost:3001
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
User-Agent: Python/3.11 websockets/17.4"""
BEHIND_A_PROXY = b"""\
GET /sync/drafts/1?token=abc HTTP/1.1
host: drafts.example.org
x_forwarded_for: 10.0.0.1
X-Forwarded-For: 10.0.0.2
X-Forwarded-For: 10.0.0.3
via:
connection:upgrade
upgrade:\tWebSocket\x20
sec-websocket-version:  13
sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==
content-length: 0"""


def lines(*head: bytes) -> bytes:
    return b"\r\n".join(head)


def without(name: bytes) -> bytes:
    return lines(*(line for line in PLAIN if not line.startswith(name)))


def instead(name: bytes, line: bytes) -> bytes:
    return lines(*(line if each.startswith(name) else each for each in PLAIN))


@pytest.mark.parametrize(
    "head",
    [CHROME, FIREFOX, SAFARI, NODE_WS, PYTHON_WEBSOCKETS, BEHIND_A_PROXY],
    ids=["chrome", "firefox", "safari", "node ws", "python websockets", "behind a proxy"],
)
def test_as_clients_ask(head: bytes) -> None:
    upgrade = read_upgrade(head.replace(b"\n", b"\r\n"))
    assert upgrade is not None
    assert (upgrade.path, upgrade.query) == (b"/sync/drafts/1", b"token=abc")
    assert upgrade.key == KEY


def test_the_headers_that_matter_later() -> None:
    upgrade = read_upgrade(
        lines(
            *PLAIN,
            b"Origin:  https://app.example.org ",
            b"AUTHORIZATION: Bearer x",
            b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10",
            b"Sec-WebSocket-Extensions: permessage-deflate",
        )
    )
    assert upgrade is not None
    assert upgrade.headers[b"origin"] == b"https://app.example.org"
    assert upgrade.headers[b"authorization"] == b"Bearer x"
    assert upgrade.headers[b"sec-websocket-extensions"] == (
        b"permessage-deflate; server_max_window_bits=10, permessage-deflate"
    )


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"/sync/", b"/sync/", b""),
        (b"/sync/a%2Fb+c", b"/sync/a%2Fb+c", b""),
        (b"/sync/a?b?c", b"/sync/a", b"b?c"),
        (b"/sync/a?", b"/sync/a", b""),
    ],
)
def test_path_and_query_as_they_stand(target: bytes, path: bytes, query: bytes) -> None:
    upgrade = read_upgrade(instead(b"GET", b"GET " + target + b" HTTP/1.1"))
    assert upgrade is not None
    assert (upgrade.path, upgrade.query) == (path, query)


DOUBTFUL = {
    "nothing": b"",
    "blanks": b"\r\n\r\n",
    "no request line": lines(*PLAIN[1:]),
    "POST": instead(b"GET", b"POST /sync/drafts/1 HTTP/1.1"),
    "HTTP/1.0": instead(b"GET", b"GET /sync/drafts/1 HTTP/1.0"),
    "HTTP/2.0": instead(b"GET", b"GET /sync/drafts/1 HTTP/2.0"),
    "lower-case method": instead(b"GET", b"get /sync/drafts/1 HTTP/1.1"),
    "whole address": instead(b"GET", b"GET http://localhost/sync/drafts/1 HTTP/1.1"),
    "no slash": instead(b"GET", b"GET sync/drafts/1 HTTP/1.1"),
    "two blanks": instead(b"GET", b"GET  /sync/drafts/1 HTTP/1.1"),
    "blank in the path": instead(b"GET", b"GET /sync/drafts 1 HTTP/1.1"),
    "control character in the path": instead(b"GET", b"GET /sync/drafts\x001 HTTP/1.1"),
    "not ASCII in the path": instead(b"GET", b"GET /sync/\xc3\xa9 HTTP/1.1"),
    "bytes behind the version": instead(b"GET", b"GET /sync/drafts/1 HTTP/1.1 "),
    "no host": without(b"Host"),
    "two hosts": lines(*PLAIN, b"Host: elsewhere"),
    "no connection": without(b"Connection"),
    "connection: close": instead(b"Connection", b"Connection: close"),
    "connection: upgraded": instead(b"Connection", b"Connection: upgraded"),
    "no upgrade": without(b"Upgrade"),
    "upgrade: h2c": instead(b"Upgrade", b"Upgrade: h2c"),
    "upgrade to either": instead(b"Upgrade", b"Upgrade: h2c, websocket"),
    "upgrade twice": lines(*PLAIN, b"Upgrade: websocket"),
    "no version": without(b"Sec-WebSocket-Version"),
    "version 8": instead(b"Sec-WebSocket-Version", b"Sec-WebSocket-Version: 8"),
    "versions": instead(b"Sec-WebSocket-Version", b"Sec-WebSocket-Version: 13, 8"),
    "two versions": lines(*PLAIN, b"Sec-WebSocket-Version: 13"),
    "no key": without(b"Sec-WebSocket-Key"),
    "short key": instead(b"Sec-WebSocket-Key", b"Sec-WebSocket-Key: c2hvcnQ="),
    "long key": instead(b"Sec-WebSocket-Key", b"Sec-WebSocket-Key: " + b"A" * 42 + b"=="),
    "two keys": lines(*PLAIN, b"Sec-WebSocket-Key: " + KEY),
    "two origins": lines(*PLAIN, b"Origin: https://a.org", b"Origin: https://b.org"),
    "two tokens": lines(*PLAIN, b"Authorization: Bearer a", b"Authorization: Bearer b"),
    "a body": lines(*PLAIN, b"Content-Length: 5"),
    "two lengths": lines(*PLAIN, b"Content-Length: 0", b"Content-Length: 0"),
    "a body in chunks": lines(*PLAIN, b"Transfer-Encoding: chunked"),
    "a folded header": lines(*PLAIN, b"X-Long: a", b" b"),
    "a blank before the colon": lines(*PLAIN, b"X-Odd : a"),
    "no colon": lines(*PLAIN, b"X-Odd"),
    "no name": lines(*PLAIN, b": a"),
    "a name with a blank": lines(*PLAIN, b"X Odd: a"),
    "NUL": lines(*PLAIN, b"X-Odd: a\x00b"),
    "a bare line feed": lines(*PLAIN, b"X-Odd: a\nX-Other: b"),
    "a bare carriage return": lines(*PLAIN, b"X-Odd: a\rX-Other: b"),
    "an empty line inside": lines(*PLAIN[:3], b"", *PLAIN[3:]),
}


@pytest.mark.parametrize("head", DOUBTFUL.values(), ids=DOUBTFUL.keys())
def test_left_to_hypercorn(head: bytes) -> None:
    assert read_upgrade(head) is None


@given(st.binary(max_size=400))
def test_no_bytes_raise(head: bytes) -> None:
    read_upgrade(head)


@given(st.lists(st.one_of(st.sampled_from(PLAIN), st.binary(max_size=30)), max_size=12))
def test_no_lines_raise(given_lines: list[bytes]) -> None:
    upgrade = read_upgrade(lines(*given_lines))
    if upgrade is not None:
        assert upgrade.path.startswith(b"/")
        assert upgrade.key == KEY


@pytest.mark.parametrize(
    "line",
    [
        b"X: a" + b" " * 15_000 + b"\x01",
        b"X" * 15_000 + b"\x01",
        b"\r\n".join([b"x: y"] * 2_500),
        b"Connection: " + b"," * 15_000,
        b"Sec-WebSocket-Key: " + b"A" * 15_000,
    ],
    ids=["blanks", "a long name", "one header many times", "empty tokens", "a long key"],
)
def test_no_head_takes_long(line: bytes) -> None:
    """A pattern that tried every number of blanks took 2.2 s for 16 KiB of them."""
    head = lines(*PLAIN, line)
    assert len(head) < MAX_HEAD
    began = time.thread_time()
    read_upgrade(head)
    assert time.thread_time() - began < 0.25


def test_the_answer_is_that_of_the_rfc() -> None:
    """RFC 6455 section 1.3 has this very key."""
    status, *headers = acceptance(KEY, b"permessage-deflate").split(b"\r\n")
    assert status == b"HTTP/1.1 101 Switching Protocols"
    assert headers == [
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        b"Sec-WebSocket-Extensions: permessage-deflate",
        b"",
        b"",
    ]
    assert b"Extensions" not in acceptance(KEY)
