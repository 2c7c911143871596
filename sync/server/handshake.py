"""The handshake of a WebSocket: whether a request's head asks for one, and the answer.

Source: RFC 9112 for the head, RFC 6455 section 4.2 for the handshake. Only what is beyond doubt is
taken: anything else, wrong or merely unusual, is left to Hypercorn, which has an answer for it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1

MAX_HEAD = 16 * 2**10
"""Bytes of a request's head; a token may take half of them."""

_REQUEST_LINE = re.compile(rb"GET (/[!-~]*) HTTP/1\.1")
_HEADER = re.compile(rb"([!#-'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)")
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_ONE_OF_EACH = {
    b"host",
    b"sec-websocket-key",
    b"sec-websocket-version",
    b"origin",
    b"authorization",
}
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request to turn a connection into a WebSocket; it is well formed."""

    path: bytes  # percent-encoded, without the query
    query: bytes
    key: bytes
    headers: Mapping[bytes, bytes]  # by lower-case name; several of one are joined by commas


def read_upgrade(head: bytes) -> Upgrade | None:
    """Read a request's head, without the blank line; None for all but a WebSocket handshake."""
    request, *lines = head.split(b"\r\n")
    target = _REQUEST_LINE.fullmatch(request)
    headers = _headers(lines)
    if target is None or headers is None or not _asks_for_websocket(headers):
        return None
    path, _, query = target[1].partition(b"?")
    return Upgrade(path, query, headers[b"sec-websocket-key"], headers)


def _headers(lines: list[bytes]) -> dict[bytes, bytes] | None:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            return None
        name, value = header[1].lower(), header[2].strip(b" \t")
        if name in headers:
            if name in _ONE_OF_EACH:
                return None
            value = headers[name] + b", " + value
        headers[name] = value
    return headers


def _asks_for_websocket(headers: Mapping[bytes, bytes]) -> bool:
    return (
        b"host" in headers
        and b"upgrade" in _tokens(headers.get(b"connection", b""))
        and _tokens(headers.get(b"upgrade", b"")) == [b"websocket"]
        and headers.get(b"sec-websocket-version") == b"13"
        and _KEY.fullmatch(headers.get(b"sec-websocket-key", b"")) is not None
        and headers.get(b"content-length", b"0") == b"0"
        and b"transfer-encoding" not in headers
    )


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip().lower() for token in value.split(b",")]


def acceptance(key: bytes, extensions: bytes = b"") -> bytes:
    """The answer that takes an upgrade, whole."""
    proof = b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + proof,
    ]
    if extensions:
        lines.append(b"Sec-WebSocket-Extensions: " + extensions)
    return b"\r\n".join(lines) + b"\r\n\r\n"
