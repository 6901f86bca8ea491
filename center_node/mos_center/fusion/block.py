"""Fuse one block: read its moments, solve its layers, write its delta as one file.

The file holds `<layer>.up` (d_out, R) and `<layer>.down` (R, d_in) float32 per layer, and the
layers' reports in its header. It appears complete or not at all, so a block that was fused
before an interruption need not be fused again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from mos_protocol.layer_map import Block
from torch import Tensor

from mos_center.fusion import report
from mos_center.fusion.problem import (
    ConceptUpdate,
    InputProblem,
    LayerProblem,
    gather_block,
    objective,
)
from mos_center.fusion.report import LayerReport
from mos_center.fusion.settings import FusionSettings
from mos_center.fusion.solver import one_thread, solve
from mos_center.fusion.sources import BaseSource, ConceptSource, each_moments
from mos_center.fusion.tensor_file import read_metadata, write_all


def block_path(folder: Path, block: str) -> Path:
    """The file of a fused block inside a work folder."""
    return folder / f"{block}.safetensors"


def fuse_block(
    base: BaseSource,
    block: Block,
    concepts: Sequence[ConceptSource],
    settings: FusionSettings,
    folder: Path,
) -> Path:
    """Fuse one block into `folder` and return the file; one concept's moments are held at a time.

    Runs on one thread: the result has the same bits on any number of cores.
    """
    updates = [_update(concept, block) for concept in concepts]
    prior = base.prior_moments(block.name) if settings.prior_weight > 0 else None
    tensors: dict[str, Tensor] = {}
    layers: dict[str, LayerReport] = {}
    with one_thread(), torch.no_grad():
        moments = each_moments(concepts, block.name)
        for problem in gather_block(block, updates, moments, prior, settings.prior_weight):
            for layer, reduced in zip(problem.layers, solve(problem, settings), strict=True):
                name = layer.layer.name
                up, down = layer.basis.float(), reduced.float()
                tensors[f"{name}.up"], tensors[f"{name}.down"] = up, down
                layers[name] = _report(problem, layer, up.double(), down.double())
    ordered = [layers[layer.name] for layer in block.layers if layer.name in layers]
    path = block_path(folder, block.name)
    partial = path.with_suffix(".partial")
    write_all(partial, tensors, {"report": report.to_text(ordered)})
    with partial.open("rb") as file:
        # A job store may remember this block over a power cut; then the file must be there too.
        os.fsync(file.fileno())
    os.replace(partial, path)
    return path


def read_report(path: Path) -> list[LayerReport]:
    """The layers' reports of a fused block."""
    return report.from_text(read_metadata(path)["report"])


def _update(concept: ConceptSource, block: Block) -> ConceptUpdate:
    lora = concept.weights().lora
    own = {layer.name: lora[layer.name] for layer in block.layers if layer.name in lora}
    return ConceptUpdate(concept.ref, concept.weight, own)


def _report(problem: InputProblem, layer: LayerProblem, up: Tensor, down: Tensor) -> LayerReport:
    """Report on the rounded factors, as they are published.

    up·down = D' has f(D') = tr(S down G downᵀ) − 2 tr(T K downᵀ), S = upᵀup and T = upᵀQ.
    """
    inner = up.T @ up
    fitted = (inner @ down) @ problem.gram - 2 * (up.T @ layer.basis) @ layer.target
    return LayerReport(
        layer=layer.layer.name,
        part=problem.part,
        rank=len(down),
        average=objective(layer, problem.gram, layer.average),
        result=float((fitted * down).sum()),
        asked=layer.asked,
        norm=float(((inner @ down) * down).sum().clamp(min=0).sqrt()),
        largest_norm=layer.largest_norm,
    )
