"""The browser: found on this machine, launched once, and kept from the loops of other tests."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, sync_playwright

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "chrome")

REQUIRE = "DRAFTSYNC_REQUIRE_CHROMIUM"
"""Set to 1 (CI does), a missing browser is a failure and not a reason to skip."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_command() -> str:
    """The path of Chromium. Skips the calling test, or fails it under `REQUIRE`, without one."""
    found = next(filter(None, map(shutil.which, COMMANDS)), None)
    if found is not None:
        return found
    return missing("no Chromium is on the PATH: install it (Debian: apt-get install chromium)")


def missing(what: str) -> str:
    """Skip, or fail under `REQUIRE`."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


@functools.cache
def version() -> str:
    """Of the browser, for reports."""
    command = [chromium_command(), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True, slots=True)
class Launched:
    """A browser, and the event loop that Playwright's synchronous calls turn."""

    browser: Browser
    loop: asyncio.AbstractEventLoop

    @contextmanager
    def in_use(self) -> Iterator[Browser]:
        """Only here may the browser be used.

        Playwright leaves its loop marked as running in this thread for as long as it lives;
        asyncio would refuse to run every later test of this worker that is `async`.
        """
        asyncio._set_running_loop(self.loop)
        try:
            yield self.browser
        finally:
            asyncio._set_running_loop(None)


@contextmanager
def launched() -> Iterator[Launched]:
    """Launch the browser of this process."""
    command = chromium_command()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=command, args=FLAGS)
        it = Launched(browser, asyncio.get_running_loop())
        asyncio._set_running_loop(None)
        try:
            yield it
        finally:
            asyncio._set_running_loop(it.loop)
            browser.close()
    asyncio._set_running_loop(None)
