"""Who sees a concept."""

from __future__ import annotations

from fastapi import APIRouter

from mos_center.api.rest.concepts import ConceptOverview
from mos_center.api.rest.context import Body, Caller, CenterHere, Name, needs_token, problems
from mos_center.domain.access import Visibility

router = APIRouter(
    prefix="/v1/concepts/{owner}/{name}", tags=["concepts"], dependencies=[needs_token]
)


class Shown(Body):
    visibility: Visibility


@router.patch("", responses=problems(404))
def show_concept(
    owner: Name, name: Name, body: Shown, center: CenterHere, caller: Caller
) -> ConceptOverview:
    """Change who sees the concept, and with it who may read the models that contain it."""
    return ConceptOverview.of(center.concepts.show(owner, name, body.visibility, caller=caller))


@router.put("/shares/{member}", responses=problems(404))
def share_concept(
    owner: Name, name: Name, member: Name, center: CenterHere, caller: Caller
) -> ConceptOverview:
    """Let a member see and fuse the concept while its visibility is `shared`."""
    return ConceptOverview.of(center.concepts.share(owner, name, member, caller=caller))


@router.delete("/shares/{member}", responses=problems(404))
def unshare_concept(
    owner: Name, name: Name, member: Name, center: CenterHere, caller: Caller
) -> ConceptOverview:
    """Take that back."""
    return ConceptOverview.of(center.concepts.unshare(owner, name, member, caller=caller))
