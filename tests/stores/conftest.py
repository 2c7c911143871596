"""Every store under one name: `opening` opens, closes and reopens the one a test is run for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from persistence.memory import MemoryStore
from persistence.sqlite import open_sqlite
from persistence.store import Store
from tests.stores.support import Opening

ON_DISK = ["sqlite", "sqlite-normal"]
"""The stores whose data outlives them; the one in memory ends with its process."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "drafts.db"


@asynccontextmanager
async def _open_memory() -> AsyncIterator[Store]:
    store = MemoryStore()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(params=["memory", *ON_DISK])
def opening(request: pytest.FixtureRequest, database: Path) -> Opening:
    """Return what opens the store; a second call opens the same data again."""

    def open_store() -> AbstractAsyncContextManager[Store]:
        if request.param == "memory":
            return _open_memory()
        return open_sqlite(database, "normal" if "normal" in request.param else "full")

    return Opening(open_store)


@pytest.fixture
async def store(opening: Opening) -> AsyncIterator[Store]:
    async with opening.open() as store:
        yield store
