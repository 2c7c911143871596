"""Commands that are imported when they are used: one of them needs little of what all need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

Command = Any  # of Click, which some versions of Typer bring along, and some depend on
Parameter = Any  # likewise


def _nothing() -> None:
    pass


def lazy_app(
    name: str,
    commands: Mapping[str, str],
    help: str,  # noqa: A002 - Typer's word
    options: Callable[..., None] = _nothing,
) -> typer.Typer:
    """An app of commands that are found as ``module:function``, or ``module:app`` for a group.

    ``options`` takes those that the app itself has, before the name of a command.
    """

    class Group(_Quick, TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = _Commands(commands, self.commands)

    app = typer.Typer(
        name=name,
        cls=Group,
        help=help,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(options)  # without one, an app without commands of its own is refused
    return app


class _Commands(MutableMapping[str, Command]):
    """Commands by their names; asking for one imports it, and asking for the names does not."""

    def __init__(self, found_at: Mapping[str, str], made: Mapping[str, Command]) -> None:
        self._found_at = dict(found_at)
        self._made = dict(made)

    def __getitem__(self, name: str) -> Command:
        if name not in self._made:
            self._made[name] = _command(name, self._found_at[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Command) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        self._found_at.pop(name, None)
        self._made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._found_at, *self._made)))

    def __len__(self) -> int:
        return len(self._found_at.keys() | self._made.keys())


def _command(name: str, found_at: str) -> Command:
    module, _, attribute = found_at.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        found.rich_markup_mode = None
        return get_group(found)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=_Command)(found)
    return get_command(alone)


class _Quick:
    """A command of Typer that reads no values which need no reading.

    Some versions of Typer have pydantic read what was not given, or is a text already, too; and
    that takes a tenth of a second to import.
    """

    def get_params(self, context: Any) -> list[Parameter]:
        found: list[Parameter] = super().get_params(context)  # type: ignore[misc]  # Click has it
        for each in found:
            if "process_value" not in vars(each):
                each.process_value = partial(_taken, each, each.process_value)
        return found


class _Command(_Quick, TyperCommand):
    pass


def _taken(
    parameter: Parameter, read: Callable[[Any, object], Any], context: Any, value: object
) -> Any:
    wanted = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    fits = type(value) is wanted or (value is None and not parameter.required)
    acts = value and parameter.callback is not None
    return value if fits and not acts else read(context, value)
