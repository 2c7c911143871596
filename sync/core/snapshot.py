"""The whole of a document as one update, and the proof that it can be loaded again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sync.core.content import filled
from sync.core.deletions import Ranges, joined
from sync.core.document import Document
from sync.core.errors import MalformedMessage, NativeFailure
from sync.core.guard import inspect


@dataclass(frozen=True, slots=True)
class TakenSnapshot:
    """A document as one update, and what is known of the document that it was taken of."""

    update: bytes
    state_vector: bytes
    clocks: Mapping[int, int]
    deletions: Ranges

    @classmethod
    def of(cls, document: Document) -> TakenSnapshot:
        """Raises NativeFailure."""
        return cls(
            document.encode(),
            document.state_vector(),
            dict(document.clocks),
            document.deletions(),
        )

    def verify(self) -> bool:
        """Read it, import it, and export it once more.

        It must bring each client's clocks from 0 on without a gap, and the deletions, of the
        document that it was taken of; and imported it must have the same clocks, and after another
        round the same content. (The bytes may differ: importing joins neighbouring items.)
        """
        try:
            footprint = inspect(self.update, max_clients=2**31)
            brought = {client: (0, end) for client, end in self.clocks.items()}
            again = Document(self.update)
            return (
                footprint.writes == brought
                and joined(footprint.deleted) == self.deletions
                and again.clocks == self.clocks
                and filled(self.update) == filled(again.encode())
            )
        except (NativeFailure, MalformedMessage):
            return False
