"""The list of documents, for those who page through it."""

from __future__ import annotations

import asyncio

from persistence.store import Head, Reader

KEPT_SECONDS = 10.0
"""How long a list is kept for further pages: each is of that same list, and costs no reading."""


class DocumentLists:
    """Reads lists of documents, and keeps the last one for a moment."""

    def __init__(self, store: Reader) -> None:
        self._store = store
        self._kept: tuple[str, list[Head]] | None = None
        self._end: asyncio.TimerHandle | None = None

    async def read(self, prefix: str, *, further: bool) -> list[Head]:
        """The documents whose name starts with ``prefix``, ordered by name.

        ``further``: for a page that is not the first; the list may be some seconds old then.
        Raises StoreUnavailable.
        """
        if further and self._kept is not None and self._kept[0] == prefix:
            return self._kept[1]
        heads = await self._store.heads(prefix)
        self._keep(prefix, heads)
        return heads

    def _keep(self, prefix: str, heads: list[Head]) -> None:
        if self._end is not None:
            self._end.cancel()
        self._kept = prefix, heads
        self._end = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop)

    def _drop(self) -> None:
        self._kept = self._end = None
