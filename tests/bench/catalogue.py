"""Every question that is asked, in its full size and small."""

from __future__ import annotations

from functools import partial

from tests.bench.scenario import Scenario
from tests.bench.scenarios.durable import Durable
from tests.bench.scenarios.events import Events
from tests.bench.scenarios.heavy import Heavy
from tests.bench.scenarios.history import History
from tests.bench.scenarios.joining import Joining
from tests.bench.scenarios.memory import Memory
from tests.bench.scenarios.presence import Presence
from tests.bench.scenarios.reopening import Reopening
from tests.bench.scenarios.saturated import Saturated
from tests.bench.scenarios.typing import Typing

_pair = partial(Saturated, 1, rate_ratio=2.0, cpu_ratio=0.5)
_crowd = partial(Saturated, 19, rate_ratio=3.0, cpu_ratio=0.3)


def full() -> tuple[Scenario, ...]:
    """As the targets are stated."""
    return (
        _pair(),
        _crowd(),
        Typing(),
        Joining(),
        Reopening(),
        History(),
        Durable(),
        Events(),
        Presence(),
        Memory(),
        Heavy(),
    )


def quick() -> tuple[Scenario, ...]:
    """The same, small: good for a first look and not for a conclusion."""
    return (
        _pair(edits=5_000, seconds=0.5, warm_up_edits=2_000),
        _crowd(edits=5_000, seconds=0.5, warm_up_edits=2_000),
        Typing(edits=4, warm_up_edits=1),
        Joining(clients=250, rooms=50),
        Reopening(stored=100, opened=50),
        History(edits=5_000),
        Durable(single=100, writers=20, edits=400, seconds=0.5),
        Events(events=4_000, warm_up_events=1_000, seconds=1.0),
        Presence(people=50, moves=4),
        Memory(clients=250, rooms=50),
        Heavy(large=1, rows=4_000, history=5_000, quiet_seconds=1.0),
    )
