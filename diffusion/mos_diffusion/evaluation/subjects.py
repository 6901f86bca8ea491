"""What is evaluated: a model with whatever is attached to it, known by a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mos_protocol.errors import InvalidRequest
from mos_protocol.manifest import CONCEPT_FILE, read_manifest, sha256_of
from mos_protocol.names import Digest

from mos_diffusion.base_model import BaseModel, base_digest
from mos_diffusion.concept_file import load_concept
from mos_diffusion.edlora import attach_concept
from mos_diffusion.weight_digest import WeightDigest


@dataclass(frozen=True)
class Subject:
    """A model, the digest over all that decides its pictures, and `base`: that of its weights."""

    model: BaseModel
    digest: Digest
    base: Digest


def model_subject(model: BaseModel) -> Subject:
    """A base model, or a published one, as it is: weights, autoencoder, words and precision."""
    weights, autoencoder = base_digest(model), WeightDigest()
    for name, tensor in sorted(model.vae.named_parameters()):
        autoencoder.add(name, tensor.shape)
        autoencoder.values(tensor.detach())
    decides = {
        "weights": weights,
        "autoencoder": autoencoder.digest(),
        "words": model.tokenizer.get_added_vocab(),
        "scheduler": {name: str(value) for name, value in model.scheduler.config.items()},
        "precision": str(model.dtype),
    }
    return Subject(model, _digest(decides), weights)


@contextmanager
def concept_subject(base: Subject, package: Path) -> Iterator[Subject]:
    """The base with a tuned concept attached, while the context lasts.

    Raises `InvalidRequest` when the concept is of another base, `InvalidPackage` for a damaged one.
    """
    manifest = read_manifest(package)
    check_base(manifest.concept, manifest.base.digest, base.base)
    path = package / CONCEPT_FILE
    weights = load_concept(path, manifest.words)
    decides = {"base": base.digest, "concept": sha256_of(path), "words": manifest.words}
    with attach_concept(base.model, weights):
        yield Subject(base.model, _digest(decides), base.base)


def check_base(what: str, wanted: str, base: Digest) -> None:
    """Raise `InvalidRequest` unless what was made for the base `wanted` meets that very base."""
    if wanted != base:
        raise InvalidRequest(
            f"{what} was made for the base with digest {wanted[:12]}…, but this one has "
            f"{base[:12]}….",
            hint="Give the base model that it was tuned or fused on: --base DIR.",
        )


def _digest(decides: object) -> Digest:
    return Digest(hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest())
