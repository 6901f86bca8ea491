"""Two model versions side by side."""

from __future__ import annotations

from typing import Annotated, Self

from fastapi import APIRouter, Query
from mos_protocol.layer_map import Part
from mos_protocol.names import parse_model_ref

from mos_center.api.rest.context import Answer, Caller, CenterHere, needs_token, problems
from mos_center.api.rest.models import ModelVersion
from mos_center.api.rest.weights import ShownWeight, show_weight
from mos_center.service import comparison

router = APIRouter(prefix="/v1/comparisons", tags=["models"], dependencies=[needs_token])

Ref = Annotated[
    str,
    Query(max_length=130, pattern=r"^[^\x00]*$", description="model, model@version or model@alias"),
]


class ComparedSide(Answer):
    """A concept as one side has it; `kept` is the share of its own change that it keeps."""

    version: int
    weight: ShownWeight
    kept: float | None
    kept_by_part: dict[Part, float] | None

    @classmethod
    def of(cls, side: comparison.SideConcept) -> Self:
        kept = side.kept
        return cls(
            version=side.version,
            weight=show_weight(side.weights),
            kept=kept.result if kept else None,
            kept_by_part={Part(part): share for part, share in kept.parts.items()}
            if kept
            else None,
        )


class ComparedConcept(Answer):
    """A concept on both sides; null where a side has not got it. `gain` is what more is kept."""

    name: str
    differs: bool
    gain: float | None
    left: ComparedSide | None
    right: ComparedSide | None

    @classmethod
    def of(cls, item: comparison.ComparedConcept) -> Self:
        return cls(
            name=item.name,
            differs=item.differs,
            gain=item.gain,
            left=ComparedSide.of(item.left) if item.left else None,
            right=ComparedSide.of(item.right) if item.right else None,
        )


class ComparedSetting(Answer):
    """A setting that differs, as text; "" where a side has no use for it."""

    name: str
    left: str
    right: str


class ComparedPart(Answer):
    """Residuals of a part: 1 is the base, 0 is perfect."""

    part: Part
    left: float | None
    right: float | None


class ComparedFile(Answer):
    """A file whose content differs, by its sha256; null where a side has no such file."""

    path: str
    left: str | None
    right: str | None


class Comparison(Answer):
    """What differs between two versions; `same_files` counts those that both have alike."""

    left: ModelVersion
    right: ModelVersion
    left_size: int
    right_size: int
    same_base: bool
    concepts: list[ComparedConcept]
    settings: list[ComparedSetting]
    residuals: list[ComparedPart]
    files: list[ComparedFile]
    same_files: int

    @classmethod
    def of(cls, found: comparison.Comparison) -> Self:
        return cls(
            left=ModelVersion.of(found.left.version),
            right=ModelVersion.of(found.right.version),
            left_size=found.left.size,
            right_size=found.right.size,
            same_base=found.same_base,
            concepts=[ComparedConcept.of(item) for item in found.concepts],
            settings=[
                ComparedSetting(name=item.name, left=item.left, right=item.right)
                for item in found.settings
            ],
            residuals=[
                ComparedPart(part=Part(item.part), left=item.left, right=item.right)
                for item in found.parts
            ],
            files=[
                ComparedFile(
                    path=item.path,
                    left=item.left.sha256 if item.left else None,
                    right=item.right.sha256 if item.right else None,
                )
                for item in found.files
            ],
            same_files=found.same_files,
        )


@router.get("", responses=problems(404))
def get_comparison(left: Ref, right: Ref, center: CenterHere, caller: Caller) -> Comparison:
    """Two versions side by side, of one model or of two: concepts, settings, quality, files."""
    refs = [parse_model_ref(text) for text in (left, right)]
    return Comparison.of(center.comparisons.of(*refs, caller=caller))
