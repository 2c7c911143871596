"""npm yjs as the judge of what updates mean, and the author of random histories.

`with Oracle() as oracle` runs tests/wire/oracle.mjs. Calls block: from async code make them with
`anyio.to_thread.run_sync`.
"""

import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from tests.support.npm import WIRE, node_command

ROOTS: Mapping[str, str] = {"map": "map", "text": "text", "array": "array", "xml": "xml"}
"""The roots that random histories write to, and what is looked at unless `roots` is given."""


class OracleError(Exception):
    """npm yjs refused: what was asked, and why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A document as npm yjs has it: JSON for each root, its state vector, itself as an update.

    Shared types inside carry a tag, see tests/support/edits.py; text is a delta. `pending`: an
    update waits for one that never came.
    """

    roots: Mapping[str, Any]
    vector: bytes
    update: bytes
    pending: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to an author: an edit of his `own`, or one `seen` to arrive."""

    kind: Literal["own", "seen"]
    update: bytes


@dataclass(frozen=True, slots=True)
class Author:
    """One client of a history and all that happened to it, in its order."""

    client_id: int
    steps: Sequence[Step]

    @property
    def updates(self) -> list[bytes]:
        """The edits that it made, in the order in which it has to send them."""
        return [step.update for step in self.steps if step.kind == "own"]


@dataclass(frozen=True, slots=True)
class History:
    """A random history: `log` is every update once, in an order in which a server received it."""

    seed: int
    authors: Sequence[Author]
    log: Sequence[bytes]
    final: Verdict


class Oracle:
    """The Node process. One line in, one line out."""

    def __enter__(self) -> Self:
        command = [node_command(), str(WIRE / "oracle.mjs")]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def merge(
        self,
        histories: Iterable[Iterable[bytes]],
        roots: Mapping[str, str] = ROOTS,
    ) -> list[Verdict]:
        """For each list of updates, in order of delivery: what npm yjs makes of it."""
        lists = [[_encode(update) for update in history] for history in histories]
        found = self._call("merge", histories=lists, roots=dict(roots))
        return [_verdict(state) for state in found]

    def generate(
        self,
        seeds: Iterable[int],
        *,
        authors: int | None = None,
        edits: int | None = None,
        formats: bool = True,
    ) -> list[History]:
        """A random history for each seed; 2–4 authors and 10–60 actions unless told otherwise.

        The same seed gives the same bytes. Map, text, array, nested and XML edits, formats,
        deletions, undo and redo, subdocuments, offline periods.
        """
        size = {"authors": authors, "edits": edits, "formats": formats}
        given = {key: value for key, value in size.items() if value is not None}
        return [_history(found) for found in self._call("generate", seeds=list(seeds), **given)]

    def diff(self, update: bytes, vector: bytes) -> bytes:
        """`Y.diffUpdate`."""
        return b64decode(self._call("diff", update=_encode(update), vector=_encode(vector)))

    def combine(self, updates: Iterable[bytes]) -> bytes:
        """`Y.mergeUpdates`: Skip blocks stand where updates are not adjacent."""
        return b64decode(self._call("combine", updates=[_encode(update) for update in updates]))

    def _call(self, do: str, **arguments: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"id": 1, "do": do, **arguments}) + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise OracleError(f"{do}: the Node process has ended")
        message = json.loads(answer)
        if "error" in message:
            raise OracleError(f"{do}: {message['error']}")
        return message["result"]


def _encode(data: bytes) -> str:
    return b64encode(data).decode()


def _verdict(found: Mapping[str, Any]) -> Verdict:
    vector, update = b64decode(found["vector"]), b64decode(found["update"])
    return Verdict(found["roots"], vector, update, found["pending"])


def _history(found: Mapping[str, Any]) -> History:
    return History(
        seed=found["seed"],
        authors=[_author(author) for author in found["authors"]],
        log=[b64decode(update) for update in found["log"]],
        final=_verdict(found["state"]),
    )


def _author(found: Mapping[str, Any]) -> Author:
    steps = [Step(step["kind"], b64decode(step["update"])) for step in found["steps"]]
    return Author(found["clientID"], steps)
