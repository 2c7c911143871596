"""One server and one Node process for all tests of a session; each test has rooms of its own."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.node import VERSIONS, NodeClient, NodeDriver
from tests.support.service import ServiceProcess
from tests.wire.party import Party

HERE = Path(__file__).parent
PATIENT = "test_silence.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs Node. What only waits is asked last, so that time passes meanwhile."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.node)
    items.sort(key=lambda item: item.path == HERE / PATIENT)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def node() -> AsyncIterator[NodeDriver]:
    async with NodeDriver() as driver:
        yield driver


@pytest.fixture(scope="session")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServiceProcess]:
    """The server that nobody stops."""
    async with ServiceProcess(tmp_path_factory.mktemp("service") / "drafts.db") as process:
        yield process


@pytest.fixture(scope="session", autouse=True)
async def silent_readers(
    request: pytest.FixtureRequest, node: NodeDriver, service: ServiceProcess
) -> AsyncIterator[list[NodeClient]]:
    """Opened before the first test and judged after the last, if test_silence.py runs at all."""
    async with Party(node, service, "silent") as party:
        wanted = any(item.path == HERE / PATIENT for item in request.session.items)
        yield [
            await party.join(f"reader-{version}", room=f"silent/{version}", version=version)
            for version in (VERSIONS if wanted else ())
        ]


@pytest.fixture(scope="session")
async def killable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServiceProcess]:
    async with ServiceProcess(tmp_path_factory.mktemp("killable") / "drafts.db") as process:
        yield process


@pytest.fixture
async def mortal(killable: ServiceProcess) -> ServiceProcess:
    """A server to kill and restart: it is running when a test begins, and nobody else uses it."""
    if not killable.running:
        await killable.start()
    return killable


@pytest.fixture
async def party(node: NodeDriver, service: ServiceProcess) -> AsyncIterator[Party]:
    """Clients on one document of the common server."""
    async with Party(node, service, f"drafts/{uuid4()}") as party:
        yield party


@pytest.fixture
async def mortal_party(node: NodeDriver, mortal: ServiceProcess) -> AsyncIterator[Party]:
    """Clients on one document of a server of one's own."""
    async with Party(node, mortal, f"drafts/{uuid4()}") as party:
        yield party
