"""What all tests share: asyncio, a loop that nobody may block, and logs that can be read."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog
from blockbuster import blockbuster_ctx


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing may be skipped: DRAFTSYNC_SKIP_NONE makes of a skipped test a failed run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("DRAFTSYNC_SKIP_NONE") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every worker begin with some of the long tests: none of them is to be the last one.

    Each gets an equal part, in order, by `--dist worksteal`.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    long = [item for item in items if item.get_closest_marker("long")]
    others = [item for item in items if not item.get_closest_marker("long")]
    dealt: list[pytest.Item] = []
    for number in range(workers):
        part = (len(items) - len(dealt)) // (workers - number)
        begun = long[number::workers]
        rest = max(0, part - len(begun))
        dealt += begun + others[:rest]
        del others[:rest]
    items[:] = dealt


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def no_blocking() -> Iterator[None]:
    """Make a blocking call on the event loop an error, where one of our packages makes it."""
    with blockbuster_ctx(["sync", "auth", "persistence"]) as blockbuster:
        blockbuster.functions["os.getcwd"].deactivate()  # the kernel knows it; nothing is read
        for function in blockbuster.functions.values():
            # A small snapshot is verified at once, on a deep stack: bounded work of a millisecond.
            function.can_block_in("sync/server/deep_stack.py", {"start_deep", "run_deep"})
            # Logs go to stderr, which is the operator's to read fast enough.
            function.can_block_in("logging/__init__.py", {"handle"})
        yield


@pytest.fixture(scope="session", autouse=True)
def readable_logs() -> Iterator[None]:
    """Hand what the service logs to the standard library, and so to pytest's ``caplog``."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            structlog.stdlib.render_to_log_kwargs,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    yield
    structlog.reset_defaults()
