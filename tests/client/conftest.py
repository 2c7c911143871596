"""A running service, shared by the tests of a module that do not end it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.service import ServiceProcess


@pytest.fixture(scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServiceProcess]:
    async with ServiceProcess(tmp_path_factory.mktemp("service") / "drafts.db") as running:
        yield running
