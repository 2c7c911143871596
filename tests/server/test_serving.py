"""The running service in this process: ready, serving with and without TLS, an orderly end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from persistence.memory import MemoryStore
from sync.core.yprotocol import saved_frame
from sync.server import serving
from sync.server.settings import Settings, load_settings
from tests.server.parts import TroubledStore, stored_answers
from tests.server.service import SECRET, running, token_for
from tests.support.client import connect

pytestmark = pytest.mark.usefixtures("transport")


async def test_it_serves_until_it_is_stopped() -> None:
    store = MemoryStore()
    async with running(store) as service:
        assert service.url.startswith("http://127.0.0.1:")
        async with connect(service.sync_url, "drafts/1", token_for()) as alice:
            await alice.synced()
            await alice.put("q", 1)
            await alice.saved()
            service.stop.set()
            assert (await alice.ended()).code == 1012
    assert await stored_answers(store) == {"q": 1}


async def test_while_it_drains_it_takes_nobody_new_and_says_so() -> None:
    store = TroubledStore()
    async with (
        running(store) as service,
        httpx.AsyncClient(base_url=service.url) as http,
        connect(service.sync_url, "drafts/1", token_for()) as alice,
    ):
        await alice.synced()
        store.hold()
        await alice.put("q", 1)
        await alice.send(saved_frame(b"mine"))
        await alice.received()
        assert (await http.get("/readyz")).json() == {"status": "ready"}
        service.stop.set()
        await anyio.wait_all_tasks_blocked()
        assert (await http.get("/readyz")).json() == {"status": "draining"}  # on an old connection
        with pytest.raises(OSError, match=r"refused|failed"):
            async with connect(service.sync_url, "drafts/1", token_for()):
                pass
        store.release()
        assert (await alice.ended()).code == 1012
        assert alice.peer.saved == [b"mine"]
    assert await stored_answers(store) == {"q": 1}


async def test_ipv6_addresses_have_their_brackets() -> None:
    try:
        async with running(MemoryStore(), host="::1") as service:
            assert service.url.startswith("http://[::1]:")
    except OSError:
        pytest.skip("no IPv6 here")


async def test_over_tls(certificate: dict[str, Path]) -> None:
    trust = ssl.create_default_context(cafile=str(certificate["tls_cert"]))
    store = MemoryStore()
    async with running(store, **certificate) as service:
        assert service.url.startswith("https://")
        async with connect(service.sync_url, "drafts/1", token_for(), tls=trust) as alice:
            await alice.synced()
            await alice.put("q", 1)
            await alice.saved()
        async with httpx.AsyncClient(verify=trust) as http:
            assert (await http.get(f"{service.url}/healthz")).status_code == 200
        clear = service.sync_url.replace("wss:", "ws:")
        with pytest.raises((OSError, EOFError, Exception)):
            async with connect(clear, "drafts/1", token_for()):
                pass
    assert await stored_answers(store) == {"q": 1}


# ---------------------------------------------------------------------------------- run and signals


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings(jwt_secret=SECRET, drain_seconds=0.3, memory_limit=0)


@pytest.fixture(autouse=True)
def the_same_signals() -> Any:
    before = [(n, signal.getsignal(n)) for n in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in before:
        signal.signal(number, handler)
    gc.unfreeze()


def send_soon(number: int, times: int = 1) -> Callable[[], None]:
    """Send ourselves a signal from another thread, as an operator would."""

    def send() -> None:
        for _ in range(times):
            os.kill(os.getpid(), number)

    return send


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(settings: Settings, number: int) -> None:
    async def main(stop: asyncio.Event) -> int:
        threading.Thread(target=send_soon(number)).start()
        await stop.wait()
        return 0

    assert serving.run(main, settings) == 0


def test_the_exit_code_is_mains(settings: Settings) -> None:
    async def main(_stop: asyncio.Event) -> int:
        return 7

    assert serving.run(main, settings) == 7


def test_what_does_not_end_is_left_at_a_deadline(settings: Settings) -> None:
    async def main(stop: asyncio.Event) -> int:
        threading.Thread(target=send_soon(signal.SIGTERM)).start()
        await stop.wait()
        await asyncio.sleep(2)  # longer than draining may take
        return 0

    assert serving.run(main, settings) == 1


def test_it_runs_on_a_deep_stack_and_not_in_the_main_thread(settings: Settings) -> None:
    threads: list[threading.Thread] = []

    async def main(_stop: asyncio.Event) -> int:
        threads.append(threading.current_thread())
        return 0

    serving.run(main, settings)
    assert threads[0] is not threading.main_thread()
    assert threads[0].daemon


def test_no_collection_looks_at_what_was_imported(settings: Settings) -> None:
    frozen: list[tuple[int, bool]] = []

    async def main(_stop: asyncio.Event) -> int:
        frozen.append((gc.get_freeze_count(), gc.isenabled()))
        return 0

    gc.disable()  # as the command does
    serving.run(main, settings)
    (count, enabled), *_ = frozen
    assert count > 10_000
    assert enabled
