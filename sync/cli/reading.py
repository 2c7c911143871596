"""Looking into the database: with the service up, down, or killed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from persistence.store import Reader, StoreError
from sync.cli import compose, options
from sync.core.errors import ProtocolError
from sync.server.settings import Settings

_R = TypeVar("_R")


def with_reader(read: Callable[[Reader], Awaitable[_R]], settings: Settings) -> _R:
    """Read, or end with exit code 1 and why it cannot be read."""

    async def run() -> _R:
        async with compose.open_reader(settings) as reader:
            return await read(reader)

    try:
        return anyio.run(run)
    except StoreError as error:
        options.failed(str(error))
    except ProtocolError as error:
        options.failed(error.reason)
