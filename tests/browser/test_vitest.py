"""The web app's own tests (Vitest), as one of ours: counted, and never forgotten."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.npm import REQUIRE, node_command
from tests.support.service import ROOT

WEBAPP = ROOT / "examples/webapp"


@pytest.mark.node
@pytest.mark.timeout(300)
@pytest.mark.long
def test_the_web_apps_own_tests() -> None:
    vitest = WEBAPP / "node_modules/vitest/vitest.mjs"
    node = node_command()
    if not vitest.exists():
        missing = "npm packages are missing in examples/webapp: run `make node`"
        (pytest.fail if os.environ.get(REQUIRE) == "1" else pytest.skip)(missing)
    done = subprocess.run(
        [node, str(vitest), "run", "--no-color"],
        cwd=WEBAPP,
        env=os.environ | {"CI": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " passed" in done.stdout, done.stdout
