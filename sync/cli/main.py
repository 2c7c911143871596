"""``draftsync``: the command.

To add a command, add a line to ``COMMANDS``: where its function is found. Options and help are made
of its signature and docstring, as Typer does.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from sync.cli.lazy import lazy_app

COMMANDS = {
    "serve": "sync.cli.serve:serve",
    "token": "sync.cli.token:token",
    "docs": "sync.cli.docs:app",
    "forms": "sync.cli.forms:app",
    "sessions": "sync.cli.sessions:app",
    "webhooks": "sync.cli.webhooks:app",
    "revoke": "sync.cli.revoke:revoke",
    "backup": "sync.cli.backup:backup",
    "doctor": "sync.cli.doctor:doctor",
    "demo": "sync.cli.demo:demo",
}


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"draftsync {version('draftsync')}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version."),
    ] = False,
) -> None:
    """Those before the name of a command."""


app = lazy_app(
    "draftsync",
    COMMANDS,
    "Offline-first sync service for collaborative evaluation forms.",
    _options,
)


def main() -> None:
    """The console command. What cannot be written is told, with exit code 1."""
    try:
        try:
            app(prog_name="draftsync")
        finally:
            sys.stdout.flush()
    except OSError as error:  # a full disk, a folder of somebody else's, a pipe that nobody reads
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left must not fail once more
        if not isinstance(error, BrokenPipeError):
            place = f"{error.filename}: " if error.filename else "cannot write: "
            print(f"{place}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
