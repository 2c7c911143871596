"""``draftsync docs watch``: edits as they are saved, and what they change."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from pycrdt import Doc, Map

from persistence.sqlite import open_sqlite
from persistence.store import Edit, Store
from sync.cli.docs import watching
from sync.cli.docs.watching import Seen, follow
from tests.cli.evaluation import NOON, Story
from tests.support.client import connect
from tests.support.service import ROOT, ServiceProcess

DRAFT = "drafts/refunds-7/c1"
WATCH = (sys.executable, "-m", "sync.cli.main", "docs", "watch")
PATIENCE = 30.0


class Author:
    """Rates, and sends each rating."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.doc: Doc[Any] = Doc()

    def rates(self, question: str, value: object, at: float, document: str = DRAFT) -> Edit:
        before = self.doc.get_state()
        self.doc.get("ratings", type=Map)[f"{self.subject}/{question}"] = value
        return Edit(document, self.doc.get_update(before), self.subject, (), at)


async def seen(store: Store, count: int, prefix: str = "", after: int = 0) -> list[Seen]:
    """The first edits that are followed."""
    found: list[Seen] = []

    class Enough(Exception):
        pass

    def tell(each: Seen) -> None:
        found.append(each)
        if len(found) == count:
            raise Enough

    with anyio.fail_after(PATIENCE), pytest.raises(Enough):
        await follow(store, prefix, after, tell)
    return found


def line(each: Seen) -> str:
    return "".join(text for text, _ in each.told())


async def test_what_each_edit_changes_is_told_in_the_words_of_the_form(tmp_path: Path) -> None:
    alice = Author("alice")
    async with open_sqlite(tmp_path / "drafts.db") as store:
        await Story(store, "refunds-7").begin()
        await store.append([alice.rates("polite", True, NOON)])
        await store.append([alice.rates("polite", False, NOON + 1)])
        first, second = await seen(store, 2)
    assert "alice" in line(first)
    assert "polite · alice: – → true" in line(first)
    assert "polite · alice: true → false" in line(second)
    told = second.to_json()
    assert (told["document"], told["position"], told["offline"]) == (DRAFT, 2, False)
    assert told["changes"][0]["before"] is True


async def test_one_begins_in_the_middle_and_follows_what_comes(tmp_path: Path) -> None:
    """What was there before is known, though nothing of it is told."""
    alice = Author("alice")
    async with open_sqlite(tmp_path / "drafts.db") as store, anyio.create_task_group() as tasks:
        await store.append([alice.rates("q", 1, NOON), Author("bob").rates("q", 1, NOON, "other")])
        found: list[Seen] = []

        async def watch() -> None:
            found.extend(await seen(store, 2, "drafts/", after=2))

        tasks.start_soon(watch)
        await store.append([alice.rates("q", 2, NOON), Author("bob").rates("q", 2, NOON, "other")])
        await store.append([alice.rates("q", 3, NOON)])
    assert [each.entry.position for each in found] == [3, 5]
    assert "ratings.alice/q: 1 → 2" in line(found[0])
    assert "ratings.alice/q: 2 → 3" in line(found[1])


async def test_few_documents_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_MOST_DOCUMENTS", 1)
    one, two = Author("alice"), Author("bob")
    async with open_sqlite(tmp_path / "drafts.db") as store:
        for value in (1, 2):
            await store.append([one.rates("q", value, NOON, "a"), two.rates("q", value, NOON, "b")])
        found = await seen(store, 4)
    assert ["1 → 2" in line(each) for each in found] == [False, False, True, True]


async def test_what_cannot_be_told_is_said(tmp_path: Path) -> None:
    """An edit that stands on another one that is not there."""
    alice = Author("alice")
    alice.rates("q", 1, NOON)
    async with open_sqlite(tmp_path / "drafts.db") as store:
        await store.append([alice.rates("q", 2, NOON)._replace(update=b"\x01\x02\x03")])
        [found] = await seen(store, 1)
    assert "what it changes cannot be told" in line(found)
    assert "changes" not in found.to_json()


@pytest.mark.parametrize(
    ("since", "first"),
    [(None, 7), (3, 3), (NOON - 1.0, 0), (NOON + 250.0, 3), (NOON + 300.0, 3), (NOON + 999.0, 7)],
)
async def test_where_one_begins(tmp_path: Path, since: int | float | None, first: int) -> None:
    """Behind a position; with the first edit of a time or later; or now."""
    alice = Author("alice")
    async with open_sqlite(tmp_path / "drafts.db") as store:
        for number in range(7):
            await store.append([alice.rates("q", number, NOON + 100 * number)])
        begin = await watching._begin(store, "", since)
    assert begin == first


async def test_beside_a_live_server_until_ctrl_c(tmp_path: Path) -> None:
    database = tmp_path / "live.db"
    async with (
        ServiceProcess(database) as service,
        connect(service.sync_url, "drafts/1", service.token()) as alice,
    ):
        await alice.synced()
        await alice.put("q", 1)
        await alice.saved()
        command = [*WATCH, "--since", "0", "--json", "--database", str(database)]
        async with await anyio.open_process(command, stdin=subprocess.DEVNULL, cwd=ROOT) as process:
            try:
                lines = _lines(process)
                assert (await _next(lines))["changes"][0]["after"] == 1
                await alice.put("q", 2)
                await alice.saved()
                told = await _next(lines)
                assert (told["changes"][0]["before"], told["changes"][0]["after"]) == (1, 2)
                process.send_signal(signal.SIGINT)
                with anyio.fail_after(PATIENCE):
                    assert await process.wait() == 0
            finally:
                if process.returncode is None:
                    process.kill()  # leaving the block waits for its end


def _lines(process: Process) -> BufferedByteReceiveStream:
    assert process.stdout is not None
    return BufferedByteReceiveStream(process.stdout)


async def _next(lines: BufferedByteReceiveStream) -> Any:
    with anyio.fail_after(PATIENCE):
        return json.loads(await lines.receive_until(b"\n", 2**16))
