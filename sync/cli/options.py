"""Options that several commands share, and the reading of settings with errors for people."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from sync.cli import screen

if TYPE_CHECKING:  # they take half a second to import; who only reads a database waits for none
    from sync.server.settings import Settings

USAGE_ERROR = 2
FAILED = 1

DEFAULT_DATABASE = "draftsync.db"
"""As the settings have it, too."""

OPERATOR = "operator"
"""Who acts where a command makes its own token, or changes the database itself."""

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="DRAFTSYNC_CONFIG",
        help="A TOML file of settings [default: draftsync.toml, where there is one].",
        exists=True,
        dir_okay=False,
    ),
]
Database = Annotated[
    str | None, typer.Option("--database", help="The SQLite file [default: draftsync.db].")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",  # the settings read the environment: here it could not be told from what is given
        help="The running service [default: DRAFTSYNC_URL, or http://HOST:PORT of the settings].",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="DRAFTSYNC_TOKEN",
        help="A token for it (better: environment) [default: an administrator's for ten minutes, "
        "made with DRAFTSYNC_JWT_SECRET where that is set].",
    ),
]


def settings(config: Path | None, **options: Any) -> Settings:
    """Read the settings, or end with exit code 2 and what is wrong with them.

    A database that is given on the command line is the one that is meant: of a service that only
    the environment or the file names nobody knows whether it has that one open.
    """
    from pydantic import ValidationError

    from sync.server.settings import load_settings

    try:
        found = load_settings(config, **options)
    except ValidationError as error:
        lines = []
        for each in error.errors(include_url=False, include_input=False):
            text = each["msg"].removeprefix("Value error, ")
            option = str(each["loc"][0]).replace("_", "-") if each["loc"] else None
            lines.append(f"--{option}: {text}" if option else text)
        usage_error("\n".join(lines))
    except (OSError, ValueError) as error:  # tomllib.TOMLDecodeError is a ValueError
        usage_error(f"--config: {error}")
    if options.get("database") is not None and options.get("url") is None:
        return found.model_copy(update={"url": None})
    return found


def database_file(config: Path | None, given: str | None) -> str:
    """Find the one setting that a command needs which only reads: the database.

    It is what :func:`settings` has, in a hundredth of the time; what is wrong with it is told by
    that, and what is wrong with the others does not keep anybody from looking into the drafts.
    """
    try:
        found = given if given is not None else _database_setting(config)
    except (OSError, ValueError):
        found = None
    if not isinstance(found, str) or "://" in found:
        return settings(config, database=given).database
    return found


def _database_setting(config: Path | None) -> object:
    """Raises OSError; ValueError for what is no TOML."""
    environment = {name.lower(): value for name, value in os.environ.items()}
    if (found := environment.get("draftsync_database")) is not None:
        return found
    file = config or Path("draftsync.toml")
    if config is None and not file.is_file():
        return DEFAULT_DATABASE
    import tomllib  # it brings patterns of its own, and most have no such file

    return tomllib.loads(file.read_text("utf-8")).get("database", DEFAULT_DATABASE)


def usage_error(text: str) -> NoReturn:
    """End with exit code 2."""
    screen.warn(text)
    raise typer.Exit(USAGE_ERROR)


def failed(text: str) -> NoReturn:
    """End with exit code 1."""
    screen.warn(text)
    raise typer.Exit(FAILED)
