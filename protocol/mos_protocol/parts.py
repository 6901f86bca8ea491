"""The parts of a model: kinds of layer that are weighed and regularised apart."""

from __future__ import annotations

from enum import StrEnum


class Part(StrEnum):
    """The three kinds of layer that fusion weighs and regularises apart."""

    TEXT_ENCODER = "text_encoder"
    CROSS_KV = "cross_kv"
    SPATIAL = "spatial"
