"""One tuning from a folder of pictures to a concept's weights, resumable at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mos_diffusion.base_model import BaseModel
from mos_diffusion.edlora import AttachedConcept, ConceptWeights, new_concept
from mos_diffusion.previews import write_sheet
from mos_diffusion.prompts import layerwise

from mos_client.tuning.batches import Batches
from mos_client.tuning.captions import fill_caption
from mos_client.tuning.dataset import Dataset
from mos_client.tuning.loop import TuningLoop
from mos_client.tuning.penalty import Prior, PriorPenalty
from mos_client.tuning.preparing import Run, prepare
from mos_client.tuning.progress import LossMeter, OnProgress, Phase, TuneProgress, ignore_progress
from mos_client.tuning.regularisation import regularisation_batches
from mos_client.tuning.settings import TuningSettings
from mos_client.tuning.state import forget_state, load_state, save_state

SAMPLE_SEEDS = (1, 2, 3, 4)


@dataclass(frozen=True)
class TunedConcept:
    """The result: weights, the data and size they were tuned on, and how it went.

    `frozen_at` is the step at which the norm stop froze the embeddings, if it did;
    `regularisation_images` are the pictures of the class that were learned beside the concept's.
    """

    weights: ConceptWeights
    data: Dataset
    resolution: int
    losses: tuple[float, ...]
    frozen_at: int | None
    warnings: tuple[str, ...]
    regularisation_images: int = 0

    @property
    def final_loss(self) -> float:
        """The mean over the last tenth of the steps."""
        last = self.losses[-max(1, len(self.losses) // 10) :]
        return sum(last) / len(last)


def tune(
    settings: TuningSettings,
    data: Path,
    work: Path,
    on_progress: OnProgress = ignore_progress,
    *,
    base: BaseModel | None = None,
    prior: Prior | None = None,
    regularisation: Path | None = None,
    restart: bool = False,
) -> TunedConcept:
    """Tune the concept, or go on with it: the same settings in the same `work` folder resume.

    A base that is given is used in the precision it has and left as it was. `prior` is needed
    for a prior penalty; `regularisation` is a folder to use in place of sampled pictures of the
    class. Raises `InvalidRequest` for data or settings that can't be used, and for
    a `work` folder that holds another run unless `restart`.
    """
    run = prepare(settings, data, work, on_progress, base, prior, regularisation)
    if restart:
        forget_state(work)
    saved = load_state(work, fingerprint=run.fingerprint)
    with _fresh_concept(run) as concept:
        batches = Batches(run.base, run.data, settings, run.resolution)
        penalty = None
        if settings.prior_penalty and prior is not None:
            penalty = PriorPenalty(run.base, concept.lora_factors(), prior)
        beside = None
        if run.regularisation is not None:
            beside = regularisation_batches(run.base, run.regularisation, settings, run.resolution)
        accelerator = run.machine.accelerator
        loop = TuningLoop(
            run.base, concept, batches, settings, run.steps, accelerator, penalty, beside
        )
        warnings = [*run.data.warnings, *_long_captions(run), *_norm_warning(loop, settings)]
        for warning in warnings:
            on_progress(TuneProgress(Phase.PREPARING, 0, run.steps, message=warning))
        if saved is not None:
            loop.restore(saved)
        _train(run, loop)
        return TunedConcept(
            concept.weights(),
            run.data,
            run.resolution,
            tuple(loop.losses),
            loop.frozen_at,
            tuple(warnings),
            len(run.regularisation.pictures) if run.regularisation else 0,
        )


@contextmanager
def _fresh_concept(run: Run) -> Iterator[AttachedConcept]:
    """The untrained concept on the base, which is as it was afterwards."""
    settings, base = run.settings, run.base
    concept = new_concept(
        base,
        settings.words,
        settings.class_word,
        rank=settings.rank,
        layers=settings.layers,
        seed=settings.seed,
        method=settings.method,
    )
    prompts = layerwise(base)
    if settings.gradient_checkpointing:
        base.unet.enable_gradient_checkpointing()
    try:
        yield concept
    finally:
        if settings.gradient_checkpointing:
            base.unet.disable_gradient_checkpointing()
        prompts.remove()
        concept.detach()


def _train(run: Run, loop: TuningLoop) -> None:
    """Take the steps that are left; save, sample and tell as the settings ask."""
    settings, main = run.settings, run.machine.accelerator.is_main_process
    meter = LossMeter(run.steps, loop.losses)
    if loop.losses and main:
        run.on_progress(meter.report(f"going on after step {len(loop.losses)}"))
    while not loop.done:
        was_frozen = loop.frozen_at
        meter.add(loop.step())
        step = len(loop.losses)
        if not main:
            continue
        if step % settings.save_every == 0 or loop.done:
            save_state(run.work, loop.state(), fingerprint=run.fingerprint)
        sheet = None
        if settings.sample_every and step % settings.sample_every == 0:
            sheet = _sample(run, step)
        message = ""
        if loop.frozen_at != was_frozen:
            message = f"the embeddings' norm reached {loop.norm_stop:g}: only LoRA goes on"
        run.on_progress(meter.report(message, sheet))


def _sample(run: Run, step: int) -> Path:
    path = run.work / "samples" / f"step-{step:06d}.png"
    with run.machine.accelerator.autocast():
        return write_sheet(
            run.base, f"a photo of a {run.settings.trigger}", path, SAMPLE_SEEDS, run.resolution
        )


def _long_captions(run: Run) -> Iterator[str]:
    tokens = run.base.text_encoder.config.max_position_embeddings
    for picture in run.data.pictures:
        caption = fill_caption(picture.caption, run.settings.trigger)
        length = len(run.base.tokenizer(caption).input_ids)
        if length > tokens:
            yield f"{picture.path.name}: the caption has {length} tokens, cut to {tokens}."


def _norm_warning(loop: TuningLoop, settings: TuningSettings) -> Iterator[str]:
    if settings.embedding_norm_stop is not None and loop.norm_stop is None:
        yield (
            f"The base's own embeddings are longer than {settings.embedding_norm_stop:g}, so "
            "the embeddings are tuned to the end."
        )
