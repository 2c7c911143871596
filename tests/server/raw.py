"""A WebSocket client that says exactly what it is told to, right or wrong, byte by byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from sync.core.wire import Reader
from sync.core.yprotocol import saved_frame
from tests.server.service import Running, token_for
from tests.support.client import PATIENCE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 section 1.3
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


class Frame(NamedTuple):
    """A frame of the server's. ``first`` is its first byte, bits and opcode."""

    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        return self.first & 15

    @property
    def code(self) -> int:
        """Of a close frame; 1005 without one."""
        assert self.opcode == CLOSE
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005


@dataclass
class Raw:
    """One TCP connection to the service."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def socket(self) -> socket.socket:
        found: socket.socket = self.writer.get_extra_info("socket")
        return found

    async def send(self, *parts: bytes) -> None:
        """Write bytes, as one segment where they fit."""
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def message(self, payload: bytes) -> None:
        await self.send(frame(BINARY, payload))

    async def head(self) -> bytes:
        """The head of an answer."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def response(self) -> tuple[int, bytes]:
        """Status and body of a whole answer."""
        head = await self.head()
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        return int(head.split()[1]), await self.reader.readexactly(length)

    async def frame(self) -> Frame:
        """The next frame; raises IncompleteReadError when there is none."""
        async with asyncio.timeout(PATIENCE):
            first, size = await self.reader.readexactly(2)
            if size > 125:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            return Frame(first, await self.reader.readexactly(size))

    async def until(self, wanted: Callable[[Frame], bool]) -> list[Frame]:
        """Read frames until one is it; return all of them."""
        frames = [await self.frame()]
        while not wanted(frames[-1]):
            frames.append(await self.frame())
        return frames

    async def until_message(self, payload: bytes) -> list[Frame]:
        """Read to a message that is this; return all frames."""
        return await self.until(lambda frame: frame.payload == payload)

    async def until_closed(self) -> list[Frame]:
        """Read to the close frame, the last."""
        return await self.until(lambda frame: frame.opcode == CLOSE)

    async def saved(self, payload: bytes = b"saved") -> list[Frame]:
        """Everything sent so far is on disk; return the frames that came before the echo."""
        await self.message(saved_frame(payload))
        return await self.until_message(saved_frame(payload))

    async def end(self) -> bytes:
        """Read until the server closes the connection; return what still came."""
        rest = b""
        async with asyncio.timeout(PATIENCE):
            try:
                while data := await self.reader.read(2**16):
                    rest += data
            except ConnectionError:
                pass
        return rest

    def reset(self) -> None:
        """Go without a word, as a killed process does."""
        self.writer.transport.abort()


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes = b"\x5a\x00\xa5\xff",
) -> bytes:
    """A client's frame, masked; ``rsv`` is any of 0x40, 0x20 and 0x10. An empty mask: none."""
    first = (0x80 if fin else 0) | rsv | opcode
    masked = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        header = bytes((first, masked | size))
    elif size < 2**16:
        header = bytes((first, masked | 126)) + size.to_bytes(2, "big")
    else:
        header = bytes((first, masked | 127)) + size.to_bytes(8, "big")
    return header + mask + (_masked(payload, mask) if any(mask) else payload)


def _masked(payload: bytes, mask: bytes) -> bytes:
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return number.to_bytes(len(payload), "big")


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())


def upgrade(
    document: str = "drafts/1", *headers: str, token: str | None = None, path: str = "/sync/"
) -> bytes:
    """The head of a request for a WebSocket."""
    lines = (
        f"GET {path}{document}?token={token_for() if token is None else token} HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        *headers,
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@asynccontextmanager
async def dial(
    service: Running, tls: ssl.SSLContext | None = None, *, narrow: bool = False
) -> AsyncIterator[Raw]:
    """A TCP connection to the service, which is reset at the end if it is still there.

    ``narrow``: what nobody reads here soon fills everything up to the service, some 100 KB.
    """
    at = urlsplit(service.url)
    family = socket.AF_INET6 if ":" in (at.hostname or "") else socket.AF_INET
    line = socket.socket(family)
    line.setblocking(False)
    if narrow:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1_400)
    await asyncio.get_running_loop().sock_connect(line, (at.hostname, at.port))
    reader, writer = await asyncio.open_connection(
        sock=line,
        ssl=tls,
        server_hostname=at.hostname if tls else None,
        limit=1_000 if narrow else 2**26,
    )
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def opened(
    service: Running,
    document: str = "drafts/1",
    *headers: str,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    narrow: bool = False,
    path: str = "/sync/",
) -> AsyncIterator[Raw]:
    """A WebSocket whose handshake is done."""
    async with dial(service, tls, narrow=narrow) as raw:
        await raw.send(upgrade(document, *headers, token=token, path=path))
        head = await raw.head()
        assert head.startswith(b"HTTP/1.1 101"), head
        yield raw


def reasons(frames: list[Frame]) -> list[str]:
    """What messages 2/0 among the frames say."""
    return [
        Reader(frame.payload, 2).read_string()
        for frame in frames
        if frame.payload[:2] == b"\x02\x00"
    ]
