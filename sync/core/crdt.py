"""Yjs documents, by pycrdt. The only module that imports it.

The native library raises RuntimeError and panics (``pyo3_runtime.PanicException``, which is a
BaseException and not an Exception). Everything that crosses this border comes out as
:class:`NativeFailure`; the document it came from may be half changed and must be dropped.

Nothing here checks its input: :mod:`sync.core.guard` does, before anything gets here.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import pycrdt

from sync.core.errors import NativeFailure

_P = ParamSpec("_P")
_R = TypeVar("_R")

EMPTY_STATE_VECTOR = b"\x00"

_NOT_OURS = (KeyboardInterrupt, SystemExit)


class Replica:
    """One Yjs document in memory.

    Not to be used after NativeFailure. Any thread may use it, one at a time; deeply nested
    documents need a thread with a large stack (:mod:`sync.server.deep_stack`).
    """

    __slots__ = ("_doc",)

    def __init__(self, update: bytes | None = None) -> None:
        """Start empty, or as one update that holds everything."""
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc()
        if update is not None:
            self.apply(update)

    def apply(self, update: bytes) -> None:
        """Merge a Yjs v1 update that the guard and the causal gate let pass."""
        try:
            _apply(self._doc._doc, update)
        except _NOT_OURS:
            raise
        except BaseException as failure:  # noqa: BLE001 - see _native
            raise _native_failure(failure) from None

    def state_vector(self) -> bytes:
        """The encoded state vector: the next clock of every client id."""
        return _native(self._doc.get_state)

    def diff(self, state_vector: bytes) -> bytes:
        """Everything that a replica at this encoded state vector lacks, and all deletions."""
        return _native(self._doc.get_update, state_vector)

    def encode(self) -> bytes:
        """The whole document as one update."""
        return _native(self._doc.get_update)

    def deletions(self) -> bytes:
        """The deletions alone, as an update: while none is added, the bytes stay the same."""
        return self.diff(self.state_vector())

    def root(self, name: str, kind: RootKind) -> object:
        """The content of one root type, read as a type of this kind, as Python values.

        Maps and arrays come as dicts and lists, texts and XML as strings.
        """
        return _native(self._root, name, kind)

    def value(self, root: str, key: str) -> tuple[bool, object]:
        """Whether a root that is a map has a key, and what it holds there, as :meth:`root` does."""
        return _native(self._value, root, key)

    def _value(self, root: str, key: str) -> tuple[bool, object]:
        try:
            return True, _python(self._doc.get(root, type=pycrdt.Map)[key])
        except KeyError:
            return False, None

    def _root(self, name: str, kind: RootKind) -> object:
        return _python(self._doc.get(name, type=kind))


Doc = pycrdt.Doc
Map = pycrdt.Map
Array = pycrdt.Array
Text = pycrdt.Text
XmlFragment = pycrdt.XmlFragment
XmlElement = pycrdt.XmlElement
XmlText = pycrdt.XmlText
"""The library's own names, for those who write documents and not the service: nothing is caught."""

RootKind = type[pycrdt.Map[Any] | pycrdt.Array[Any] | pycrdt.Text | pycrdt.XmlFragment]

MAP: RootKind = pycrdt.Map
ARRAY: RootKind = pycrdt.Array
TEXT: RootKind = pycrdt.Text
XML: RootKind = pycrdt.XmlFragment


def written(
    current: bytes, wanted: bytes, client: int, write: Callable[[Doc[Any], Doc[Any]], None]
) -> bytes:
    """Load two whole documents, let ``write`` change the first, and tell what it did as an update.

    That is one transaction under the client id. Raises NativeFailure.
    """
    return _native(_written, current, wanted, client, write)


def _written(
    current: bytes, wanted: bytes, client: int, write: Callable[[Doc[Any], Doc[Any]], None]
) -> bytes:
    target, source = Doc[Any](client_id=client), Doc[Any]()
    target.apply_update(current)
    source.apply_update(wanted)
    made = [b"\x00\x00"]
    watch = target.observe(lambda event: made.append(event.update))
    with target.transaction():
        write(target, source)
    target.unobserve(watch)
    return made[-1]


def _apply(doc: Any, update: bytes) -> None:
    """``Doc.apply_update`` without its models, locks and leases: they cost as much as all else."""
    transaction = doc.create_transaction()
    try:
        doc.apply_update(transaction, update)
        transaction.commit()
    finally:
        transaction.drop()


def merge(updates: list[bytes]) -> bytes:
    """Merge updates, in causal order, into one that does the same."""
    return updates[0] if len(updates) == 1 else _native(pycrdt.merge_updates, *updates)


def plain(value: object) -> object:
    """A value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JavaScript has one kind of number
    if isinstance(value, float) and not math.isfinite(value):
        return None  # as JSON.stringify does
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, pycrdt.Doc):
        return {"subdocument": value.guid}
    return str(value)


def _python(value: object) -> object:
    """What a shared type holds, at any depth. (The library's own knows no XML inside a map.)"""
    if isinstance(value, pycrdt.Map):
        return {key: _python(inner) for key, inner in value.items()}
    if isinstance(value, pycrdt.Array):
        return [_python(inner) for inner in value]
    if isinstance(value, pycrdt.Text):
        return "".join(_piece(piece) for piece, _ in value.diff())
    return _xml(value) if isinstance(value, _XML) else value


_XML = pycrdt.XmlElement | pycrdt.XmlFragment | pycrdt.XmlText


def _xml(node: object) -> str:
    """XML as text. (The library's own puts attributes in another order each time.)"""
    if isinstance(node, pycrdt.XmlText):
        return "".join(_formatted(_piece(piece), marks) for piece, marks in node.diff())
    if isinstance(node, pycrdt.XmlElement):
        pairs: list[tuple[str, object]] = list(node.attributes)  # type: ignore[call-overload] # iterable
        attributes = "".join(f' {name}="{_piece(value)}"' for name, value in sorted(pairs))
        inside = "".join(_xml(child) for child in node.children)
        return f"<{node.tag}{attributes}>{inside}</{node.tag}>"
    if isinstance(node, pycrdt.XmlFragment):
        return "".join(_xml(child) for child in node.children)
    return str(node)


def _piece(piece: object) -> str:
    """A stretch of text, or what is embedded in it, as JSON: the library has no order of keys."""
    value = _python(piece)
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)


def _formatted(piece: str, marks: dict[str, Any] | None) -> str:
    for name in sorted(marks or (), reverse=True):
        piece = f"<{name}>{piece}</{name}>"
    return piece


def _native(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call into native code; whatever it raises comes out as NativeFailure."""
    try:
        return function(*args, **kwargs)
    except _NOT_OURS:
        raise
    except BaseException as failure:  # noqa: BLE001 - PanicException derives from BaseException
        raise _native_failure(failure) from None


def _native_failure(failure: BaseException) -> NativeFailure:
    return NativeFailure(f"{type(failure).__name__}: {failure}")
