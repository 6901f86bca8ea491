"""What a viewer may read, as conditions: its own, what is public, what is shared with it."""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, and_, exists, not_, or_, select, true

from mos_center.domain.access import Visibility
from mos_center.domain.states import SHOWN_TO_OTHERS
from mos_center.storage.tables import (
    concept_shares,
    concepts,
    fusion_concepts,
    fusions,
    submissions,
)


def submission_is_listed(viewer: str | None) -> ColumnElement[bool]:
    """Submissions of the viewer, and what others show, once it was approved."""
    if viewer is None:
        return true()
    shown = and_(submissions.c.state.in_(sorted(SHOWN_TO_OTHERS)), _concept_is_shown(viewer))
    return or_(submissions.c.owner == viewer, shown)


def concept_has_visibility(visibility: Visibility) -> ColumnElement[bool]:
    """Whether the concept of a row of `submissions` is shown like that."""
    return (
        select(concepts.c.name)
        .where(
            concepts.c.owner == submissions.c.owner,
            concepts.c.name == submissions.c.name,
            concepts.c.visibility == visibility,
        )
        .correlate(submissions)
        .exists()
    )


def fusion_is_readable(viewer: str | None, of: FromClause = fusions) -> ColumnElement[bool]:
    """Fusions that the viewer requested, and those of which it may see every concept.

    of: the table of fusions, or the alias of it that the query reads.
    """
    if viewer is None:
        return true()
    hidden = (
        select(fusion_concepts.c.fusion)
        .join(submissions)
        .where(
            fusion_concepts.c.fusion == of.c.id,
            submissions.c.owner != viewer,
            not_(_concept_is_shown(viewer)),
        )
        .correlate(of)
    )
    return or_(of.c.requested_by == viewer, not_(exists(hidden)))


def _concept_is_shown(viewer: str) -> ColumnElement[bool]:
    """Whether others than its owner may see the concept of a row of `submissions`."""
    shared = (
        select(concept_shares.c.member)
        .where(
            concept_shares.c.owner == concepts.c.owner,
            concept_shares.c.name == concepts.c.name,
            concept_shares.c.member == viewer,
        )
        .correlate(concepts)
    )
    shown = (
        select(concepts.c.name)
        .where(
            concepts.c.owner == submissions.c.owner,
            concepts.c.name == submissions.c.name,
            or_(
                concepts.c.visibility == Visibility.PUBLIC,
                and_(concepts.c.visibility == Visibility.SHARED, exists(shared)),
            ),
        )
        .correlate(submissions)
    )
    return exists(shown)
