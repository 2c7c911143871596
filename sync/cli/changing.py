"""Changing the database: by the service where one runs, else directly, under the writer's lock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from persistence.store import Store, StoreError, StoreInUse
from sync.cli import compose, options
from sync.cli.http import (
    Service,
    ServiceError,
    Unreachable,
    open_service,
    service_url,
    token_source,
)
from sync.core.errors import NativeFailure, ProtocolError
from sync.server.settings import Settings

_R = TypeVar("_R")

Through = Callable[[Service], Awaitable[_R]]
Directly = Callable[[Store], Awaitable[_R]]


def change(
    settings: Settings, directly: Directly[_R], through: Through[_R] | str, *, make: bool = False
) -> _R:
    """Carry out a change, or end with exit code 1 and why it cannot be.

    With ``--url`` the service there does it; else whoever can have the writer's lock does it here,
    and where a service has it, that service. Unless ``make``, a database that is not there is none
    to be made, and one of an older draftsync none to be brought to a new version. ``through`` may
    say in words why no service does it.
    """
    try:
        return anyio.run(_change, settings, directly, through, make)
    except (ServiceError, StoreError, NativeFailure) as error:
        options.failed(str(error))
    except ProtocolError as error:
        options.failed(error.reason)


async def _change(
    settings: Settings, directly: Directly[_R], through: Through[_R] | str, make: bool
) -> _R:
    in_use = ""
    if settings.url is None:
        try:
            if not make:
                async with compose.open_reader(settings):
                    pass
            async with compose.open_store(settings) as store:
                return await directly(store)
        except StoreInUse as error:
            in_use = f"{error}; but "
    if isinstance(through, str):
        raise ServiceError(in_use + through)
    try:
        async with open_service(service_url(settings), token_source(settings)) as service:
            return await through(service)
    except Unreachable as error:
        raise ServiceError(f"{in_use}{error}") from error
