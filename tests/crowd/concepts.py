"""Concepts of the crowd: packages of the size of Stable Diffusion 1.5's, in every state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mos_center.domain.access import Visibility
from mos_center.domain.states import SubmissionState
from mos_protocol.layer_map import Block, LayerInput, LayerMap, Linear, Part, TextEncoder
from mos_protocol.manifest import (
    BaseIdentity,
    FileEntry,
    Manifest,
    MomentsSummary,
    TrainingSummary,
)

from crowd.rows import Chance, Row

BASES = ("sd15", "sd21", "anything-v3")
CLASSES = ("man", "woman", "cat", "dog", "chair", "car", "house", "sky")
STATES = {
    SubmissionState.APPROVED: 80,
    SubmissionState.PENDING_REVIEW: 7,
    SubmissionState.WITHDRAWN: 5,
    SubmissionState.REJECTED: 5,
    SubmissionState.UPLOADING: 2,
    SubmissionState.VALIDATING: 1,
}
UNSEEN = (SubmissionState.REJECTED, SubmissionState.UPLOADING, SubmissionState.VALIDATING)
VISIBILITIES = {Visibility.PUBLIC: 60, Visibility.SHARED: 20, Visibility.PRIVATE: 20}
LICENCES = ("CC-BY-4.0", "CC0-1.0", "CC-BY-NC-SA-4.0", "")
BLOCKS = (
    "text_encoder",
    *(f"unet.down_blocks.{block}.attentions.{n}" for block in range(3) for n in range(2)),
    "unet.mid_block",
    *(f"unet.up_blocks.{block}.attentions.{n}" for block in range(1, 4) for n in range(3)),
)
PREVIEWS = tuple(f"previews/scale_{scale}.png" for scale in ("0.0", "0.7", "1.0"))


@dataclass(frozen=True)
class Version:
    """A concept version as others refer to it."""

    id: str
    owner: str
    name: str
    number: int | None
    base: str
    state: SubmissionState
    at: datetime

    @property
    def ref(self) -> str:
        return f"{self.owner}/{self.name}@{self.number}"


def layer_map(digest: str) -> LayerMap:
    """A map of 16 blocks with 264 layers."""
    blocks = tuple(_block(name, 24 if name == "text_encoder" else 16) for name in BLOCKS)
    cross = tuple(f"{name}.attn2" for name in BLOCKS[1:])
    encoder = TextEncoder(name="text_encoder", width=768, tokens=77, vocabulary=49408)
    return LayerMap(digest=digest, cross_attention=cross, text_encoders=(encoder,), blocks=blocks)


def _block(name: str, layers: int) -> Block:
    part = Part.TEXT_ENCODER if name == "text_encoder" else Part.SPATIAL
    source = f"{name}.layers.0.in"
    linears = tuple(
        Linear(name=f"{name}.layers.{n}.to_q", input=source, part=part, d_in=320, d_out=320)
        for n in range(layers)
    )
    return Block(name=name, inputs=(LayerInput(name=source, width=320),), layers=linears)


def base_rows(chance: Chance) -> Iterator[Row]:
    """Base models that are nowhere."""
    for name in BASES:
        digest = chance.sha256()
        yield {
            "name": name,
            "digest": digest,
            "path": f"/models/{name}",
            "layer_map": layer_map(digest).model_dump_json(),
            "statistics": {},
            "created_at": chance.now - timedelta(days=401),
        }


class Packages:
    """Manifests, each with digests, a loss curve and words of its own."""

    def __init__(self, chance: Chance, blobs: list[str], picture: str) -> None:
        self._chance = chance
        self._blobs = blobs
        self._picture = picture
        self._curves = [self._curve() for _ in range(40)]
        self._pattern: dict[str, Any] = json.loads(self._manifest().to_bytes())

    def manifest(self, version: Version, word: str, digest: str) -> tuple[str, list[FileEntry]]:
        """The manifest's text, and its files."""
        draw = self._chance.random
        files = [self._entry(file) for file in self._pattern["files"]]
        content = {
            **self._pattern,
            "concept": f"{version.owner}/{version.name}",
            "base": {"name": version.base, "digest": digest},
            "words": [f"<{word}-1>", f"<{word}-2>"],
            "class_word": draw.choice(CLASSES),
            "training": self._pattern["training"] | {"loss_curve": draw.choice(self._curves)},
            "licence": draw.choice(LICENCES),
            "consent": "the person shown agreed in writing",
            "description": "What it shows, in a sentence that somebody wrote about it.",
            "tool": f"mos-client 0.1.0 ({version.id})",
            "files": [file.model_dump() for file in files],
        }
        return json.dumps(content, indent=1) + "\n", files

    def _entry(self, file: dict[str, Any]) -> FileEntry:
        shown = file["path"].startswith("previews/")
        sha256 = self._picture if shown else self._chance.random.choice(self._blobs)
        return FileEntry(path=file["path"], size=file["size"], sha256=sha256)

    def _curve(self) -> list[float]:
        return [round(0.2 / (1 + n / 60) + 0.05 * self._chance.random.random(), 6)
                for n in range(300)]  # fmt: skip

    def _manifest(self) -> Manifest:
        draw, sha256 = self._chance.random, "0" * 64
        sizes = [("concept.safetensors", 4_400_000)]
        sizes += [(f"moments/{name}.safetensors", draw.randrange(900_000, 4_000_000))
                  for name in (*BLOCKS, *(f"{name}.extra" for name in BLOCKS[1:6]))]  # fmt: skip
        sizes += [(path, 420_000) for path in PREVIEWS]
        return Manifest(
            concept="a/b",
            base=BaseIdentity(name="sd15", digest=sha256),
            words=("<a>", "<b>"),
            class_word="cat",
            rank=4,
            training=TrainingSummary(
                images=12,
                steps=800,
                batch_size=4,
                resolution=512,
                seed=0,
                learning_rate_embedding=1e-3,
                learning_rate_text_encoder=1e-5,
                learning_rate_unet=1e-4,
                noise_offset=0.01,
                prior_penalty=0.1,
                layers="all",
                final_loss=0.08,
                loss_curve=(0.1,),
            ),
            moments=MomentsSummary(recording="data", passes=6),
            tool="mos-client 0.1.0",
            files=tuple(FileEntry(path=path, size=size, sha256=sha256) for path, size in sizes),
        )


def draw_versions(chance: Chance, owners: list[str], count: int) -> list[Version]:
    """`count` versions in the order of their submission, one to five of a concept."""
    draw = chance.random
    found: list[Version] = []
    numbers: dict[tuple[str, str], int] = {}
    homes: dict[tuple[str, str], str] = {}
    for place, moment in enumerate(chance.moments(count)):
        owner = draw.choice(owners)
        name = f"{draw.choice(CLASSES)}-{draw.randrange(max(1, count * 2 // len(owners)))}"
        base = homes.setdefault((owner, name), BASES[place % 10 // 4])
        (state,) = draw.choices(list(STATES), list(STATES.values()))
        number = None
        if state not in UNSEEN:
            number = numbers[owner, name] = numbers.get((owner, name), 0) + 1
        found.append(Version(chance.id_at(moment), owner, name, number, base, state, moment))
    return found


def submission_row(version: Version, manifest: str, size: int) -> Row:
    """The row of a version whose package holds `size` bytes."""
    told = json.loads(manifest)
    withdrawn = version.state is SubmissionState.WITHDRAWN
    refused = version.state is SubmissionState.REJECTED
    return {
        "id": version.id,
        "manifest_digest": hashlib.sha256(manifest.encode()).hexdigest(),
        "manifest": manifest,
        "owner": version.owner,
        "name": version.name,
        "version": version.number,
        "words": " ".join(told["words"]),
        "trigger_words": " ".join(told["words"]),
        "class_word": told["class_word"],
        "base": version.base,
        "state": version.state,
        "reason": "The owner asked for it." if withdrawn or refused else "",
        "created_at": version.at,
        "submitted_by": version.owner,
        "bytes": size,
        "withdrawn_at": version.at + timedelta(hours=1) if withdrawn else None,
        "touched_at": None,
    }


def concept_rows(chance: Chance, versions: list[Version]) -> list[Row]:
    """Who may see each concept."""
    first = {(version.owner, version.name): version.at for version in reversed(versions)}
    kinds, parts = list(VISIBILITIES), list(VISIBILITIES.values())
    return [
        {"owner": owner, "name": name, "visibility": chance.random.choices(kinds, parts)[0],
         "created_at": at}
        for (owner, name), at in first.items()
    ]  # fmt: skip


def share_rows(chance: Chance, concepts: list[Row], people: list[str]) -> Iterator[Row]:
    """Two members for every concept that is shared."""
    for concept in concepts:
        if concept["visibility"] == Visibility.SHARED:
            for member in chance.random.sample(people, 2):
                yield {"owner": concept["owner"], "name": concept["name"], "member": member}
