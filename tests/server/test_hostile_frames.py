"""Frames, names and tokens that are wrong, over real sockets: each costs one connection, with why.

A final verdict (4400-4499) is preceded by its reason as message 2/0, and held for about two
seconds, so the tables are worked through on many sockets at once.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from random import Random
from struct import pack, unpack

import anyio
import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sync.core.errors import MalformedMessage
from sync.core.yprotocol import decode
from tests.fuzz.mutation import mutant
from tests.support.hostile import (
    ANY,
    PATIENCE,
    Ending,
    Presence,
    Run,
    awareness,
    barrier,
    blob,
    dial,
    ending,
    fake_people,
    item,
    presence_attacks,
    reaches_disk,
    read_map,
    resident_memory,
    step1,
    step2,
    string,
    sync_update,
    two_editors,
    uint,
    update,
    value,
    whole,
)
from tests.support.service import AUDIENCE, SECRET, ServiceProcess

Record = Callable[[str, object], None]

EDIT = update(Run(77, 0, [item(ANY, value(), key="x")]))
VALID = (
    step1(),
    step1(b"\x01\x05\x07"),
    step2(EDIT),
    sync_update(EDIT),
    awareness((7, 1, '{"a":1}')),
    barrier(b"payload"),
    b"\x02\x01" + string("a token"),
)
MALFORMED = {
    "an empty frame": b"",
    "an unknown type": b"\x04",
    "the type of y-sweet's that is next": b"\x67\x00",
    "a large unknown type": uint(2**53 - 1),
    "a type longer than 8 bytes": b"\x80" * 9 + b"\x00",
    "sync subtype 3": b"\x00\x03\x00",
    "sync subtype 7": b"\x00\x07" + blob(EDIT),
    "auth subtype 0 from a client": b"\x02\x00" + string("denied"),
    "auth subtype 2": b"\x02\x02" + string("x"),
    "auth: not UTF-8": b"\x02\x01" + blob(b"\xff\xfe"),
    "a length beyond the frame": b"\x00\x02\x7f\x00",
    "a length of 2^53 - 1": b"\x00\x02" + uint(2**53 - 1),
    "a length above 2^53": b"\x00\x02" + uint(2**60),
    "an endless length": b"\x00\x02" + b"\xff" * 20,
    "a state vector that lies": step1(uint(2**40)),
    "a state vector cut short": step1(b"\x02\x05\x07"),
    "a barrier of 2 KB": barrier(b"x" * 2_048),
    **{f"bytes after {frame[:2].hex()}": frame + b"\x00" for frame in VALID},
}
BAD_NAMES = {
    "empty": "",
    "one dot": ".",
    "two dots": "..",
    "two dots inside": "a/../b",
    "two dots encoded": "a/%2e%2e/b",
    "slash encoded, then dots": "a%2f..%2fb",
    "empty segment": "a//b",
    "leading slash": "/a",
    "trailing slash": "a/",
    "leading slash encoded": "%2fa",
    "NUL": "a%00b",
    "newline": "a%0ab",
    "DEL": "a%7fb",
    "256 bytes": "a" * 256,
    "256 bytes in UTF-8": "%C3%A9" * 128,
    "10 KB": "a" * 10_240,
    "not UTF-8": "a%ffb",
    "overlong UTF-8": "a%c0%afb",
    "a surrogate": "a%ed%a0%80b",
    "stray %": "a%b%",
    "stray % at the end": "a%2",
}
GOOD_NAMES = {
    "drafts/42": "drafts%2F42",  # the same room, written otherwise
    "100%25": "100%25",  # decoded once: 100%
    "100%2525": "100%2525",  # decoded once: 100%25, and not 100%
    "a+b": "a%2Bb",
    "%C3%A9" * 127: "%c3%a9" * 127,
    "...": "%2e%2E.",
}


@pytest.fixture(scope="module", params=["picows", "hypercorn"])
def transport(request: pytest.FixtureRequest) -> str:
    """What serves the WebSockets: whoever connects must not notice a difference."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
async def service(
    tmp_path_factory: pytest.TempPathFactory, transport: str
) -> AsyncIterator[ServiceProcess]:
    path = tmp_path_factory.mktemp("frames") / "drafts.db"
    async with ServiceProcess(path, "--transport", transport) as process:
        yield process


async def all_at_once(jobs: Iterable[Callable[[], Awaitable[None]]], width: int = 40) -> None:
    """Run jobs, so many at a time."""
    limiter = anyio.CapacityLimiter(width)

    async def run(job: Callable[[], Awaitable[None]]) -> None:
        async with limiter:
            await job()

    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(run, job)


def assert_final(end: Ending, code: int, label: str) -> None:
    """A final verdict: its reason first, held for about 2 s, and the code of the contract."""
    assert end.code == code, f"{label}: {end}"
    assert end.reason, f"{label}: no reason was given"
    assert end.reason.startswith(end.close_reason), f"{label}: {end}"
    assert 1.5 < end.seconds < 2.0 + PATIENCE / 4, f"{label}: held {end.seconds:.2f} s"


# ---------------------------------------------------------------------------------------- frames


async def test_malformed_frames_are_told_what_is_wrong(service: ServiceProcess) -> None:
    async def offend(label: str, frame: bytes) -> None:
        async with dial(service, "frames", f"sends {label}") as socket:
            await socket.send(frame)
            assert_final(await ending(socket), 4400, label)

    await all_at_once(_with(offend, label, frame) for label, frame in MALFORMED.items())


async def test_valid_frames_cut_anywhere(service: ServiceProcess) -> None:
    async def offend(frame: bytes) -> None:
        async with dial(service, "cut", f"cuts {frame.hex()[:200]}") as socket:
            await socket.send(frame)
            assert_final(await ending(socket), 4400, frame.hex())

    pieces = {frame[:end] for frame in VALID for end in range(len(frame))} - {b""}
    await all_at_once((_with(offend, piece) for piece in sorted(pieces)), width=120)


async def test_text_is_refused(service: ServiceProcess) -> None:
    async with dial(service, "text") as socket:
        await socket.send("hello")
        end = await ending(socket)
    assert_final(end, 4400, "text")
    assert "binary" in end.reason


async def test_an_update_above_the_limit_is_too_large(service: ServiceProcess) -> None:
    """1 MiB for an update; it can come back smaller, so it is 1009 and not final."""
    large = update(Run(77, 0, [item(ANY, b"\x01\x77" + blob(b"x" * 2**20), key="x")]))
    async with dial(service, "large") as socket:
        await socket.send(sync_update(large))
        end = await ending(socket)
    assert end.code == 1009
    assert "1048576" in end.close_reason


@pytest.mark.parametrize("fragments", [1, 1_000])
async def test_a_message_above_the_transport_limit(
    service: ServiceProcess, fragments: int, record_property: Record
) -> None:
    """1009, in one piece or a thousand, and the server has not kept what it was sent."""
    before = resident_memory(service.pid)
    size = 24 * 2**20
    piece = b"\x00" * (size // fragments)
    async with dial(service, "limit") as socket:
        with suppress(ConnectionClosed):  # it may be closed while we still send
            await socket.send([piece] * fragments if fragments > 1 else piece)
        end = await ending(socket)
        assert end.code == 1009
    grown = resident_memory(service.pid) - before
    print(f"{fragments} fragments: + {grown / 2**20:.1f} MiB")
    record_property("memory, bytes", grown)
    assert grown < 32 * 2**20  # what fault 24 allows


async def test_deflate_is_taken_where_it_is_bounded(
    service: ServiceProcess, transport: str
) -> None:
    url = f"{service.sync_url}/deflate?token={service.token()}"
    async with connect(url, compression="deflate", proxy=None) as socket:
        assert socket.response is not None
        taken = "Sec-WebSocket-Extensions" in socket.response.headers
        assert taken is (transport == "picows")


async def test_a_deflate_bomb(
    service: ServiceProcess, transport: str, record_property: Record
) -> None:
    """A megabyte that inflates to 1 GiB is 1009 at 16 MiB; or refused, where none was agreed."""
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    zeros = compressor.compress(bytes(2**20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    bomb = zeros * 1_024
    before = resident_memory(service.pid)
    url = f"{service.sync_url}/bomb?token={service.token()}"
    async with (
        dial(service, "witness", "witness") as witness,
        connect(url, compression="deflate", proxy=None) as socket,
    ):
        size = len(bomb).to_bytes(8, "big")
        socket.transport.write(b"\xc2\xff" + size + b"\x00" * 4 + bomb)
        assert (await ending(socket)).code in ((1009,) if transport == "picows" else (1002, 1006))
        await reaches_disk(witness)
    grown = resident_memory(service.pid) - before
    print(f"deflate bomb: + {grown / 2**20:.1f} MiB")
    record_property("memory, bytes", grown)
    assert grown < 32 * 2**20  # what fault 24 allows


async def test_a_compressed_frame_is_refused(service: ServiceProcess) -> None:
    """The bit that says so is an error where nothing was agreed: 1002, RFC 6455 section 5.2."""
    async with dial(service, "deflate") as socket:
        socket.transport.write(b"\xc2\x84" + b"\x00" * 8)  # final, compressed, binary, masked
        assert (await ending(socket)).code in (1002, 1006)


# ----------------------------------------------------------------------------------------- names


async def test_bad_names(service: ServiceProcess) -> None:
    async def offend(label: str, name: str) -> None:
        async with dial(service, name, f"names {label}") as socket:
            end = await ending(socket)
        assert end.first[:2] == b"\x02\x00", f"{label}: {end}"
        assert_final(end, 4400, label)

    await all_at_once(_with(offend, label, name) for label, name in BAD_NAMES.items())


async def test_two_spellings_of_a_name_are_one_room(service: ServiceProcess) -> None:
    for number, (name, otherwise) in enumerate(GOOD_NAMES.items()):
        edit = update(Run(500 + number, 0, [item(ANY, value(), key=f"k{number}", parent="form")]))
        async with dial(service, name, "namer") as socket:
            await socket.send(sync_update(edit))
            await reaches_disk(socket)
        assert [*read_map(await whole(service, otherwise))] == [f"k{number}"]


async def test_a_right_to_one_name_opens_no_other(service: ServiceProcess) -> None:
    """The name that is authorised is the name that is used, however it was written."""
    token = service.token("eve", docs={"mine/*": "write"})

    async def offend(name: str) -> None:
        async with dial(service, name, token=token) as socket:
            assert_final(await ending(socket), 4403, name)

    names = ("Mine/x", "yours", "mine", "mine%252fx", "%6Dine%25/x", "yours%2fmine/x")
    await all_at_once(_with(offend, name) for name in names)


# ---------------------------------------------------------------------------------------- tokens


def bad_tokens(service: ServiceProcess) -> dict[str, str]:
    def signed(secret: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
        claims: dict[str, object] = {
            "sub": "eve", "aud": AUDIENCE, "exp": int(time.time()) + 60, "docs": {"*": "write"},
        }  # fmt: skip
        claims |= changes
        kept = {key: claim for key, claim in claims.items() if claim is not None}
        return jwt.encode(kept, secret, algorithm=algorithm)

    good = service.token()
    head, body, signature = good.split(".")
    return {
        "none": "",
        "no JWT": "x",
        "dots": "..",
        "cut": good[:-1],
        "other secret": signed("another secret, as long as the one"),
        "other algorithm": signed(SECRET * 2, "HS384"),
        "alg none": jwt.encode({"sub": "eve"}, "", algorithm="none"),
        "no signature": f"{head}.{body}.",
        "swapped": f"{body}.{head}.{signature}",
        "expired": signed(exp=int(time.time()) - 60),
        "no exp": signed(exp=None),
        "exp in ten years": signed(exp=int(time.time()) + 10 * 365 * 86_400),
        "exp as text": signed(exp=str(int(time.time()) + 60)),
        "no sub": signed(sub=None),
        "empty sub": signed(sub=""),
        "long sub": signed(sub="x" * 257),
        "no aud": signed(aud=None),
        "other aud": signed(aud="other"),
        "list of aud": signed(aud=[AUDIENCE, "other"]),
        "9 KB": signed(name="x" * 9_000),
        "not UTF-8": "%ff%fe",
        "NUL": f"{good}%00",
    }


async def test_bad_tokens(service: ServiceProcess) -> None:
    async def offend(label: str, token: str) -> None:
        async with dial(service, "tokens", token=token) as socket:
            end = await ending(socket)
        assert end.first[:2] == b"\x02\x00", f"{label}: {end}"
        assert_final(end, 4401, label)
        if label == "expired":
            assert end.close_reason == "token-expired"

    await all_at_once(_with(offend, *each) for each in bad_tokens(service).items())


async def test_only_a_foreign_origin_is_refused_before_the_socket(
    tmp_path: Path, transport: str
) -> None:
    options = ("--transport", transport, "--allow-origin", "https://app.example.org")
    async with ServiceProcess(tmp_path / "drafts.db", *options) as service:
        with pytest.raises(InvalidStatus, match="403"):
            async with dial(service, "origins", origin="https://evil.example.org"):
                pass
        async with dial(service, "origins", origin="https://app.example.org") as socket:
            await reaches_disk(socket)
        async with dial(service, "origins") as socket:  # no browser: it has none
            await reaches_disk(socket)


# ------------------------------------------------------------------------------------------ many


async def test_thousands_of_bad_frames(
    service: ServiceProcess, transport: str, record_property: Record
) -> None:
    """From a seeded mutator, over short sockets; the room serves on, the memory is as it was.

    Ten thousand, but by Hypercorn, which is not what is usual, and takes four times as long.
    """
    await _storm(service, 500, seed=0)
    before = resident_memory(service.pid)
    began = time.monotonic()
    async with two_editors(service, "storm") as editors:
        enough = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for editor in editors:
                tasks.start_soon(editor.keep_editing, enough)
            await _storm(service, 10_000 if transport == "picows" else 2_500, seed=1)
            enough.set()
        await editors[0].hears_all_of(editors[1])
        await editors[1].hears_all_of(editors[0])
    found = read_map(await whole(service, "storm"))
    assert found.items() >= (editors[0].written | editors[1].written).items()
    grown = resident_memory(service.pid) - before
    waits = sorted(wait for editor in editors for wait in editor.waits)
    figures = {
        "seconds": round(time.monotonic() - began, 1),
        "memory, KiB": grown // 1024,
        "honest edits": len(waits),
        "worst wait, ms": round(waits[-1] * 1000, 1),
    }
    print(json.dumps(figures))
    record_property("storm", figures)
    # Each bad frame may not leave a thing: 10,000 sockets that each left 2 KB would be seen. The
    # honest edits of the storm stay in memory, of course.
    assert grown < 20 * 2**20


async def _storm(service: ServiceProcess, count: int, seed: int) -> None:
    """Send so many bad frames, each on a socket of its own that is gone once it was told why."""
    frames = bad_frames(Random(seed), count)
    limiter = anyio.CapacityLimiter(64)

    tokens = [service.token(f"mallory {number}") for number in range(50)]

    async def offend(number: int, frame: bytes) -> None:
        async with limiter:
            await _offend_rawly(service.port, tokens[number % 50], frame)

    async with anyio.create_task_group() as tasks:
        for number, frame in enumerate(frames):
            tasks.start_soon(offend, number, frame)


async def _offend_rawly(port: int, token: str, frame: bytes) -> None:
    """Handshake, frame, reason, gone. A client library costs more than the server does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    upgrade = (
        f"GET /sync/storm?token={token} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    length = bytes([0x80 | len(frame)]) if len(frame) < 126 else b"\xfe" + pack(">H", len(frame))
    writer.write(upgrade.encode())
    with anyio.fail_after(PATIENCE):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x82" + length + b"\x00" * 4 + frame)
        while True:  # the server masks nothing, and what it says here is short
            _, size = await reader.readexactly(2)
            if size == 126:
                (size,) = unpack(">H", await reader.readexactly(2))
            assert size != 127
            if (await reader.readexactly(size))[:2] == b"\x02\x00":
                break
    writer.transport.abort()


def bad_frames(random: Random, count: int) -> list[bytes]:
    """Mutants of valid frames that the protocol refuses: what only the guard does is elsewhere."""
    found: list[bytes] = []
    while len(found) < count:
        frame = mutant(random, random.choice(VALID), VALID)
        try:
            decode(frame)
        except MalformedMessage:
            found.append(frame)
    return found


# -------------------------------------------------------------------------------------- presence


async def test_presence_attacks(service: ServiceProcess, record_property: Record) -> None:
    """Whatever is sent as awareness, the victim stays present and others see only its states."""
    before = resident_memory(service.pid)
    async with two_editors(service, "presence") as (victim, _watcher):

        async def offend(attack: Presence) -> None:
            async with dial(service, "presence", f"mallory: {attack.name}") as socket:
                await socket.send(attack.frame)
                await _judge(socket, attack.closes, attack.reason, attack.name)
            assert await _present(service, victim.client) == "{}", attack.name

        await all_at_once(_with(offend, attack) for attack in presence_attacks(victim.client))
    grown = resident_memory(service.pid) - before
    print(f"presence attacks: + {grown / 2**20:.1f} MiB")
    record_property("memory, bytes", grown)
    assert grown < 32 * 2**20


async def _judge(socket: ClientConnection, closes: bool, reason: str, name: str) -> None:
    if closes:
        end = await ending(socket)
        assert_final(end, 4400, name)
        assert reason in end.reason, f"{name}: {end}"
        return
    await socket.send(barrier(b"done"))
    reasons: list[bytes] = []
    with anyio.fail_after(PATIENCE):
        while (frame := await socket.recv()) != barrier(b"done"):
            assert isinstance(frame, bytes)
            if frame[:2] == b"\x02\x00":
                reasons.append(frame)
    assert any(reason.encode() in told for told in reasons) or not reason, f"{name}: {reasons}"


async def _present(service: ServiceProcess, client: int) -> str | None:
    """The awareness state of a client, as a newcomer is told."""
    async with dial(service, "presence", "watcher") as socket:
        await socket.send(b"\x03")
        await socket.send(barrier(b"asked"))
        with anyio.fail_after(PATIENCE):
            states: dict[int, str] = {}
            while (frame := await socket.recv()) != barrier(b"asked"):
                assert isinstance(frame, bytes)
                message = decode(frame) if frame[:1] == b"\x01" else None
                entries = getattr(message, "entries", ())
                states |= {entry.client: entry.state for entry in entries}
    return states.get(client)


async def test_a_flood_of_presence_stays_small(
    service: ServiceProcess, record_property: Record
) -> None:
    """100,000 ids in messages of 1,000: 16 of them stay for each connection."""
    before = resident_memory(service.pid)
    async with dial(service, "flood", "flooder") as socket:
        for first in range(0, 100_000, 1_000):
            await socket.send(fake_people(1_000, first))
            if first % 10_000 == 9_000:
                await reaches_disk(socket)
    async with dial(service, "flood", "watcher") as socket:
        await socket.send(b"\x03")
        frame = b""
        with anyio.fail_after(PATIENCE):
            while frame[:1] != b"\x01":
                told = await socket.recv()
                assert isinstance(told, bytes)
                frame = told
    message = decode(frame)
    assert len(getattr(message, "entries", ())) <= 16
    grown = resident_memory(service.pid) - before
    print(f"presence flood: + {grown / 2**20:.1f} MiB")
    record_property("memory, bytes", grown)
    assert grown < 32 * 2**20


def _with(job: Callable[..., Awaitable[None]], *args: object) -> Callable[[], Awaitable[None]]:
    return lambda: job(*args)
