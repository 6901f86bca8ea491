"""The result of an evaluation: `evaluation.json` with everything, `evaluation.md` with tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mos_diffusion.evaluation.alignment import PictureEncoder
from mos_diffusion.evaluation.evaluating import SINGLE, ConceptResult
from mos_diffusion.evaluation.identity import identity_kept
from mos_diffusion.evaluation.pictures import SamplingSettings
from mos_diffusion.evaluation.scores import MEASURES, Scores, average, drop, drop_of_many

FORMAT = "mos-evaluation/1"
BOUNDS = "class word"
Estimate = Mapping[str, float | None]


@dataclass(frozen=True)
class Report:
    """Everything that was measured, and how."""

    settings: SamplingSettings
    clip: PictureEncoder
    results: tuple[ConceptResult, ...]
    dino: PictureEncoder | None = None

    @property
    def labels(self) -> list[str]:
        """The models, the concepts' own first."""
        return list(dict.fromkeys(label for item in self.results for label in item.models))

    @property
    def measures(self) -> list[str]:
        """What was measured of any concept."""
        found = {name for item in self.results for name in _all_scores(item)}
        return [name for name in MEASURES if name in found]

    def scores(self, label: str) -> list[Scores]:
        """Those of one model, or of the bounds, concept by concept."""
        if label == BOUNDS:
            return [item.bounds for item in self.results if item.bounds is not None]
        return [item.models[label] for item in self.results if label in item.models]

    def mean(self, label: str, measure: str) -> Estimate | None:
        """The mean over the model's concepts; None when one of them was not measured so."""
        scores = self.scores(label)
        if not scores or any(measure not in item.values for item in scores):
            return None
        return average(scores, measure)

    def mean_drop(self, label: str, measure: str) -> Estimate | None:
        """The mean drop from own models to this one, over the concepts measured in both."""
        pairs = [
            (item.models[SINGLE], item.models[label])
            for item in self.results
            if _drop(item, label, measure) is not None
        ]
        return drop_of_many(pairs, measure) if pairs else None

    def document(self) -> dict[str, Any]:
        """The content of `evaluation.json`."""
        labels = [BOUNDS, *self.labels]
        return {
            "format": FORMAT,
            "settings": {
                "seeds": list(self.settings.seeds),
                "steps": self.settings.steps,
                "guidance": self.settings.guidance,
                "negative_prompt": self.settings.negative_prompt,
                "side": self.settings.side,
                "clip": _encoder(self.clip),
                "dino": _encoder(self.dino) if self.dino else None,
            },
            "means": {
                label: {name: self.mean(label, name) for name in self.measures}
                for label in labels
                if self.scores(label)
            },
            "drop": {
                label: {name: self.mean_drop(label, name) for name in self.measures}
                for label in self.labels
                if self.mean_drop(label, "text") is not None
            },
            "concepts": [_concept(item) for item in self.results],
        }

    def markdown(self) -> str:
        """The tables of `evaluation.md`."""
        seeds, prompts = len(self.settings.seeds), len(self.results[0].case.prompts.prompts)
        return "\n".join(
            [
                "# Evaluation",
                "",
                f"{prompts} prompts, {seeds} {'seed' if seeds == 1 else 'seeds'} each; "
                f"{self.settings.steps} steps, guidance {self.settings.guidance:g}; CLIP "
                f"`{self.clip.name}`. ± is the standard error over seeds. `{BOUNDS}` is the base "
                "without the concept: the upper bound of text-, the lower bound of "
                "image-alignment.",
                "",
                *_markdown(*self.table()),
                "",
                "## By group of prompts",
                "",
                *_markdown(*self._groups()),
                "",
            ]
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heads and rows: every concept in every model, then the means over several concepts."""
        compared = any(SINGLE in item.models and len(item.models) > 1 for item in self.results)
        unseen = any(item.losses for item in self.results)
        heads = ["concept", "model", *(f"{name}-alignment" for name in self.measures)]
        heads += ["drop in image-alignment"] * compared + ["identity kept"] * unseen
        rows = [
            [
                *(item.case.name, label, *_cells(scores.summary(), self.measures)),
                *[_told(_drop(item, label, "image"))] * compared,
                *[_share(shares_kept(item).get(label))] * unseen,
            ]
            for item in self.results
            for label, scores in _labelled(item)
        ]
        if len(self.results) > 1:
            rows += [
                [
                    *("mean", label, *(_told(self.mean(label, name)) for name in self.measures)),
                    *[_told(self.mean_drop(label, "image"))] * compared,
                    *[""] * unseen,
                ]
                for label in [BOUNDS, *self.labels]
                if self.scores(label)
            ]
        return heads, rows

    def _groups(self) -> tuple[list[str], list[list[str]]]:
        names = list(dict.fromkeys(g for item in self.results for g in item.case.prompts.groups))
        heads = [f"{group.replace('_', ' ')}, {name}" for group in names for name in self.measures]
        rows = []
        for item in self.results:
            for label, scores in _labelled(item):
                summary = scores.summary()
                cells = [
                    _told(summary[name]["groups"].get(group)) if name in summary else ""
                    for group in names
                    for name in self.measures
                ]
                rows.append([item.case.name, label, *cells])
        return ["concept", "model", *heads], rows


def write_report(report: Report, out: Path) -> list[Path]:
    """Write `evaluation.json` and `evaluation.md` into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    contents = {
        "evaluation.json": json.dumps(report.document(), indent=1) + "\n",
        "evaluation.md": report.markdown(),
    }
    for name, content in contents.items():
        partial = out / f".{name}.partial"
        partial.write_text(content)
        partial.replace(out / name)
    return [out / name for name in contents]


def shares_kept(result: ConceptResult) -> dict[str, float]:
    """Per model the share of the gain in held-out loss that it keeps; the concept's own has 1.

    Empty when losses were not measured, or when tuning gained nothing.
    """
    losses = result.losses
    if not {BOUNDS, SINGLE} <= losses.keys() or losses[SINGLE] >= losses[BOUNDS]:
        return {}
    return {
        label: identity_kept(losses[BOUNDS], losses[SINGLE], loss)
        for label, loss in losses.items()
        if label != BOUNDS
    }


def _concept(item: ConceptResult) -> dict[str, Any]:
    fused = [label for label in item.models if label != SINGLE]
    return {
        "name": item.case.name,
        "trigger": item.case.trigger,
        "class_word": item.case.class_word,
        "prompts": item.case.prompts.kind,
        "prefix": item.case.prompts.prefix,
        "pictures": len(item.case.pictures),
        "bounds": item.bounds.summary() if item.bounds else None,
        "models": {label: scores.summary() for label, scores in item.models.items()},
        "drop": {
            label: {name: _drop(item, label, name) for name in item.models[label].values}
            for label in fused
            if SINGLE in item.models
        },
        "held_out": {"losses": dict(item.losses), "kept": shares_kept(item)},
    }


def _drop(item: ConceptResult, label: str, measure: str) -> Estimate | None:
    single, fused = item.models.get(SINGLE), item.models.get(label)
    if single is None or fused is None or label == SINGLE or measure not in fused.values:
        return None
    return drop(single, fused, measure)


def _labelled(item: ConceptResult) -> list[tuple[str, Scores]]:
    first = [(BOUNDS, item.bounds)] if item.bounds else []
    return [*first, *item.models.items()]


def _all_scores(item: ConceptResult) -> set[str]:
    return {name for _, scores in _labelled(item) for name in scores.values}


def _cells(summary: Mapping[str, Any], measures: Sequence[str]) -> list[str]:
    return [_told(summary.get(name)) for name in measures]


def _told(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    error = estimate["error"]
    return f"{estimate['mean']:.3f}" + ("" if error is None else f" ± {error:.3f}")


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_row(heads), "|" + "---|" * len(heads), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '¦') for cell in cells)} |"


def _encoder(encoder: PictureEncoder) -> dict[str, str]:
    return {"name": encoder.name, "digest": encoder.digest}
