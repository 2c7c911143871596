"""WebSockets of picows's, frame by frame: RFC 6455 and 7692, waits, ends, and hostile clients."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import gc
import logging
import os
import socket
import struct
import subprocess
import termios
import time
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import connect as connect_websocket

from persistence.memory import MemoryStore
from sync.core.wire import encode_bytes
from sync.core.yprotocol import (
    EMPTY_UPDATE,
    saved_frame,
    step1_frame,
    step2_frame,
    update_frame,
)
from sync.server import hub as hub_module
from sync.server import patience, websocket
from sync.server.admission import Admission
from sync.server.deflate import deflate
from sync.server.document_socket import DocumentSocket
from sync.server.framing import READ_BYTES, Framing
from sync.server.outbox import MAX_BYTES
from sync.server.websocket import BACKLOG_BYTES
from tests.server.parts import TroubledStore, an_edit, eventually, stored_answers
from tests.server.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    PING,
    PONG,
    TEXT,
    Frame,
    Raw,
    close_frame,
    dial,
    frame,
    opened,
    reasons,
    upgrade,
)
from tests.server.service import Running, running, token_for
from tests.support.client import PATIENCE, Peer, connect
from tests.support.npm import WIRE, node_command

RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The service runs on uvloop where there is one; an embedder may not."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HOLD_SECONDS", 0.05)
    monkeypatch.setattr(patience, "LAST_WORDS_SECONDS", 0.2)


@pytest.fixture
def store() -> TroubledStore:
    return TroubledStore()


@pytest.fixture
async def service(store: TroubledStore) -> AsyncIterator[Running]:
    limits = {"connections_per_subject": 10_000, "message_rate": 0}
    async with running(store, transport="picows", **limits) as service:
        try:
            yield service
        finally:
            store.release()


_here: set[DocumentSocket] = set()


@pytest.fixture(autouse=True)
def who_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take note of who comes and who leaves."""
    _here.clear()
    come, leave = DocumentSocket.on_opened, DocumentSocket._leave

    def on_opened(self: DocumentSocket, framing: Framing) -> None:
        _here.add(self)
        come(self, framing)

    def _leave(self: DocumentSocket) -> None:
        leave(self)
        _here.remove(self)

    monkeypatch.setattr(DocumentSocket, "on_opened", on_opened)
    monkeypatch.setattr(DocumentSocket, "_leave", _leave)


def here() -> list[DocumentSocket]:
    """The WebSockets of which the service that runs in this process knows."""
    return list(_here)


def at_work() -> DocumentSocket:
    """The one WebSocket that is open."""
    (found,) = (each for each in here() if not each.gone)
    return found


async def a_turn() -> None:
    """Let what was written be read: here both ends are in one loop."""
    for _ in range(3):
        await asyncio.sleep(0)


async def is_stored(store: TroubledStore, answers: dict[str, Any]) -> None:
    """Wait until these answers are on disk, whatever else there is."""
    with anyio.fail_after(PATIENCE):
        while not (await stored_answers(store)).items() >= answers.items():  # noqa: ASYNC110
            await anyio.sleep(0.005)


def is_close(frame: Frame) -> bool:
    return frame.opcode == CLOSE


def messages(frames: list[Frame]) -> list[bytes]:
    return [frame.payload for frame in frames if frame.opcode == BINARY]


async def refused(raw: Raw, code: int) -> str:
    """The connection ends with this code, and then for good; return the reason."""
    frames = await raw.until_closed()
    last = frames[-1]
    assert last.code == code, last
    assert await raw.end() == b""
    return last.payload[2:].decode()


# ------------------------------------------------------------------------------- ping and fragments


@pytest.mark.parametrize("payload", [b"", b"x", b"\x00\xff" * 62 + b"!"])
async def test_a_ping_gets_its_payload_back(service: Running, payload: bytes) -> None:
    async with opened(service) as raw:
        await raw.send(frame(PING, payload))
        assert (await raw.until(lambda f: f.opcode == PONG))[-1] == Frame(0x80 | PONG, payload)


async def test_a_pong_that_nobody_asked_for(service: Running) -> None:
    async with opened(service) as raw:
        await raw.send(frame(PONG, b"hello?"))
        await raw.saved()


async def test_control_frames_between_fragments(service: Running) -> None:
    peer = Peer()
    edit = update_frame(peer.put("q", "in pieces"))
    async with opened(service) as raw:
        await raw.send(frame(BINARY, edit[:3], fin=False), frame(PING, b"1"))
        await raw.until(lambda f: f.opcode == PONG)
        await raw.send(
            frame(CONTINUATION, edit[3:4], fin=False),
            frame(PONG),
            frame(CONTINUATION, b"", fin=False),
            frame(CONTINUATION, edit[4:]),
        )
        await raw.saved()
        async with connect(service.sync_url, "drafts/1", token_for()) as other:
            await other.sees("q", "in pieces")


async def test_a_message_in_a_hundred_thousand_fragments(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adding them up anew for each took a minute."""
    monkeypatch.setattr(websocket, "FRAME_RATE", 1e9)
    message = update_frame(Peer().put("q", "x" * 50_000))
    pieces = (frame(CONTINUATION, bytes([b]), fin=False) for b in message)
    empty = frame(CONTINUATION, b"", fin=False) * 50_000
    async with opened(service) as raw:
        await raw.send(frame(BINARY, b"", fin=False), *pieces, empty, frame(CONTINUATION))
        await raw.saved()  # within its patience


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING),
        frame(PONG, b"x"),
        frame(CONTINUATION, b"", fin=False),
        frame(CONTINUATION, b"x", fin=False),
    ],
    ids=["pings", "pongs", "empty fragments", "fragments"],
)
async def test_a_flood_of_frames_that_are_no_messages_is_slowed_down(
    service: Running, flood: bytes
) -> None:
    """By not reading: others have their turn. 1 s of pings held everybody up for 12 s."""
    async with opened(service) as raw, opened(service, "other") as other:
        await raw.send(frame(BINARY, b"", fin=False) if flood[0] < PING else b"")
        raw.writer.write(flood * 200_000)
        began = time.monotonic()
        for _ in range(20):
            await other.saved()
        assert time.monotonic() - began < 8
        flooded = min(here(), key=lambda each: each._framing._reading)
        assert not flooded._framing._reading


async def test_a_flood_of_messages_is_read_in_pieces(service: Running) -> None:
    """picows would come to read, and handle, as many megabytes at once as the kernel has."""
    async with opened(service) as raw:
        await raw.saved()
        await raw.send(frame(BINARY, saved_frame(b"x")) * 50_000)
        await raw.saved()
        assert len(at_work()._framing._buffer(-1)) < 2 * READ_BYTES


async def test_pings_of_a_client_that_never_reads(service: Running) -> None:
    async with opened(service, narrow=True) as raw:
        for _ in range(200):
            await raw.send(frame(PING, b"x" * 125) * 10)
            await a_turn()
            assert at_work()._outbox.queued_bytes < 2**18


# --------------------------------------------------------------------------------- what is refused

BAD_FRAMES = {
    "RSV1, and nothing agreed": frame(BINARY, b"\x03", rsv=RSV1),
    "RSV2": frame(BINARY, b"\x03", rsv=RSV2),
    "RSV3": frame(BINARY, b"\x03", rsv=RSV3),
    "RSV2 in a fragment": frame(BINARY, b"\x03", rsv=RSV2, fin=False),
    "RSV1 in a ping": frame(PING, rsv=RSV1),
    "RSV3 in a close frame": frame(CLOSE, rsv=RSV3),
    "no mask": frame(BINARY, b"\x03", mask=b""),
    "opcode 3": frame(3),
    "opcode 7": frame(7),
    "opcode 11": frame(11),
    "opcode 15": frame(15),
    "a ping in fragments": frame(PING, fin=False),
    "a long ping": frame(PING, b"x" * 126),
    "a long close frame": frame(CLOSE, b"\x03\xe8" + b"x" * 124),
    "a length of 16 bits for a few": b"\x82\xfe\x00\x05" + bytes(9),
    "a length of 64 bits for a few": b"\x82\xff" + (65_535).to_bytes(8, "big") + bytes(65_539),
    "a length with the highest bit": b"\x82\xff" + (2**63).to_bytes(8, "big") + bytes(4),
    "a continuation of nothing": frame(CONTINUATION, b"\x03"),
    "a last continuation of nothing": frame(CONTINUATION, b"\x03", fin=False),
    "a message within a message": frame(BINARY, b"\x66", fin=False) + frame(BINARY, b"\x03"),
    "half a close code": frame(CLOSE, b"\x03"),
}


@pytest.mark.parametrize("offered", ["", DEFLATE], ids=["plain", "deflate"])
async def test_frames_that_break_the_protocol(service: Running, offered: str) -> None:
    """1002, RFC 6455 sections 5.1 to 5.5, and nobody else is any the worse."""

    async def offend(label: str, data: bytes) -> None:
        async with opened(service, "drafts/1", *([offered] if offered else [])) as raw:
            await raw.saved()
            await raw.send(data)
            frames = await raw.until_closed()
            assert frames[-1].code == 1002, f"{label}: {frames}"
            assert await raw.end() == b"", label

    bad = dict(BAD_FRAMES)
    if offered:  # RFC 7692 section 6: the bit is the first fragment's
        del bad["RSV1, and nothing agreed"]
        bad["RSV1 in a continuation"] = frame(BINARY, b"\x03", fin=False) + frame(
            CONTINUATION, b"\x03", rsv=RSV1
        )
    async with connect(service.sync_url, "drafts/1", token_for()) as witness:
        async with anyio.create_task_group() as tasks:
            for label, data in bad.items():
                tasks.start_soon(offend, label, data)
        await witness.saved()
    await eventually(lambda: not [each for each in here() if not each.gone])


async def test_a_close_frame_that_is_not_utf8(service: Running) -> None:
    async with opened(service) as raw:
        await raw.send(frame(CLOSE, b"\x03\xe8\xff\xfe"))
        await refused(raw, 1007)


@pytest.mark.parametrize("fin", [True, False])
async def test_text(service: Running, fin: bool) -> None:
    async with opened(service) as raw:
        await raw.saved()
        await raw.send(frame(TEXT, b"hello", fin=fin))
        frames = await raw.until_closed()
        assert reasons(frames) == ["the y-websocket protocol is binary; this was a text message"]
        assert frames[-1].code == 4400


async def test_text_before_the_document_is_open(service: Running, store: TroubledStore) -> None:
    store.hold()
    async with dial(service) as raw:
        await raw.send(upgrade(), frame(TEXT, b"hello"))
        await raw.head()
        frames = await raw.until_closed()
        assert frames[-1].code == 4400
        assert len(messages(frames)) == 1  # the reason, and nothing of the document
        store.release()
        await raw.end()
    await eventually(lambda: not here())


async def test_text_before_a_document_that_is_in_memory(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes to join, and is at once out of the room again."""
    monkeypatch.setattr(patience, "HOLD_SECONDS", 30)
    async with opened(service) as witness, dial(service) as raw:
        await witness.saved()
        await raw.send(upgrade(), frame(TEXT, b"hello"))
        await raw.head()
        assert reasons([await raw.frame()])
        assert {each._hub.statistics().connections for each in here()} == {1}
        await raw.send(close_frame(1000))
        assert messages(await raw.until_closed()) == []  # of the document


async def test_what_came_before_a_bad_frame_is_stored(
    service: Running, store: TroubledStore
) -> None:
    async with opened(service) as raw:
        await raw.saved()
        edit = frame(BINARY, update_frame(Peer().put("q", "kept")))
        await raw.send(edit, frame(3))
        await refused(raw, 1002)
    await is_stored(store, {"q": "kept"})


@pytest.mark.parametrize("deflated", [False, True])
async def test_who_is_refused_while_it_sends_hears_why(service: Running, deflated: bool) -> None:
    """A socket that is closed while data arrives is reset, and the reset overtakes the reason."""
    header = b"\x82\xff" + (2**30).to_bytes(8, "big") + bytes(4)
    async with opened(service, "drafts/1", *([DEFLATE] if deflated else [])) as raw:
        await raw.send(header)
        sent = 0
        heard = raw.reader._buffer  # type: ignore[attr-defined] # frames begin in it
        while b"\x03\xf1" not in heard and sent < 2**25:
            await raw.send(bytes(2**18))
            sent += 2**18
        await raw.send(bytes(2**20))  # it has not been reset yet
        frames = await raw.until_closed()
        assert frames[-1].code == 1009
        assert sent < 2**25


async def test_what_comes_behind_a_frame_too_large_is_not_kept(service: Running) -> None:
    async with opened(service) as raw:
        await raw.saved()
        await raw.send(b"\x82\xff" + (2**30).to_bytes(8, "big") + bytes(4) + bytes(2**20))
        framing = at_work()._framing
        await raw.until(is_close)
        assert framing._deaf
        assert len(framing._buffer(-1)) < 2**18


# --------------------------------------------------------------------------------------- the close


async def test_a_clients_close_frame_is_answered_with_its_code(service: Running) -> None:
    async def close(code: int) -> None:
        async with opened(service) as raw:
            await raw.send(close_frame(code, "schön"))
            assert await refused(raw, code) == ""

    async with anyio.create_task_group() as tasks:
        for code in (1000, 1001, 1003, 1007, 1011, 1013, 3000, 3999, 4000, 4401, 4999):
            tasks.start_soon(close, code)
    await eventually(lambda: not here())


async def test_an_empty_close_frame(service: Running) -> None:
    async with opened(service) as raw:
        await raw.send(close_frame())
        await refused(raw, 1000)


async def test_codes_that_no_close_frame_has(service: Running) -> None:
    """RFC 6455 section 7.4: they are never sent."""

    async def close(code: int) -> None:
        async with opened(service) as raw:
            await raw.send(close_frame(code))
            await refused(raw, 1002)

    async with anyio.create_task_group() as tasks:
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535):
            tasks.start_soon(close, code)


async def test_nothing_behind_a_close_frame_is_taken(
    service: Running, store: TroubledStore
) -> None:
    async with opened(service) as raw:
        before, after = (Peer().put("q", value) for value in ("before", "after"))
        await raw.send(
            frame(BINARY, update_frame(before)),
            close_frame(1000),
            frame(BINARY, update_frame(after)),
            frame(BINARY, b"nonsense"),
        )
        await refused(raw, 1000)
    await is_stored(store, {"q": "before"})


async def test_nothing_is_sent_behind_a_close_frame(service: Running) -> None:
    """Not what is queued for a client that closes, nor what its room says meanwhile."""
    async with opened(service, narrow=True) as raw:
        await stuff(raw)
        closing = at_work()
        async with connect(service.sync_url, "drafts/1", token_for()) as author:
            await author.synced()
            await raw.send(close_frame(1000))
            await eventually(lambda: closing._over)
            for size in (10, 2_000, 60_000):
                await author.put("q", "x" * size)
            await author.saved()
        await raw.until_closed()
        assert await raw.end() == b""


async def test_a_final_verdict_is_told_held_and_closed(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HOLD_SECONDS", 0.3)
    began = time.monotonic()
    async with opened(service, token="nonsense") as raw:
        told = await raw.frame()
        assert told.payload[:2] == b"\x02\x00"
        await raw.send(frame(BINARY, b"more"), frame(PING, b"there?"))
        frames = await raw.until_closed()
        assert time.monotonic() - began >= 0.29
        assert [f.opcode for f in frames] == [PONG, CLOSE]
        assert frames[-1].code == 4401
        assert "signed JWT" in frames[-1].payload[2:].decode()
        await raw.send(close_frame(4401))
        assert await raw.end() == b""


async def test_a_verdict_is_told_once(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the frame that tells it should fill the socket, which then drains."""
    monkeypatch.setattr(patience, "HOLD_SECONDS", 0.2)
    async with opened(service, token="nonsense") as raw:
        first = await raw.frame()
        held = at_work()
        held.pause_writing()
        held.resume_writing()
        assert len(reasons([first, *await raw.until_closed()])) == 1


async def test_who_closes_while_it_is_held_is_answered_at_once(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HOLD_SECONDS", 30)
    async with opened(service, token="nonsense") as raw:
        await raw.frame()
        await raw.send(close_frame(1000))
        await refused(raw, 1000)
    await eventually(lambda: not here())


async def test_a_client_that_never_answers_the_close_frame(service: Running) -> None:
    began = time.monotonic()
    async with opened(service, token="nonsense") as raw:
        assert (await raw.until_closed())[-1].code == 4401
        assert await raw.end() == b""
    assert time.monotonic() - began >= 0.24  # HOLD_SECONDS and LAST_WORDS_SECONDS


async def test_a_client_that_never_reads_does_not_hear_why(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "CLOSE_SECONDS", 0.3)
    async with opened(service, narrow=True) as raw:
        await stuff(raw, full=True)  # or the last of it may still find room on the way
        await raw.send(frame(TEXT))
        await eventually(lambda: not [each for each in here() if not each.gone])


async def test_who_reads_late_hears_why_once(service: Running) -> None:
    async with opened(service, narrow=True) as raw:
        await stuff(raw)
        await raw.send(frame(TEXT))
        await eventually(lambda: at_work()._over)
        frames = await raw.until_closed()
        assert len(reasons(frames)) == 1
        assert is_close(frames[-1])


async def stuff(raw: Raw, *, full: bool = False) -> None:
    """Fill everything between the service and a client that does not read."""
    await raw.message(update_frame(Peer().put("large", "x" * 60_000)))
    await raw.saved()
    outbox = at_work()._outbox
    while not (outbox.full if full else not outbox.empty):
        raw.writer.write(frame(BINARY, step1_frame(b"\x00")))
        await a_turn()


# ----------------------------------------------------------------------------------------- deflate


def compressed(message: bytes, *sizes: int) -> bytes:
    """The frames of a deflated message, cut into pieces of these sizes and a rest."""
    payload = deflate(message)
    pieces = []
    for size in sizes:
        pieces.append(payload[:size])
        payload = payload[size:]
    pieces.append(payload)
    last = len(pieces) - 1
    return b"".join(
        frame(CONTINUATION if n else BINARY, piece, rsv=0 if n else RSV1, fin=n == last)
        for n, piece in enumerate(pieces)
    )


@pytest.mark.parametrize("sizes", [(), (0,), (1, 1), (5, 0, 100)])
async def test_a_deflated_message(service: Running, sizes: tuple[int, ...]) -> None:
    edit = update_frame(Peer().put("q", "abc" * 1_000))
    async with opened(service, "drafts/1", DEFLATE) as raw:
        await raw.send(compressed(edit, *sizes))
        await raw.saved()
        async with connect(service.sync_url, "drafts/1", token_for()) as other:
            await other.sees("q", "abc" * 1_000)


async def test_deflated_or_not_by_length(service: Running) -> None:
    async with (
        opened(service, "drafts/1", DEFLATE) as deflating,
        opened(service) as plain,
        connect(service.sync_url, "drafts/1", token_for()) as author,
    ):
        await author.synced()
        for raw in (deflating, plain):
            await raw.saved()
        for number, length in enumerate((10, 900, 1_100, 60_000, 200_000, 300_000)):
            update = await author.put(f"q{number}", "a" * length)
            wanted = update_frame(update)
            await plain.until_message(wanted)
            if not 1_024 < len(wanted) <= 2**18:
                await deflating.until_message(wanted)
                continue
            (got,) = (await deflating.until(lambda f: f.first == 0xC2))[-1:]
            assert zlib.decompressobj(-15).decompress(got.payload + b"\x00\x00\xff\xff") == wanted
            assert len(got.payload) < length / 5


async def test_a_deflate_bomb_costs_one_connection(service: Running) -> None:
    """Fault 24: 1 GiB in a megabyte, twice: whole, and in fragments."""
    compressor = zlib.compressobj(9, wbits=-15)
    piece = compressor.compress(bytes(2**20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    bomb = piece * 1_024
    before = _resident()
    async with opened(service, "other") as witness:
        for whole in (True, False):
            async with opened(service, "drafts/1", DEFLATE) as raw:
                await raw.saved()
                if whole:
                    await raw.send(frame(BINARY, bomb, rsv=RSV1))
                else:
                    await raw.send(frame(BINARY, bomb[:1_000], rsv=RSV1, fin=False))
                    await raw.send(frame(CONTINUATION, bomb[1_000:]))
                await witness.saved()
                await refused(raw, 1009)
    assert _resident() - before < 64 * 2**20  # of which 16 MiB are allowed, and inflated twice


async def test_bombs_that_wait_are_bounded_together(service: Running) -> None:
    """Each is within the limit, and all come in one read, behind an edit that takes a while."""
    compressor = zlib.compressobj(9, wbits=-15)
    bomb = compressor.compress(bytes(10 * 2**20)) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]
    bombs = frame(BINARY, bomb, rsv=RSV1) * 4
    assert len(bombs) < READ_BYTES
    large = frame(BINARY, update_frame(Peer().put("large", "x" * 70_000)))
    async with opened(service, "drafts/1", DEFLATE) as raw:
        await raw.send(frame(BINARY, saved_frame(b"x")) * 20_000)  # now it is read 64 KiB at once
        await raw.saved()
        before = _resident()
        await raw.send(large, bombs)
        await refused(raw, 1009)
        assert _resident() - before < 64 * 2**20


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.parametrize("payload", [b"", b"\xff" * 50, b"\x00", deflate(b"x" * 50)[:-3]])
async def test_deflated_garbage(service: Running, payload: bytes) -> None:
    async with opened(service, "drafts/1", DEFLATE) as raw:
        await raw.saved()
        await raw.send(frame(BINARY, payload, rsv=RSV1))
        frames = await raw.until_closed()
        assert frames[-1].code == 4400
        assert len(reasons(frames)) == 1


async def test_deflate_with_the_websockets_library(service: Running) -> None:
    url = f"{service.sync_url}/drafts/1?token={token_for()}"
    async with (
        connect_websocket(url, compression="deflate", proxy=None) as one,
        connect_websocket(url, compression="deflate", proxy=None) as other,
    ):
        assert one.response is not None
        assert "permessage-deflate" in one.response.headers["Sec-WebSocket-Extensions"]
        for length in (10, 5_000, 100_000):
            update = update_frame(Peer().put("q", "abc" * length))
            await one.send(update)
            async with asyncio.timeout(PATIENCE):
                while await other.recv() != update:
                    pass


NODE_CLIENT = """
import WebSocket from 'ws'
const [url, ...frames] = process.argv.slice(2)
const socket = new WebSocket(url, { perMessageDeflate: { threshold: 0 } })
let answer = 0
socket.on('open', () => {
  if (!socket.extensions.includes('permessage-deflate')) throw new Error('not agreed')
  frames.forEach(frame => socket.send(Buffer.from(frame, 'base64')))
})
socket.on('message', message => {
  if (message[0] === 0 && message[1] === 1) answer = message.length
  if (message[0] === 102) socket.close(1000)
})
socket.on('close', code => process.exit(code === 1000 && answer > 30000 ? 0 : 1))
"""


@pytest.mark.node
async def test_deflate_with_ws_of_node(service: Running, store: TroubledStore) -> None:
    """It deflates all it sends, and inflates what it gets."""
    peer = Peer()
    frames = [update_frame(peer.put(f"q{n}", "abc" * n)) for n in (1, 1_000, 10_000)]
    frames += [step1_frame(b"\x00"), saved_frame(b"done")]
    url = f"{service.sync_url}/drafts/1?token={token_for()}"
    arguments = [url, *(base64.b64encode(each).decode() for each in frames)]
    command = [node_command(), "--input-type=module", "-e", NODE_CLIENT, "-"]
    with anyio.fail_after(PATIENCE):
        await anyio.run_process([*command, *arguments], cwd=WIRE, stderr=subprocess.STDOUT)
    await is_stored(store, peer.answers)


# ------------------------------------------------------------------------- the last edit (fault 4)

Leave = Callable[[Raw], None]


def close_politely(raw: Raw) -> None:
    raw.writer.write(close_frame(1000))
    raw.writer.close()


def hang_up(raw: Raw) -> None:
    raw.writer.close()


def reset(raw: Raw) -> None:
    """As the kernel does for a process that was killed with something unread."""
    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.writer.close()


WAYS = pytest.mark.parametrize("leave", [close_politely, hang_up, reset])


@WAYS
async def test_the_last_edit_of_a_client_that_never_saw_the_document(
    service: Running, store: TroubledStore, leave: Leave
) -> None:
    """Head, edit, gone, while the document still loads."""
    store.hold()
    async with dial(service) as raw:
        await raw.send(upgrade(), frame(BINARY, update_frame(Peer().put("q", "last"))))
        await raw.head()
        await eventually(lambda: store.loads == 1)
        leave(raw)
        await a_turn()
        store.release()
        await eventually(lambda: not here())
    await is_stored(store, {"q": "last"})


@WAYS
async def test_more_than_the_backlog_while_the_document_loads(
    service: Running, store: TroubledStore, leave: Leave
) -> None:
    """What is not read yet when the client goes is in the kernel, and is taken from there."""
    peer = Peer()
    values = {f"q{n}": "x" * 1_000 for n in range(150)}
    edits = [frame(BINARY, update_frame(peer.put(*item))) for item in values.items()]
    store.hold()
    async with dial(service) as raw:
        await raw.send(upgrade())
        await raw.head()
        await eventually(lambda: store.loads == 1)
        await raw.send(*edits)
        await eventually(lambda: not _unsent(raw))  # what is still the client's goes with it
        assert not at_work()._framing._reading
        leave(raw)
        await a_turn()
        store.release()
        await eventually(lambda: not here())
    await is_stored(store, values)


def _unsent(raw: Raw) -> int:
    """Bytes that the service's kernel has not acknowledged."""
    there = raw.writer.transport.get_write_buffer_size()
    size = fcntl.ioctl(raw.socket.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return there + int(struct.unpack("i", size)[0])


async def test_the_last_edit_while_others_write_to_the_client(
    service: Running, store: TroubledStore
) -> None:
    """The first write to a client that went is answered by a reset, the second one fails: what the
    client sent before is in the kernel."""
    rounds, kept = 50, {}
    async with opened(service) as busy:
        peer = Peer()
        for number in range(rounds):
            async with opened(service) as raw:
                await raw.saved()
                kept[f"q{number}"] = number
                for n in range(5):
                    busy.writer.write(
                        frame(BINARY, update_frame(peer.put("busy", number * 10 + n)))
                    )
                    busy.writer.write(frame(BINARY, saved_frame(b"x")))
                raw.writer.write(frame(BINARY, update_frame(Peer().put(f"q{number}", number))))
                hang_up(raw)
                await a_turn()
        await busy.saved()
    await eventually(lambda: not here())
    await is_stored(store, kept)


# -------------------------------------------------------------------------------------------- waits


async def test_who_was_not_admitted_is_not_read(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitted = asyncio.Event()
    check = Admission.check

    async def slow_check(self: Admission, request: object) -> object:
        await admitted.wait()
        return await check(self, request)  # type: ignore[arg-type]

    monkeypatch.setattr(Admission, "check", slow_check)
    async with opened(service) as raw:
        raw.writer.write(frame(BINARY, bytes(2**23)))
        for _ in range(50):
            await a_turn()
        framing = at_work()._framing
        assert not framing._reading
        assert len(framing._buffer(-1)) < 4_096
        assert not at_work()._backlog
        admitted.set()
        await refused(raw, 4400)


async def test_messages_that_wait_for_the_document_keep_their_order_and_bound(
    service: Running, store: TroubledStore
) -> None:
    store.hold()
    peer = Peer()
    updates = [update_frame(peer.put("q", f"{n} " + "x" * 900)) for n in range(1_000)]
    async with opened(service) as raw:
        await eventually(lambda: store.loads == 1)
        raw.writer.write(b"".join(frame(BINARY, update) for update in updates))
        waiting = at_work()
        await eventually(lambda: not waiting._framing._reading)
        for _ in range(20):
            await a_turn()
        assert BACKLOG_BYTES < waiting._backlog_bytes < BACKLOG_BYTES + 2 * READ_BYTES
        store.release()
        await raw.saved()
        assert waiting._backlog is None
        assert waiting._framing._reading
    await is_stored(store, {"q": "999 " + "x" * 900})


async def test_empty_messages_that_wait_are_bounded_too(
    service: Running, store: TroubledStore
) -> None:
    store.hold()
    async with opened(service) as raw:
        await eventually(lambda: store.loads == 1)
        raw.writer.write(frame(BINARY) * 200_000)
        waiting = at_work()
        await eventually(lambda: not waiting._framing._reading)
        for _ in range(20):
            await a_turn()
        assert waiting._backlog is not None
        assert len(waiting._backlog) < READ_BYTES
        store.release()
        await refused(raw, 4400)


async def test_a_rate_is_kept_by_reading_slower() -> None:
    limits = {"message_rate": 200, "message_burst": 10}
    async with (
        running(MemoryStore(), transport="picows", **limits) as service,
        opened(service) as raw,
    ):
        began = time.monotonic()
        await raw.send(*(frame(BINARY, saved_frame(b"%d" % n)) for n in range(100)))
        frames = await raw.until_message(saved_frame(b"99"))
        assert time.monotonic() - began > 0.3
        echoed = [m for m in messages(frames) if m[:1] == b"\x66"]
        assert echoed == [saved_frame(b"%d" % n) for n in range(100)]


async def test_who_leaves_while_it_waits_for_its_own_reading(service: Running) -> None:
    """Its answer waits for a socket that will never take anything again."""
    async with opened(service, narrow=True) as raw:
        await stuff(raw, full=True)
        waiting = at_work()
        raw.writer.write(frame(BINARY, step1_frame(b"\x00")))
        await eventually(lambda: waiting._task is not None)
        reset(raw)
        await eventually(lambda: not here())


async def test_a_room_goes_on_though_one_in_it_is_gone_and_waits(
    service: Running, store: TroubledStore
) -> None:
    """Its large edit is still being tried out: to its outbox, frames of all sizes go nowhere."""
    url, token = service.sync_url, token_for()
    async with opened(service) as author, connect(url, "drafts/1", token) as reader:
        await reader.synced()
        async with opened(service, "drafts/1", DEFLATE) as raw:
            await raw.saved()
            (waiting,) = (each for each in here() if each._deflated)
            large = Peer().put("large", "x" * 200_000)
            raw.writer.write(frame(BINARY, update_frame(large)))
            await eventually(lambda: waiting._task is not None)
            reset(raw)
            await eventually(lambda: waiting.gone)
        assert waiting._task is not None
        peer = Peer()
        for size in (10, 2_000, 60_000):
            await author.message(update_frame(peer.put("q", "y" * size)))
            await reader.sees("q", "y" * size)
    await is_stored(store, {"large": "x" * 200_000} | peer.answers)
    await eventually(lambda: not here())


async def test_the_verdict_on_a_wait_that_has_not_begun(service: Running) -> None:
    """The task is cancelled before its first step, and must be forgotten all the same."""
    async with opened(service) as raw:
        await raw.saved()
        await raw.send(frame(BINARY, b"\x02\x01" + encode_bytes(b"no token")), frame(3))
        await refused(raw, 1002)
        await eventually(lambda: not here())


# -------------------------------------------------------------------------------- large and small


async def test_large_and_small_frames_to_a_slow_reader(service: Running) -> None:
    """picows writes frames above 8 KiB by a pointer to a buffer that it uses again."""
    peer, random = Peer(), Random(7)
    peer.put("large", random.randbytes(30_000).hex())
    async with opened(service, narrow=True) as raw, opened(service) as author:
        await author.message(step2_frame(peer.doc.get_update()))
        await author.saved()
        await raw.saved()
        wanted = []
        for n in range(60):
            size = random.choice((10, 900, 1_100, 7_000, 9_000, 30_000))
            wanted.append(update_frame(peer.put("mixed", random.randbytes(size // 2).hex())))
            await author.message(wanted[-1])
            await author.saved()  # one frame each: those of one turn would be merged
            if n % 15 == 0:
                await raw.send(frame(BINARY, step1_frame(b"\x00")), frame(PING, b"%d" % n))
        reader = Peer()
        updates: list[bytes] = []
        while updates[-1:] != wanted[-1:]:
            payload = (await raw.frame()).payload
            if payload[:2] in (b"\x00\x01", b"\x00\x02"):
                reader.take(payload)
            if payload[:2] == b"\x00\x02":
                updates.append(payload)
        assert updates == wanted
        assert reader.answers == peer.answers


async def test_a_large_step2_both_ways_and_its_memory_goes(service: Running) -> None:
    """Up in one frame of 15 MB, down to another; the parser that read it is replaced."""
    value = "x" * 15_000_000
    up = frame(BINARY, step2_frame(Peer().put("large", value)), mask=bytes(4))
    async with opened(service) as raw, opened(service) as other:
        await raw.send(up, frame(BINARY, saved_frame(b"first")))
        await raw.until_message(saved_frame(b"first"))
        await raw.saved()
        framings = [each._framing for each in here() if not each.gone]
        await eventually(lambda: all(len(f._buffer(-1)) < 4_096 for f in framings))
        await other.send(frame(BINARY, step1_frame(b"\x00")))
        frames = await other.until(lambda f: f.payload[:2] == b"\x00\x01")
        peer = Peer()
        peer.take(frames[-1].payload)
        assert peer.answers == {"large": value}
        await raw.saved(b"still here")
        await other.send(close_frame(1000))
        await other.until_closed()


async def test_large_frames_with_others_right_behind(service: Running) -> None:
    """A parser is replaced only when nothing is in it."""
    peer = Peer()
    edits = []
    for n in range(6):
        edits.append(frame(BINARY, step2_frame(peer.put(f"q{n}", str(n) * 1_100_000))))
        edits.append(frame(BINARY, saved_frame(b"%d" % n)))
        edits.append(frame(PING, b"%d" % n))
    stream = b"".join(edits)
    random = Random(3)
    async with opened(service) as raw:
        at = 0
        while at < len(stream):
            size = random.choice((1, 7, 100_000, 700_000))
            await raw.send(stream[at : at + size])
            await a_turn()
            at += size
        frames = await raw.until_message(saved_frame(b"5"))
        echoed = [m for m in messages(frames) if m[:1] == b"\x66"]
        assert echoed == [saved_frame(b"%d" % n) for n in range(6)]
        async with connect(service.sync_url, "drafts/1", token_for()) as other:
            await other.synced()
            assert other.peer.answers == peer.answers


async def test_a_slow_reader_gets_one_diff(service: Running) -> None:
    """Fault 21, on a real socket: 10,000 updates, and what is queued stays bounded."""
    async with opened(service, narrow=True) as slow, opened(service) as author:
        await slow.saved()
        slow_end = min(here(), key=lambda each: each._connection.id if each._connection else 0)
        peer = Peer()
        most = 0
        for n in range(200):
            updates = [peer.put(f"q{n % 10}", f"{n} {m} " + "z" * 500) for m in range(50)]
            await author.send(*(frame(BINARY, update_frame(update)) for update in updates))
            await author.saved()
            most = max(most, slow_end._outbox.queued_bytes)
        assert slow_end._outbox.full or most < MAX_BYTES
        assert most < MAX_BYTES + 2**18
        reader = Peer()
        frames = 0
        while reader.answers != peer.answers:
            payload = (await slow.frame()).payload
            if payload[:1] == b"\x00":
                reader.take(payload)
                frames += 1
        assert frames < 10_000
        await slow.saved()


# ---------------------------------------------------------------------------------------- silence


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PING_SECONDS", 0.1)
    monkeypatch.setattr(patience, "SILENCE_SECONDS", 0.4)


@pytest.mark.usefixtures("impatient")
async def test_silence_is_pinged_and_then_the_end(service: Running) -> None:
    began = time.monotonic()
    async with opened(service) as raw:
        await raw.until(lambda f: f.opcode == PING)
        await raw.end()
    assert time.monotonic() - began > 0.3


@pytest.mark.usefixtures("impatient")
async def test_a_pong_is_a_sign_of_life(service: Running) -> None:
    async with opened(service) as raw:
        began = time.monotonic()
        while time.monotonic() - began < 0.6:
            ping = (await raw.until(lambda f: f.opcode == PING))[-1]
            await raw.send(frame(PONG, ping.payload))
        await raw.saved()


@pytest.mark.usefixtures("impatient")
async def test_a_large_message_on_a_thin_line_is_no_silence(service: Running) -> None:
    """While it comes there is no frame, and can be none; but bytes."""
    message = frame(BINARY, step2_frame(Peer().put("q", "x" * 10_000)))
    async with opened(service) as raw:
        await raw.saved()
        for start in range(0, len(message), 800):
            await raw.send(message[start : start + 800])
            await asyncio.sleep(0.05)  # the line is thin: 0.6 s in all
        await raw.saved()


@pytest.mark.usefixtures("impatient")
async def test_a_large_answer_on_a_thin_line_is_no_silence(
    service: Running, store: TroubledStore
) -> None:
    """The pings wait behind it, so no pong can come; but bytes go."""
    # The large edit is not the first: that would be loaded in parts, which takes its time, too.
    large = an_edit("drafts/1", "q", os.urandom(650_000).hex())
    await store.append([an_edit("drafts/1", "small"), large])
    async with opened(service, narrow=True) as raw:
        await raw.message(step1_frame(b"\x00"))
        began = time.monotonic()
        for _ in range(24):
            await raw.reader.readexactly(50_000)
            await asyncio.sleep(0.03)
        assert time.monotonic() - began > 0.6
        assert not at_work().gone


@pytest.mark.usefixtures("impatient")
async def test_who_is_not_read_is_not_silent(service: Running, store: TroubledStore) -> None:
    """The disk is slow, its socket full: that is our silence."""
    store.hold()
    async with opened(service) as raw:
        await eventually(lambda: store.loads == 1)
        raw.writer.write(frame(BINARY, update_frame(Peer().put("q", "x" * 100_000))))
        waiting = at_work()
        await eventually(lambda: not waiting._framing._reading)
        await asyncio.sleep(0.6)  # longer than SILENCE_SECONDS
        store.release()
        await raw.saved()


# -------------------------------------------------------------------------------------------- bugs


async def test_a_bug_while_opening(
    service: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(hub_module.Hub, "_check_admission", fail)
    async with opened(service) as raw:
        await refused(raw, 1011)
    assert "ZeroDivisionError" in caplog.text


async def test_a_bug_while_catching_up(
    service: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async with opened(service, narrow=True) as raw:
        await stuff(raw)
        monkeypatch.setattr(hub_module.Hub, "drained", fail)
        frames = await raw.until_closed()
        assert frames[-1].code == 1011
    assert "ZeroDivisionError" in caplog.text


async def test_a_bug_of_ours_that_only_picows_catches(
    service: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async with opened(service) as raw, opened(service, "other") as other:
        await raw.saved()
        monkeypatch.setattr(DocumentSocket, "_take_rare", fail)
        await raw.send(frame(PING))
        await refused(raw, 1011)
        await other.saved()
    assert "ZeroDivisionError" in caplog.text


# -------------------------------------------------------------------------------------------- leaks


async def test_nothing_is_left_of_connections_in_any_state(
    service: Running, store: TroubledStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand, that go while they open, wait, are refused, held, slow, or at peace."""
    caplog.set_level(logging.WARNING)
    await _spend(service, store, 1)  # what is made once
    others = _sockets()  # of a test before this one that failed
    tasks, files = len(asyncio.all_tasks()), _open_files()
    timers = _timers()
    await _spend(service, store, 15)
    await eventually(lambda: not here())
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    await eventually(lambda: _open_files() <= files)
    gc.collect()
    assert all(each in others for each in _sockets())
    assert _timers() <= timers + 5
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def _sockets() -> list[object]:
    return [each for each in gc.get_objects() if type(each) in (DocumentSocket, Framing)]


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _timers() -> int:
    """That are still to come."""
    handles = (o for o in gc.get_objects() if type(o).__name__ == "TimerHandle")
    return sum(not handle.cancelled() for handle in handles)


async def _spend(service: Running, store: TroubledStore, rounds: int) -> None:
    async def opening(leave: Leave) -> None:
        async with dial(service) as raw:
            await raw.send(upgrade("cold"))
            await raw.head()
            leave(raw)

    async def half_a_head(leave: Leave) -> None:
        async with dial(service) as raw:
            await raw.send(upgrade()[:100])
            leave(raw)

    async def held(leave: Leave) -> None:
        async with opened(service, token="nonsense") as raw:
            await raw.frame()
            leave(raw)

    async def broken(leave: Leave) -> None:
        async with opened(service) as raw:
            await raw.send(frame(3))
            leave(raw)

    async def waiting(leave: Leave) -> None:
        async with opened(service) as raw:
            await raw.send(frame(BINARY, step2_frame(EMPTY_UPDATE)) * 50)
            leave(raw)

    async def flooding(leave: Leave) -> None:
        async with opened(service) as raw:
            await raw.send(frame(PING) * 3_000)
            leave(raw)

    async def at_peace(leave: Leave) -> None:
        async with opened(service) as raw:
            await raw.saved()
            leave(raw)

    for _ in range(rounds):
        store.hold()
        async with anyio.create_task_group() as tasks:
            for leave in (close_politely, hang_up, reset):
                for _ in range(3):
                    for state in (half_a_head, held, broken, waiting, flooding, opening):
                        tasks.start_soon(state, leave)
        store.release()
        async with anyio.create_task_group() as tasks:
            for leave in (close_politely, hang_up, reset):
                for _ in range(3):
                    tasks.start_soon(at_peace, leave)
        await eventually(lambda: not here())
