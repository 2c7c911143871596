"""``draftsync serve``, once its options are read."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

import anyio

from auth.access import Verifier
from auth.keys import KeySet
from auth.tickets import MemoryTickets
from persistence.store import StoreError
from sync.cli import compose, options
from sync.server import serving
from sync.server.api.application import Layer
from sync.server.settings import Settings
from sync.server.telemetry import configure_logging, logger

log = logger(__name__)


def run(settings: Settings, layers: Sequence[Layer] = ()) -> NoReturn:
    """Serve until a signal comes, and end the process. ``layers``: beside the API."""
    configure_logging(settings.log_format, settings.log_level)
    try:
        keys = compose.key_source(settings)
        verifier = compose.verifier(settings, keys)
    except compose.BadSettings as error:
        options.usage_error(str(error))
    watched = keys if isinstance(keys, KeySet) else None

    async def main(stop: asyncio.Event) -> int:
        return await serve(settings, verifier, watched, stop, layers)

    code = serving.run(main, settings)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # whatever still hangs: all that was acknowledged is on disk


async def serve(
    settings: Settings,
    verifier: Verifier,
    keys: KeySet | None,
    stop: asyncio.Event,
    layers: Sequence[Layer] = (),
) -> int:
    """Serve until ``stop`` is set; return the exit code."""

    async def ready(address: str) -> None:
        print(f"draftsync ready {address}", flush=True)

    code = 0
    try:
        async with anyio.create_task_group() as tasks:
            if keys is not None:
                tasks.start_soon(keys.keep_fresh)
            await serving.serve(
                settings,
                lambda: compose.open_store(settings),
                verifier,
                MemoryTickets(),
                stop,
                ready,
                layers,
            )
            tasks.cancel_scope.cancel()
    except* (StoreError, OSError) as group:
        for reason in _reasons(group):
            log.error("cannot serve", reason=reason)
        code = options.FAILED
    return code


def _reasons(group: BaseExceptionGroup[BaseException]) -> Iterator[str]:
    """What went wrong, in however many task groups it is wrapped."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _reasons(error)
        else:
            yield str(error)
