"""YAML or JSON as plain data: no anchors, aliases or tags, every value with its line.

Only what JSON has is read: mappings with text as keys, sequences, text, numbers, true, false and
null. Words that YAML 1.1 takes for something else (`no`, `12:30`, dates) stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12
MAX_VALUES = 20_000
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
# The same events, read by C where PyYAML was built with it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotPlainError(Exception):
    """The text is not plain data; `line` counts from 1, or is None for the text as a whole."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


@dataclass
class Document:
    """What a text holds, and on which line each value of it begins, by path."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of the value at `path`, or of the nearest one around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


def read_plain(text: str | bytes) -> Document:
    """Read one document of at most `MAX_BYTES`; raises `NotPlainError`."""
    if len(text) > MAX_BYTES:
        raise NotPlainError(None, f"the text is longer than {MAX_BYTES // 1024} KB")
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise NotPlainError(None, "the text is not UTF-8") from error
    if decoded.lstrip().startswith("{"):
        # JSON may be indented with tabs, YAML may not.
        decoded = decoded.replace("\t", " ")
    try:
        return _Builder(yaml.parse(decoded, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or "no YAML"
        raise NotPlainError(mark.line + 1 if mark else None, reason) from error
    except yaml.YAMLError as error:
        raise NotPlainError(None, "the text holds characters that YAML doesn't allow") from error


class _Builder:
    """Builds the data from parsing events, which nothing has interpreted yet."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._found = Document()
        self._values = 0

    def document(self) -> Document:
        event = self._next()
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise NotPlainError(None, "the text is empty")
        self._found.data = self._value(event, ())
        self._next()
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise NotPlainError(_line(after), "a second document begins; one is expected")
        return self._found

    def _next(self) -> Any:
        return next(self._events)

    def _value(self, event: Any, path: Path) -> Any:
        self._check(event, path)
        self._found.lines.setdefault(path, _line(event))
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _check(self, event: Any, path: Path) -> None:
        self._values += 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise NotPlainError(_line(event), "anchors and aliases (& and *) are not read")
        if event.tag is not None:
            raise NotPlainError(_line(event), f"tags are not read, here {event.tag[:40]!r}")
        if len(path) > MAX_DEPTH:
            raise NotPlainError(_line(event), f"it is nested deeper than {MAX_DEPTH} levels")
        if self._values > MAX_VALUES:
            raise NotPlainError(_line(event), f"there are more than {MAX_VALUES} values")

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            self._check(event, path)
            if not isinstance(event, yaml.ScalarEvent):
                raise NotPlainError(_line(event), "a key must be text")
            key = event.value
            if key in entries:
                raise NotPlainError(_line(event), f"`{key[:40]}` is given twice")
            # A value on its own line is found more easily by its key.
            self._found.lines[(*path, key)] = _line(event)
            entries[key] = self._value(self._next(), (*path, key))
        return entries


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1
