"""Yjs clients for tests: what a browser's document would send, made by pycrdt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pycrdt

EMPTY = b"\x00\x00"


class Author:
    """A Yjs document under a client id of its own.

    Every editing method returns the update that it made, as a provider would send it.
    """

    def __init__(self, client: int, *known: bytes) -> None:
        self.client = client
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client)
        self._made = EMPTY
        self._watch = self.doc.observe(self._note)
        self.map: pycrdt.Map[Any] = self.doc.get("form", type=pycrdt.Map)
        self.text: pycrdt.Text = self.doc.get("notes", type=pycrdt.Text)
        self.array: pycrdt.Array[Any] = self.doc.get("list", type=pycrdt.Array)
        self.hear(*known)

    def _note(self, event: pycrdt.TransactionEvent) -> None:
        self._made = event.update

    def edit(self, change: Callable[[], object]) -> bytes:
        """Make a change in one transaction; return its update."""
        self._made = EMPTY
        with self.doc.transaction():
            change()
        return self._made

    def put(self, key: str, value: object = True) -> bytes:
        return self.edit(lambda: self.map.__setitem__(key, value))

    def drop(self, key: str) -> bytes:
        return self.edit(lambda: self.map.__delitem__(key))

    def write(self, text: str) -> bytes:
        """Append to the text: each letter stands on the one before it."""
        return self.edit(lambda: self.text.insert(len(str(self.text).encode()), text))

    def hear(self, *updates: bytes) -> None:
        for update in updates:
            self.doc.apply_update(update)

    def everything(self) -> bytes:
        """Its step2 to somebody who has nothing."""
        return self.doc.get_update()

    def lacking(self, state_vector: bytes) -> bytes:
        """Its step2 to somebody who has this state vector."""
        return self.doc.get_update(state_vector)

    @property
    def state_vector(self) -> bytes:
        return self.doc.get_state()

    @property
    def content(self) -> dict[str, object]:
        return {
            "form": self.map.to_py(),
            "notes": str(self.text),
            "list": self.array.to_py(),
        }


def content(*updates: bytes) -> dict[str, object]:
    """What somebody reads who hears these updates and nothing else."""
    return Author(2**31, *updates).content
