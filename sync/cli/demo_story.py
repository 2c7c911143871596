"""The story that ``draftsync demo`` tells: real clients, a real server, and a real SIGKILL.

Every edit that an evaluator makes is noted in their ledger. What the story claims is checked
against these ledgers: on the database file while the server is dead, on both evaluators' documents
at the end, and on a document that a third party gets from the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import anyio
from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from sync.cli.demo_sample import COMMENT, EVALUATION, EVALUATORS, SUMMARY, TAGS, sample
from sync.cli.demo_screens import Content, Screens
from sync.client import Backoff, DocumentClient, State, Status
from sync.core.content import content
from sync.core.crdt import Doc, Map
from sync.core.crdt import Text as YText
from sync.core.yprotocol import decode_state_vector

PATIENCE = 20.0  # seconds that a step of the story may take
DRAW_SECONDS = 0.08
READER = "olga"
QUICK = Backoff(first=0.1, most=0.5)


class StoryFailed(Exception):
    """What the story claims is not so."""


class Service(Protocol):
    """The server of the story."""

    url: str

    async def kill(self) -> None: ...

    async def start(self) -> None: ...

    async def on_disk(self, document: str) -> Content: ...

    def token(self, subject: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: a value set under a root's path, or words written into the comment."""

    path: tuple[str, ...]
    value: object

    def count(self, found: Content) -> int:
        """How often a document has it: 0 missing, 1 as it should be, more: doubled."""
        for step in self.path[:-1]:
            found = found.get(step, {})
        there = found.get(self.path[-1])
        if isinstance(self.value, str) and isinstance(there, str):
            return there.count(self.value)
        return int(there == self.value and type(there) is type(self.value))


class Evaluator:
    """Somebody at a screen: a document, its client, and a ledger of every edit they made."""

    def __init__(self, name: str, url: str, document: str, token: str) -> None:
        self.name = name
        self.doc: Doc[Any] = Doc()
        self.client = DocumentClient(url, document, self.doc, token=token, backoff=QUICK)
        self.ledger: list[Edit] = []
        self._last = ""  # what they typed last at their cursor

    @property
    def content(self) -> Content:
        return content(self.doc.get_update())

    @property
    def clocks(self) -> dict[int, int]:
        """How many edits of each Yjs client are in the document."""
        return decode_state_vector(self.doc.get_state())

    @property
    def saved(self) -> list[Edit]:
        """The edits that the server has reported as saved."""
        return self.ledger[: len(self.ledger) - self.client.status.unsaved]

    def rate(self, question: str, answer: object) -> None:
        key = f"{self.name}/{question}"
        self.doc.get("ratings", type=Map)[key] = answer
        self.ledger.append(Edit(("ratings", key), answer))

    def tag(self, tag: str) -> None:
        self.doc.get(TAGS, type=Map)[tag] = True
        self.ledger.append(Edit((TAGS, tag), True))

    def write(self, words: str, *, at_end: bool = False) -> None:
        """Type into the comment that all share: at one's own cursor, or at the end."""
        comment = self.doc.get(SUMMARY, type=YText)
        if at_end:
            comment += words
        else:
            before = str(comment).find(self._last) + len(self._last)
            comment.insert(before, words)  # all ASCII here: pycrdt counts bytes
            self._last = words
        self.ledger.append(Edit((SUMMARY,), words))


@dataclass(slots=True)
class Counts:
    """What the story found."""

    edits: dict[str, int] = field(default_factory=dict)  # by evaluator
    saved_before_kill: int = 0
    unsaved_while_down: int = 0
    missing_on_disk: int = 0
    missing: int = 0
    doubled: int = 0


class Story:
    """Told once. Raises StoryFailed when something that it claims is not so."""

    def __init__(self, out: Console, service: Service, document: str, *, pace: float) -> None:
        """``pace``: seconds between two edits; 0 for no waiting at all."""
        self.counts = Counts()
        self._out = out
        self._service = service
        self._document = document
        self._pace = pace
        self._screens = Screens(out)
        alice, bob = EVALUATORS
        self.alice = self._evaluator(alice)
        self.bob = self._evaluator(bob)
        self._evaluators = (self.alice, self.bob)

    async def tell(self) -> Counts:
        """Tell it from beginning to end."""
        await seed(self._service, self._document)
        self._introduce()
        async with AsyncExitStack() as clients:
            for evaluator in self._evaluators:
                await clients.enter_async_context(evaluator.client)
                await _in_time(evaluator.client.synced(), "connecting")
            await self._together()
            await self._apart()
            await self._killed()
            await self._united()
        return self.counts

    # -- the acts

    async def _together(self) -> None:
        """Two evaluators fill in one draft at once."""
        alice, bob = self._evaluators
        self._act(1, "Alice and Bob fill in the same draft at the same time")
        async with self._watched():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(
                    self._type,
                    lambda: alice.rate("accuracy", 2),
                    lambda: alice.rate("tone", 5),
                    lambda: alice.write("Friendly, ", at_end=True),
                    lambda: alice.write("but no refund ", at_end=True),
                    lambda: alice.write("is due.", at_end=True),
                    lambda: alice.rate("policy", False),
                )
                tasks.start_soon(
                    self._type,
                    lambda: bob.rate("accuracy", 1),
                    lambda: bob.write("Checked "),
                    lambda: bob.write("the policy. "),
                    lambda: bob.rate("policy", False),
                    lambda: bob.tag("policy"),
                    lambda: bob.rate("tone", 4),
                )
            await self._equal()
        self._claim("both screens are equal, and every edit is saved on the server's disk")

    async def _apart(self) -> None:
        """One goes offline, and both go on."""
        alice, bob = self._evaluators
        self._act(2, "Bob's network goes away; both work on, in the same comment too")
        bob.client.disconnect()
        saved = len(bob.saved)
        async with self._watched():
            await self._type(
                lambda: bob.write("Limit: 30 days. "),
                lambda: alice.write(" It made that up.", at_end=True),
                lambda: bob.rate("source", False),
                lambda: alice.rate("complete", 3),
                lambda: bob.rate("complete", 2),
                lambda: alice.tag("refund"),
                lambda: bob.tag("review"),
            )
            await _in_time(alice.client.saved(), "saving")
        _require(len(bob.saved) == saved, "nothing that Bob does offline may be called saved")
        self._claim(f"Alice's edits are saved; {bob.client.status.unsaved} of Bob's wait with him")

    async def _killed(self) -> None:
        """SIGKILL in the middle of the work; then the disk is read before anybody comes back."""
        alice, _ = self._evaluators
        self._act(3, "The server is killed (SIGKILL) while Alice is working")
        async with self._watched():
            await self._type(lambda: alice.write(" Severe:", at_end=True))
            await _in_time(alice.client.saved(), "saving")
            alice.write(" it promised", at_end=True)
            await anyio.sleep(0.001)  # it is under way when the server dies
            await self._service.kill()
            saved = self._note_saved()
            await self._type(
                lambda: alice.write(" our money.", at_end=True),
                lambda: alice.rate("source", False),
            )
            await _in_time(alice.client.until(lambda s: s.state is State.OFFLINE), "the kill")
            self.counts.unsaved_while_down = sum(e.client.status.unsaved for e in self._evaluators)
        found = await self._service.on_disk(self._document)
        self.counts.missing_on_disk = sum(not edit.count(found) for edit in saved)
        _require(not self.counts.missing_on_disk, "edits that were reported saved are not on disk")
        self._claim(f"the dead server's file has all {len(saved)} edits that were reported saved")

    async def _united(self) -> None:
        """The server is there again, and the one who was offline comes back."""
        alice, bob = self._evaluators
        self._act(4, "The server starts again, Alice's client finds it, and Bob comes back")
        async with self._watched():
            await self._service.start()
            await _in_time(alice.client.saved(), "coming back")
            await self._type(bob.client.connect)
            await self._equal()
        third = await self._third()
        self._count(third.content)
        same = third.clocks == alice.clocks and third.content == alice.content
        _require(same, "the server's document differs from the evaluators'")
        _require(not self.counts.missing, f"{self.counts.missing} edits are missing at the end")
        _require(not self.counts.doubled, f"{self.counts.doubled} edits are there twice")
        self._claim("Alice, Bob and a third person see the same draft, with every edit once")

    # -- what is checked

    async def _equal(self) -> None:
        """Both have everything saved, and their documents are the same, edit for edit."""
        for evaluator in self._evaluators:
            await _in_time(evaluator.client.synced(), "coming online")
            await _in_time(evaluator.client.saved(), "saving")
        alice, bob = self._evaluators
        for one, other in ((alice, bob), (bob, alice)):
            await _in_time(one.client.until(partial(_has_all, one, other)), "converging")
        same = alice.clocks == bob.clocks and alice.content == bob.content
        _require(same, "the two documents are not the same")

    def _note_saved(self) -> list[Edit]:
        saved = [edit for evaluator in self._evaluators for edit in evaluator.saved]
        self.counts.saved_before_kill = len(saved)
        return saved

    async def _third(self) -> Evaluator:
        """Somebody who gets the draft without ever having been here before."""
        third = Evaluator(READER, self._service.url, self._document, self._service.token(READER))
        async with third.client:
            await _in_time(third.client.synced(), "reading")
        return third

    def _count(self, found: Content) -> None:
        for evaluator in self._evaluators:
            self.counts.edits[evaluator.name] = len(evaluator.ledger)
            for edit in evaluator.ledger:
                times = edit.count(found)
                self.counts.missing += times == 0
                self.counts.doubled += times > 1
        written = sum(
            len(str(edit.value))
            for evaluator in self._evaluators
            for edit in evaluator.ledger
            if edit.path[0] == SUMMARY
        )
        length = len(found[SUMMARY])
        _require(
            length == written + len(COMMENT),
            f"the comment has {length} characters; {written} were typed",
        )

    # -- telling

    def _evaluator(self, name: str) -> Evaluator:
        return Evaluator(name, self._service.url, self._document, self._service.token(name))

    def _introduce(self) -> None:
        told = EVALUATION
        self._out.print()
        self._out.print(Text.assemble((told["project"], "bold"), f"  ·  {told['test_case']}"))
        self._out.print(Text.assemble("  customer  ", (f"“{told['question']}”", "italic")))
        self._out.print(Text.assemble("  agent     ", (f"“{told['answer']}”", "italic")))

    def _act(self, number: int, title: str) -> None:
        self._out.print()
        self._out.print(Text(f"{number}  {title}", "bold"))

    def _claim(self, text: str) -> None:
        self._out.print(
            Padding(Text.assemble(("✓ ", "bold green"), text), (0, 0, 0, 2), expand=False)
        )

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Show both screens: as they change on a terminal, as they end in a pipe."""
        if not self._out.is_terminal:
            yield
            self._out.print(self._both_screens())
            return
        with Live(console=self._out, auto_refresh=False) as live:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._draw, live)
                yield
                await anyio.sleep(4 * self._pace)
                tasks.cancel_scope.cancel()
            live.update(self._both_screens(), refresh=True)

    async def _draw(self, live: Live) -> None:
        while True:
            live.update(self._both_screens(), refresh=True)
            await anyio.sleep(DRAW_SECONDS)

    def _both_screens(self) -> Any:
        return self._screens.render(
            {e.name: (e.content, e.client.status) for e in self._evaluators}
        )

    async def _type(self, *edits: Callable[[], None]) -> None:
        for edit in edits:
            edit()
            await anyio.sleep(self._pace)


async def seed(service: Service, document: str) -> None:
    """Write the sample into a draft. Where it is already, nothing changes."""
    async with DocumentClient(
        service.url, document, sample(), token=service.token("admin")
    ) as client:
        await _in_time(client.saved(), "seeding")


async def _in_time(step: Awaitable[object], what: str) -> None:
    with anyio.move_on_after(PATIENCE):
        await step
        return
    raise StoryFailed(f"{what} took more than {PATIENCE:.0f} seconds")


def _require(so: bool, otherwise: str) -> None:
    if not so:
        raise StoryFailed(otherwise)


def _has_all(one: Evaluator, other: Evaluator, _: Status) -> bool:
    found = one.content
    return all(edit.count(found) for edit in other.ledger)
