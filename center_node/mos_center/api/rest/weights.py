"""A concept's weight as it is sent: a number, or an object of numbers by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from mos_protocol.layer_map import Part
from mos_protocol.part_weights import PartWeights
from pydantic import BaseModel, Discriminator, Field, Tag

from mos_center.api.rest.context import Body
from mos_center.service.fusion_requests import MAX_WEIGHT

PartWeight = Annotated[float, Field(ge=0, le=MAX_WEIGHT, allow_inf_nan=False)]


class PartWeightsBody(Body):
    """A weight for each part; 1 is the concept as tuned, 0 leaves it out there."""

    text_encoder: PartWeight = 1.0
    cross_kv: PartWeight = 1.0
    spatial: PartWeight = 1.0


def _kind(value: object) -> str:
    return "parts" if isinstance(value, Mapping | BaseModel) else "number"


Weight = Annotated[
    Annotated[float, Field(gt=0, le=MAX_WEIGHT, allow_inf_nan=False), Tag("number")]
    | Annotated[PartWeightsBody, Tag("parts")],
    # Told apart by kind, so that a problem is told of the kind that was meant.
    Discriminator(_kind),
]
ShownWeight = float | dict[Part, float]


def read_weight(weight: float | PartWeightsBody) -> PartWeights:
    """The weights that a caller sent."""
    return PartWeights.from_json(
        weight.model_dump() if isinstance(weight, PartWeightsBody) else weight
    )


def show_weight(weights: PartWeights) -> ShownWeight:
    """The weights as they are sent."""
    if weights.is_uniform:
        return weights.text_encoder
    return {part: weights.of(part) for part in Part}
