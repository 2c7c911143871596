"""A process under power_loss.so. For each line ``database shadow durability seed`` it forks a
writer, which says ``pid``, then after each acknowledged batch the last position and how many events
all sessions have, until it is killed; then this process says ``dead``. With ``look`` for the
durability it says these two of what it finds, and writes nothing.

The first event of a batch changes its session: the new state names the event.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
from contextlib import closing
from pathlib import Path

from persistence.sqlite import writing
from persistence.sqlite.reading import FileReader
from persistence.sqlite.writing import FileWriter
from persistence.store import Edit, Event, Record, SessionState

writing.LOG_PAGES = 50  # so that the log is brought into the database many times in a run


def main() -> None:
    for line in sys.stdin:
        database, shadow, durability, seed = line.split()
        pid = os.fork()
        if pid == 0:
            os.environ["POWER_WATCH"] = str(Path(database).parent)
            os.environ["POWER_SHADOW"] = shadow
            if durability == "look":
                look(Path(database))
            write_for_ever(Path(database), durability, random.Random(int(seed)))
        os.waitpid(pid, 0)
        say("dead")


def write_for_ever(database: Path, durability: str, random_: random.Random) -> None:
    writer = FileWriter(database, durability)
    writer.open()
    position, events = found(database)
    say(f"pid {os.getpid()}")
    for number in itertools.count():
        if random_.random() < 0.5:
            position = write_edits(writer, number, random_)
        else:
            events += write_events(writer, random_)
        say(f"{position} {events}")
        writer.tidy()


def write_edits(writer: FileWriter, number: int, random_: random.Random) -> int:
    """Append a batch; return its last position."""
    size = random_.choice((10, 100, 20_000))
    batch = tuple(
        Edit(f"drafts/{number % 5}", random_.randbytes(size), "alice", (), 1.0)
        for _ in range(random_.randrange(1, 4))
    )
    return writer.append(batch) + len(batch) - 1


def write_events(writer: FileWriter, random_: random.Random) -> int:
    """Record a batch of a session's events; return how many."""
    session, batch = f"s{random_.randrange(3)}", []
    for number in range(random_.randrange(1, 4)):
        data = f'{{"text":"{"x" * random_.choice((10, 5_000))}"}}'
        kind = "power.note" if number else "power.change"
        event = Event(f"{random_.getrandbits(128):032x}", kind, "alice", 1.0, data)
        change = None if number else SessionState("an-epoch", "running", event.id)
        batch.append(Record(session, event, change))
    writer.record(tuple(batch))
    return len(batch)


def found(database: Path) -> tuple[int, int]:
    """The last position, and how many events all sessions have."""
    with closing(FileReader(database)) as reader:
        positions = [head.head for head in reader.heads("")]
        return max(positions, default=0), sum(each.top for each in reader.sessions(None, 0, 100))


def look(database: Path) -> None:
    """Open with full durability and say what is there, as a server that was started again would."""
    writer = FileWriter(database)
    writer.open()
    say(f"pid {os.getpid()}")
    position, events = found(database)
    say(f"{position} {events}")
    while True:
        signal.pause()


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()
