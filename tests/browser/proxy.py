"""The network between a browser and the service: it can be cut, and it can fall silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 65_536


class Wire:
    """A TCP proxy on a free port of this machine. Made by :func:`open_wire`; one event loop.

    A browser that is set offline by Playwright keeps its open WebSockets open, though nothing
    passes on them (README.md has what was measured): this ends them.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.port = 0
        self.connections = 0  # that were accepted, ever
        self._target = target
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def restore(self) -> None:
        """Let everything through, on the same port as ever."""
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for pair in list(self._pairs):
            pair.cancel()
        while self._pairs:
            await asyncio.wait(self._pairs)
        self._flowing.set()

    async def hold(self) -> None:
        """Pass nothing, either way, and end nothing: as a network does that swallows packets."""
        self._flowing.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # cut, or one of the two went: there is nobody to tell
        finally:
            writer.transport.abort()
            self._pairs.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, far_writer))
                tasks.create_task(self._pump(far_reader, writer))
        except* OSError:
            pass  # as a network does: both ends learn of it
        finally:
            far_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(_CHUNK):
            await self._flowing.wait()
            writer.write(part)
            await writer.drain()
        await self._flowing.wait()
        with suppress(OSError):
            writer.write_eof()


@asynccontextmanager
async def open_wire(host: str, port: int) -> AsyncIterator[Wire]:
    """A wire that leads to an address."""
    wire = Wire((host, port))
    await wire.restore()
    try:
        yield wire
    finally:
        await wire.cut()
