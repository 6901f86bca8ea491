"""Where a fusion reads its concepts and prior from: files that are opened one at a time.

A package folder and a blob store both offer the same: a local path for as long as it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from mos_diffusion.concept_file import ConceptWeights, load_concept
from mos_diffusion.moments import read_moments
from mos_protocol.errors import InvalidPackage
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import CONCEPT_FILE, Manifest
from mos_protocol.tensors import moments_path
from torch import Tensor

OpenFile = Callable[[], AbstractContextManager[Path]]


@dataclass(frozen=True)
class ConceptSource:
    """One concept package: how it is called, its weight α, and its files by path."""

    ref: str
    weight: float
    manifest: Manifest
    files: Mapping[str, OpenFile]

    def weights(self) -> ConceptWeights:
        """Embeddings and LoRA factors, fp32."""
        with self._open(CONCEPT_FILE) as path:
            return load_concept(path, self.manifest.words)

    def moments(self, block: str) -> dict[str, Tensor]:
        """The block's moments: input → (d, d) fp64."""
        with self._open(moments_path(block)) as path:
            return read_moments(path)

    def _open(self, path: str) -> AbstractContextManager[Path]:
        if path not in self.files:
            raise InvalidPackage(path, f"missing from the package of {self.ref}")
        return self.files[path]()


@dataclass(frozen=True)
class BaseSource:
    """The base model: its diffusers folder, layer map, and prior moments per block."""

    name: str
    folder: Path
    layer_map: LayerMap
    prior: Mapping[str, OpenFile]

    def prior_moments(self, block: str) -> dict[str, Tensor] | None:
        """The block's prior moments, input → (d, d) fp64, or None when none are stored."""
        if block not in self.prior:
            return None
        with self.prior[block]() as path:
            return read_moments(path)


def each_moments(concepts: Sequence[ConceptSource], block: str) -> Iterator[dict[str, Tensor]]:
    """Read a block's moments concept by concept, when they are asked for."""
    for concept in concepts:
        yield concept.moments(block)
