"""A form being filled in: the same edits for every server, made anew from a seed.

Four edits in ten set one of 40 fields to a score or a choice; the others are a stretch of one to
four letters typed into one of ten comments, where the caret jumps now and then. One edit is one
Yjs transaction, one update, one message.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pycrdt import Doc, Map, Text, TransactionEvent

from tests.bench.updates import spans

FIELDS = tuple(f"criterion-{n:02}" for n in range(40))
COMMENTS = tuple(f"comment-{n}" for n in range(10))
CHOICES = ("pass", "fail", "unclear", "not applicable")
WORDS = (
    *("the", "answer", "cites", "no", "source", "for", "its", "second", "claim", "agent"),
    *("twice", "before", "it", "acted", "and", "then", "stopped", "correctly", "tone", "was"),
)
SETS = 0.4
JUMPS = 0.03


@dataclass(frozen=True)
class Stream:
    """One author's edits in order: after ``updates[i]`` the clock of ``client`` is ``ends[i]``."""

    client: int
    updates: tuple[bytes, ...]
    ends: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.updates)

    @cached_property
    def size(self) -> int:
        """Bytes of all updates: what a raw log of them takes."""
        return sum(map(len, self.updates))

    def edits_at(self, clock: int) -> int:
        """How many of the edits one has who has come to ``clock``."""
        return bisect_right(self.ends, clock)


class Author:
    """Somebody who fills in a form: makes edits from a seed and takes in those of others.

    ``column`` gives fields and comments of one's own. Without it many who have not seen each other
    write in the same places, and what is measured then is how a CRDT sorts out conflicts.
    """

    def __init__(self, client: int, seed: int, column: str = "") -> None:
        self.client = client
        self.doc: Doc[Any] = Doc(client_id=client)
        self._random = random.Random(f"{seed}/{client}")
        self._form: Map[Any] = self.doc.get("form", type=Map)
        self._fields = [f"{name}{column}" for name in FIELDS]
        self._comments = [self.doc.get(f"{name}{column}", type=Text) for name in COMMENTS]
        self._comment = self._caret = 0
        self._made: list[bytes] = []
        self._lengths = [0] * len(self._comments)
        self._subscription = self.doc.observe(self._keep)

    def learn(self, updates: Iterable[bytes]) -> None:
        """Apply what others have made."""
        made = len(self._made)
        for update in updates:
            self.doc.apply_update(update)
        del self._made[made:]
        self._lengths = [len(comment) for comment in self._comments]
        self._caret = min(self._caret, self._lengths[self._comment])

    def write(self, count: int) -> Stream:
        """Make ``count`` further edits; return them."""
        for _ in range(count):
            if self._random.random() < SETS:
                self._choose()
            else:
                self._type()
        return self._take()

    def fill_in(self, letters: int) -> Stream:
        """Set every field in one edit, then write ``letters`` letters into each comment.

        Two comments make one edit: six edits in all.
        """
        with self.doc.transaction():
            for field in self._fields:
                self._form[field] = self._random.choice(CHOICES)
        for pair in zip(self._comments[::2], self._comments[1::2], strict=True):
            with self.doc.transaction():
                for comment in pair:
                    words = " ".join(self._random.choices(WORDS, k=letters))
                    comment.insert(0, words[:letters])
        self.learn(())
        return self._take()

    def _keep(self, event: TransactionEvent) -> None:
        self._made.append(event.update)

    def _take(self) -> Stream:
        updates, self._made = tuple(self._made), []
        return Stream(self.client, updates, tuple(spans(update)[-1].end for update in updates))

    def _choose(self) -> None:
        score = self._random.random() < 0.5
        value = self._random.randint(1, 5) if score else self._random.choice(CHOICES)
        self._form[self._random.choice(self._fields)] = value

    def _type(self) -> None:
        if self._random.random() < JUMPS:
            self._comment = self._random.randrange(len(COMMENTS))
            self._caret = self._random.randint(0, self._lengths[self._comment])
        letters = self._random.choice(WORDS)[: self._random.randint(1, 4)]
        self._comments[self._comment].insert(self._caret, letters)
        self._lengths[self._comment] += len(letters)
        self._caret += len(letters)
