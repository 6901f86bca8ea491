"""What an evaluation needs, small: a base, two packages, their fusion, pictures, a CLIP."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings, Solver
from mos_diffusion.base_folder import read_layer_map
from PIL import Image
from tiny_base import write_tiny_base
from tiny_clip import write_tiny_clip

sys.path.insert(0, str(Path(__file__).resolve().parent / "center_node" / "fusion"))

from fused_models import weighted, write_concept

GROUPS = ("recontextualization", "restylization", "interaction", "property_modification")


@dataclass(frozen=True)
class EvaluationWorld:
    """Packages ada/c0 and ada/c1, cats both, and the model `duo` fused of them."""

    folder: Path
    base: Path
    packages: tuple[Path, Path]
    fused: Path
    clip: Path
    prompts: Path

    def pictures(self, name: str) -> Path:
        """The folder of pictures with captions that show a concept, `c0` or `c1`."""
        return self.folder / "pictures" / name


def make_world(folder: Path) -> EvaluationWorld:
    """Write everything below `folder`."""
    base = write_tiny_base(folder / "base")
    layers = read_layer_map(base)
    packages = (folder / "c0", folder / "c1")
    for number, package in enumerate(packages):
        write_concept(package, layers, number, class_word="cat")
        _draw(folder / "pictures" / f"c{number}", number)
    fuse_local(base, weighted(packages), FusionSettings(Solver.AVERAGE), folder / "duo")
    prompts = folder / "prompts.json"
    texts = {group: [f"a <TOK> {text}"] for group, text in zip(GROUPS, "abcd", strict=True)}
    prompts.write_text(json.dumps({"prompts": {"animal": texts}}))
    clip = write_tiny_clip(folder / "clip")
    return EvaluationWorld(folder, base, packages, folder / "duo", clip, prompts)


def _draw(folder: Path, number: int) -> None:
    folder.mkdir(parents=True)
    for index in range(2):
        picture = Image.effect_noise((32, 32), 40 + 60 * number + 20 * index).convert("RGB")
        picture.save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text("a <TOK> on the beach")
