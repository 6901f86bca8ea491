"""The list of models, one model with its versions, and its aliases."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from mos_protocol.errors import InvalidRequest, NotFound

from mos_center.dashboard.listing import Key, Text, listed
from mos_center.dashboard.models.previews import first_preview
from mos_center.dashboard.rendering import Told, page_path, redirect, render
from mos_center.dashboard.visitor import CenterHere, Fields, SignedFields, Visitor, VisitorHere
from mos_center.domain.queries import ModelQuery, Order

router = APIRouter()

PAGE = 24
ALIASES = 50
MOVES = 12
Number = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


@router.get("/models")
def models_page(
    request: Request,
    center: CenterHere,
    visitor: VisitorHere,
    q: Text = "",
    base: Text = "",
    concept: Text = "",
    owner: Text = "",
    sort: Text = "",
    after: Key = "",
) -> Response:
    """Cards of the models that fit, each with its newest version that does."""
    order = Order.NAME if sort == Order.NAME else Order.NEWEST
    query = ModelQuery(q or None, base or None, concept or None, owner or None, order)
    found = listed(
        lambda limit: center.models.find(
            query, caller=visitor.caller, after=after or None, limit=limit
        ),
        lambda version: version.model,
        PAGE,
    )
    return render(
        request,
        "models/page.html",
        visitor=visitor,
        found=found,
        filters={"q": q, "base": base, "concept": concept, "owner": owner, "sort": sort},
        is_first=not after,
        bases=[record.name for record in center.bases.all()],
        picture=first_preview,
    )


@router.get("/models/{name}")
def model_page(
    request: Request, name: str, center: CenterHere, visitor: VisitorHere, before: Number = None
) -> Response:
    """A model: its versions, newest first, and its aliases with their history."""
    caller = visitor.caller
    found = listed(
        lambda limit: center.models.versions(name, caller=caller, before=before, limit=limit),
        lambda version: version.version,
        PAGE,
    )
    if not found.items:
        raise NotFound(f"{name} has no version before {before}.", hint="Look at the model itself.")
    aliases = center.aliases.of_model(name, caller=caller, limit=ALIASES + 1, moves=MOVES)
    return render(
        request,
        "models/model.html",
        visitor=visitor,
        name=name,
        owner=found.items[0].owner,
        found=found,
        is_first=before is None,
        aliases=[item for item in aliases[:ALIASES] if item.version],
        removed=[item for item in aliases[:ALIASES] if not item.version],
        has_more_aliases=len(aliases) > ALIASES,
        changes=may_change(visitor, found.items[0].owner),
    )


@router.post("/models/{name}/aliases")
def move_alias(
    request: Request, name: str, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    """Have an alias mean a version; go back to where the form was."""
    alias, version = fields.text("alias", most=63), _version(fields)
    center.aliases.point(name, alias, version, visitor.caller)
    page = page_path("models", name, version) if fields.has("from_version") else _model(name)
    return redirect(request, visitor, page, Told(f"{alias} means {name}@{version} now."))


@router.post("/models/{name}/aliases/{alias}/rollback")
def roll_back(
    request: Request,
    name: str,
    alias: str,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Have an alias mean what it meant before."""
    version = center.aliases.roll_back(name, alias, caller=visitor.caller)
    told = Told(f"{alias} means {name}@{version.version} again.")
    return redirect(request, visitor, _model(name), told)


@router.post("/models/{name}/aliases/{alias}/remove")
def remove_alias(
    request: Request,
    name: str,
    alias: str,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Forget an alias, but for its history."""
    center.aliases.remove(name, alias, caller=visitor.caller)
    return redirect(request, visitor, _model(name), Told(f"{alias} is removed; its history stays."))


def may_change(visitor: Visitor, owner: str) -> bool:
    """Whether the visitor may add to the model and move its aliases."""
    is_theirs = visitor.caller.viewer in (None, owner)
    return is_theirs and visitor.may("POST", "/models/{name}/aliases")


def _model(name: str) -> str:
    return page_path("models", name)


def _version(fields: Fields) -> int:
    text = fields.text("version", most=20)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise InvalidRequest(
            f"{text!r} is no version of a model.", hint="Versions are whole numbers from 1."
        )
    return int(text)
