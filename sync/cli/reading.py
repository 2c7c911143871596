"""Looking into the database: with the service up, down, or killed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio

from persistence.sqlite import open_sqlite_readonly
from persistence.store import Reader, StoreError
from sync.cli import options
from sync.core.errors import ProtocolError

_R = TypeVar("_R")


def look(read: Callable[[Reader], Awaitable[_R]], config: Path | None, database: str | None) -> _R:
    """Read the database, or end with exit code 1 and why it cannot be read."""
    path = options.database_file(config, database)

    async def run() -> _R:
        async with open_sqlite_readonly(path) as reader:
            return await read(reader)

    try:
        return anyio.run(run)
    except StoreError as error:
        options.failed(str(error))
    except ProtocolError as error:
        options.failed(error.reason)
