"""The quality of a fusion as a picture: what each concept keeps, block by block, and collisions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mos_protocol.layer_map import Part

from mos_center.fusion.report import BlockReport, by_part, collisions, concept_residual

_CELL = 0.42
_MOST_LABELS = 40


def draw_quality(blocks: Sequence[BlockReport], refs: Sequence[str], path: Path) -> None:
    """Write a PNG: share kept per concept and block (left), collisions of pairs (right)."""
    rows = _rows(blocks, len(refs))
    size = max(len(refs), 2) * _CELL
    figure = Figure(figsize=(2 * size + 6, max(len(rows), len(refs)) * _CELL + 2.4), dpi=100)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    kept = np.array([values for _, values in rows]).reshape(len(rows), len(refs))
    _grid(
        left, kept, [name for name, _ in rows], refs, "kept of each concept's change", "RdYlGn", 1.0
    )
    pairs = _pairs(blocks, len(refs))
    _grid(right, pairs, refs, refs, "what pairs lose to each other", "Reds", _most(pairs))
    figure.tight_layout()
    # Without a date or version, the same fusion gives the same bytes.
    figure.savefig(path, metadata={"Software": None})


def _rows(blocks: Sequence[BlockReport], concepts: int) -> list[tuple[str, list[float]]]:
    """Label and share kept per concept, one row per block and part."""
    rows = []
    for block in blocks:
        for part, layers in by_part(block.layers).items():
            label = block.name.removeprefix("unet.")
            if part is Part.CROSS_KV:
                label += " K, V"
            kept = [1 - concept_residual(layers, index) for index in range(concepts)]
            rows.append((label, kept))
    return rows


def _pairs(blocks: Sequence[BlockReport], count: int) -> np.ndarray:
    matrix = np.zeros((count, count))
    for i, j, share in collisions(blocks, count):
        matrix[i, j] = matrix[j, i] = share
    return matrix


def _most(pairs: np.ndarray) -> float:
    """The end of the colour scale: small shares must be told apart too."""
    return float(max(0.05, pairs.max(initial=0.0)))


def _grid(
    axes: Any,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    colours: str,
    most: float,
) -> None:
    if not values.size:
        axes.set_title(f"{title}: no layer is changed", fontsize=10)
        axes.set_axis_off()
        return
    image = axes.imshow(values, cmap=colours, vmin=0, vmax=most, aspect="auto")
    axes.set_title(title, fontsize=10)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontsize=7)
    if values.size <= _MOST_LABELS**2 // 4:
        for (row, column), value in np.ndenumerate(values):
            axes.text(column, row, f"{value:.0%}", ha="center", va="center", fontsize=6)
    axes.figure.colorbar(image, ax=axes, fraction=0.04)
