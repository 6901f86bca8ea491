"""What is changed about a concept: who sees it, whether it is there; and audits of it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from mos_protocol.errors import InvalidRequest, NotFound

from mos_center.dashboard.concepts.address import (
    AddressHere,
    may_withdraw,
    models_with,
    sees_models,
)
from mos_center.dashboard.formatting import plural
from mos_center.dashboard.listing import Name
from mos_center.dashboard.rendering import Told, page_path, redirect, render
from mos_center.dashboard.visitor import CenterHere, SignedFields, VisitorHere
from mos_center.domain.access import Visibility

router = APIRouter()


@router.post("/concepts/{owner}/{name}/visibility")
def change_visibility(
    request: Request,
    owner: Name,
    name: Name,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Change who sees the concept."""
    wanted = fields.text("visibility")
    if wanted not in {one.value for one in Visibility}:
        raise InvalidRequest(
            f"There is no visibility {wanted!r}.", hint=f"Choose {', '.join(Visibility)}."
        )
    center.concepts.show(owner, name, Visibility(wanted), caller=visitor.caller)
    told = Told(f"{owner}/{name} is {wanted} now, and so are models made of it as far as it goes.")
    return redirect(request, visitor, page_path("concepts", owner, name), told)


@router.post("/concepts/{owner}/{name}/shares")
def change_shares(
    request: Request,
    owner: Name,
    name: Name,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Share the concept with a member, or take that back."""
    member = fields.text("member", most=63)
    if fields.has("remove"):
        center.concepts.unshare(owner, name, member, caller=visitor.caller)
        told = Told(f"{member} does not see {owner}/{name} any more, unless it is public.")
    else:
        center.concepts.share(owner, name, member, caller=visitor.caller)
        told = Told(f"{member} sees {owner}/{name} while it is shared.")
    return redirect(request, visitor, page_path("concepts", owner, name), told)


@router.get("/concepts/{owner}/{name}/{version}/withdraw")
def withdrawal_page(
    request: Request, at: AddressHere, center: CenterHere, visitor: VisitorHere
) -> Response:
    """What a withdrawal would do, before it is done."""
    submission = center.concepts.get(*at, caller=visitor.caller)
    if not may_withdraw(visitor, submission):
        raise NotFound(
            f"{at} is not yours to withdraw.",
            hint="Its owner or a curator can.",
        )
    return render(
        request,
        "concept/withdraw.html",
        visitor=visitor,
        submission=submission,
        models=models_with(center, visitor, submission) if sees_models(visitor) else None,
        policy=request.app.state.settings.withdrawal.value,
    )


@router.post("/concepts/{owner}/{name}/{version}/withdraw")
def withdraw(
    request: Request,
    at: AddressHere,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Take the version back."""
    reason = fields.text("reason")
    if not reason:
        raise InvalidRequest(
            "A withdrawal needs a reason.", hint="Whoever uses a model with the concept reads it."
        )
    done = center.withdrawal.withdraw(*at, reason, caller=visitor.caller)
    told = f"{at} is withdrawn; it is in {plural(len(done.affected), 'model version')}"
    if done.ended_fusions:
        told += f", and {plural(len(done.ended_fusions), 'unfinished fusion')} with it ended"
    return redirect(request, visitor, at.page, Told(f"{told}."))


@router.post("/concepts/{owner}/{name}/{version}/audit")
def request_audit(
    request: Request,
    at: AddressHere,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Have the concept's statistics recorded again and compared."""
    center.concept_audits.request(*at, caller=visitor.caller)
    told = Told("A worker records the concept's statistics again; the result appears here.")
    return redirect(request, visitor, at.page, told)
