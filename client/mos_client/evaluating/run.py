"""The run: sample what lacks, score, write the report; several processes share the sampling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import PartialState
from mos_diffusion.base_model import BaseModel, load_base
from mos_diffusion.evaluation.alignment import load_clip, load_dino
from mos_diffusion.evaluation.evaluating import SINGLE, ConceptCase, ConceptResult, caption_loss
from mos_diffusion.evaluation.grids import draw_grid
from mos_diffusion.evaluation.pictures import PictureCache, SamplingSettings, Shard, sample_subject
from mos_diffusion.evaluation.plots import draw_alignment
from mos_diffusion.evaluation.report import BOUNDS, Report, write_report
from mos_diffusion.evaluation.scores import Judge, References, Scores
from mos_diffusion.evaluation.subjects import Subject, check_base, concept_subject, model_subject
from mos_diffusion.noise import encode_pictures
from mos_protocol.errors import InvalidRequest

from mos_client.evaluating.plan import Plan, Target
from mos_client.tuning.crops import centred_pixels, prepare_picture
from mos_client.tuning.dataset import Dataset
from mos_client.tuning.precision import choose_device

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """With what an evaluation is made: base model, CLIP, DINO if any, device, precision.

    `base` may be None where only published models are evaluated: then there are no bounds.
    """

    base: str | None
    clip: str
    dino: str | None = None
    device: str | None = None
    half: bool = False


@dataclass
class _Found:
    """What has been measured so far of one concept."""

    bounds: Scores | None = None
    models: dict[str, Scores] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)


def run_evaluation(
    plan: Plan,
    settings: SamplingSettings,
    instruments: Instruments,
    out: Path,
    cache: PictureCache | None = None,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Report | None:
    """Evaluate the plan and write the report to `out`; None in all processes but the main one.

    Pictures are kept in `cache` (None: `out`/pictures): the same call again makes none.
    """
    if plan.needs_base and instruments.base is None:
        raise InvalidRequest(
            "A concept package stands on its base model, and none is given.",
            hint="Give the one it was tuned on: --base DIR.",
        )
    run = _Run(
        plan, settings, instruments, out, cache or PictureCache(out / "pictures"), on_progress
    )
    run.sample_and_measure()
    return run.report() if run.processes.is_main_process else None


class _Run:
    """One evaluation: the models come one after the other, each is loaded once."""

    def __init__(
        self,
        plan: Plan,
        settings: SamplingSettings,
        instruments: Instruments,
        out: Path,
        cache: PictureCache,
        on_progress: OnProgress,
    ) -> None:
        self.plan, self.settings, self.out, self.cache = plan, settings, out, cache
        self.on_progress = on_progress
        self.processes = PartialState(cpu=choose_device(instruments.device).type == "cpu")
        self._device = (
            choose_device(instruments.device) if instruments.device else self.processes.device
        )
        self._dtype = torch.float16 if instruments.half else torch.float32
        dino = load_dino(instruments.dino, self._device) if instruments.dino else None
        self.judge = Judge(load_clip(instruments.clip, self._device), dino)
        self.base = self._load(instruments.base) if instruments.base else None
        self._check_base()
        self._found = {case.name: _Found() for case in plan.cases}
        self._references: dict[str, References] = {}
        self._latents: dict[str, torch.Tensor] = {}

    def sample_and_measure(self) -> None:
        """Every model in turn."""
        if self.base is not None:
            for case in self.plan.cases:
                self._bound(case, self.base)
            for target in self.plan.packages:
                with concept_subject(self.base, target.path) as subject:
                    self._measure(target, SINGLE, subject)
        for target in self.plan.models:
            self._measure(target, target.label, self._load(target.path))

    def report(self) -> Report:
        """Put the report together and write it, with its plots."""
        results = tuple(
            ConceptResult(case, found.bounds, found.models, found.losses)
            for case, found in zip(self.plan.cases, self._found.values(), strict=True)
        )
        report = Report(self.settings, self.judge.clip, results, self.judge.dino)
        write_report(report, self.out)
        draw_alignment(results, self.out / "evaluation.png")
        if self.judge.dino is not None:
            draw_alignment(results, self.out / "evaluation-dino.png", "dino")
        return report

    def _check_base(self) -> None:
        """Refuse before anything is sampled: sizes, and concepts of another base."""
        if self.base is None:
            return
        self.settings.side_for(self.base)
        for target in (*self.plan.packages, *self.plan.models):
            check_base(target.label, target.base, self.base.base)

    def _load(self, source: str | Path) -> Subject:
        return model_subject(load_base(source, device=self._device, dtype=self._dtype))

    def _bound(self, case: ConceptCase, base: Subject) -> None:
        scores = self._scores(case, base, case.class_word, BOUNDS)
        found = self._found[case.name]
        found.bounds = scores
        self._add_loss(found, case, BOUNDS, base.model, case.class_word)

    def _measure(self, target: Target, label: str, subject: Subject) -> None:
        for case in self.plan.cases:
            named = target.find(case.name)
            if named is None:
                continue
            found, scores = (
                self._found[case.name],
                self._scores(case, subject, named.trigger, label),
            )
            if scores is not None:
                found.models[label] = scores
            self._add_loss(found, case, label, subject.model, named.trigger)

    def _scores(self, case: ConceptCase, subject: Subject, name: str, label: str) -> Scores | None:
        """Sample our share; the main process waits for the others' and scores all."""
        what, main = f"{case.name}, {label}", self.processes.is_main_process
        pictures = sample_subject(
            subject,
            case.prompts.texts(name),
            self.settings,
            self.cache,
            shard=Shard(self.processes.process_index, self.processes.num_processes),
            on_picture=(lambda done, total: self.on_progress(what, done, total)) if main else None,
        )
        self.processes.wait_for_everyone()
        if not main:
            return None
        texts = [prompt.text for prompt in case.prompts.prompts]
        grid = f"{case.name.replace('/', '-')}.{label.replace(' ', '-').replace('/', '-')}.png"
        draw_grid(pictures, texts, self.settings.seeds, self.out / "grids" / grid)
        if case.name not in self._references:
            self._references[case.name] = self.judge.references(case.pictures)
        return self.judge.scores(
            pictures,
            case.prompts,
            case.class_word,
            self.settings.seeds,
            self._references[case.name],
        )

    def _add_loss(
        self, found: _Found, case: ConceptCase, label: str, model: BaseModel, name: str
    ) -> None:
        data = self.plan.held_out.get(case.name)
        if data is None or not self.processes.is_main_process:
            return
        if case.name not in self._latents:
            self._latents[case.name] = _latents(model, data)
        captions = [picture.caption for picture in data.pictures]
        found.losses[label] = caption_loss(model, self._latents[case.name], captions, name)


def _latents(model: BaseModel, data: Dataset) -> torch.Tensor:
    """Latents (n, c, h, w) of every picture's middle, one by one to bound the memory."""
    prepared = (prepare_picture(picture, model.resolution, "center") for picture in data.pictures)
    return torch.cat([encode_pictures(model, centred_pixels(item)[None]) for item in prepared])
