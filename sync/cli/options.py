"""Options that several commands share, and the reading of settings with errors for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from sync.server.settings import Settings, load_settings

USAGE_ERROR = 2
FAILED = 1

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


def settings(config: Path | None, **options: Any) -> Settings:
    """Read the settings, or end with exit code 2 and what is wrong with them."""
    try:
        return load_settings(config, **options)
    except ValidationError as error:
        lines = []
        for each in error.errors(include_url=False, include_input=False):
            text = each["msg"].removeprefix("Value error, ")
            option = str(each["loc"][0]).replace("_", "-") if each["loc"] else None
            lines.append(f"--{option}: {text}" if option else text)
        usage_error("\n".join(lines))
    except (OSError, ValueError) as error:  # tomllib.TOMLDecodeError is a ValueError
        usage_error(f"--config: {error}")


def usage_error(text: str) -> NoReturn:
    """End with exit code 2."""
    typer.echo(text, err=True)
    raise typer.Exit(USAGE_ERROR)


def failed(text: str) -> NoReturn:
    """End with exit code 1."""
    typer.echo(text, err=True)
    raise typer.Exit(FAILED)
