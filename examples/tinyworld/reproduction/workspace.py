"""The folder that a reproduction works in, and what all of its studies share.

    pictures/<concept>   tuning and held-out pictures, drawn from their seeds
    prior/               the base's prior moments on generic scenes
    packages/<recipe>/<concept>[.<recording>]
    models/<name>        fused models
    measured/<study>/…   one JSON per measurement
    made/                sampled pictures, by what made them

Whatever is there already is not made again; two processes on one folder share the work.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from mos_center.base_models import prior as base_prior
from mos_diffusion import BaseModel, load_base, read_moments
from tinyworld.folder import write_concept, write_scenes
from torch import Tensor

from reproduction.profiles import Profile

HERE = Path(__file__).resolve().parents[1]
BASE = HERE / "model"
CLIP = HERE / "clip"
HELD_OUT = 12
GENERIC = 48
PRIOR_SEED = 900_001
UNSEEN_SEED = 910_001
"""Generic scenes for the prior, and others to measure what fusion does to them."""


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count` (from 1): every `count`-th task is ours."""

    number: int = 1
    count: int = 1

    def takes(self, index: int) -> bool:
        return index % self.count == self.number - 1


class Workspace:
    """The folder, with the base model and its prior loaded when they are first needed."""

    def __init__(self, root: Path, profile: Profile, device: str = "cpu") -> None:
        self.root = root / profile.folder
        self.profile = profile
        self.device = device
        self.root.mkdir(parents=True, exist_ok=True)

    @cached_property
    def base(self) -> BaseModel:
        return load_base(BASE, device=self.device)

    def pictures(self, concept: str) -> Path:
        """The concept's folder, with `tune` and `held_out`."""
        folder = self.root / "pictures" / concept
        self.once(
            folder,
            lambda: write_concept(concept, folder.parent, held_out=HELD_OUT),
        )
        return folder

    def generic(self) -> Path:
        """Generic scenes that nothing was tuned, trained or recorded on."""
        folder = self.root / "pictures" / "generic"
        self.once(folder, lambda: write_scenes(folder, GENERIC, UNSEEN_SEED))
        return folder

    @cached_property
    def prior_files(self) -> dict[str, Path]:
        """Block → file of prior moments."""
        folder = self.root / "prior"
        self.once(folder, lambda: self._record_prior(folder))
        paths = (folder / "moments").glob("*.safetensors")
        return {path.name.removesuffix(".safetensors"): path for path in sorted(paths)}

    @cached_property
    def prior(self) -> Mapping[str, Mapping[str, Tensor]]:
        return {block: read_moments(path) for block, path in self.prior_files.items()}

    def once(self, path: Path, make: Callable[[], object]) -> None:
        """Make `path` unless it is there; other processes wait for whoever makes it."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(_lock(path)):
                if not path.exists():
                    make()

    @contextmanager
    def claimed(self, path: Path) -> Iterator[bool]:
        """Whether `path` is ours to make now: not there, and nobody else at it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(_lock(path), timeout=0):
                yield not path.exists()
        except Timeout:
            yield False

    def measured(self, name: str, measure: Callable[[], Any]) -> Any:
        """The JSON at measured/`name`, measured now if it isn't there."""
        path = self.root / "measured" / f"{name}.json"
        if not path.exists():
            value = measure()
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(value, indent=1) + "\n")
            partial.replace(path)
        return json.loads(path.read_text())

    def _record_prior(self, folder: Path) -> None:
        scenes, partial = self.root / "pictures" / "prior", folder.with_suffix(".partial")
        self.once(scenes, lambda: write_scenes(scenes, GENERIC, PRIOR_SEED))
        shutil.rmtree(partial, ignore_errors=True)
        base_prior.record(
            self.base,
            partial,
            images=scenes,
            samples=GENERIC,
            captions=None,
            seed=0,
            on_progress=lambda message: None,
        )
        partial.replace(folder)


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")
