"""Fixtures of tests in a real browser, against the real service. README.md tells how to use them.

Tests here are plain functions: Playwright's synchronous calls run a loop of their own.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, expect

from tests.browser.chromium import Launched, launched, missing
from tests.browser.people import Person
from tests.browser.service import Network, Service
from tests.support.service import ROOT

DIST = Path(os.environ.get("DRAFTSYNC_TEST_WEB") or ROOT / "examples/webapp/dist")
"""The built app; the variable names another build."""

ARTEFACTS = Path(os.environ.get("DRAFTSYNC_ARTEFACTS") or Path(__file__).parent / "artefacts")
PATIENCE_MS = 10_000

_FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


@pytest.fixture(scope="session")
def chromium() -> Iterator[Launched]:
    """The browser of this worker. Tests ask for `browser`, or better for `people`."""
    expect.set_options(timeout=PATIENCE_MS)
    with launched() as it:
        yield it


@pytest.fixture
def browser(chromium: Launched) -> Iterator[Browser]:
    with chromium.in_use() as browser:
        yield browser


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """The event loop, in a thread, of services, networks and Python clients."""
    with start_blocking_portal() as portal:
        yield portal


def built() -> Path:
    """The directory of the built app. Skips the calling test, or fails it, without one."""
    if not (DIST / "index.html").exists():
        missing("the web app is not built: run `make web`")
    return DIST


@pytest.fixture
def web() -> Path:
    """What `own_service` serves: the built app. A module may override it."""
    return built()


@pytest.fixture
def token_ttl() -> float:
    """Seconds that the tokens of links of `own_service` hold. A module may override it."""
    return 900.0


@pytest.fixture(scope="session")
def common_service(
    chromium: Launched,  # noqa: ARG001 - first: without a browser no service need be started
    portal: BlockingPortal,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """One for all tests of a worker: to start one takes longer than many a test."""
    database = tmp_path_factory.mktemp("service") / "drafts.db"
    with Service(portal, database, web=built()) as service:
        yield service


@pytest.fixture
def service(common_service: Service) -> Service:
    """With links that sign in. Tests that kill it, or change how it runs, take `own_service`."""
    common_service.troubled = False
    return common_service


_sessions = itertools.count(1)


@pytest.fixture
def session() -> str:
    """The name of a session that nobody else uses."""
    return f"s{next(_sessions):03}"


@pytest.fixture
def own_service(
    chromium: Launched,  # noqa: ARG001 - first: without a browser no service need be started
    portal: BlockingPortal,
    tmp_path: Path,
    web: Path,
    token_ttl: float,
) -> Iterator[Service]:
    """A service of the test's own; it has no session yet."""
    with Service(portal, tmp_path / "drafts.db", web=web, token_ttl=token_ttl) as service:
        yield service


People = Callable[..., Person]


@pytest.fixture
def artefacts(request: pytest.FixtureRequest) -> Path:
    """Where this test keeps its pictures; those of the last time are gone."""
    place = ARTEFACTS / re.sub(r"[^\w.-]+", "-", request.node.name).strip("-")
    shutil.rmtree(place, ignore_errors=True)
    return place


@pytest.fixture
def people(
    request: pytest.FixtureRequest, browser: Browser, service: Service, artefacts: Path
) -> Iterator[People]:
    """`alice = people("alice")`: a browser context of their own behind a network of their own.

    Further arguments are those of Playwright's `new_context`: `color_scheme`, `locale`,
    `viewport`. `network` shares another's: two contexts of one machine. At the end, a test fails on
    whatever went wrong in a page that it did not expect.
    """
    here: list[Person] = []

    def person(subject: str, *, network: Network | None = None, **options: Any) -> Person:
        context = stack.enter_context(browser.new_context(**options))
        context.set_default_timeout(PATIENCE_MS)
        network = network or service.network()
        here.append(Person(subject, service, network, context, artefacts))
        return here[-1]

    with ExitStack() as stack:
        yield person
        if request.node.stash.get(_FAILED, False):
            _photograph(here)
        problems = [f"{each.subject}: {problem}" for each in here for problem in each.problems]
    if problems:
        pytest.fail("in the browser:\n" + "\n".join(problems), pytrace=False)


def _photograph(people: list[Person]) -> None:
    for number, person in enumerate(people):
        for tab, page in enumerate(person.context.pages):
            person.shot(f"failed-{number}-{person.subject}-{tab}", page)
