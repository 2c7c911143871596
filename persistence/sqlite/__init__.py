"""The store in one SQLite file.

::

    async with open_sqlite(path) as store:           # the one writer, holding <path>-lock
        ...
    async with open_sqlite_readonly(path) as reader: # beside it, or with no server at all
        ...

Four laws, for whoever edits this package:

1. One connection writes and checkpoints a file, on one thread. Below SQLite 3.51.3 two of them
   at once can corrupt the write-ahead log. Readers are opened ``mode=ro``, which never checkpoints.
2. Nobody opens the database file by ``open()`` while it is in use: closing *any* descriptor of it
   drops every POSIX lock that SQLite holds on it in this process. (The ``-wal`` has none.)
3. A row counts only with a checksum that fits, and a document is whole only when the chain of its
   entries is: what cannot be read is reported, never left out in silence.
4. A batch costs one step of SQLite, and a page for each document: all that is only summed up is
   written behind the edits, before each checkpoint. So no page of entries comes into the database
   file before a tally that would miss them; until then the log's own checksums guard them.
   A batch of events costs five steps, and its session's log row is committed with it: offsets have
   no gaps, and events no other way to heal.
"""

from persistence.sqlite.store import (
    Durability,
    SqliteReader,
    SqliteStore,
    open_sqlite,
    open_sqlite_readonly,
)

__all__ = ["Durability", "SqliteReader", "SqliteStore", "open_sqlite", "open_sqlite_readonly"]
