"""A process under power_loss.so. For each line ``database shadow durability seed`` it forks a
writer, which says ``pid``, then the last position of each acknowledged batch, until it is killed;
then this process says ``dead``. With ``look`` for the durability it says the last position that it
finds, and writes nothing.
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
from persistence.store import Edit

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
    say(f"pid {os.getpid()}")
    for number in itertools.count():
        size = random_.choice((10, 100, 20_000))
        batch = tuple(
            Edit(f"drafts/{number % 5}", random_.randbytes(size), "alice", (), 1.0)
            for _ in range(random_.randrange(1, 4))
        )
        say(str(writer.append(batch) + len(batch) - 1))
        writer.tidy()


def look(database: Path) -> None:
    """Open with full durability and say what is there, as a server that was started again would."""
    writer = FileWriter(database)
    writer.open()
    say(f"pid {os.getpid()}")
    with closing(FileReader(database)) as reader:
        say(str(max(head.head for head in reader.heads(""))))
    while True:
        signal.pause()


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()
