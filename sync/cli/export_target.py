"""Where an export goes: a file that is whole or not there, a folder, a pipe."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from sync.cli import options, screen
from sync.cli.import_sources import PART_LENGTH, UPDATE_SUFFIX


@dataclass(frozen=True, slots=True)
class Target:
    """A file, a folder, or stdout. What cannot be ends the command."""

    path: str
    force: bool

    @property
    def is_folder(self) -> bool:
        return self.path != "-" and (Path(self.path).is_dir() or self.path.endswith("/"))

    def check_folder(self) -> None:
        if self.path == "-":
            options.usage_error("updates of several documents go to a folder: give one with -o")
        if Path(self.path).exists() and not Path(self.path).is_dir():
            options.failed(f"{self.path} is no folder")

    def check_file(self, *, binary: bool) -> None:
        if self.path == "-":
            if binary and sys.stdout.isatty():
                options.usage_error("this is nothing for a terminal: give a file with -o")
            return
        if self.is_folder:
            options.usage_error(f"{self.path} is a folder: give the name of a file in it")
        if Path(self.path).is_file() and not self.force:
            options.failed(f"{self.path} exists already: give another name, or --force")
        if not Path(self.path).parent.is_dir():
            options.failed(f"there is no folder {Path(self.path).parent}")

    def encoded(self, text: str) -> bytes:
        """The bytes of a text for it; on a terminal nothing of them acts."""
        return screen.file_text(text) if self.path == "-" else text.encode()

    @contextmanager
    def file(self, *, several: bool) -> Iterator[IO[bytes]]:
        """What is written comes into its place when all of it was; not where files are several."""
        if several:
            yield io.BytesIO()
        elif self.path == "-":
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif Path(self.path).exists() and not Path(self.path).is_file():  # such as a named pipe
            with Path(self.path).open("wb") as file:
                yield file
        else:
            with whole_file(Path(self.path)) as file:
                yield file

    def folder_file(self, document: str) -> Path:
        """A file of a folder by the document's name, percent-encoded."""
        encoded = quote(document, safe="")
        parts = [encoded[at : at + PART_LENGTH] for at in range(0, len(encoded), PART_LENGTH)]
        return Path(self.path, *parts[:-1], parts[-1] + UPDATE_SUFFIX)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its place when it was written to its end, and is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(".part", f".{path.name[:100]}.", path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).rename(path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)  # noqa: PTH108 - a name, not a path
