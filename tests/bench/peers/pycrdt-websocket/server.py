"""pycrdt-websocket on hypercorn and uvloop with its SQLite store: server.py PORT DATABASE.

As its documentation starts it. Some things are added without which it could not be measured:

- a room is loaded before it is served, once, however many join at a time (as it comes, rooms do
  not start then), and its store is closed with it;
- the stores of all rooms take turns (as they come, edits are lost to "database is locked" when
  some dozens of rooms write at a time);
- hypercorn lets as many connections wait as Node does.
"""

from __future__ import annotations

import sys
from contextlib import suppress

import anyio
import uvloop
from hypercorn import Config
from hypercorn.asyncio import serve
from pycrdt.store import SQLiteYStore, YDocNotFound
from pycrdt.websocket import ASGIServer, WebsocketServer, YRoom, exception_logger

PORT, DATABASE = sys.argv[1:]


class Store(SQLiteYStore):
    db_path = DATABASE


class StoredServer(WebsocketServer):
    """A WebSocket server whose rooms come from the store."""

    def __init__(self) -> None:
        super().__init__(exception_handler=exception_logger)
        self._loading: dict[str, anyio.Lock] = {}
        self._opening = anyio.Lock()
        self._storing = anyio.Lock()

    async def get_room(self, name: str) -> YRoom:
        async with self._loading.setdefault(name, anyio.Lock()):
            if name not in self.rooms:
                self.rooms[name] = await self._load(name)
            room = self.rooms[name]
            await self.start_room(room)
        return room

    async def delete_room(self, *, name: str | None = None, room: YRoom | None = None) -> None:
        await super().delete_room(name=name, room=room)
        if room is not None and room.ystore is not None:
            await room.ystore.stop()

    async def _load(self, name: str) -> YRoom:
        store = await self._open(name)
        room = YRoom(ready=False, ystore=store, exception_handler=exception_logger)
        with suppress(YDocNotFound):
            await store.apply_updates(room.ydoc)
        room.ready = True
        return room

    async def _open(self, name: str) -> Store:
        store = Store(name)
        store.lock = self._storing
        assert self._task_group is not None
        async with self._opening:
            await self._task_group.start(store.start)
            assert store.db_initialized is not None
            await store.db_initialized.wait()
        return store


async def main() -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{PORT}"]
    config.backlog = 511
    config.loglevel = "WARNING"
    async with (server := StoredServer()):
        await serve(ASGIServer(server), config, mode="asgi")  # type: ignore[arg-type] # it types every event


uvloop.run(main())
