"""The second moments of a tuned concept, recorded with it attached at full scale."""

from __future__ import annotations

import torch
from mos_diffusion.adapters import recorded_blocks
from mos_diffusion.base_model import BaseModel
from mos_diffusion.edlora import attach_concept
from mos_diffusion.moments import Moments
from mos_diffusion.noise import encode_pictures
from mos_diffusion.prompts import LayerwisePrompts, layerwise
from mos_diffusion.recorder import ActivationRecorder, Recorder
from mos_diffusion.recording import record_data, record_paper, record_templates
from mos_protocol.layer_map import LayerMap

from mos_client.concept_options import PackageOptions
from mos_client.tuning.captions import fill_caption
from mos_client.tuning.crops import centred_pixels, prepare_picture
from mos_client.tuning.run import TunedConcept
from mos_client.tuning.settings import TuningSettings

SAMPLES_PER_PASS = 4
"""Pictures that one pass over templates samples."""


def record(
    base: BaseModel,
    tuned: TunedConcept,
    settings: TuningSettings,
    options: PackageOptions,
    layers: LayerMap,
) -> Moments:
    """Second moments of every layer input, or raw inputs, with the concept at full scale."""
    with attach_concept(base, tuned.weights):
        parts = recorded_blocks(base, layers)
        prompts = layerwise(base)
        try:
            if options.activations == "raw":
                kept = ActivationRecorder(parts)
                _record(base, prompts, tuned, settings, options, layers, kept)
                return kept.activations()
            return _record(base, prompts, tuned, settings, options, layers, Recorder(parts))
        finally:
            prompts.remove()


def _record(
    base: BaseModel,
    prompts: LayerwisePrompts,
    tuned: TunedConcept,
    settings: TuningSettings,
    options: PackageOptions,
    layers: LayerMap,
    recorder: Recorder,
) -> Moments:
    """Run what `options` says, or what the method records on."""
    recording = options.recording_of(settings.method)
    if recording == "paper":
        return record_paper(
            base,
            prompts,
            settings.trigger,
            resolution=tuned.resolution,
            seed=settings.seed,
            layers=layers,
            recorder=recorder,
        )
    if recording == "templates":
        return record_templates(
            base,
            prompts,
            settings.trigger,
            samples=SAMPLES_PER_PASS * options.passes,
            resolution=tuned.resolution,
            seed=settings.seed,
            layers=layers,
            recorder=recorder,
        )
    return record_data(
        base,
        prompts,
        _picture_latents(base, tuned, settings),
        [fill_caption(item.caption, settings.trigger) for item in tuned.data.pictures],
        passes=options.passes,
        seed=settings.seed,
        batch_size=settings.batch_size,
        noise_offset=settings.noise_offset,
        layers=layers,
        recorder=recorder,
    )


def _picture_latents(
    base: BaseModel, tuned: TunedConcept, settings: TuningSettings
) -> torch.Tensor:
    """Latents (n, c, h, w) of every picture's middle crop; one by one, to bound the memory."""
    prepared = (
        prepare_picture(picture, tuned.resolution, settings.crop) for picture in tuned.data.pictures
    )
    return torch.cat([encode_pictures(base, centred_pixels(item)[None]) for item in prepared])
