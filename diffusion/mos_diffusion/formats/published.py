"""A published model folder, as far as its exports need to know it: the folder alone, no base."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from mos_protocol.errors import InvalidRequest
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from mos_diffusion.tensor_file import open_tensors, read_metadata

CONCEPTS_INDEX = "concepts.json"
CONCEPTS_FILE = "concepts.safetensors"
DELTA_FILE = "delta.safetensors"
TABLE = "text_model.embeddings.token_embedding.weight"
_PIPELINES = {
    "StableDiffusionPipeline": ("text_encoder",),
    "StableDiffusionXLPipeline": ("text_encoder", "text_encoder_2"),
}
_DELTA_FORMAT = "mos-delta/1"
_HINT = "Give a folder that `mos-client pull` or `mos-center fuse-local` wrote."


class _Document(BaseModel):
    """What is read of a JSON file; more may be in it."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class BaseName(_Document):
    """The base model: its name at the center, and the digest over its weights."""

    name: str
    digest: str


class Concept(_Document):
    """One concept of the model; tokens: text encoder → word → token ids, the plain one first."""

    name: str
    words: tuple[Annotated[str, Field(pattern=r"^<[a-z0-9_-]{1,40}>$")], ...]
    trigger: str
    class_word: str = ""
    licence: str | None = None
    tokens: dict[str, dict[str, Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]]]


class ConceptsIndex(_Document):
    """`concepts.json`."""

    format: Literal["mos-concepts/1"]
    base: BaseName
    concepts: Annotated[tuple[Concept, ...], Field(min_length=1)]


@dataclass(frozen=True)
class PublishedModel:
    """The folder, and what `concepts.json` lists."""

    folder: Path
    index: ConceptsIndex
    text_encoders: tuple[str, ...]

    @property
    def concepts(self) -> tuple[Concept, ...]:
        return self.index.concepts

    @property
    def words(self) -> tuple[str, ...]:
        """All words, in the order of the concepts."""
        return tuple(word for concept in self.concepts for word in concept.words)

    def plain_token(self, encoder: str, word: str) -> int:
        """The id of the word's plain token, whose row other tools know the word by."""
        ids = (concept.tokens[encoder].get(word) for concept in self.concepts)
        return next(found[0] for found in ids if found)

    def vocabulary(self, encoder: str) -> int:
        """How many rows of a text encoder's table are the base's."""
        return min(self.plain_token(encoder, word) for word in self.words)

    def weights(self, component: str) -> list[Path]:
        """A component's safetensors files: one, or its shards."""
        stem = "model" if component in self.text_encoders else "diffusion_pytorch_model"
        single = self.folder / component / f"{stem}.safetensors"
        index = single.with_name(f"{single.name}.index.json")
        if single.is_file() or not index.is_file():
            return [single]
        shards = read_json(index).get("weight_map", {}).values()
        return sorted({self.folder / component / Path(str(shard)).name for shard in shards})

    def config(self, component: str) -> dict[str, Any]:
        """The component's configuration."""
        name = "scheduler_config.json" if component == "scheduler" else "config.json"
        return read_json(self.folder / component / name)


def open_published(folder: Path) -> PublishedModel:
    """Read what a model folder says of itself; raise `InvalidRequest` when it is none."""
    kind = read_json(folder / "model_index.json").get("_class_name")
    if kind not in _PIPELINES:
        raise InvalidRequest(
            f"{folder} holds a {kind}; expected one of {', '.join(_PIPELINES)}.", hint=_HINT
        )
    encoders = _PIPELINES[kind]
    try:
        index = ConceptsIndex.model_validate(read_json(folder / CONCEPTS_INDEX))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidRequest(
            f"{folder / CONCEPTS_INDEX} can't be used: {place}: {first['msg']}.", hint=_HINT
        ) from error
    for concept in index.concepts:
        if any(concept.tokens.get(name, {}).keys() != {*concept.words} for name in encoders):
            raise InvalidRequest(f"{folder / CONCEPTS_INDEX} lacks words' tokens.", hint=_HINT)
    _check_delta(folder / DELTA_FILE)
    return PublishedModel(folder, index, encoders)


def _check_delta(path: Path) -> None:
    if not path.is_file():
        raise InvalidRequest(f"{path.parent} has no {path.name}.", hint=_HINT)
    with open_tensors(path):
        found = read_metadata(path).get("format")
    if found != _DELTA_FORMAT:
        raise InvalidRequest(
            f"{path} is of format {found!r}; expected {_DELTA_FORMAT!r}.", hint=_HINT
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of the folder; raise `InvalidRequest` for a missing or damaged one."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidRequest(
            f"{path.parent} is no published model: {path.name}: {error.strerror}.", hint=_HINT
        ) from error
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} is damaged.", hint="Get the model again.")
    return value
