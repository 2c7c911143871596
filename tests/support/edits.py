"""Edits that a JavaScript client can be told to make, and values that JSON has no word for.

`path` leads from the root to a nested type, by map keys and list indices. Indices into text count
UTF-16 units, as everything in JavaScript does.
"""

from typing import Any, TypeAlias

Edit: TypeAlias = dict[str, Any]
Step: TypeAlias = str | int

UNDEFINED = {"$undefined": True}
UNDO: Edit = {"do": "undo"}
REDO: Edit = {"do": "redo"}
TRACK: Edit = {"do": "track"}
"""Edits after this one can be undone."""


def put(root: str, key: str, value: Any, path: tuple[Step, ...] = ()) -> Edit:
    """Set a key of a Y.Map."""
    return {"do": "set", "root": root, "path": path, "key": key, "value": value}


def remove(root: str, key: str, path: tuple[Step, ...] = ()) -> Edit:
    """Delete a key of a Y.Map."""
    return {"do": "unset", "root": root, "path": path, "key": key}


def insert(root: str, index: int, *values: Any, path: tuple[Step, ...] = ()) -> Edit:
    """Insert values into a Y.Array, nodes into a Y.XmlFragment or Y.XmlElement."""
    return {"do": "insert", "root": root, "path": path, "index": index, "values": values}


def delete(root: str, index: int, length: int = 1, path: tuple[Step, ...] = ()) -> Edit:
    """Delete items of a list, nodes of a fragment or UTF-16 units of a text."""
    return {"do": "delete", "root": root, "path": path, "index": index, "length": length}


def write(root: str, index: int, text: str, path: tuple[Step, ...] = (), **formats: Any) -> Edit:
    """Insert text, formatted if formats are given."""
    edit = {"do": "write", "root": root, "path": path, "index": index, "text": text}
    return edit | ({"format": formats} if formats else {})


def embed(root: str, index: int, value: Any, path: tuple[Step, ...] = ()) -> Edit:
    """Insert an embedded object into a text."""
    return {"do": "embed", "root": root, "path": path, "index": index, "value": value}


def shape(root: str, index: int, length: int, path: tuple[Step, ...] = (), **formats: Any) -> Edit:
    """Format a range of text; a format of None is taken away."""
    place = {"root": root, "path": path, "index": index, "length": length}
    return {"do": "format", **place, "format": formats}


def attribute(root: str, key: str, value: Any, path: tuple[Step, ...]) -> Edit:
    """Set an attribute of a Y.XmlElement; None removes it."""
    return {"do": "attribute", "root": root, "path": path, "key": key, "value": value}


def ymap(**entries: Any) -> dict[str, Any]:
    """A nested Y.Map, as a value to put and as a view shows it."""
    return {"$map": entries}


def yarray(*values: Any) -> dict[str, Any]:
    """A nested Y.Array."""
    return {"$array": list(values)}


def ytext(*runs: Any) -> dict[str, Any]:
    """A nested Y.Text: runs are strings or deltas."""
    return {"$text": text(*runs)}


def xmltext(*runs: Any) -> dict[str, Any]:
    """A Y.XmlText."""
    return {"$xmltext": text(*runs)}


def element(name: str, *children: Any, **attributes: Any) -> dict[str, Any]:
    """A Y.XmlElement."""
    return {"$element": {"name": name, "attributes": attributes, "children": list(children)}}


def subdocument(guid: str) -> dict[str, Any]:
    """A document within the document."""
    return {"$doc": guid}


def text(*runs: Any) -> list[Any]:
    """What a view shows of a text: `text("plain", run("bold", bold=True))`."""
    return [run(words) if isinstance(words, str) else words for words in runs]


def run(words: str, **formats: Any) -> dict[str, Any]:
    """A stretch of text with its formats."""
    return {"insert": words} | ({"attributes": formats} if formats else {})
