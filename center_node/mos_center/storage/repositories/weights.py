"""The weights of a fused concept: a column per part."""

from __future__ import annotations

from typing import Any

from mos_protocol.layer_map import Part
from mos_protocol.part_weights import PartWeights
from sqlalchemy import ColumnElement, Row

from mos_center.storage.tables import fusion_concepts

WEIGHT_COLUMNS: tuple[ColumnElement[float], ...] = tuple(
    fusion_concepts.c[f"weight_{part}"] for part in Part
)


def weight_values(weights: PartWeights) -> dict[str, float]:
    """What to insert."""
    return {f"weight_{part}": weights.of(part) for part in Part}


def read_weights(row: Row[*tuple[Any, ...]]) -> PartWeights:
    """The weights of a row that has `WEIGHT_COLUMNS`."""
    return PartWeights(**{part.value: getattr(row, f"weight_{part}") for part in Part})
