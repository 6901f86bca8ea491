"""Where a fusion reads its concepts and prior from: files that are opened one at a time.

A package folder and a blob store both offer the same: a local path for as long as it is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from mos_diffusion.adapters import LoraFactors
from mos_diffusion.concept_file import ConceptWeights, load_concept
from mos_diffusion.moments import StoredMoments, open_moments
from mos_protocol.errors import InvalidPackage
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import CONCEPT_FILE, Manifest
from mos_protocol.moments import moments_path
from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mos_center.fusion.equal_weight import equalised

OpenFile = Callable[[], AbstractContextManager[Path]]


def local_file(path: Path) -> OpenFile:
    """A file that lies where it is read."""

    def opened() -> AbstractContextManager[Path]:
        return nullcontext(path)

    return opened


@dataclass(frozen=True)
class ConceptSource:
    """One concept package: how it is called, its weights α, and its files by path."""

    ref: str
    weights: PartWeights
    manifest: Manifest
    files: Mapping[str, OpenFile]

    @cached_property
    def digest(self) -> Digest:
        """The identity of the package."""
        return self.manifest.digest()

    def load(self) -> ConceptWeights:
        """Embeddings and LoRA factors, fp32."""
        with self._open(CONCEPT_FILE) as path:
            return load_concept(path, self.manifest.words)

    def changed_layers(self) -> set[str]:
        """Names of the layers that it has factors for; only the header is read."""
        suffix = ".lora.down"
        with self._tensors() as file:
            return {name.removesuffix(suffix) for name in file.keys() if name.endswith(suffix)}  # noqa: SIM118

    def factors(self, layers: Collection[str]) -> dict[str, LoraFactors]:
        """The factors of those layers that it changes, fp32; nothing else is read."""
        with self._tensors() as file:
            known = set(file.keys())
            return {
                layer: LoraFactors(
                    file.get_tensor(f"{layer}.lora.down").float(),
                    file.get_tensor(f"{layer}.lora.up").float(),
                )
                for layer in layers
                if f"{layer}.lora.down" in known
            }

    @contextmanager
    def moments(self, block: str) -> Iterator[StoredMoments | None]:
        """The block's moments; None when the package has none of them."""
        if moments_path(block) not in self.files:
            yield None
            return
        with self._open(moments_path(block)) as path, open_moments(path) as stored:
            yield stored

    @contextmanager
    def _tensors(self) -> Iterator[Any]:
        with self._open(CONCEPT_FILE) as path:
            try:
                with safe_open(path, framework="pt") as file:
                    yield file
            except (SafetensorError, OSError) as error:
                raise InvalidPackage(CONCEPT_FILE, f"can't be read: {error}") from error

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

    @property
    def digest(self) -> Digest:
        """The identity of the base."""
        return Digest(self.layer_map.digest)

    @contextmanager
    def prior_moments(self, block: str) -> Iterator[StoredMoments | None]:
        """The block's prior moments, or None when none are stored."""
        if block not in self.prior:
            yield None
            return
        with self.prior[block]() as path, open_moments(path) as stored:
            yield stored


class BlockMoments:
    """One block's moments of several concepts; a file is opened when it is first read.

    A context manager that closes the files; may be used from several threads.
    """

    def __init__(self, sources: Iterable[ConceptSource], block: str) -> None:
        self._sources = {source.digest: source for source in sources}
        self._block = block
        self._lock = threading.Lock()
        self._open: dict[Digest, StoredMoments | None] = {}
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def read(self, digest: Digest, name: str) -> Tensor | None:
        """The moment (d, d) fp64 of input `name`, equalised; None when the concept has none."""
        with self._lock:
            if digest not in self._open:
                found = self._sources[digest].moments(self._block)
                self._open[digest] = self._files.enter_context(found)
        stored = self._open[digest]
        return None if stored is None or name not in stored else equalised(stored.read(name))
