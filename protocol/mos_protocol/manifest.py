"""The manifest of a concept package: the one description of what leaves a client."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mos_protocol.errors import InvalidPackage
from mos_protocol.methods import METHODS, AnyMethod, Layers, LossWeighting, trigger_of
from mos_protocol.names import (
    CONCEPT_PATTERN,
    DIGEST_PATTERN,
    SLUG_PATTERN,
    WORD_PATTERN,
    Digest,
)

MANIFEST_FILE = "manifest.json"
CONCEPT_FILE = "concept.safetensors"
MAX_MANIFEST_BYTES = 256 * 1024
MAX_PREVIEW_BYTES = 4 * 1024 * 1024

# Printed in terminals and kept in databases: line ends and tabs are fine, control codes are not.
PLAIN_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
MAX_PREVIEWS = 32
MAX_RANK = 256
# Full rank is that of the narrower side of a layer: 768 in Stable Diffusion 1.5, 1280 in SDXL.
MAX_FULL_RANK = 2048
MAX_TEXT_CHARS = 2000
MAX_WORDS = 8
MAX_REASON_CHARS = 1000

Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS, pattern=PLAIN_TEXT)]
Count = Annotated[int, Field(ge=0, lt=1 << 31)]
# Spelled out so that no path can climb out of the package: there is no other place for a file.
PACKAGE_PATH = (
    r"^(concept\.safetensors"
    r"|moments/[a-z0-9_.]{1,80}\.safetensors"
    r"|previews/[a-z0-9_.-]{1,80}\.png)$"
)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BaseIdentity(_Strict):
    """Which base model a concept is for: a name for people, a digest over its weights."""

    name: str = Field(pattern=rf"^{SLUG_PATTERN}$")
    digest: str = Field(pattern=DIGEST_PATTERN)


class FileEntry(_Strict):
    """One file of the package, by content."""

    path: str = Field(pattern=PACKAGE_PATH)
    size: int = Field(ge=1, le=1 << 36)
    sha256: str = Field(pattern=DIGEST_PATTERN)


class TrainingSummary(_Strict):
    """What a reader of the package may want to know about how it was tuned.

    What only some tunings use is None in the others, and then not written.
    """

    images: Count = Field(ge=1)
    steps: Count
    batch_size: Count = Field(ge=1)
    resolution: Count = Field(ge=8)
    seed: int = Field(ge=-(1 << 63), lt=1 << 63)
    learning_rate_embedding: float = Field(ge=0)
    learning_rate_text_encoder: float = Field(ge=0)
    learning_rate_unet: float = Field(ge=0)
    noise_offset: float = Field(ge=0)
    prior_penalty: float = Field(ge=0)
    layers: Layers
    regularisation_images: Count | None = Field(default=None, ge=1)
    embedding_first: float | None = Field(default=None, gt=0, lt=1)
    kv_drop: float | None = Field(default=None, gt=0, lt=1)
    loss_weighting: LossWeighting | None = None
    final_loss: float = Field(ge=0)
    loss_curve: tuple[float, ...] = Field(default=(), max_length=512)


class ImportSummary(_Strict):
    """Where a concept that was tuned by another tool comes from.

    `file` and `sha256` are those of its LoRA. `words_from` says what the words' embeddings are:
    an embedding file's, those of the trigger's tokens, or the class word's. `skipped` counts the
    modules of the file that could not be taken over.
    """

    file: str = Field(min_length=1, max_length=255, pattern=PLAIN_TEXT)
    sha256: str = Field(pattern=DIGEST_PATTERN)
    words_from: Literal["embedding", "trigger", "class_word"]
    trigger: Annotated[str, Field(max_length=200, pattern=PLAIN_TEXT)] = ""
    skipped: Count = 0


class MomentsSummary(_Strict):
    """How the second moments were recorded and are kept (see docs/concept-format.md).

    `accuracy` is what their coding may cost; `activations` says whether the files hold moments or
    the recorded inputs themselves.
    """

    recording: Literal["data", "paper", "templates"]
    passes: Count = Field(ge=1)
    accuracy: float = Field(default=2e-4, gt=0, le=0.1)
    activations: Literal["moments", "raw"] = "moments"


class Manifest(_Strict):
    """Everything about a concept that its package says of itself; unknown fields are rejected.

    A concept that was tuned here says how (`training`), an `imported` one where it comes from
    (`source`).
    """

    format: Literal["mos-concept/1"] = "mos-concept/1"
    concept: str = Field(pattern=CONCEPT_PATTERN)
    base: BaseIdentity
    method: AnyMethod = "ed-lora"
    words: tuple[Annotated[str, Field(pattern=WORD_PATTERN)], ...] = Field(
        min_length=1, max_length=MAX_WORDS
    )
    class_word: str = Field(pattern=r"^[a-z]{1,40}$")
    rank: int = Field(ge=0, le=MAX_FULL_RANK)
    training: TrainingSummary | None = None
    source: ImportSummary | None = None
    moments: MomentsSummary
    licence: Text = ""
    consent: Text = ""
    description: Text = ""
    tool: str = Field(max_length=80, pattern=PLAIN_TEXT)
    files: tuple[FileEntry, ...] = Field(min_length=1, max_length=256)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        paths = [entry.path for entry in self.files]
        if len(set(paths)) != len(paths):
            raise ValueError("files lists a path twice")
        if len(set(self.words)) != len(self.words):
            raise ValueError("words lists a word twice")
        if sum(path.startswith("previews/") for path in paths) > MAX_PREVIEWS:
            raise ValueError(f"files lists more than {MAX_PREVIEWS} previews")
        if CONCEPT_FILE not in paths:
            raise ValueError(f"files lacks {CONCEPT_FILE}")
        return self

    @model_validator(mode="after")
    def _says_where_it_comes_from(self) -> Self:
        imported = self.method == "imported"
        if (self.training is None) != imported:
            raise ValueError(f"training must {'not ' * imported}be told with method {self.method}")
        if (self.source is None) == imported:
            raise ValueError(f"source must {'' if imported else 'not '}be told with {self.method}")
        return self

    @model_validator(mode="after")
    def _fits_its_method(self) -> Self:
        method = METHODS.get(self.method)
        if method is not None and method.one_word and len(self.words) > 1:
            raise ValueError(f"words must be one with method {self.method}")
        most = MAX_FULL_RANK if method is not None and method.full_rank else MAX_RANK
        low, high = (0, 0) if method is not None and method.layers == ("none",) else (1, most)
        if not low <= self.rank <= high:
            raise ValueError(f"rank must be from {low} to {high} with method {self.method}")
        return self

    @property
    def trigger(self) -> str:
        """How a prompt names the concept: its words, and after a modifier the class word."""
        return trigger_of(self.method, self.words, self.class_word)

    def file(self, path: str) -> FileEntry | None:
        """Return the entry of `path`, or None."""
        return next((entry for entry in self.files if entry.path == path), None)

    @property
    def previews(self) -> tuple[FileEntry, ...]:
        """The pictures that show the concept."""
        return tuple(entry for entry in self.files if entry.path.startswith("previews/"))

    def to_bytes(self) -> bytes:
        """The manifest as it is stored and sent: indented JSON, always the same bytes."""
        return self.model_dump_json(indent=1, exclude_none=True).encode() + b"\n"

    def digest(self) -> Digest:
        """The identity of the whole package: it covers every file's hash."""
        return Digest(hashlib.sha256(self.to_bytes()).hexdigest())


def parse_manifest(data: bytes) -> Manifest:
    """Parse and validate manifest bytes; raise `InvalidPackage` naming every wrong field."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise InvalidPackage(
            MANIFEST_FILE, f"too long; at most {MAX_MANIFEST_BYTES} bytes are allowed"
        )
    try:
        return Manifest.model_validate_json(data, strict=True)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(key)[:80] for key in item['loc']) or 'document'}: {item['msg'][:200]}"
            for item in error.errors(include_url=False)[:8]
        )
        raise InvalidPackage(
            MANIFEST_FILE,
            problems[:MAX_REASON_CHARS],
            hint="Write the package again with mos-client.",
        ) from None


def read_manifest(package: Path) -> Manifest:
    """Read the manifest of the package folder; raise `InvalidPackage` when there is none."""
    path = package / MANIFEST_FILE
    if not path.is_file():
        raise InvalidPackage(MANIFEST_FILE, f"not found in {package}")
    with path.open("rb") as file:
        return parse_manifest(file.read(MAX_MANIFEST_BYTES + 1))


def listed_files(folder: Path) -> tuple[FileEntry, ...]:
    """The entries of all files of a package folder but its manifest, by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(
        FileEntry(
            path=path.relative_to(folder).as_posix(),
            size=path.stat().st_size,
            sha256=sha256_of(path),
        )
        for path in paths
        if path != folder / MANIFEST_FILE
    )


def sha256_of(path: Path) -> Digest:
    """The sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())
