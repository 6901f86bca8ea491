"""From a tuned concept to the package that leaves the machine.

    manifest.json                   written last
    concept.safetensors             embeddings and LoRA
    moments/<block>.safetensors     second moments of the layer inputs, recorded with the concept
                                    (or the inputs themselves)
    previews/scale_<s>.png          pictures at LoRA scale 0.0, 0.7 and 1.0

The folder is made beside its place, checked as a center checks it, and only then renamed: there
is a whole package or none. The same seed gives the same bytes on the CPU.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from accelerate import PartialState
from mos_diffusion.adapters import recorded_blocks
from mos_diffusion.base_model import BaseModel, layer_map, load_base
from mos_diffusion.concept_file import ConceptWeights, save_concept
from mos_diffusion.edlora import attach_concept
from mos_diffusion.moments import ACCURACY, Moments, write_activations, write_moments
from mos_diffusion.noise import encode_pictures
from mos_diffusion.previews import PREVIEW_SEEDS, PREVIEW_STEPS, preview_prompt, write_sheet
from mos_diffusion.prompts import LayerwisePrompts, layerwise
from mos_diffusion.recorder import ActivationRecorder, Recorder
from mos_diffusion.recording import record_data, record_paper, record_templates
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import (
    CONCEPT_FILE,
    MANIFEST_FILE,
    BaseIdentity,
    Manifest,
    MomentsSummary,
    TrainingSummary,
    listed_files,
)
from mos_protocol.package import check_package

from mos_client.tuning.captions import fill_caption
from mos_client.tuning.crops import centred_pixels, prepare_picture
from mos_client.tuning.destination import check_destination, fresh_folder, move_into_place
from mos_client.tuning.penalty import Prior
from mos_client.tuning.precision import choose_machine
from mos_client.tuning.progress import OnProgress, Phase, TuneProgress, ignore_progress, thin_curve
from mos_client.tuning.run import TunedConcept, tune
from mos_client.tuning.settings import TuningSettings

PREVIEW_SCALES = (0.0, 0.7, 1.0)
SAMPLES_PER_PASS = 4
"""Pictures that one pass over templates samples."""


@dataclass(frozen=True, kw_only=True)
class PackageOptions:
    """What a package says and holds beyond the tuned weights.

    `recording="data"` records moments on the noised pictures with their captions, each shown
    `passes` times; `"paper"` on the paper's prompts; `"templates"` on pictures of many contexts
    that are sampled for it, four per pass. `accuracy` is what the moments' coding may cost; with
    `activations="raw"` the recorded inputs themselves are sent instead, and reduced on arrival.
    Previews take `preview_steps` sampling steps. `overwrite` replaces another package.
    """

    recording: Literal["data", "paper", "templates"] = "data"
    passes: int = 6
    activations: Literal["moments", "raw"] = "moments"
    accuracy: float = ACCURACY
    preview_steps: int = PREVIEW_STEPS
    licence: str = ""
    consent: str = ""
    description: str = ""
    overwrite: bool = False


def tune_concept(
    settings: TuningSettings,
    data: Path,
    out: Path,
    work: Path,
    base: BaseModel | None = None,
    prior: Prior | None = None,
    on_progress: OnProgress = ignore_progress,
    *,
    options: PackageOptions = PackageOptions(),
    restart: bool = False,
) -> Path:
    """Tune on the pictures in `data` and write the package to `out`; returns `out`.

    Running it again goes on where it was stopped (see `tune`). Raises `Conflict` before tuning
    when `out` holds anything that may not be replaced.
    """
    check_destination(out, settings.name, overwrite=options.overwrite)
    tuned = tune(settings, data, work, on_progress, base=base, prior=prior, restart=restart)
    processes = PartialState()
    if processes.is_main_process:
        build_package(tuned, settings, out, base=base, options=options, on_progress=on_progress)
    processes.wait_for_everyone()
    return out


def build_package(
    tuned: TunedConcept,
    settings: TuningSettings,
    out: Path,
    *,
    base: BaseModel | None = None,
    options: PackageOptions = PackageOptions(),
    on_progress: OnProgress = ignore_progress,
) -> Manifest:
    """Record, draw, write and check the package, then put it at `out` in one move.

    Raises `Conflict` when `out` has another package and `options.overwrite` is not set, or when
    it has something that is no package.
    """

    def tell(phase: Phase, message: str = "", sample: Path | None = None) -> None:
        steps = len(tuned.losses)
        report = TuneProgress(phase, steps, steps, tuned.final_loss, message=message, sample=sample)
        on_progress(report)

    base = base or load_base(settings.base, device=choose_machine(settings).device)
    layers = layer_map(base)
    folder = fresh_folder(out)
    tell(Phase.RECORDING)
    recorded = record(base, tuned, settings, options, layers)
    tell(Phase.PREVIEWS)
    write_previews(base, tuned.weights, folder, tuned.resolution, options.preview_steps)
    tell(Phase.PACKING)
    save_concept(tuned.weights, folder / CONCEPT_FILE)
    if options.activations == "raw":
        write_activations(recorded, folder)
    else:
        write_moments(recorded, folder, options.accuracy)
    manifest = describe(tuned, settings, options, layers, folder)
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    check_package(folder, layers)
    move_into_place(folder, out, manifest, overwrite=options.overwrite)
    tell(Phase.DONE, f"{out}", out / "previews" / preview_name(PREVIEW_SCALES[-1]))
    return manifest


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
    """Run what `options` says."""
    if options.recording == "paper":
        return record_paper(
            base,
            prompts,
            settings.words,
            resolution=tuned.resolution,
            seed=settings.seed,
            layers=layers,
            recorder=recorder,
        )
    if options.recording == "templates":
        return record_templates(
            base,
            prompts,
            settings.words,
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


@torch.no_grad()
def write_previews(
    base: BaseModel, weights: ConceptWeights, folder: Path, resolution: int, steps: int
) -> None:
    """One sheet per LoRA scale; at 0 it shows what the embeddings do alone."""
    with attach_concept(base, weights) as concept:
        for scale in PREVIEW_SCALES:
            concept.set_scale(scale)
            write_sheet(
                base,
                preview_prompt(weights.words),
                folder / "previews" / preview_name(scale),
                PREVIEW_SEEDS,
                resolution,
                steps=steps,
            )


def preview_name(scale: float) -> str:
    """The file name of the previews at this LoRA scale."""
    return f"scale_{scale:.1f}.png"


def describe(
    tuned: TunedConcept,
    settings: TuningSettings,
    options: PackageOptions,
    layers: LayerMap,
    folder: Path,
) -> Manifest:
    """The manifest for the files that are in `folder`."""
    return Manifest(
        concept=settings.name,
        base=BaseIdentity(name=settings.base_label, digest=layers.digest),
        words=settings.words,
        class_word=settings.class_word,
        rank=settings.rank,
        training=_summary(tuned, settings),
        moments=MomentsSummary(
            recording=options.recording,
            passes=1 if options.recording == "paper" else options.passes,
            accuracy=options.accuracy,
            activations=options.activations,
        ),
        licence=options.licence,
        consent=options.consent,
        description=options.description,
        tool=f"mos-client {importlib.metadata.version('mos-federation')}",
        files=listed_files(folder),
    )


def _summary(tuned: TunedConcept, settings: TuningSettings) -> TrainingSummary:
    rates = settings.learning_rates
    return TrainingSummary(
        images=len(tuned.data.pictures),
        steps=len(tuned.losses),
        batch_size=settings.batch_size,
        resolution=tuned.resolution,
        seed=settings.seed,
        learning_rate_embedding=rates.embedding,
        learning_rate_text_encoder=rates.text_encoder,
        learning_rate_unet=rates.unet,
        noise_offset=settings.noise_offset,
        prior_penalty=settings.prior_penalty,
        layers=settings.layers,
        final_loss=round(tuned.final_loss, 6),
        loss_curve=thin_curve(tuned.losses),
    )


def _picture_latents(
    base: BaseModel, tuned: TunedConcept, settings: TuningSettings
) -> torch.Tensor:
    """Latents (n, c, h, w) of every picture's middle crop; one by one, to bound the memory."""
    prepared = (
        prepare_picture(picture, tuned.resolution, settings.crop) for picture in tuned.data.pictures
    )
    return torch.cat([encode_pictures(base, centred_pixels(item)[None]) for item in prepared])
