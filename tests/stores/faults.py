"""A connection on which the k-th statement goes wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

NEVER = 1_000_000


class Faults:
    """Counts statements once armed, and lets ``fault`` happen at the k-th (1 is the first).

    With ``late`` the statement is carried out before: its effect is there though it raised.
    A fault happens once; then the connections work again.
    """

    def __init__(self, fault: Callable[[], None], *, late: bool = False) -> None:
        self._fault = fault
        self._late = late
        self._k = 0
        self.count = 0

    def arm(self, k: int) -> None:
        self._k, self.count = k, 0

    def connect(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, timeout=0.01, isolation_level=None, factory=_FaultyConnection
        )
        connection.faults = self
        return connection

    def around(self, statement: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        self.count += 1
        hit = self.count == self._k
        if hit and not self._late:
            self._happen()
        cursor = statement()
        if hit and self._late:
            self._happen()
        return cursor

    def _happen(self) -> None:
        self._k = 0
        self._fault()


class _FaultyConnection(sqlite3.Connection):
    faults: Faults

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        run = super().execute
        return self.faults.around(lambda: run(sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        run = super().executemany
        return self.faults.around(lambda: run(sql, parameters))

    def executescript(self, sql: str, /) -> sqlite3.Cursor:
        run = super().executescript
        return self.faults.around(lambda: run(sql))
