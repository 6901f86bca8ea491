"""The README of a published model: what it is made of, how well it fits, how to use it.

Texts that came with a package are strangers' words: they are escaped, and never longer than a line.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from mos_center.fusion.report import (
    BlockReport,
    LayerReport,
    by_part,
    collisions,
    concept_residual,
    summarise,
)
from mos_center.fusion.report_warnings import warnings
from mos_center.fusion.settings import FusionSettings, RidgeTarget, Solver
from mos_center.fusion.sources import BaseSource, ConceptSource

_MAX_TEXT = 200
_TARGETS = {RidgeTarget.AVERAGE: "the average", RidgeTarget.ZERO: "zero"}

_FRONT = """---
library_name: diffusers
pipeline_tag: text-to-image
tags: [mix-of-show, text-to-image]
---
"""

_USE = """## Use

The folder opens with stock diffusers. Written in plain words, each concept is approximated by one
embedding; with `mos_diffusion` installed, one line gives every cross-attention layer its own:

```python
import torch
from diffusers import StableDiffusionPipeline
from mos_diffusion.prompts import layerwise

pipe = StableDiffusionPipeline.from_pretrained("PATH")
prompts = layerwise(pipe)
pipe(**prompts("{prompt}", negative_prompt="lowres, bad anatomy"), num_inference_steps=20)
```
"""

_DELTA = """## Files

- `concepts.safetensors`, `concepts.json`: the words' embeddings per layer, and their tokens.
- `delta.safetensors`: the exact change of every layer, `<layer>.up` (d_out, R) and `<layer>.down`
  (R, d_in) float32. With W the base's weight as float64, add `up[:, k]` ⊗ `down[k, :]` in float64
  for k = 0 … R−1 in this order, round to float32, then to the base's dtype when that is a 16-bit
  one: these are the published weights, bit for bit.
- `report.json`: objective, residual, ridge, conditioning and norms of every layer, and what every
  concept keeps in it; `quality.png` shows it.
"""


def model_card(
    base: BaseSource,
    concepts: Sequence[ConceptSource],
    settings: FusionSettings,
    blocks: Sequence[BlockReport],
    previews: Sequence[str] = (),
) -> str:
    """The whole README as markdown; `previews` are paths of pictures, one per concept or none."""
    layers = [layer for block in blocks for layer in block.layers]
    refs = [concept.ref for concept in concepts]
    trigger = concepts[0].manifest.trigger
    sections = [
        _FRONT + f"\n# {len(concepts)} concepts on {base.name}\n",
        _concept_table(base, concepts),
        _previews(refs, previews),
        _USE.format(prompt=f"a photo of {trigger}"),
        _settings(settings),
        _residuals(layers),
        _kept(blocks, layers, refs),
        _warnings(layers, refs, settings),
        _DELTA,
    ]
    return "\n".join(filter(None, sections))


def _concept_table(base: BaseSource, concepts: Sequence[ConceptSource]) -> str:
    rows = "".join(
        f"| {concept.ref} | `{concept.manifest.trigger}` | {concept.manifest.class_word} "
        f"| {_weights(concept)} | {_line(concept.manifest.licence) or 'not stated'} "
        f"| {_line(concept.manifest.consent) or 'not stated'} "
        f"| {_line(concept.manifest.description)} |\n"
        for concept in concepts
    )
    return (
        f"Base model: `{base.name}`, digest `{base.layer_map.digest}`; its licence holds for this "
        "model too.\n\n"
        "| concept | words | class | weight | licence | consent | description |\n"
        "|---|---|---|---|---|---|---|\n"
        f"{rows}"
    )


def _previews(refs: Sequence[str], paths: Sequence[str]) -> str:
    if not paths:
        return ""
    rows = "".join(f"| {ref} | ![{ref}]({path}) |\n" for ref, path in zip(refs, paths, strict=True))
    return (
        "## Previews\n\n"
        "Sampled with this model from `a photo of a` and the concept's words, with the seeds of "
        "its package's previews.\n\n"
        f"| concept | with this model |\n|---|---|\n{rows}"
    )


def _settings(settings: FusionSettings) -> str:
    ridge = ", ".join(f"{part.value} {value:g}" for part, value in settings.ridge.items())
    steps = ", ".join(f"{part.value} {value}" for part, value in settings.lbfgs_steps.items())
    lines = [f"- solver: {settings.solver.value}"]
    if settings.solves:
        lines += [f"- ridge towards {_TARGETS[settings.ridge_target]}, relative: {ridge}"]
        lines += [f"- weight of the base's prior: {settings.prior_weight:g}"]
    if settings.solver is Solver.LBFGS:
        lines += [f"- LBFGS steps: {steps}"]
    return "## Fusion\n\n" + "\n".join(lines) + "\n"


def _residuals(layers: Sequence[LayerReport]) -> str:
    rows = "".join(
        f"| {part.value} | {summary.layers} | 1 | {summary.average:.4f} | {summary.result:.4f} "
        f"| {summary.growth:.2f} |\n"
        for part, summary in ((part, summarise(own)) for part, own in by_part(layers).items())
    )
    return (
        "Squared error of the concepts' own layer outputs, relative to the base's (0 is perfect), "
        "and the largest\n‖delta‖ of a layer relative to its largest single concept:\n\n"
        "| part | layers | base | plain average | this model | growth |\n"
        f"|---|---|---|---|---|---|\n{rows}"
    )


def _kept(blocks: Sequence[BlockReport], layers: Sequence[LayerReport], refs: Sequence[str]) -> str:
    """What every concept keeps of its own change, and which pairs are most in each other's way."""
    parts = by_part(layers)
    rows = ""
    for index, ref in enumerate(refs):
        shares = [1 - concept_residual(own, index) for own in (*parts.values(), layers)]
        rows += f"| {ref} | {' | '.join(f'{share:.0%}' for share in shares)} |\n"
    pairs = "".join(
        f"- {refs[i]} and {refs[j]}: {share:.0%}\n"
        for i, j, share in collisions(blocks, len(refs))[:3]
    )
    return (
        "Share of each concept's own change that is kept on its own inputs:\n\n"
        f"| concept | {' | '.join(parts)} | all |\n|---|{'---|' * len(parts)}---|\n{rows}"
        + (
            f"\nPairs that pull the layers apart most, and the share lost by it:\n\n{pairs}"
            if pairs
            else ""
        )
        + "\n![kept per block and concept](quality.png)\n"
    )


def _warnings(layers: Sequence[LayerReport], refs: Sequence[str], settings: FusionSettings) -> str:
    found = warnings(layers, refs, settings.ridge, settings.solver)
    notes = "".join(f"- {_line(text)}\n" for text in found)
    return f"Warnings:\n\n{notes}" if notes else ""


def _weights(concept: ConceptSource) -> str:
    """One number, or one per part."""
    weights = concept.weights.to_json()
    if isinstance(weights, dict):
        return ", ".join(f"{part} {value:g}" for part, value in weights.items())
    return f"{weights:g}"


def _line(text: str) -> str:
    """One line of a stranger's text, harmless in a markdown table."""
    plain = " ".join(text.split())
    short = plain if len(plain) <= _MAX_TEXT else plain[: _MAX_TEXT - 1] + "…"
    escaped = html.escape(short, quote=False)
    return "".join(f"\\{char}" if char in "\\`*_{}[]()#+!|~" else char for char in escaped)
