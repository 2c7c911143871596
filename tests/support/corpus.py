"""Traffic of real editors, recorded by tests/wire/record.mjs: `npm run record` makes it anew."""

import functools
import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.support.npm import WIRE

CORPUS = WIRE / "corpus"


@dataclass(frozen=True, slots=True)
class Recording:
    """Updates of one document, in the order in which a server received them.

    Applied in this order they leave nothing pending and give the state `vector`. `roots` maps the
    document's roots to their kinds. `about` says what is special.
    """

    name: str
    about: str
    roots: Mapping[str, str]
    vector: bytes
    updates: Sequence[bytes]


@functools.cache
def recordings() -> tuple[Recording, ...]:
    """All of them, by name. Needs no Node."""
    return tuple(_read(name) for name in names())


@functools.cache
def names() -> tuple[str, ...]:
    """Their names, to parametrize tests with."""
    return tuple(sorted(path.stem for path in CORPUS.glob("*.json")))


def recording(name: str) -> Recording:
    """One of them."""
    return next(found for found in recordings() if found.name == name)


def _read(name: str) -> Recording:
    found = json.loads((CORPUS / f"{name}.json").read_text())
    return Recording(
        name=name,
        about=found["about"],
        roots=found["roots"],
        vector=b64decode(found["vector"]),
        updates=[b64decode(update) for update in found["updates"]],
    )
