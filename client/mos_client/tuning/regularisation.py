"""Prior preservation: pictures of the class, learned beside the concept's so that it stays known.

They are sampled from the base once, and kept as plain pictures in the work folder, which another
tuning of the class can be given; or they come from a folder, with captions beside them or none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mos_diffusion.base_model import BaseModel
from mos_diffusion.provenance import Provenance, save_picture
from mos_diffusion.sampling import decode_latents, sample_latents
from mos_protocol.errors import InvalidRequest

from mos_client.tuning.batches import Batches
from mos_client.tuning.captions import DEFAULT_CAPTION, fill_caption
from mos_client.tuning.dataset import Dataset, Picture, read_dataset
from mos_client.tuning.settings import TuningSettings

FOLDER = "regularisation"
STEPS = 20
_TOGETHER = 8

Tell = Callable[[str], None]


def class_prompt(settings: TuningSettings) -> str:
    """What the pictures are sampled with, and their caption when they have none."""
    return f"a photo of a {settings.class_word}"


def read_regularisation(folder: Path, settings: TuningSettings) -> Dataset:
    """The pictures of a folder, `<TOK>` in a caption being the class word.

    Raises `InvalidRequest` when there are none.
    """
    if not folder.is_dir():
        raise InvalidRequest(
            f"{folder} is no folder.", hint=f"Give one with pictures of a {settings.class_word}."
        )
    found = read_dataset(folder, settings.words)
    pictures = tuple(replace(item, caption=_caption(item, settings)) for item in found.pictures)
    return replace(found, pictures=pictures, warnings=())


def sample_regularisation(
    base: BaseModel, digest: str, settings: TuningSettings, resolution: int, work: Path, tell: Tell
) -> Path:
    """Sample the pictures that are still missing below `work`; return their folder.

    digest: the base's. Picture n has seed n, whatever was there before.
    """
    prompt, count = class_prompt(settings), settings.regularisation_images
    recipe = f"{digest} {prompt} {resolution} {STEPS}"
    mark = hashlib.sha256(recipe.encode()).hexdigest()[:8]
    folder = work / FOLDER / f"{settings.class_word}-{mark}-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(1, count + 1, _TOGETHER):
        seeds = range(first, min(first + _TOGETHER, count + 1))
        paths = [folder / f"{seed:05d}.png" for seed in seeds]
        if all(path.is_file() for path in paths):
            continue
        tell(f"sampling pictures of a {settings.class_word}: {first - 1} of {count}")
        latents = sample_latents(
            base,
            prompt,
            seeds=seeds,
            negative_prompt="",
            steps=STEPS,
            height=resolution,
            width=resolution,
        )
        for seed, path, picture in zip(seeds, paths, decode_latents(base, latents), strict=True):
            told = Provenance(digest=digest, prompt=prompt, seeds=(seed,), steps=STEPS)
            save_picture(picture, path, told)
    return folder


def regularisation_batches(
    base: BaseModel, data: Dataset, settings: TuningSettings, resolution: int
) -> Batches:
    """Batches of whole pictures, mirrored if the concept's are, drawn apart from the concept's."""
    plain = replace(
        settings, crop="center", zoom=False, shuffle_captions=False, extra_phrases=False
    )
    return Batches(base, data, plain, resolution, stream=FOLDER)


def _caption(picture: Picture, settings: TuningSettings) -> str:
    if picture.caption == DEFAULT_CAPTION:
        return class_prompt(settings)
    return fill_caption(picture.caption, settings.class_word)
