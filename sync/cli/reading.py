"""Looking into the database: with the service up, down, or killed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import anyio

from persistence.sqlite import open_sqlite_readonly
from persistence.store import Reader, StoreError
from sync.cli import options
from sync.core.errors import ProtocolError

if TYPE_CHECKING:
    from sync.server.settings import Settings

_R = TypeVar("_R")


def with_reader(read: Callable[[Reader], Awaitable[_R]], settings: Settings | str) -> _R:
    """Read, or end with exit code 1 and why it cannot be read.

    ``settings``: or no more of them than the database's path, :func:`options.database_file`.
    """
    path = settings if isinstance(settings, str) else settings.database

    async def run() -> _R:
        async with open_sqlite_readonly(path) as reader:
            return await read(reader)

    try:
        return anyio.run(run)
    except StoreError as error:
        options.failed(str(error))
    except ProtocolError as error:
        options.failed(error.reason)
