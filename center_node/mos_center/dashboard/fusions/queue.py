"""The list of fusions: filtered, page by page, and up to date while something on it goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from mos_center.dashboard.listing import Key, Listing, Text, listed
from mos_center.dashboard.rendering import is_fragment, render
from mos_center.dashboard.visitor import CenterHere, VisitorHere
from mos_center.domain.models import Fusion
from mos_center.domain.queries import FusionQuery
from mos_center.domain.states import FusionState, is_finished

router = APIRouter()

PAGE = 25
MOST_CHIPS = 8
Choice = Annotated[str, Query(max_length=20)]


@router.get("/fusions")
def fusions_page(
    request: Request,
    center: CenterHere,
    visitor: VisitorHere,
    state: Choice = "",
    base: Text = "",
    q: Text = "",
    requested_by: Text = "",
    concept: Text = "",
    after: Key = "",
) -> Response:
    """Fusions that fit, newest first; as a part of the page, the same rows as they are now."""
    query = FusionQuery(
        text=q or None,
        base=base or None,
        requested_by=requested_by or None,
        concept=concept or None,
        states=_states(state),
    )
    found: Listing[Fusion] = listed(
        lambda limit: center.fusions.find(
            query, caller=visitor.caller, before=after or None, limit=limit
        ),
        lambda fusion: fusion.id,
        PAGE,
    )
    return render(
        request,
        "fusions/_rows.html" if is_fragment(request) else "fusions/page.html",
        visitor=visitor,
        found=found,
        filters={
            "q": q,
            "state": state,
            "base": base,
            "requested_by": requested_by,
            "concept": concept,
        },
        after=after,
        is_live=any(not is_finished(fusion.state) for fusion in found.items),
        bases=[] if is_fragment(request) else [record.name for record in center.bases.all()],
        states=[one.value for one in FusionState],
        most_chips=MOST_CHIPS,
        now=datetime.now(UTC),
    )


def _states(name: str) -> frozenset[FusionState]:
    """The state of that name; every state for "", and none for what is no state."""
    return frozenset(one for one in FusionState if name in ("", one.value))
