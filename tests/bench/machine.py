"""On what kind of machine, and when."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path


def described() -> str:
    """One line: processor, cores, kernel, versions, date."""
    parts = (
        _processor(),
        f"{os.cpu_count()} cores",
        f"{platform.system()} {platform.release().partition('-')[0]}",
        f"Python {platform.python_version()}",
        _node(),
        f"{datetime.now(UTC):%Y-%m-%d}",
    )
    return ", ".join(part for part in parts if part)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _node() -> str:
    if (node := shutil.which("node")) is None:
        return ""
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    return f"Node {version.stdout.strip().removeprefix('v')}"
