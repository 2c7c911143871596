"""What Hypercorn does not do by itself: bounds, silence, and an end."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream
from hypercorn.protocol import h11
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed

from persistence.memory import MemoryStore
from sync.core.yprotocol import update_frame
from sync.server import deflate, patience
from sync.server.address import bind
from sync.server.http import BoundedStream
from tests.server.parts import TroubledStore, eventually, stored_answers
from tests.server.service import Running, running, token_for
from tests.support.client import PATIENCE, Peer, connect

pytestmark = pytest.mark.usefixtures("transport")


async def dial(service: Running) -> SocketStream:
    host, _, port = service.url.removeprefix("http://").rpartition(":")
    return await anyio.connect_tcp(host, int(port))


async def until_closed(stream: SocketStream) -> bytes:
    """Read until the other side closes; return what came."""
    received = b""
    with anyio.fail_after(PATIENCE):
        try:
            while True:
                received += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return received


def url_of(service: Running) -> str:
    return f"{service.sync_url}/drafts/1?token={token_for()}"


def test_hypercorn_takes_our_stream() -> None:
    """It has no setting for it, so an update of Hypercorn might quietly go back to its own."""
    assert vars(h11)["WSStream"] is BoundedStream


async def test_a_message_too_large_is_1009_and_the_end() -> None:
    """Fault 24: Hypercorn would say so, stay open, and go on buffering."""
    async with (
        running(MemoryStore(), document_limit=10_000, message_limit=5_000) as service,
        connect_websocket(url_of(service), compression=None, proxy=None) as websocket,
    ):

        async def endless() -> None:
            while True:
                await websocket.send(bytes(20_000))
                await anyio.lowlevel.checkpoint()

        with pytest.raises(ConnectionClosed):
            await endless()
        await websocket.wait_closed()
        assert websocket.close_code == 1009


async def test_who_ignores_the_1009_is_cut_off_all_the_same() -> None:
    """A client that neither answers the close frame nor stops: the connection is not there."""
    async with (
        running(MemoryStore(), document_limit=10_000, message_limit=5_000) as service,
        await dial(service) as stream,
    ):
        path = url_of(service).partition("/sync")[2]
        await stream.send(
            f"GET /sync{path} HTTP/1.1\r\nHost: x\r\n".encode()
            + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert (await stream.receive()).startswith(b"HTTP/1.1 101")
        header = b"\x82\xfe\xff\xff" + bytes(4)  # binary, masked with zeros, 65,535 bytes
        await stream.send(header + bytes(65_535))
        assert b"\x03\xf1" in await until_closed(stream)  # 1009


async def test_fragments_are_counted_together() -> None:
    async with (
        running(MemoryStore(), document_limit=10_000, message_limit=5_000) as service,
        connect_websocket(url_of(service), compression=None, proxy=None) as websocket,
    ):

        async def endless() -> object:
            while True:
                yield bytes(1_000)
                await asyncio.sleep(0)

        with pytest.raises(ConnectionClosed):
            await websocket.send(endless())  # type: ignore[arg-type] # an async generator is one
        assert websocket.close_code == 1009


async def test_a_message_in_fragments_is_one_message() -> None:
    async with (
        running(MemoryStore()) as service,
        connect_websocket(url_of(service), proxy=None) as websocket,
    ):
        await websocket.send([b"\x66", b"\x02", b"hi"])
        async with asyncio.timeout(5):
            async for frame in websocket:
                if frame == b"\x66\x02hi":
                    break


async def test_deflate_is_taken_where_it_is_bounded(transport: str) -> None:
    """Hypercorn does not bound what a message inflates to, so with it none may be deflated."""
    async with (
        running(MemoryStore()) as service,
        connect_websocket(url_of(service), compression="deflate", proxy=None) as websocket,
    ):
        assert websocket.response is not None
        taken = websocket.response.headers.get("Sec-WebSocket-Extensions", "")
        assert taken.encode() == (deflate.RESPONSE if transport == "picows" else b"")


@pytest.mark.parametrize("politely", [True, False])
async def test_the_last_edit_while_the_document_loads(politely: bool) -> None:
    """Fault 4: the client connects, edits and is gone before the service has the document."""
    store = TroubledStore()
    async with running(store) as service:
        store.hold()
        websocket = await connect_websocket(url_of(service), compression=None, proxy=None)
        await websocket.send(update_frame(Peer().put("q", "last")))
        await eventually(lambda: store.loads == 1)
        if politely:
            websocket.close_timeout = 0.1
            await websocket.close()
        websocket.transport.abort()
        await websocket.wait_closed()
        store.release()
        with anyio.fail_after(PATIENCE):
            while await stored_answers(store) != {"q": "last"}:  # noqa: ASYNC110 - of one that went
                await anyio.sleep(0.005)


async def test_silence_on_a_fresh_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 25: nothing, or half a handshake."""
    monkeypatch.setattr(patience, "HANDSHAKE_SECONDS", 0.2)
    async with running(MemoryStore()) as service:
        streams = [await dial(service) for _ in range(20)]
        for stream in streams[10:]:
            await stream.send(b"GET /sync/drafts/1 HTTP/1.1\r\nHost: x\r\nUpgra")
        with anyio.fail_after(8):  # less than it would be
            for stream in streams:
                await until_closed(stream)
                await stream.aclose()


async def test_a_header_without_end_is_refused() -> None:
    async with running(MemoryStore()) as service, await dial(service) as stream:
        await stream.send(b"GET / HTTP/1.1\r\nX: ")
        answer = b""
        with anyio.fail_after(5):
            try:
                while not answer:
                    await stream.send(b"x" * 4_096)
                    with anyio.move_on_after(0.01):
                        answer = await stream.receive()
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                pass
        assert answer.startswith(b"HTTP/1.1 4") or not answer


async def test_a_client_of_which_nothing_comes_has_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fault 19: no FIN, no pong, no anything: the cable is out."""
    caplog.set_level(logging.INFO, "sync")
    monkeypatch.setattr(patience, "PING_SECONDS", 0.1)
    monkeypatch.setattr(patience, "SILENCE_SECONDS", 0.5)
    async with (
        running(MemoryStore()) as service,
        connect(service.sync_url, "drafts/1", token_for(), reading=False) as dead,
        connect(service.sync_url, "drafts/1", token_for("bob")) as alive,
    ):
        await alive.synced()
        dead.channel._websocket.transport.pause_reading()  # type: ignore[attr-defined]
        await eventually(lambda: "connection closed" in caplog.text)
        assert alive.closed is None  # it said nothing either, but it answers pings
        await alive.saved()


async def test_a_client_that_never_reads_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "LAST_WORDS_SECONDS", 0.2)
    async with (
        running(MemoryStore()) as service,
        connect(service.sync_url, "drafts/1", token_for(), reading=False) as stuck,
    ):
        await stuck.put("large", "x" * 60_000)
        with anyio.move_on_after(0.3):  # its socket is full long before
            while True:
                await stuck.send(b"\x00\x00\x01\x00")
        service.stop.set()
        with anyio.fail_after(PATIENCE):
            await service.ended.wait()


async def test_a_client_that_does_not_end_tls_is_no_error(
    certificate: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has gone, as phones do: nobody answers the end of TLS, which has its time."""
    monkeypatch.setattr(patience, "LAST_WORDS_SECONDS", 0.05)
    trust = ssl.create_default_context(cafile=str(certificate["tls_cert"]))
    async with running(MemoryStore(), **certificate) as service:
        monkeypatch.setattr(patience, "LAST_WORDS_SECONDS", PATIENCE)  # for all but that
        host, _, port = service.url.removeprefix("https://").rpartition(":")
        async with await anyio.connect_tcp(
            host, int(port), ssl_context=trust, tls_standard_compatible=False
        ) as stream:
            await stream.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 200")
            service.stop.set()  # what is raised in a connection ends the test
            await service.ended.wait()


def test_port_0_is_a_free_port() -> None:
    with bind("127.0.0.1", 0) as one, bind("127.0.0.1", 0) as other:
        assert one.getsockname()[1] != other.getsockname()[1]


def test_a_port_that_is_taken() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", taken.getsockname()[1])


def test_ipv6() -> None:
    try:
        bound = bind("::1", 0)
    except OSError:
        pytest.skip("no IPv6 here")
    with bound:
        assert bound.family is socket.AF_INET6


async def test_connections_that_end_are_forgotten() -> None:
    """No task, no descriptor, no room member stays behind a client that went."""
    async with running(MemoryStore()) as service:
        before = len(asyncio.all_tasks())
        for _ in range(20):
            async with connect(service.sync_url, "drafts/1", token_for()) as client:
                await client.synced()
        await eventually(lambda: len(asyncio.all_tasks()) <= before + 1)
