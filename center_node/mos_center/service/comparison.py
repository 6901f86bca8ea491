"""Two model versions side by side: what they share, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mos_protocol.layer_map import Part
from mos_protocol.names import ModelRef
from mos_protocol.part_weights import PartWeights

from mos_center.domain.access import Caller
from mos_center.domain.models import Fusion, ModelVersion, PublishedFile
from mos_center.domain.ports import Database
from mos_center.domain.quality import Kept, Quality, read_quality
from mos_center.service.fusion_lookup import find_fusion
from mos_center.service.models import find_version

# What is compared of a report.
_COMPARED = ("kept", "parts")


@dataclass(frozen=True)
class Side:
    """A version, the fusion that made it, and what its report says of concepts and parts."""

    version: ModelVersion
    fusion: Fusion
    quality: Quality

    @property
    def size(self) -> int:
        """Bytes of all files that the version lists."""
        return sum(file.size for file in self.version.files)


@dataclass(frozen=True)
class SideConcept:
    """A concept as one side has it; `kept` is None where the report does not say."""

    version: int
    weights: PartWeights
    kept: Kept | None


@dataclass(frozen=True)
class ComparedConcept:
    """A concept by name, as each side has it; None where a side has not."""

    name: str
    left: SideConcept | None
    right: SideConcept | None

    @property
    def gain(self) -> float | None:
        """How much more of itself it keeps on the right; None unless both reports say."""
        left, right = (side.kept if side else None for side in (self.left, self.right))
        return right.result - left.result if left and right else None

    @property
    def differs(self) -> bool:
        """Whether it is on one side only, or in another version or with other weights."""
        left, right = self.left, self.right
        if left is None or right is None:
            return True
        return (left.version, left.weights) != (right.version, right.weights)


@dataclass(frozen=True)
class ComparedSetting:
    """A setting that differs, as each side has it."""

    name: str
    left: str
    right: str


@dataclass(frozen=True)
class ComparedPart:
    """Residuals of a part (0 is perfect, 1 is the base); None where a side says nothing of it."""

    part: str
    left: float | None
    right: float | None


@dataclass(frozen=True)
class ComparedFile:
    """A file whose content differs, or that one side has not."""

    path: str
    left: PublishedFile | None
    right: PublishedFile | None


@dataclass(frozen=True)
class Comparison:
    """All differences of two versions; `same_files` counts those of equal path and content."""

    left: Side
    right: Side
    concepts: tuple[ComparedConcept, ...]
    settings: tuple[ComparedSetting, ...]
    parts: tuple[ComparedPart, ...]
    files: tuple[ComparedFile, ...]
    same_files: int

    @property
    def same_base(self) -> bool:
        return self.left.version.base_digest == self.right.version.base_digest


class ComparisonService:
    """Compares versions, of one model or of two."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, left: ModelRef, right: ModelRef, *, caller: Caller) -> Comparison:
        """Compare two versions that the caller may read; raises `NotFound`."""
        return compare(self.side(left, caller=caller), self.side(right, caller=caller))

    def side(self, ref: ModelRef, *, caller: Caller) -> Side:
        """What is compared of a version; raises `NotFound`."""
        with self._database.read() as transaction:
            version = find_version(transaction, ref.name, ref.revision, caller)
            report = transaction.models.report(version.model, version.version, _COMPARED)
            fusion = find_fusion(transaction, version.fusion_id)
        return Side(version, fusion, read_quality(report))


def compare(left: Side, right: Side) -> Comparison:
    """What differs between two versions."""
    files = _files(left.version.files, right.version.files)
    return Comparison(
        left=left,
        right=right,
        concepts=_concepts(left, right),
        settings=_settings(left.fusion, right.fusion),
        parts=_parts(left.quality, right.quality),
        files=files,
        same_files=len({file.path for file in left.version.files} - {file.path for file in files}),
    )


def _concepts(left: Side, right: Side) -> tuple[ComparedConcept, ...]:
    """Those of the left in its order, then those that only the right has."""
    # Of one concept two versions may be fused: the n-th here stands beside the n-th there.
    lefts, rights = _numbered(left), _numbered(right)
    return tuple(
        ComparedConcept(key[0], lefts.get(key), rights.get(key))
        for key in dict.fromkeys([*lefts, *rights])
    )


def _numbered(side: Side) -> dict[tuple[str, int], SideConcept]:
    found: dict[tuple[str, int], SideConcept] = {}
    kept = {item.ref: item for item in side.quality.kept}
    for item in side.version.concepts:
        number = 1
        while (item.name, number) in found:
            number += 1
        concept = SideConcept(item.version, item.weights, kept.get(f"{item.name}@{item.version}"))
        found[item.name, number] = concept
    return found


def _settings(left: Fusion, right: Fusion) -> tuple[ComparedSetting, ...]:
    lefts, rights = settings_of(left), settings_of(right)
    return tuple(
        ComparedSetting(name, lefts[name], rights[name])
        for name in lefts
        if lefts[name] != rights[name]
    )


def settings_of(fusion: Fusion) -> dict[str, str]:
    """The settings of a fusion as texts, by name; the same names for every fusion."""
    return {
        "solver": fusion.solver.value,
        "prior_weight": f"{fusion.prior_weight:g}",
        "ridge": _by_part(fusion.ridge),
        "lbfgs_steps": _by_part(fusion.lbfgs_steps),
        "refine_rounds": str(fusion.refine_rounds),
        "exports": ", ".join(item.value for item in fusion.exports),
        "engine": fusion.engine,
    }


def _by_part(values: Mapping[Part, float] | Mapping[Part, int] | None) -> str:
    return ", ".join(f"{part} {value:g}" for part, value in (values or {}).items())


def _parts(left: Quality, right: Quality) -> tuple[ComparedPart, ...]:
    lefts = {item.part: item.result for item in left.parts}
    rights = {item.part: item.result for item in right.parts}
    return tuple(
        ComparedPart(part, lefts.get(part), rights.get(part))
        for part in dict.fromkeys([*lefts, *rights])
    )


def _files(
    left: Iterable[PublishedFile], right: Iterable[PublishedFile]
) -> tuple[ComparedFile, ...]:
    lefts = {file.path: file for file in left}
    rights = {file.path: file for file in right}
    pairs = ((path, lefts.get(path), rights.get(path)) for path in sorted({*lefts, *rights}))
    return tuple(
        ComparedFile(path, one, other)
        for path, one, other in pairs
        if one is None or other is None or one.sha256 != other.sha256
    )
