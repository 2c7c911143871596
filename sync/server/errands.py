"""What is done to its end, though whoever asked for it goes meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from sync.core.errors import Draining


@dataclass(slots=True, eq=False)
class _Outcome:
    done: anyio.Event = field(default_factory=anyio.Event)
    error: Exception | None = field(
        default_factory=lambda: Draining("the server is restarting: ask again")
    )


async def to_the_end(tasks: TaskGroup, work: Callable[[], Awaitable[None]]) -> None:
    """Work in a task of its own, and wait for it. Raises what it raises.

    Cancelling this waits no longer; the work goes on. Raises Draining where it did not come to an
    end because the tasks were cancelled.
    """
    outcome = _Outcome()
    tasks.start_soon(_work, work, outcome)
    await outcome.done.wait()
    if outcome.error is not None:
        raise outcome.error


async def _work(work: Callable[[], Awaitable[None]], outcome: _Outcome) -> None:
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
        outcome.error = error
    else:
        outcome.error = None
    finally:
        outcome.done.set()
