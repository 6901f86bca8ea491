"""Sums of earlier fusions on disk, so that the next one reads only what is new or gone.

    <folder>/<base>/<set>/set.json                 the concepts' digests, in order
    <folder>/<base>/<set>/<input>.safetensors      the sums of one layer input

A set is the ordered list of concepts; weights, solver and prior don't matter. What lies here can be
removed at any time: it is made again. Sets that were not used for longest go first when the folder
outgrows its limit.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mos_diffusion.tensor_file import write_all
from mos_protocol.names import Digest
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mos_center.fusion.sums import InputSums, Seen, Sketch

FORMAT = "mos-sums/2"
DEFAULT_LIMIT = 4 << 30
_INDEX = "set.json"


@dataclass(frozen=True)
class Reuse:
    """A cached set to start from: which concepts it holds, which come in, which go out."""

    folder: Path
    concepts: tuple[Digest, ...]
    added: tuple[Digest, ...]
    withdrawn: tuple[Digest, ...]

    @property
    def reads(self) -> int:
        """How many concepts' moments have to be read."""
        return len(self.added) + len(self.withdrawn)


class SumsCache:
    """A folder of sums, at most `limit` bytes after each `prune`."""

    def __init__(self, folder: Path, limit: int = DEFAULT_LIMIT) -> None:
        self._folder = folder
        self._limit = limit

    def nearest(
        self, base: Digest, concepts: Sequence[Digest], readable: Callable[[Digest], bool]
    ) -> Reuse | None:
        """The cached set that needs the fewest reads, fewer than starting afresh; or None.

        readable: whether the moments of a concept that is to go out are at hand.
        """
        best: Reuse | None = None
        for folder, held in self._sets(base):
            reuse = Reuse(
                folder,
                held,
                tuple(digest for digest in concepts if digest not in held),
                tuple(digest for digest in held if digest not in concepts),
            )
            fewest = len(concepts) if best is None else best.reads
            if reuse.reads < fewest and all(map(readable, reuse.withdrawn)):
                best = reuse
        if best is not None:
            os.utime(best.folder / _INDEX)
        return best

    def load(self, reuse: Reuse, source: str) -> InputSums | None:
        """The sums of the input `source`; None when they are gone or damaged."""
        try:
            return _read(reuse.folder / f"{source}.safetensors", reuse.concepts)
        except (SafetensorError, OSError, KeyError, ValueError):
            return None

    def store(self, base: Digest, concepts: Sequence[Digest], source: str, sums: InputSums) -> None:
        """Keep the sums of one input; the set counts once `finish` was called."""
        folder = self._set_folder(base, concepts)
        path = folder / f"{source}.safetensors"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            _write(partial, concepts, sums)
            os.replace(partial, path)

    def finish(self, base: Digest, concepts: Sequence[Digest]) -> None:
        """Note that a set is complete, and remove what no longer fits."""
        folder = self._set_folder(base, concepts)
        if folder.is_dir():
            partial = folder / f"{_INDEX}.{os.getpid()}.partial"
            partial.write_text(json.dumps({"format": FORMAT, "concepts": list(concepts)}))
            os.replace(partial, folder / _INDEX)
        self.prune(keep=folder)

    def prune(self, keep: Path | None = None) -> None:
        """Remove sets until the folder is within its limit, the one unused for longest first."""
        sizes = {
            folder: sum(path.stat().st_size for path in folder.iterdir())
            for folder in self._folder.glob("*/*")
            if folder.is_dir()
        }
        total = sum(sizes.values())
        for folder in sorted(sizes, key=_last_use):
            if total <= self._limit:
                return
            # The newest stays, unless it alone is too large.
            if folder != keep or total - sizes[folder] == 0:
                shutil.rmtree(folder, ignore_errors=True)
                total -= sizes[folder]

    def _sets(self, base: Digest) -> Iterator[tuple[Path, tuple[Digest, ...]]]:
        """The complete sets of a base, the one used last first."""
        found = sorted((self._folder / base).glob(f"*/{_INDEX}"), key=lambda p: (-_mtime(p), p))
        for path in found:
            try:
                content = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
            if content.get("format") == FORMAT:
                yield path.parent, tuple(Digest(digest) for digest in content["concepts"])

    def _set_folder(self, base: Digest, concepts: Sequence[Digest]) -> Path:
        # With the format: what an older engine left in a folder is never taken for our own.
        key = hashlib.sha256("\n".join((FORMAT, *concepts)).encode()).hexdigest()
        return self._folder / base / key


def _write(path: Path, concepts: Sequence[Digest], sums: InputSums) -> None:
    tensors: dict[str, Tensor] = {"gram": _packed(sums.gram.cpu())}
    recorded = []
    for index, digest in enumerate(concepts):
        seen = sums.concepts[digest]
        recorded.append(seen.recorded)
        for layer, rows in seen.rows.items():
            tensors[f"{index}.rows.{layer}"] = rows.cpu()
        if seen.sketch is not None:
            tensors[f"{index}.factor"] = seen.sketch.factor.cpu()
            tensors[f"{index}.rest"] = seen.sketch.rest.cpu()
    write_all(path, tensors, {"format": FORMAT, "recorded": json.dumps(recorded)})


def _read(path: Path, concepts: Collection[Digest]) -> InputSums:
    with safe_open(path, framework="pt") as file:
        recorded = json.loads((file.metadata() or {})["recorded"])
        names: list[str] = list(file.keys())
        sums = InputSums(_unpacked(file.get_tensor("gram")))
        for index, digest in enumerate(concepts):
            prefix = f"{index}.rows."
            rows = {
                name.removeprefix(prefix): file.get_tensor(name)
                for name in names
                if name.startswith(prefix)
            }
            sketch = None
            if f"{index}.factor" in names:
                sketch = Sketch(
                    file.get_tensor(f"{index}.factor"), file.get_tensor(f"{index}.rest")
                )
            sums.concepts[digest] = Seen(rows, recorded[index], sketch)
    return sums


def _packed(matrix: Tensor) -> Tensor:
    """A symmetric (d, d) → its upper triangle, (d(d+1)/2,)."""
    return matrix[tuple(torch.triu_indices(*matrix.shape))]


def _unpacked(triangle: Tensor) -> Tensor:
    """(d(d+1)/2,) → the symmetric (d, d)."""
    width = math.isqrt(2 * len(triangle))
    matrix = triangle.new_zeros(width, width)
    matrix[tuple(torch.triu_indices(width, width))] = triangle
    return matrix + matrix.triu(1).T


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _last_use(folder: Path) -> float:
    return _mtime(folder / _INDEX)
