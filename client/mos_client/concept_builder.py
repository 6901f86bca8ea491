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
from pathlib import Path

import torch
from accelerate import PartialState
from mos_diffusion.base_model import BaseModel, layer_map, load_base
from mos_diffusion.concept_file import ConceptWeights, save_concept
from mos_diffusion.edlora import attach_concept
from mos_diffusion.moments import write_activations, write_moments
from mos_diffusion.previews import PREVIEW_SEEDS, preview_prompt, write_sheet
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

from mos_client.concept_options import PackageOptions
from mos_client.concept_recording import record
from mos_client.tuning.destination import check_destination, fresh_folder, move_into_place
from mos_client.tuning.penalty import Prior
from mos_client.tuning.precision import choose_machine
from mos_client.tuning.progress import OnProgress, Phase, TuneProgress, ignore_progress, thin_curve
from mos_client.tuning.run import TunedConcept, tune
from mos_client.tuning.settings import TuningSettings

__all__ = ["PackageOptions", "build_package", "tune_concept", "write_previews"]

PREVIEW_SCALES = (0.0, 0.7, 1.0)


def tune_concept(
    settings: TuningSettings,
    data: Path,
    out: Path,
    work: Path,
    base: BaseModel | None = None,
    prior: Prior | None = None,
    on_progress: OnProgress = ignore_progress,
    *,
    regularisation: Path | None = None,
    options: PackageOptions = PackageOptions(),
    restart: bool = False,
) -> Path:
    """Tune on the pictures in `data` and write the package to `out`; returns `out`.

    Running it again goes on where it was stopped (see `tune`). Raises `Conflict` before tuning
    when `out` holds anything that may not be replaced.
    """
    check_destination(out, settings.name, overwrite=options.overwrite)
    tuned = tune(
        settings,
        data,
        work,
        on_progress,
        base=base,
        prior=prior,
        regularisation=regularisation,
        restart=restart,
    )
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
    steps = options.preview_steps
    write_previews(base, tuned.weights, settings.trigger, folder, tuned.resolution, steps)
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


@torch.no_grad()
def write_previews(
    base: BaseModel,
    weights: ConceptWeights,
    trigger: str,
    folder: Path,
    resolution: int,
    steps: int,
) -> None:
    """One sheet per LoRA scale; at 0 it shows what the embeddings do alone."""
    scales = PREVIEW_SCALES if weights.lora else PREVIEW_SCALES[-1:]
    with attach_concept(base, weights) as concept:
        for scale in scales:
            concept.set_scale(scale)
            write_sheet(
                base,
                preview_prompt(trigger),
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
    recording = options.recording_of(settings.method)
    return Manifest(
        concept=settings.name,
        base=BaseIdentity(name=settings.base_label, digest=layers.digest),
        method=settings.method,
        words=settings.words,
        class_word=settings.class_word,
        rank=tuned.weights.rank,
        training=_summary(tuned, settings),
        moments=MomentsSummary(
            recording=recording,
            passes=1 if recording == "paper" else options.passes,
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
        regularisation_images=tuned.regularisation_images or None,
        embedding_first=settings.embedding_first or None,
        kv_drop=settings.kv_drop or None,
        loss_weighting=None if settings.loss_weighting == "even" else settings.loss_weighting,
        final_loss=round(tuned.final_loss, 6),
        loss_curve=thin_curve(tuned.losses),
    )
