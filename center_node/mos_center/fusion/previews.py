"""Pictures of a fused model, each concept as its package's preview shows it at full scale.

    previews/<owner>/<name>.png     four pictures side by side, linked from the model card

They are for the eye, and no part of what a build promises: another device draws other pixels.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path

from mos_diffusion.base_model import BaseModel, load_base
from mos_diffusion.previews import PREVIEW_SEEDS, preview_prompt, write_sheet
from mos_diffusion.tensor_file import open_tensors
from mos_protocol.errors import InvalidRequest, JobFailed
from mos_protocol.manifest import Manifest

from mos_center.domain.policy import Previews
from mos_center.fusion.block import read_report
from mos_center.fusion.components import weight_files
from mos_center.fusion.parallel import compute_device
from mos_center.fusion.publish import write_card
from mos_center.fusion.recipe import Recipe
from mos_center.fusion.sources import BaseSource, ConceptSource

PREVIEWS_FOLDER = "previews"
SMALL_UNET = 100_000_000
# torch tells of memory and devices as RuntimeError; the others are what the libraries raise for
# disks, and for folders that can be fused and not run. None of it says anything of the fusion.
_UNABLE = (
    InvalidRequest,
    RuntimeError,
    MemoryError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
)
_MIN_LATENTS = 4


def is_wanted(wish: bool | None, policy: Previews, base: BaseSource) -> bool:
    """Whether to sample: as the request says, else as the center does."""
    if wish is not None:
        return wish
    return policy is Previews.ALWAYS or (policy is Previews.AUTO and is_quick(base))


def is_quick(base: BaseSource) -> bool:
    """Whether the model can be sampled, and soon: there is a GPU, or the UNet is small."""
    if len(base.layer_map.text_encoders) > 1:
        # Models of that kind are fused, but not run in here: see `load_base`.
        return False
    if compute_device().type == "cuda":
        return True
    with open_tensors(*weight_files(base.folder, "unet")) as stored:
        return sum(prod(stored.spec(name).shape) for name in stored) <= SMALL_UNET


def write_previews(recipe: Recipe, blocks: Sequence[Path], model: Path) -> None:
    """Sample every concept with the folder `model`, and show the pictures in its card.

    Raises `JobFailed` when it can't be sampled; the folder is then as it was.
    """
    paths = preview_paths(recipe.concepts)
    try:
        _sample(recipe.concepts, model, paths)
    except _UNABLE as error:
        shutil.rmtree(model / PREVIEWS_FOLDER, ignore_errors=True)
        raise JobFailed(
            f"The model could not be sampled: {type(error).__name__}.",
            hint="The model itself is complete; it only comes without previews.",
        ) from error
    write_card(recipe, [read_report(path) for path in blocks], model, paths)


def preview_paths(concepts: Sequence[ConceptSource]) -> list[str]:
    """Each concept's path; of two versions of a concept the second's ends in `@2`."""
    seen: Counter[str] = Counter()
    paths = []
    for concept in concepts:
        name = concept.manifest.concept
        seen[name] += 1
        number = f"@{seen[name]}" if seen[name] > 1 else ""
        paths.append(f"{PREVIEWS_FOLDER}/{name}{number}.png")
    return paths


def _sample(concepts: Sequence[ConceptSource], model: Path, paths: Sequence[str]) -> None:
    fused = load_base(model, device=compute_device())
    for concept, path in zip(concepts, paths, strict=True):
        manifest = concept.manifest
        prompt = preview_prompt(manifest.trigger)
        write_sheet(fused, prompt, model / path, PREVIEW_SEEDS, _resolution(manifest, fused))


def _resolution(manifest: Manifest, fused: BaseModel) -> int:
    """The side that the package's own previews have, as far as its word can be taken for it.

    A package claims what it likes: nothing larger than the base was made for is sampled.
    """
    claimed = manifest.training.resolution if manifest.training else fused.resolution
    factor = fused.vae_factor
    return max(_MIN_LATENTS, min(claimed, fused.resolution) // factor) * factor
