"""Whether the JavaScript clients of tests/wire can run here, and what to do if not."""

import functools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

WIRE = Path(__file__).resolve().parent.parent / "wire"
"""The folder of the JavaScript side: package.json, driver.mjs, oracle.mjs."""

REQUIRE = "DRAFTSYNC_REQUIRE_NODE"
"""Set to 1 (CI does), a missing Node or package is a failure and not a reason to skip."""

OLDEST = 20


def node_command() -> str:
    """The path of `node`. Skips the calling test, or fails it under `REQUIRE`, if it cannot run."""
    missing = whats_missing()
    if missing is None:
        return str(shutil.which("node"))
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


@functools.cache
def whats_missing() -> str | None:
    """What keeps the JavaScript clients from running, with its remedy; None if nothing does."""
    node = shutil.which("node")
    if node is None:
        return f"node is not on the PATH: install Node {OLDEST} or later"
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if (major := re.match(r"v(\d+)", found)) is None or int(major[1]) < OLDEST:
        return f"node is {found.strip()}: install Node {OLDEST} or later"
    return _packages_missing()


def _packages_missing() -> str | None:
    wanted = _versions(WIRE / "package-lock.json")
    found = _versions(WIRE / "node_modules" / ".package-lock.json")
    absent = sorted(name for name in wanted if found.get(name) != wanted[name])
    if not absent:
        return None
    some = ", ".join(f"{name.removeprefix('node_modules/')} {wanted[name]}" for name in absent[:3])
    more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
    return f"npm packages are missing ({some}{more}): run `npm ci` in tests/wire"


def _versions(lockfile: Path) -> dict[str, str]:
    if not lockfile.exists():
        return {}
    packages = json.loads(lockfile.read_text())["packages"]
    return {
        name: package["version"]
        for name, package in packages.items()
        if name and not package.get("optional")
    }
