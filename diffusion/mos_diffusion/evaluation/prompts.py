"""The prompts of an evaluation: twenty per kind of concept, in four groups.

A file of prompts is JSON: `prompts` has kind → group → texts, `classes` has class word → kind, and
`prefix`, which may be left out, stands before a text when CLIP compares it with a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, get_args

from mos_protocol.errors import InvalidRequest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PLACEHOLDER = "<TOK>"
TEXT_PREFIX = "A photo depicts "
Group = Literal["recontextualization", "restylization", "interaction", "property_modification"]
GROUPS: tuple[Group, ...] = get_args(Group)
MAX_FILE_BYTES = 1 << 20
MAX_CHARS = 300

_Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
_Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARS)]
_Texts = Annotated[tuple[_Text, ...], Field(min_length=1, max_length=50)]


@dataclass(frozen=True)
class Prompt:
    """A text with `<TOK>` where the concept stands, and the group that it belongs to."""

    text: str
    group: str

    def naming(self, name: str) -> str:
        """The text with `name` in the concept's place."""
        return self.text.replace(PLACEHOLDER, name)


@dataclass(frozen=True)
class PromptSet:
    """All prompts of one kind of concept; `prefix` stands before what CLIP is told."""

    kind: str
    prompts: tuple[Prompt, ...]
    prefix: str = TEXT_PREFIX

    @classmethod
    def of(cls, kind: str, texts: Sequence[str], group: str = "custom") -> PromptSet:
        """The set of these texts in one group; raise `InvalidRequest` where one lacks `<TOK>`."""
        _check_texts(texts, f"the prompts of {kind!r}")
        return cls(kind, tuple(Prompt(text, group) for text in texts))

    def texts(self, name: str) -> list[str]:
        """What is sampled: `name` is the concept's trigger, or its class word."""
        return [prompt.naming(name) for prompt in self.prompts]

    def described(self, class_word: str) -> list[str]:
        """What CLIP compares pictures with: the prefix, and the concept by its class word."""
        return [self.prefix + prompt.naming(class_word) for prompt in self.prompts]

    @property
    def groups(self) -> dict[str, list[int]]:
        """Group → the numbers of its prompts."""
        found: dict[str, list[int]] = {}
        for number, prompt in enumerate(self.prompts):
            found.setdefault(prompt.group, []).append(number)
        return found


@dataclass(frozen=True)
class PromptLibrary:
    """The sets of one file, by kind, and which kind a class word is of."""

    sets: Mapping[str, PromptSet]
    classes: Mapping[str, str]

    def kind(self, name: str) -> PromptSet:
        """The set of this kind; raise `InvalidRequest` when there is none."""
        if name not in self.sets:
            raise InvalidRequest(
                f"There are no prompts of the kind {name!r}.",
                hint=f"Kinds: {', '.join(sorted(self.sets))}; or give a file of your own.",
            )
        return self.sets[name]

    def for_class(self, class_word: str) -> PromptSet:
        """The set for concepts of this class; raise `InvalidRequest` for an unknown class word."""
        if class_word in self.classes:
            return self.sets[self.classes[class_word]]
        if len(self.sets) == 1:
            return next(iter(self.sets.values()))
        raise InvalidRequest(
            f"It is not known which prompts suit the class word {class_word!r}.",
            hint=f"Say which kind it is ({', '.join(sorted(self.sets))}), or give a file of "
            "prompts, such as `--prompts scene` or `--prompts FILE`.",
        )


class _File(BaseModel):
    """What a file of prompts holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = ""
    prefix: str = Field(default=TEXT_PREFIX, max_length=MAX_CHARS)
    classes: dict[str, str] = {}
    prompts: dict[_Kind, dict[Group, _Texts]] = Field(min_length=1, max_length=50)


def read_prompts(path: Path | None = None) -> PromptLibrary:
    """Read a file of prompts, or the paper's (None); raise `InvalidRequest` for a wrong one."""
    return _paper_prompts() if path is None else _parse(_read(path), str(path))


def choose_prompts(wanted: str | None, class_word: str) -> PromptSet:
    """The set for a concept: of a kind, of a file, or None: of what its class word suggests."""
    if wanted is None:
        return read_prompts().for_class(class_word)
    if wanted in read_prompts().sets:
        return read_prompts().kind(wanted)
    path = Path(wanted)
    if path.suffix != ".json" and not path.exists():
        return read_prompts().kind(wanted)
    return read_prompts(path).for_class(class_word)


@cache
def _paper_prompts() -> PromptLibrary:
    resource = files("mos_diffusion.evaluation") / "evaluation_prompts.json"
    return _parse(resource.read_bytes(), resource.name)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(
            f"The prompts in {path} can't be read: {error.strerror}.",
            hint="Give a JSON file of prompts, or the name of a kind.",
        ) from None
    if len(data) > MAX_FILE_BYTES:
        raise InvalidRequest(
            f"{path} is too long for a file of prompts.", hint="It may have a megabyte."
        )
    return data


def _parse(data: bytes, name: str) -> PromptLibrary:
    try:
        document = _File.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(key)[:80] for key in first["loc"]) or "document"
        raise InvalidRequest(
            f"{name} is no file of prompts: {place}: {first['msg'][:200]}.",
            hint=f"It is JSON with `prompts`: kind → the four groups ({', '.join(GROUPS)}) → texts "
            f"with {PLACEHOLDER} for the concept.",
        ) from None
    for kind, groups in document.prompts.items():
        _check_groups(kind, groups, name)
    strays = sorted(set(document.classes.values()) - document.prompts.keys())
    if strays:
        raise InvalidRequest(
            f"{name} gives classes the kind {strays[0]!r}, but has no prompts of that kind.",
            hint=f"Its kinds: {', '.join(sorted(document.prompts))}.",
        )
    sets = {
        kind: PromptSet(
            kind,
            tuple(Prompt(text, group) for group in GROUPS for text in groups[group]),
            document.prefix,
        )
        for kind, groups in document.prompts.items()
    }
    return PromptLibrary(sets, document.classes)


def _check_groups(kind: str, groups: Mapping[Group, tuple[str, ...]], name: str) -> None:
    missing = [group for group in GROUPS if group not in groups]
    if missing:
        raise InvalidRequest(
            f"{name}: the prompts of {kind!r} lack the group {missing[0]}.",
            hint=f"Every kind has four groups: {', '.join(GROUPS)}.",
        )
    for group, texts in groups.items():
        _check_texts(texts, f"{name}: {kind}.{group}")


def _check_texts(texts: Sequence[str], where: str) -> None:
    for text in texts:
        if PLACEHOLDER not in text:
            raise InvalidRequest(
                f"{where}: the prompt {text[:100]!r} has no {PLACEHOLDER}.",
                hint=f"{PLACEHOLDER} stands for the concept, as in `A {PLACEHOLDER} on a table`.",
            )
    repeated = [text for text in texts if list(texts).count(text) > 1]
    if repeated:
        raise InvalidRequest(
            f"{where}: the prompt {repeated[0][:100]!r} is there twice.", hint="Give each once."
        )
