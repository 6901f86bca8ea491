"""Scenes and storyboards as YAML or JSON text, with errors that name the line and the reason."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mos_protocol.errors import InvalidRequest
from mos_protocol.plain_yaml import MAX_BYTES, Document, NotPlainError, Path, read_plain
from mos_protocol.scene import Condition, Region, Scene, SceneDefaults, Storyboard
from mos_protocol.scene_checks import Rules, scene_faults

__all__ = [
    "MAX_BYTES",
    "check_scene",
    "read_scene",
    "read_storyboard",
    "scene_of",
    "scene_schema",
    "storyboard_schema",
]

MAX_TOLD = 10
_HINT = "docs/composing.md describes scenes; `mos-client compose --schema` prints their schema."
_FIELDS = sorted({*Scene.model_fields, *Region.model_fields, *Condition.model_fields, "scenes"})
_PARTS = {"regions": "region", "conditions": "condition", "scenes": "scene"}
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: on which line (None: unknown), in which part, and why."""

    line: int | None
    where: str
    reason: str

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        return ": ".join(filter(None, (line, self.where, self.reason)))


def read_scene(
    text: str | bytes,
    *,
    words: Collection[str] | None = None,
    files: bool = False,
    factor: int = 8,
) -> Scene:
    """Read a scene. words: those that the model knows (None: any). files: whether pictures may be
    files. factor: the model's pixels per latent. Raises `InvalidRequest`.
    """
    return _scene(_document(text), Rules(words, factor, files))


def scene_of(
    data: object, *, words: Collection[str] | None = None, files: bool = False, factor: int = 8
) -> Scene:
    """The same from a decoded JSON document, whose faults have no lines."""
    return _scene(Document(data), Rules(words, factor, files))


def read_storyboard(
    text: str | bytes,
    *,
    words: Collection[str] | None = None,
    files: bool = False,
    factor: int = 8,
) -> Storyboard:
    """Read a storyboard, each scene with its `defaults`; raises `InvalidRequest`."""
    document = _document(text)
    if isinstance(document.data, dict) and "defaults" in document.data:
        document = _with_defaults(document)
    board = _valid(Storyboard, document)
    rules = Rules(words, factor, files)
    found = [
        (("scenes", number, *path), reason)
        for number, scene in enumerate(board.scenes)
        for path, reason in scene_faults(scene, rules)
    ]
    _refuse(found, document)
    return board


def check_scene(scene: Scene, rules: Rules) -> None:
    """Raise `InvalidRequest` when a scene that was made in Python can't be composed."""
    _refuse(list(scene_faults(scene, rules)), Document(scene.model_dump()))


def scene_schema() -> dict[str, Any]:
    """The JSON schema of a scene file."""
    return Scene.model_json_schema()


def storyboard_schema() -> dict[str, Any]:
    """The JSON schema of a storyboard file, whose defaults may give what a scene lacks."""
    schema = Storyboard.model_json_schema()
    defaults = SceneDefaults.model_json_schema()
    schema["properties"]["defaults"] = defaults
    schema["$defs"]["Scene"]["required"].remove("size")
    return schema


def _document(text: str | bytes) -> Document:
    try:
        return read_plain(text)
    except NotPlainError as error:
        raise _refusal([Fault(error.line, "", error.reason)]) from error


def _scene(document: Document, rules: Rules) -> Scene:
    scene = _valid(Scene, document)
    _refuse(list(scene_faults(scene, rules)), document)
    return scene


def _with_defaults(document: Document) -> Document:
    """The storyboard with its defaults in every scene; their lines are those of the defaults."""
    data = dict(document.data)
    defaults = data.pop("defaults")
    _valid(SceneDefaults, Document(defaults, _below(document.lines, ("defaults",))))
    scenes = data.get("scenes")
    if not isinstance(scenes, list):
        return Document(data, document.lines)
    lines = dict(document.lines)
    for number, scene in enumerate(scenes):
        for path, line in _below(document.lines, ("defaults",)).items():
            if path and isinstance(scene, dict) and path[0] not in scene:
                lines[("scenes", number, *path)] = line
    data["scenes"] = [defaults | scene if isinstance(scene, dict) else scene for scene in scenes]
    return Document(data, lines)


def _below(lines: Mapping[Path, int], at: Path) -> dict[Path, int]:
    return {path[len(at) :]: line for path, line in lines.items() if path[: len(at)] == at}


def _valid(model: type[Model], document: Document) -> Model:
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise _refusal([_told(item, document) for item in error.errors()]) from error


def _told(error: Mapping[str, Any], document: Document) -> Fault:
    """A fault of types, in our words where the library's are not those of the file."""
    path: Path = tuple(error["loc"])
    kind, last = error["type"], path[-1] if path else ""
    if kind == "missing":
        reason = f"`{last}` is missing" if isinstance(last, str) else f"it has only {last} values"
        path = path[:-1]
    elif kind == "extra_forbidden":
        near = difflib.get_close_matches(str(last), _FIELDS, n=1)
        meant = f"; is `{near[0]}` meant?" if near else ""
        reason = f"there is no field `{str(last)[:40]}`{meant}"
        return Fault(document.line(path), _where(path[:-1], document), reason)
    elif kind in ("model_type", "model_attributes_type"):
        reason = f"fields are expected, not {_shown(error['input'])}"
    else:
        reason = re.sub(r"^(Input|String|Tuple) ", "it ", str(error["msg"]))
        reason = reason.replace("a valid tuple", "a list").replace(" after validation", "")
        if not isinstance(error["input"], dict | list | tuple):
            reason += f", not {_shown(error['input'])}"
    return Fault(document.line(path), _where(path, document), reason)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _refuse(found: Sequence[tuple[Path, str]], document: Document) -> None:
    if found:
        raise _refusal(
            [Fault(document.line(path), _part(path, document)[0], reason) for path, reason in found]
        )


def _refusal(faults: Sequence[Fault]) -> InvalidRequest:
    # Faults without a line concern everything, so they come first.
    ordered = sorted(faults, key=lambda fault: fault.line or 0)
    told = [str(fault) for fault in ordered[:MAX_TOLD]]
    if len(faults) > MAX_TOLD:
        told.append(f"and {len(faults) - MAX_TOLD} more")
    listed = [
        {"line": fault.line, "where": fault.where, "reason": fault.reason}
        for fault in ordered[:MAX_TOLD]
    ]
    return InvalidRequest("; ".join(told), hint=_HINT, faults=listed)


def _where(path: Path, document: Document) -> str:
    """For example "region `cat`: weight"."""
    part, rest = _part(path, document)
    field = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in rest)
    return ": ".join(filter(None, (part, field.removeprefix("."))))


def _part(path: Path, document: Document) -> tuple[str, Path]:
    """The scene, region or condition that a path is in, in words, and the path inside it."""
    words: list[str] = []
    while len(path) > 1 and path[0] in _PARTS and isinstance(path[1], int):
        entries = _inside(document.data, path[:1])
        words.append(_name(str(path[0]), path[1], entries))
        document, path = Document(_inside(entries, (path[1],))), path[2:]
    return ": ".join(words), path


def _name(key: str, number: int, entries: Any) -> str:
    entry = _inside(entries, (number,))
    called = entry.get("id" if key == "regions" else "title") if isinstance(entry, dict) else None
    if isinstance(called, str) and called:
        return f"{_PARTS[key]} `{called[:40]}`"
    return f"{_PARTS[key]} {number + 1}"


def _inside(data: Any, path: Path) -> Any:
    for key in path:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return None
    return data
