"""Which model versions fit a query, as conditions."""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, Select, and_, or_, select

from mos_center.domain.queries import ModelQuery
from mos_center.storage.repositories.readable import fusion_is_readable
from mos_center.storage.tables import (
    fusion_concepts,
    fusions,
    model_versions,
    models,
    submissions,
)


def has_better(query: ModelQuery, viewer: str | None) -> ColumnElement[bool]:
    """Whether another version of the model fits too and comes before the row's.

    With that, a list is read in its order as far as it is shown, and not ranked as a whole.
    """
    other, fusion = model_versions.alias("other"), fusions.alias("other_fusion")
    is_alive, was_alive = other.c.tombstoned_at.is_(None), model_versions.c.tombstoned_at.is_(None)
    return (
        select(other.c.model)
        .join(fusion, fusion.c.id == other.c.fusion)
        .where(
            other.c.model == model_versions.c.model,
            or_(
                and_(is_alive, ~was_alive),
                and_(is_alive == was_alive, other.c.version > model_versions.c.version),
            ),
            fusion_is_readable(viewer, fusion),
            *conditions(query, other, fusion),
        )
        .correlate(model_versions)
        .exists()
    )


def conditions(
    query: ModelQuery, version: FromClause, fusion: FromClause
) -> list[ColumnElement[bool]]:
    """What rows of `version`, joined with their `fusion`, must be like."""
    found: list[ColumnElement[bool]] = []
    if query.base is not None:
        found.append(fusion.c.base == query.base)
    if query.owner is not None:
        owned = select(models.c.name).where(models.c.owner == query.owner)
        found.append(version.c.model.in_(owned))
    if query.concept is not None:
        owner, _, name = query.concept.partition("/")
        is_it = (submissions.c.owner == owner) & (submissions.c.name == name)
        found.append(version.c.fusion.in_(_containing(is_it)))
    if query.text:
        texts = (submissions.c.owner + "/" + submissions.c.name, submissions.c.words)
        told = [text.icontains(query.text, autoescape=True) for text in texts]
        named = version.c.model.icontains(query.text, autoescape=True)
        found.append(or_(named, version.c.fusion.in_(_containing(or_(*told)))))
    return found


def _containing(concept: ColumnElement[bool]) -> Select[tuple[str]]:
    """The fusions of a concept version that is like that; the database looks for them once.

    The concepts are found in an index alone: looking through rows means reading their manifests.
    """
    fitting = select(submissions.c.id).where(concept)
    return select(fusion_concepts.c.fusion).where(fusion_concepts.c.submission.in_(fitting))
