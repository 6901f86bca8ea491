"""What is made of what, and who holds a file."""

from __future__ import annotations

from typing import Annotated, Self

from fastapi import APIRouter, Path
from mos_protocol.layer_map import Part
from mos_protocol.names import DIGEST_PATTERN, Digest

from mos_center.api.rest.context import (
    Answer,
    Caller,
    CenterHere,
    Cursor,
    Limit,
    Name,
    Page,
    Version,
    needs_token,
    problems,
)
from mos_center.api.rest.models import ModelVersion
from mos_center.api.rest.weights import ShownWeight, show_weight
from mos_center.domain import lineage, models
from mos_center.domain.access import Visibility
from mos_center.domain.states import SubmissionState

router = APIRouter(prefix="/v1", tags=["lineage"], dependencies=[needs_token])


class Ingredient(Answer):
    """A concept in a model version, as it stands now."""

    name: str
    version: int
    owner: str
    weight: ShownWeight
    state: SubmissionState
    visibility: Visibility
    licence: str
    consent: str
    manifest_digest: str

    @classmethod
    def of(cls, item: lineage.Ingredient) -> Self:
        return cls(
            name=item.name,
            version=item.version,
            owner=item.owner,
            weight=show_weight(item.weights),
            state=item.state,
            visibility=item.visibility,
            licence=item.licence,
            consent=item.consent,
            manifest_digest=item.manifest_digest,
        )


class Settings(Answer):
    """How a version was fused; null where the solver has no use for it."""

    solver: models.Solver
    prior_weight: float
    ridge: dict[Part, float] | None
    lbfgs_steps: dict[Part, int] | None
    refine_rounds: int
    exports: list[models.Export]

    @classmethod
    def of(cls, fusion: models.Fusion) -> Self:
        return cls(
            solver=fusion.solver,
            prior_weight=fusion.prior_weight,
            ridge=None if fusion.ridge is None else dict(fusion.ridge),
            lbfgs_steps=None if fusion.lbfgs_steps is None else dict(fusion.lbfgs_steps),
            refine_rounds=fusion.refine_rounds,
            exports=list(fusion.exports),
        )


class VersionRef(Answer):
    """A model version by name and number."""

    model: str
    version: int

    @classmethod
    def of(cls, ref: lineage.VersionRef) -> Self:
        return cls(model=ref.model, version=ref.version)


class Lineage(Answer):
    """All that a model version was made of.

    `engine` is the version of the rules it was fused by, "" where that is not known.
    `predecessor` and `successor` are the versions before and after it. `refusion_of` is the version
    that it repeats without withdrawn concepts, `refusions` are those that repeat it.
    """

    model: str
    version: int
    base: str
    base_digest: str
    concepts: list[Ingredient]
    fusion_id: str
    requested_by: str
    settings: Settings
    build: str
    engine: str
    predecessor: int | None
    successor: int | None
    refusion_of: VersionRef | None
    refusions: list[VersionRef]

    @classmethod
    def of(cls, found: lineage.Lineage) -> Self:
        version, fusion, repeated = found.version, found.fusion, found.refusion_of
        return cls(
            model=version.model,
            version=version.version,
            base=version.base,
            base_digest=version.base_digest,
            concepts=[Ingredient.of(item) for item in found.ingredients],
            fusion_id=fusion.id,
            requested_by=fusion.requested_by,
            settings=Settings.of(fusion),
            build=fusion.build,
            engine=fusion.engine,
            predecessor=found.predecessor,
            successor=found.successor,
            refusion_of=VersionRef.of(repeated) if repeated else None,
            refusions=[VersionRef.of(item) for item in found.refusions],
        )


class HeldByConcept(Answer):
    concept: str
    version: int
    state: SubmissionState
    path: str


class HeldByVersion(Answer):
    model: str
    version: int
    path: str


class Holders(Answer):
    """Which concept and model versions hold a file, as far as the caller may see."""

    sha256: str
    concepts: list[HeldByConcept]
    models: list[HeldByVersion]


@router.get("/models/{name}/{revision}/lineage", responses=problems(404))
def get_lineage(name: Name, revision: Name, center: CenterHere, caller: Caller) -> Lineage:
    """What a version was made of, and which versions it is related to."""
    return Lineage.of(center.lineage.of_version(name, revision, caller=caller))


@router.get("/concepts/{owner}/{name}/{version}/models", responses=problems(404))
def list_models_with(
    owner: Name,
    name: Name,
    version: Version,
    center: CenterHere,
    caller: Caller,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ModelVersion]:
    """The model versions with this concept version that the caller may read, newest first."""
    found = center.lineage.versions_with(
        owner, name, version, caller=caller, before=cursor, limit=limit
    )
    return Page(
        items=[ModelVersion.of(item) for item in found],
        next_cursor=found[-1].fusion_id if len(found) == limit else None,
    )


@router.get("/files/{sha256}", responses=problems(404))
def find_file(
    sha256: Annotated[str, Path(pattern=DIGEST_PATTERN)], center: CenterHere, caller: Caller
) -> Holders:
    """Who holds the file with this sha256; concepts are found by their manifest's digest too."""
    found = center.lineage.holders(Digest(sha256), caller=caller)
    return Holders(
        sha256=sha256,
        concepts=[
            HeldByConcept(concept=one.concept, version=one.version, state=one.state, path=one.path)
            for one in found.concepts
        ],
        models=[
            HeldByVersion(model=one.model, version=one.version, path=one.path)
            for one in found.versions
        ],
    )
