"""The one port: who is served by what, however it asks, and who is shown out."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import anyio
import h2.config
import h2.connection
import h2.events
import pytest
from anyio.abc import SocketStream

from persistence.memory import MemoryStore
from sync.core.yprotocol import saved_frame, step1_frame, step2_frame, update_frame
from sync.server import patience
from sync.server.front_door import FrontDoor
from sync.server.handshake import MAX_HEAD
from tests.server.parts import TroubledStore, eventually, stored_answers
from tests.server.raw import (
    ACCEPT,
    BINARY,
    DEFLATE,
    Raw,
    close_frame,
    dial,
    frame,
    opened,
    upgrade,
)
from tests.server.service import Running, running, token_for
from tests.support.client import Peer, connect

BARRIER = frame(BINARY, saved_frame(b"here"))


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Its transports differ in what they do when their protocol changes: test both."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture
async def service() -> AsyncIterator[Running]:
    limits = {"connections_per_subject": 10_000}
    async with running(MemoryStore(), transport="picows", **limits) as service:
        yield service


async def has_arrived(raw: Raw) -> None:
    """The WebSocket is open, and the barrier that was sent is answered."""
    head = await raw.head()
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert ACCEPT in head
    await raw.until(lambda frame: frame.payload == saved_frame(b"here"))


async def a_turn() -> None:
    """Let what was written be read: here both ends are in one loop."""
    for _ in range(3):
        await asyncio.sleep(0)


# ------------------------------------------------------------------------------------- WebSockets


async def test_a_head_in_two_segments_wherever_it_is_cut(service: Running) -> None:
    whole = upgrade("drafts/1", DEFLATE) + BARRIER

    async def cut(at: int) -> None:
        async with dial(service) as raw:
            await raw.send(whole[:at])
            await a_turn()
            await raw.send(whole[at:])
            await has_arrived(raw)

    for first in range(1, len(whole), 50):
        async with anyio.create_task_group() as tasks:
            for at in range(first, min(first + 50, len(whole))):
                tasks.start_soon(cut, at)


async def test_a_head_byte_by_byte(service: Running) -> None:
    async with dial(service) as raw:
        for byte in upgrade() + BARRIER:
            await raw.send(bytes([byte]))
            await a_turn()
        await has_arrived(raw)


async def test_many_frames_behind_the_head_in_one_segment(service: Running) -> None:
    peer = Peer()
    edits = [frame(BINARY, update_frame(peer.put(f"q{n}", n))) for n in range(100)]
    async with dial(service) as raw:
        await raw.send(upgrade(), *edits, BARRIER)
        await has_arrived(raw)


async def test_a_large_frame_behind_the_head(service: Running) -> None:
    """Larger than what picows has to read into, and than what is read at once."""
    peer = Peer()
    edit = frame(BINARY, update_frame(peer.put("large", "x" * 200_000)))
    async with dial(service) as raw:
        await raw.send(upgrade(), edit, BARRIER)
        await has_arrived(raw)


async def test_a_close_frame_behind_the_head(service: Running) -> None:
    async with dial(service) as raw:
        await raw.send(upgrade(), close_frame(1000))
        await raw.head()
        assert [f.code for f in (await raw.until_closed())[-1:]] == [1000]
        assert await raw.end() == b""


@pytest.mark.parametrize("extra", ["", DEFLATE])
async def test_the_answer_says_what_was_agreed(service: Running, extra: str) -> None:
    async with dial(service) as raw:
        await raw.send(upgrade("drafts/1", *([extra] if extra else [])))
        head = await raw.head()
    agreed = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    assert (agreed in head) is bool(extra)


async def test_a_token_in_a_header(service: Running) -> None:
    async with dial(service) as raw:
        bearer = f"Authorization: Bearer {token_for()}"
        await raw.send(upgrade("drafts/1", bearer, token=""), BARRIER)
        await has_arrived(raw)


async def test_a_huge_head_is_not_ours_even_in_one_piece(service: Running) -> None:
    """Hypercorn may take it or not; to us it would be thousands of lines."""
    async with dial(service) as raw:
        await raw.send(upgrade("drafts/1", DEFLATE, "X-Large: " + "x" * (MAX_HEAD + 1)))
        assert b"permessage-deflate" not in await raw.head()


async def test_the_head_is_not_kept(service: Running) -> None:
    """uvloop refers to the door for as long as the connection lives."""
    async with dial(service) as raw:
        await raw.send(upgrade("drafts/1", "X-Large: " + "x" * 10_000), BARRIER)
        await has_arrived(raw)
        assert not [o for o in gc.get_objects() if type(o) is FrontDoor and o._read]


# ------------------------------------------------------------------------------------------- HTTP


async def test_http_on_a_connection_that_becomes_a_websocket(service: Running) -> None:
    """What comes later on a connection reaches the same rooms through ASGI."""
    async with dial(service) as raw, connect(service.sync_url, "drafts/1", token_for()) as other:
        for _ in range(3):
            await raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            status, body = await raw.response()
            assert (status, json.loads(body)["status"]) == (200, "ok")
        await raw.send(upgrade("drafts/1", DEFLATE))
        head = await raw.head()
        assert head.startswith(b"HTTP/1.1 101")
        assert b"permessage-deflate" not in head  # that is not bounded there
        await other.synced()
        await raw.message(update_frame(Peer().put("q", "from the other side")))
        await other.sees("q", "from the other side")


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
async def test_http_whatever_ends_its_lines(service: Running, line_end: bytes) -> None:
    async with dial(service) as raw:
        await raw.send(b"GET /healthz HTTP/1.1", line_end, b"Host: x", line_end, line_end)
        assert (await raw.response())[0] == 200


async def test_http_in_small_segments(service: Running) -> None:
    async with dial(service) as raw:
        for byte in b"GET /syn HTTP/1.1\r\nHost: x\r\n\r\n":
            await raw.send(bytes([byte]))
            await a_turn()
        assert (await raw.response())[0] == 404


async def test_who_half_closes_is_answered(service: Running) -> None:
    async with dial(service) as raw:
        await raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        raw.writer.write_eof()
        assert (await raw.response())[0] == 200


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (upgrade(path="/other/"), 403),
        (upgrade(path="/sync"), 403),
        (upgrade(path="//sync/"), 403),
        (b"POST /sync/drafts/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", 404),
        (b"GET /sync/drafts/1 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (upgrade().replace(b"Version: 13", b"Version: 8"), 400),
        (upgrade().replace(b"Sec-WebSocket-Key", b"X-Key"), 400),
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x00" * 100 + b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(100) + b"\r\n\r\n", 400),  # TLS
        (b"GET /sync/drafts/1\r\n\r\n", 400),
        (b"GET /sync/" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET /sync/d HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 2 * MAX_HEAD, 431),
    ],
    ids=[
        "other path", "no slash", "two slashes", "POST", "no upgrade", "version 8", "no key",
        "garbage", "zeros", "TLS in the clear", "HTTP/0.9", "huge target", "huge head",
    ],
)  # fmt: skip
async def test_what_hypercorn_answers(service: Running, request_head: bytes, status: int) -> None:
    async with dial(service) as raw:
        await raw.send(request_head)
        head = await raw.head()
        assert head.split()[1] == b"%d" % status, head


async def test_a_foreign_origin_is_refused_in_words() -> None:
    async with running(
        MemoryStore(), transport="picows", allow_origin="https://app.example.org"
    ) as service:
        async with dial(service) as raw:
            await raw.send(upgrade("drafts/1", "Origin: https://evil.example.org"))
            assert (await raw.head()).startswith(b"HTTP/1.1 403")
        async with dial(service) as raw:
            await raw.send(upgrade("drafts/1", "Origin: https://App.example.org"), BARRIER)
            await has_arrived(raw)


# ----------------------------------------------------------------------------------------- HTTP/2


async def health_over_h2(raw: Raw) -> int:
    """Ask for /healthz as a client that speaks nothing else; return the status."""
    h2_connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    h2_connection.initiate_connection()
    headers = {":method": "GET", ":scheme": "http", ":authority": "x", ":path": "/healthz"}
    h2_connection.send_headers(1, list(headers.items()), end_stream=True)
    await raw.send(h2_connection.data_to_send())
    async with asyncio.timeout(5):
        while data := await raw.reader.read(2**16):
            for event in h2_connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    assert event.headers is not None
                    return int(dict(event.headers)[b":status"])
            await raw.send(h2_connection.data_to_send())
    return 0


async def test_http2_with_prior_knowledge(service: Running) -> None:
    async with dial(service) as raw:
        assert await health_over_h2(raw) == 200


async def test_http2_in_small_segments(service: Running) -> None:
    async with dial(service) as raw:
        await raw.send(b"P")
        await a_turn()
        await raw.send(b"RI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
        assert (await raw.reader.read(100))[3] == 4  # its settings


# -------------------------------------------------------------------------------------------- TLS


async def test_over_tls(certificate: dict[str, Path]) -> None:
    """A WebSocket with frames of all sizes both ways, HTTP/1.1, and HTTP/2 as agreed by ALPN."""
    trust = ssl.create_default_context(cafile=str(certificate["tls_cert"]))
    store, peer = MemoryStore(), Peer()
    async with running(store, transport="picows", **certificate) as service:
        async with dial(service, trust) as raw:
            await raw.send(upgrade("drafts/1", DEFLATE), BARRIER)
            await has_arrived(raw)
            for number, size in enumerate((10, 2_000, 60_000, 1_500_000, 300_000, 10)):
                await raw.message(step2_frame(peer.put(f"q{number}", "x" * size)))
            await raw.saved()
            await raw.message(step1_frame(b"\x00"))
            (whole,) = (await raw.until(lambda f: f.payload[:2] == b"\x00\x01"))[-1:]
            reader = Peer()
            reader.take(whole.payload)
            assert reader.answers == peer.answers
            await raw.send(close_frame(1001))
            assert (await raw.until_closed())[-1].code == 1001
            assert await raw.end() == b""
        async with dial(service, trust) as raw:
            await raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await raw.response())[0] == 200
        trust.set_alpn_protocols(["h2"])
        async with dial(service, trust) as raw:
            assert raw.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
            assert await health_over_h2(raw) == 200
    assert await stored_answers(store) == peer.answers


async def test_tls_that_is_not_finished(
    certificate: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HANDSHAKE_SECONDS", 0.2)
    async with running(MemoryStore(), transport="picows", **certificate) as service:
        for said in (b"", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n"):
            async with dial(service) as raw:
                await raw.send(said)
                assert not (await raw.end()).startswith(b"HTTP")


# ---------------------------------------------------------------------------------------- silence


async def test_who_says_nothing_or_half_a_head_is_shown_out(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 25: 500 connections."""
    monkeypatch.setattr(patience, "HANDSHAKE_SECONDS", 0.3)
    head = upgrade()
    host, _, port = service.url.removeprefix("http://").rpartition(":")
    async with anyio.create_task_group() as tasks:
        for number in range(500):
            stream = await anyio.connect_tcp(host, int(port))
            tasks.start_soon(is_shown_out, stream, head[: number % len(head)] * (number % 2))


async def is_shown_out(stream: SocketStream, said: bytes = b"", trickle: bytes = b"") -> None:
    """Say something, and wait for the server to close, saying a little all the time."""
    async with stream:
        # Less than HANDSHAKE_SECONDS are by default.
        with anyio.fail_after(8), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            await stream.send(said)
            while True:
                await stream.send(trickle)
                with anyio.move_on_after(0.02 if trickle else None):
                    await stream.receive()


async def test_a_head_that_trickles_has_as_long_as_any(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HANDSHAKE_SECONDS", 0.3)
    host, _, port = service.url.removeprefix("http://").rpartition(":")
    began = time.monotonic()
    stream = await anyio.connect_tcp(host, int(port))
    await is_shown_out(stream, b"GET /sync/d HTTP/1.1\r\nX: ", b"x")
    assert time.monotonic() - began >= 0.29


async def test_a_connection_closed_in_the_middle_of_its_head(
    service: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    head = upgrade()
    for end in range(0, len(head), 7):
        async with dial(service) as raw:
            await raw.send(head[:end])
    async with dial(service) as raw:
        await raw.send(upgrade(), BARRIER)
        await has_arrived(raw)
    assert not caplog.records


async def test_the_end_of_the_service_ends_those_at_the_door(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "LAST_WORDS_SECONDS", 0.2)
    async with running(MemoryStore(), transport="picows") as service, dial(service) as raw:
        await raw.send(b"GET /sync/")
        await a_turn()
        service.stop.set()
        with anyio.fail_after(8):  # less than HANDSHAKE_SECONDS
            await service.ended.wait()
            assert await raw.end() == b""


# ------------------------------------------------------------------------------------------ drain


async def test_a_head_that_comes_while_it_drains_is_told_to_come_back() -> None:
    """Nobody new is accepted then; this connection was."""
    store = TroubledStore()
    async with (
        running(store, transport="picows") as service,
        dial(service) as late,
        opened(service) as early,
    ):
        await late.send(b"GET /sync/")
        await early.saved()
        store.hold()
        await early.message(update_frame(Peer().put("q", 1)))
        await eventually(lambda: store.appends > 0)
        service.stop.set()
        await a_turn()
        await late.send(upgrade().removeprefix(b"GET /sync/"))
        await late.head()
        assert (await late.until_closed())[-1].code == 1012
        store.release()
        assert (await early.until_closed())[-1].code == 1012
    assert await stored_answers(store) == {"q": 1}
