"""Fuse one block, input by input, and write its delta.

The block's file holds `<layer>.up` (d_out, R) and `<layer>.down` (R, d_in) float32 per layer, and
its report in the header. It appears complete or not at all, so a block that was fused before an
interruption need not be fused again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mos_diffusion.tensor_file import read_metadata, write_all
from mos_protocol.layer_map import Block
from torch import Tensor

from mos_center.fusion.layer_input import BlockWork, CachedSums, changed_layers, fuse_input
from mos_center.fusion.parallel import Stopwatch, each, workers
from mos_center.fusion.report import BlockReport
from mos_center.fusion.settings import FusionSettings
from mos_center.fusion.sources import BaseSource, BlockMoments, ConceptSource

__all__ = ["CachedSums", "block_path", "fuse_block", "read_report"]


def block_path(folder: Path, block: str) -> Path:
    """The file of a fused block inside a work folder."""
    return folder / f"{block}.safetensors"


def read_report(path: Path) -> BlockReport:
    """The report of a fused block."""
    return BlockReport.from_text(read_metadata(path)["report"])


def fuse_block(
    base: BaseSource,
    block: Block,
    concepts: Sequence[ConceptSource],
    settings: FusionSettings,
    folder: Path,
    *,
    cached: CachedSums | None = None,
    watch: Stopwatch | None = None,
) -> Path:
    """Fuse one block into `folder` and return the file.

    The result has the same bits on any number of cores.
    """
    report = BlockReport(block.name)
    tensors: dict[str, Tensor] = {}
    watch = watch or Stopwatch()
    names = [layer.name for layer in block.layers]
    gone = () if cached is None else cached.withdrawn.values()
    with (
        BlockMoments([*concepts, *gone], block.name) as moments,
        base.prior_moments(block.name) as prior,
    ):
        factors = [concept.factors(names) for concept in concepts]
        # A base's prior covers what every concept changes; the other blocks may do without.
        extra = block in base.layer_map.extra_blocks
        weight = 0.0 if prior is None and extra else settings.prior_weight
        work = BlockWork(
            base, block, concepts, settings, factors, moments, prior, weight, cached, watch
        )
        inputs = [item for item in block.inputs if changed_layers(work, item)]
        for fused in each(lambda item: fuse_input(work, item), inputs, workers()):
            tensors.update(fused.tensors)
            report.layers += fused.layers
            report.estimated |= fused.estimated
            for pair, value in fused.collisions.items():
                report.collisions[pair] = report.collisions.get(pair, 0.0) + value
    order = {name: place for place, name in enumerate(names)}
    report.layers.sort(key=lambda layer: order[layer.layer])
    return _write(block_path(folder, block.name), tensors, report)


def _write(path: Path, tensors: Mapping[str, Tensor], report: BlockReport) -> Path:
    partial = path.with_suffix(".partial")
    write_all(partial, tensors, {"report": report.to_text()})
    with partial.open("rb") as file:
        # A job store may remember this block over a power cut; then the file must be there too.
        os.fsync(file.fileno())
    os.replace(partial, path)
    return path
