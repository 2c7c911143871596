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
    and where a service has it, that service and no other. Unless ``make``, a database that is not
    there is none to be made, and one of an older draftsync none to be brought to a new version.
    ``through`` may say in words why no service does it.
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
    in_use: StoreInUse | None = None
    if settings.url is None:
        try:
            if not make:
                async with compose.open_reader(settings):
                    pass
            async with compose.open_store(settings) as store:
                return await directly(store)
        except StoreInUse as error:
            in_use = error
    told = f"{in_use}; but " if in_use else ""
    if isinstance(through, str):
        raise ServiceError(told + through)
    try:
        async with open_service(service_url(settings), token_source(settings)) as service:
            if in_use is not None and in_use.holder != await service.holder():
                raise ServiceError(
                    f"{told}the service at {service.url} is another one, with a database of its "
                    "own: give the address of the one that is meant with --url"
                )
            return await through(service)
    except Unreachable as error:
        raise ServiceError(f"{told}{error}") from error
