"""The second moments of an imported concept, recorded with it attached at full scale."""

from __future__ import annotations

from typing import Any

import torch
from mos_diffusion.base_model import BaseModel
from mos_diffusion.concept_file import ConceptWeights
from mos_diffusion.edlora import attach_concept
from mos_diffusion.moments import Moments
from mos_diffusion.noise import encode_pictures
from mos_diffusion.prompts import LayerwisePrompts, layerwise
from mos_diffusion.recording import record_data, record_paper, record_templates
from mos_protocol.layer_map import LayerMap

from mos_client.concept_recording import SAMPLES_PER_PASS
from mos_client.importing.settings import ImportSettings
from mos_client.tuning.captions import fill_caption
from mos_client.tuning.crops import centred_pixels, prepare_picture
from mos_client.tuning.dataset import read_dataset


def record(
    base: BaseModel,
    weights: ConceptWeights,
    settings: ImportSettings,
    resolution: int,
    layers: LayerMap,
) -> tuple[Moments, int]:
    """The moments of every input that fusion needs, and in how many passes they were recorded."""
    with attach_concept(base, weights):
        prompts = layerwise(base)
        try:
            if settings.recording == "data":
                return _on_pictures(base, prompts, settings, resolution, layers), settings.passes
            name = " ".join(settings.words)
            given: dict[str, Any] = {
                "resolution": resolution,
                "seed": settings.seed,
                "layers": layers,
            }
            if settings.recording == "paper":
                return record_paper(base, prompts, name, **given), 1
            samples = SAMPLES_PER_PASS * settings.passes
            moments = record_templates(base, prompts, name, samples=samples, **given)
            return moments, settings.passes
        finally:
            prompts.remove()


def _on_pictures(
    base: BaseModel,
    prompts: LayerwisePrompts,
    settings: ImportSettings,
    resolution: int,
    layers: LayerMap,
) -> Moments:
    """Moments of noised pictures with their captions, as after a tuning."""
    assert settings.images is not None
    pictures = read_dataset(settings.images, settings.words).pictures
    prepared = (prepare_picture(picture, resolution, "center") for picture in pictures)
    latents = [encode_pictures(base, centred_pixels(item)[None]) for item in prepared]
    return record_data(
        base,
        prompts,
        torch.cat(latents),
        [fill_caption(picture.caption, " ".join(settings.words)) for picture in pictures],
        passes=settings.passes,
        seed=settings.seed,
        layers=layers,
    )
