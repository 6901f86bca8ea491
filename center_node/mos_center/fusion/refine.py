"""Record once more what a concept sends into the layers, now of the fused model.

A client records its inputs on its own tuned model, before any fusion exists; in the fused model
they are slightly others. No pictures are at hand here, so templates with the concept's words are
sampled instead, and count a fifth: they are further from its pictures than what it recorded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mos_diffusion.adapters import LoraFactors
from mos_diffusion.base_model import load_base
from mos_diffusion.concept_file import ConceptWeights
from mos_diffusion.edlora import attach_concept
from mos_diffusion.moments import Moments, write_moments
from mos_diffusion.prompts import layerwise
from mos_diffusion.recording import record_templates
from mos_diffusion.tensor_file import open_tensors

from mos_center.fusion.equal_weight import equalised
from mos_center.fusion.parallel import compute_device
from mos_center.fusion.sources import BaseSource, ConceptSource

SHARE = 0.2
SEED = 0


def record_on_fused(
    base: BaseSource, concept: ConceptSource, blocks: Sequence[Path], out: Path
) -> None:
    """Write to `out` the moments of `concept`, a share of them recorded on the fused blocks.

    `out` appears complete or not at all.
    """
    model = load_base(base.folder, device=compute_device())
    own = concept.load()
    weights = ConceptWeights(own.words, own.embeddings, _fused_factors(blocks))
    with attach_concept(model, weights):
        found = record_templates(
            model, layerwise(model), concept.manifest.trigger, seed=SEED, layers=base.layer_map
        )
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    write_moments(_mixed(concept, found), partial)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(partial, out)


def _fused_factors(blocks: Sequence[Path]) -> dict[str, LoraFactors]:
    with open_tensors(*blocks) as tensors:
        layers = [name.removesuffix(".up") for name in tensors if name.endswith(".up")]
        return {
            layer: LoraFactors(tensors[f"{layer}.down"], tensors[f"{layer}.up"]) for layer in layers
        }


def _mixed(concept: ConceptSource, found: Moments) -> Moments:
    """Its own moments and those found on the fused model, input by input."""
    mixed: Moments = {}
    for block, moments in found.items():
        with concept.moments(block) as own:
            if own is not None:
                mixed[block] = {
                    name: (1 - SHARE) * equalised(own.read(name)) + SHARE * equalised(moment)
                    for name, moment in moments.items()
                    if name in own
                }
    return mixed
