"""Asking for a fusion: a form that keeps all of a draft in its fields, and checks it all the time.

Every button but the last sends the draft back to the same page, which answers with the whole page,
or with the parts that are other now, to whom asks for parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from mos_protocol.errors import MosError
from mos_protocol.layer_map import Part
from mos_protocol.names import parse_concept_ref

from mos_center.dashboard.fusions.draft import PREVIEWS, Draft, DraftConcept
from mos_center.dashboard.fusions.remarks import Remarks, remarks_on
from mos_center.dashboard.listing import Listing, Text, listed
from mos_center.dashboard.rendering import Told, is_fragment, page_path, redirect, render
from mos_center.dashboard.visitor import CenterHere, Fields, SignedFields, Visitor, VisitorHere
from mos_center.domain.access import Role
from mos_center.domain.fuse_methods import solvers_of
from mos_center.domain.models import BaseRecord, Export, FuseMethod, Priority, Submission
from mos_center.domain.queries import ConceptQuery, Order
from mos_center.domain.solving import DEFAULT_PRIOR_WEIGHT, DEFAULT_RIDGE, DEFAULT_STEPS
from mos_center.domain.states import SubmissionState
from mos_center.service.center import Center
from mos_center.service.fusion_requests import MAX_CONCEPTS

router = APIRouter()

FOUND = 12
# Of more concepts, the fields for the weights of parts would make the page too large.
MOST_WITH_PARTS = 60
_PARTS_OF = {
    "add": {"chosen", "found"},
    "remove": {"chosen", "found"},
    "search": {"found"},
    "more": {"found"},
}


@router.get("/fusions/new")
def new_fusion_page(
    request: Request,
    center: CenterHere,
    visitor: VisitorHere,
    concept: Annotated[list[str], Query(default_factory=list, max_length=MAX_CONCEPTS)],
    base: Text = "",
    model: Text = "",
    q: Text = "",
    origin: Annotated[str, Query(alias="from", max_length=100, pattern=r"^[a-z0-9]*$")] = "",
) -> Response:
    """An empty form, or one that begins with what the address names."""
    draft = Draft(base, model)
    if origin:
        draft = Draft.of(center.fusions.get(origin, caller=visitor.caller))
    for ref in concept:
        draft = draft.with_concept(str(parse_concept_ref(ref)))
    return _page(request, center, visitor, draft, Fields([("q", q)]))


@router.post("/fusions/new")
def change_draft(
    request: Request, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    """The form again, after its button was pressed; nothing is requested."""
    draft = Draft.from_fields(fields).with_concept(fields.text("add"))
    draft = draft.without(fields.text("remove"))
    return _page(request, center, visitor, draft, fields)


@router.post("/fusions")
def request_fusion(
    request: Request, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    """Queue the fusion and lead to its page; otherwise the form, with what stands against it."""
    draft = Draft.from_fields(fields)
    wanted, _ = draft.read()
    if wanted is None:
        return _page(request, center, visitor, draft, fields, status=422)
    try:
        fusion, made = center.fusions.request(wanted, caller=visitor.caller)
    except MosError:
        return _page(request, center, visitor, draft, fields, status=422)
    told = "The fusion is in the queue." if made else "This is fused already: here it is."
    return redirect(request, visitor, page_path("fusions", fusion.id), Told(told))


def _page(
    request: Request,
    center: Center,
    visitor: Visitor,
    draft: Draft,
    fields: Fields,
    status: int = 200,
) -> Response:
    bases = center.bases.all()
    as_parts = is_fragment(request)
    parts = _changed_parts(fields) if as_parts else {"chosen", "found"}
    known: Mapping[str, Submission] = {}
    if "chosen" in parts:
        draft, known = _completed(center, visitor, draft, bases)
    base = next((one for one in bases if one.name == draft.base), None)
    query = fields.text("q", most=200)
    found: Listing[Submission] = Listing((), "")
    may_search = visitor.may("GET", "/concepts")
    if may_search and base is not None and "found" in parts:
        found = _search(center, visitor, base, query, fields.text("more", most=100))
    return render(
        request,
        "fusion_request/_parts.html" if as_parts else "fusion_request/page.html",
        visitor=visitor,
        status=status,
        draft=draft,
        remarks=_remarks(center, visitor, draft),
        known=known,
        parts=parts,
        oob=as_parts,
        found=found,
        may_search=may_search,
        chosen={item.ref for item in draft.concepts},
        query=query,
        bases=bases,
        base=base,
        **_choices(visitor, base),
    )


def _changed_parts(fields: Fields) -> set[str]:
    """What is other now besides the remarks."""
    pressed = [changed for button, changed in _PARTS_OF.items() if fields.has(button)]
    return set().union(*pressed)


def _completed(
    center: Center, visitor: Visitor, draft: Draft, bases: Sequence[BaseRecord]
) -> tuple[Draft, dict[str, Submission]]:
    """The draft with versions and a base where it names none, and its concepts by reference."""
    refs = {item.ref: parse_concept_ref(item.ref) for item in draft.concepts}
    found = center.concepts.named(refs.values(), caller=visitor.caller) if refs else {}
    concepts: dict[str, DraftConcept] = {}
    known: dict[str, Submission] = {}
    for item in draft.concepts:
        submission, ref = found.get(refs[item.ref]), item.ref
        if submission is not None:
            ref = f"{submission.concept}@{submission.version}"
            known[ref] = submission
        concepts.setdefault(ref, replace(item, ref=ref))
    named = [draft.base, *(one.base for one in known.values()), *(one.name for one in bases)]
    base = next(filter(None, named), "")
    return replace(draft, base=base, concepts=tuple(concepts.values())), known


def _remarks(center: Center, visitor: Visitor, draft: Draft) -> Remarks:
    request, problems = draft.read()
    if request is not None:
        check = center.fusions.check(request, caller=visitor.caller)
        return remarks_on(draft, problems, check.findings)
    findings = center.fusions.check_concepts(
        draft.base, draft.wanted(), solver=draft.solving_method, caller=visitor.caller
    )
    return remarks_on(draft, problems, findings)


def _search(
    center: Center, visitor: Visitor, base: BaseRecord, text: str, after: str
) -> Listing[Submission]:
    """Approved concepts of the base that the visitor may see."""
    query = ConceptQuery(base=base.name, text=text or None, order=Order.NAME)
    return listed(
        lambda limit: center.concepts.find(
            query,
            caller=visitor.caller,
            states=[SubmissionState.APPROVED],
            before=after or None,
            limit=limit,
        ),
        lambda submission: submission.id,
        FOUND,
    )


def _choices(visitor: Visitor, base: BaseRecord | None) -> dict[str, object]:
    """What there is to choose, and what is chosen where nothing is."""
    sees_high = visitor.caller.role.covers(Role.CURATOR)
    priorities = [one.value for one in Priority if sees_high or one is not Priority.HIGH]
    return {
        "part_names": [part.value for part in Part],
        "fuse_methods": [one.value for one in FuseMethod],
        "solvers": [one.value for one in solvers_of(FuseMethod.GRADIENT)],
        "weightings": [one.value for one in solvers_of(FuseMethod.WEIGHT_AVERAGE)],
        "export_names": [one.value for one in Export],
        "priorities": priorities,
        "preview_choices": list(PREVIEWS),
        "default_prior": DEFAULT_PRIOR_WEIGHT if base is not None and base.prior else 0,
        "default_ridge": {part.value: value for part, value in DEFAULT_RIDGE.items()},
        "default_steps": {part.value: value for part, value in DEFAULT_STEPS.items()},
        "most_with_parts": MOST_WITH_PARTS,
    }
