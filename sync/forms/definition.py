"""The definition of a form: sections of questions, read from JSON with strict checks.

::

    {"id": "agent-eval", "title": "…", "sections": [
      {"id": "quality", "title": "…", "questions": [
        {"id": "accuracy", "kind": "score", "label": "…", "min": 1, "max": 5, "step": 1,
         "required": true, "weight": 2, "comment": true, "help": "…"},
        {"id": "verdict", "kind": "choice", "label": "…", "options": ["pass", "fail"],
         "multiple": false, "shared": true},
        {"id": "polite", "kind": "boolean", "label": "…"},
        {"id": "topics", "kind": "tags", "label": "…"},
        {"id": "remarks", "kind": "text", "label": "…"}]}]}

Left out, ``required``, ``multiple``, ``shared`` and ``comment`` are false, and ``weight`` is 1. An
option is a text, or ``{"id", "label"}``. The ids of all questions differ, and have no slash: drafts
keep an evaluator's answers under ``{subject}/{question id}``.

A ``shared`` question has one answer of everybody's; another one has one of each evaluator. With
``comment`` there is a shared text beside the answer. A question of kind ``text`` is such a text
itself, and has neither.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

MAX_SECTIONS = 100
MAX_QUESTIONS = 500
MAX_OPTIONS = 200
MAX_LABEL = 500  # characters of a title, a label, an option
MAX_HELP = 4_000
MAX_NUMBER = 1e9

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class InvalidForm(ValueError):
    """What was given is no form. ``path`` tells where: ``sections[0].questions[3].max``."""

    def __init__(self, path: str, expected: str) -> None:
        super().__init__(f"{path or 'the form'}: expected {expected}")
        self.path = path
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Option:
    """One of the answers to choose from; ``id`` is what a draft holds."""

    id: str
    label: str


@dataclass(frozen=True, slots=True)
class Score:
    """A number from ``min`` to ``max``; with a ``step``, ``min`` and a whole number of steps."""

    min: float
    max: float
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the options, or with ``multiple`` any number of them."""

    options: tuple[Option, ...]
    multiple: bool = False


@dataclass(frozen=True, slots=True)
class Boolean:
    """Yes or no."""


@dataclass(frozen=True, slots=True)
class Tags:
    """Any number of words."""


@dataclass(frozen=True, slots=True)
class Text:
    """Free text."""


Kind = Score | Choice | Boolean | Tags | Text


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that is asked."""

    id: str
    label: str
    kind: Kind
    required: bool = False
    weight: float = 1.0  # of its answer, in a total over the form
    shared: bool = False  # one answer of everybody's; texts are always shared
    comment: bool = False  # with a text beside the answer
    help: str | None = None

    @property
    def word(self) -> str:
        """Its kind, as JSON has it."""
        return _word(self.kind)

    def to_json(self) -> dict[str, Any]:
        """As it is read, and nothing left to defaults."""
        told: dict[str, Any] = {"id": self.id, "kind": self.word, "label": self.label}
        told |= _details(self.kind)
        told |= {"required": self.required, "weight": self.weight}
        told |= {"shared": self.shared, "comment": self.comment}
        return told if self.help is None else told | {"help": self.help}


@dataclass(frozen=True, slots=True)
class Section:
    """Questions under one title."""

    id: str
    title: str
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class FormDefinition:
    """A form that people fill in."""

    id: str
    title: str
    sections: tuple[Section, ...]

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """Those of all sections, in order."""
        return tuple(each for section in self.sections for each in section.questions)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where each question stands in :attr:`questions`, by its id."""
        return {question.id: place for place, question in enumerate(self.questions)}

    @cached_property
    def required(self) -> int:
        """The questions that have to be answered, as a set: bit n is question n."""
        return sum(1 << n for n, each in enumerate(self.questions) if each.required)

    def question(self, question_id: str) -> Question | None:
        """The question of that id."""
        place = self.places.get(question_id)
        return None if place is None else self.questions[place]

    def to_json(self) -> dict[str, Any]:
        """As :func:`form_definition` reads it; nothing is left to defaults."""
        return {
            "id": self.id,
            "title": self.title,
            "sections": [
                {
                    "id": section.id,
                    "title": section.title,
                    "questions": [question.to_json() for question in section.questions],
                }
                for section in self.sections
            ],
        }


def form_definition(raw: object) -> FormDefinition:
    """Read a form from JSON. Raises InvalidForm."""
    node = _Node("", raw, {"id", "title", "sections"})
    sections = tuple(
        _section(path, each) for path, each in node.items("sections", MAX_SECTIONS, "sections")
    )
    form = FormDefinition(node.id(), node.text("title", MAX_LABEL), sections)
    _check_unique("sections", [section.id for section in sections], "section")
    if len(form.questions) > MAX_QUESTIONS:
        raise InvalidForm("sections", f"at most {MAX_QUESTIONS} questions in all")
    _check_unique("sections", [question.id for question in form.questions], "question")
    return form


def _section(path: str, raw: object) -> Section:
    node = _Node(path, raw, {"id", "title", "questions"})
    questions = tuple(
        _question(path, each) for path, each in node.items("questions", MAX_QUESTIONS, "questions")
    )
    return Section(node.id(), node.text("title", MAX_LABEL), questions)


_COMMON = {"id", "kind", "label", "required", "weight", "shared", "comment", "help"}
_OF_A_TEXT = {
    "shared": "it to be left out: a text is always shared",
    "comment": "it to be left out: a text is a comment itself",
}


def _question(path: str, raw: object) -> Question:
    kind = _Node(path, raw).get("kind", _KIND_WORDS, lambda value: value in _KINDS)
    keys, read = _KINDS[kind]
    node = _Node(path, raw, _COMMON | keys)
    for key, expected in _OF_A_TEXT.items():
        if node.flag(key) and kind == "text":
            node.refuse(key, expected)
    return Question(
        node.id(),
        node.text("label", MAX_LABEL),
        read(node),
        required=node.flag("required"),
        weight=node.number("weight", "a number of 0 or more", least=0) if node.has("weight") else 1,
        shared=node.flag("shared"),
        comment=node.flag("comment"),
        help=node.text("help", MAX_HELP) if node.has("help") else None,
    )


def _score(node: _Node) -> Score:
    low, high = node.number("min"), node.number("max")
    if low >= high:
        node.refuse("max", f"a number greater than min, which is {low}")
    if not node.has("step"):
        return Score(low, high)
    step = node.number("step", "a number greater than 0")
    if step <= 0 or step > high - low or not is_whole((high - low) / step):
        node.refuse("step", f"a number greater than 0 that leads from {low} to {high}")
    return Score(low, high, step)


def is_whole(number: float) -> bool:
    """A whole number, but for what rounding did to it."""
    return math.isfinite(number) and math.isclose(number, round(number), rel_tol=1e-9)


def _choice(node: _Node) -> Choice:
    options = tuple(
        _option(path, each) for path, each in node.items("options", MAX_OPTIONS, "options")
    )
    _check_unique(f"{node.path}.options", [option.id for option in options], "option")
    return Choice(options, node.flag("multiple"))


def _option(path: str, raw: object) -> Option:
    if isinstance(raw, str):
        text = _checked_text(path, raw, MAX_LABEL)
        return Option(text, text)
    node = _Node(path, raw, {"id", "label"}, or_else=" or a text")
    return Option(node.text("id", MAX_LABEL), node.text("label", MAX_LABEL))


_KINDS: Mapping[str, tuple[set[str], Callable[[_Node], Kind]]] = {
    "score": ({"min", "max", "step"}, _score),
    "choice": ({"options", "multiple"}, _choice),
    "boolean": (set(), lambda _: Boolean()),
    "tags": (set(), lambda _: Tags()),
    "text": (set(), lambda _: Text()),
}
_KIND_WORDS = "one of " + ", ".join(_KINDS)


def _word(kind: Kind) -> str:
    return type(kind).__name__.lower()


def _details(kind: Kind) -> dict[str, Any]:
    match kind:
        case Score(low, high, step):
            told = {"min": low, "max": high}
            return told if step is None else told | {"step": step}
        case Choice(options, multiple):
            listed = [{"id": each.id, "label": each.label} for each in options]
            return {"options": listed, "multiple": multiple}
        case Boolean() | Tags() | Text():
            return {}


def _check_unique(path: str, ids: Sequence[str], what: str) -> None:
    seen: set[str] = set()
    for each in ids:
        if each in seen:
            raise InvalidForm(path, f"every {what} id once; {each!r} is there twice")
        seen.add(each)


class _Node:
    """One JSON object of a form, and where it stands."""

    def __init__(
        self, path: str, raw: object, keys: set[str] | None = None, or_else: str = ""
    ) -> None:
        """``keys``: all that it may have. Raises InvalidForm."""
        self.path = path
        if not isinstance(raw, Mapping):
            raise InvalidForm(path, f"an object{or_else}, not {_named(raw)}")
        self._raw = raw
        unknown = [key for key in raw if keys is not None and key not in keys]
        if unknown:
            known = ", ".join(sorted(keys or ()))
            raise InvalidForm(self._at(str(unknown[0])[:64]), f"none but these keys: {known}")

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def refuse(self, key: str, expected: str) -> NoReturn:
        raise InvalidForm(self._at(key), expected)

    def has(self, key: str) -> bool:
        """It is there; null is as good as left out."""
        return self._raw.get(key) is not None

    def get(self, key: str, expected: str, fits: Callable[[Any], bool]) -> Any:
        value = self._raw.get(key)
        if isinstance(value, list | Mapping) or not fits(value):
            self.refuse(key, f"{expected}, not {_named(value)}")
        return value

    def id(self) -> str:
        expected = "1-64 of the characters A-Z a-z 0-9 . _ -, a letter or digit first"
        found: str = self.get("id", expected, lambda v: isinstance(v, str) and _matches(v))
        return found

    def text(self, key: str, most: int) -> str:
        return _checked_text(self._at(key), self._raw.get(key), most)

    def flag(self, key: str) -> bool:
        found = self.get(key, "true or false", lambda v: v is None or isinstance(v, bool))
        return bool(found)

    def number(self, key: str, expected: str = "a number", least: float = -MAX_NUMBER) -> float:
        def fits(value: object) -> bool:
            return _is_number(value) and least <= value <= MAX_NUMBER  # type: ignore[operator]

        found: float = self.get(key, expected, fits)
        return found

    def items(self, key: str, most: int, what: str) -> Iterator[tuple[str, object]]:
        found = self._raw.get(key)
        if not isinstance(found, list | tuple):
            self.refuse(key, f"a list of {what}, not {_named(found)}")
        if not 1 <= len(found) <= most:
            self.refuse(key, f"1 to {most} {what}, not {len(found)}")
        return ((f"{self._at(key)}[{place}]", each) for place, each in enumerate(found))


def _matches(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def _is_number(value: object) -> bool:
    """A number that is one: NaN does not equal itself."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _checked_text(path: str, value: object, most: int) -> str:
    if isinstance(value, str) and 1 <= len(value) <= most and not _UNSAFE.search(value):
        return value
    told = f"one of {len(value)} or with others" if isinstance(value, str) else _named(value)
    raise InvalidForm(path, f"a text of 1-{most} characters, none of them control, not {told}")


def _named(value: object) -> str:
    """A value as an error shows it: short, and in the words of JSON."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value) if abs(value) < MAX_NUMBER else "a number so large"
        case str():
            return repr(value if len(value) <= 40 else value[:39] + "…")
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return type(value).__name__
