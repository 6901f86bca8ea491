"""Fuse one layer input of a given width with more and more concepts; print JSON in one line.

The input feeds three layers (q, k and v). Run in a fresh process by `scaling.py`: numbers grow, so
that the peak memory after each is that of the largest so far.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from clock import now
from measuring import resident_peak
from mos_center.fusion.parallel import compute_device
from mos_center.fusion.problem import gather
from mos_center.fusion.settings import FusionSettings, Solver
from mos_center.fusion.solvers import solve
from mos_center.fusion.sums import ConceptUpdate, InputSums
from mos_diffusion.moments import open_moments, write_block
from mos_protocol.layer_map import Block, LayerInput, Linear, Part
from random_concepts import random_factors
from spectra import BlockMoments

# Encoding is the slow part and not what is measured: concepts beyond these read their files again.
_DISTINCT = 8
Figures = dict[str, Any]
_SOLVERS = (Solver.CLOSED_FORM, Solver.LBFGS)


def block_of(width: int) -> Block:
    """A block of one spatial input that feeds q, k and v."""
    name = f"unet.width{width}.attn1"
    return Block(
        name=f"unet.width{width}",
        inputs=(LayerInput(name=f"{name}.in", width=width),),
        layers=tuple(
            Linear(
                name=f"{name}.{projection}",
                input=f"{name}.in",
                part=Part.SPATIAL,
                d_in=width,
                d_out=width,
            )
            for projection in ("to_q", "to_k", "to_v")
        ),
    )


def write_files(block: Block, folder: Path, seed: int, count: int) -> list[Path]:
    """Moments files of the first concepts; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(min(count, _DISTINCT)):
        path = folder / f"concept{number}.safetensors"
        if not path.is_file():
            partial = path.with_suffix(".partial")
            write_block(BlockMoments(block, seed, number), partial)
            partial.rename(path)
        paths.append(path)
    return paths


def measure(block: Block, files: Sequence[Path], counts: Sequence[int], seed: int) -> list[Figures]:
    """Figures for every number of concepts in `counts`, which grow; seconds add up."""
    device = compute_device()
    name, width = block.inputs[0].name, block.inputs[0].width
    sums = InputSums.empty(width, device)
    updates: dict[str, ConceptUpdate] = {}
    before, reading, found = resident_peak(), 0.0, []
    for count in counts:
        for number in range(len(updates), count):
            factors = {la.name: random_factors(la, seed, number) for la in block.layers}
            updates[str(number)] = ConceptUpdate(str(number), 1.0, factors)
            start = now()
            with open_moments(files[number % len(files)]) as stored:
                sums.add(str(number), updates[str(number)], stored.read(name).to(device))
            reading += now() - start
        row: Figures = {"concepts": count, "read": reading}
        for solver in _SOLVERS:
            start = now()
            problem = gather(block.layers, updates, sums)
            solution = solve(problem, FusionSettings(solver))
            rank = len(solution.reduced[0])
            row[solver.value] = now() - start
        row |= {
            "rank": rank,
            "memory": resident_peak() - before,
            "read_bytes": sum(files[i % len(files)].stat().st_size for i in range(count)),
            "delta_bytes": 4 * rank * 2 * width * len(block.layers),
        }
        found.append(row)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one width."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("width", type=int)
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prepare", action="store_true", help="only write the moments files")
    given = parser.parse_args(argv)
    block = block_of(given.width)
    folder = given.folder / f"width{given.width}-seed{given.seed}"
    rows = []
    with torch.no_grad():
        files = write_files(block, folder, given.seed, max(given.counts))
        if not given.prepare:
            # Libraries take memory of their own at the first call.
            warm = block_of(16)
            measure(warm, write_files(warm, folder.with_name("warm"), 0, 1), [1], 0)
            rows = measure(block, files, sorted(given.counts), given.seed)
    print(json.dumps({"width": given.width, "rows": rows}))


if __name__ == "__main__":
    main()
