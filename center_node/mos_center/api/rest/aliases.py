"""Aliases of model versions, and how they moved."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import Field

from mos_center.api.rest.context import (
    MAX_VERSION,
    Answer,
    Body,
    Caller,
    CenterHere,
    Cursor,
    Limit,
    Name,
    Page,
    needs_token,
    problems,
)
from mos_center.api.rest.models import ModelVersion
from mos_center.domain import lineage

router = APIRouter(
    prefix="/v1/models/{name}/aliases/{alias}", tags=["models"], dependencies=[needs_token]
)

Number = Annotated[int, Field(ge=1, le=MAX_VERSION)]


class AliasTarget(Body):
    version: Number


class Rollback(Body):
    """Where to; null or left out is the version that it meant before."""

    to: Number | None = None


class AliasMove(Answer):
    """One move of an alias; `version` is null where it was removed."""

    version: int | None
    at: datetime
    by: str

    @classmethod
    def of(cls, move: lineage.AliasMove) -> Self:
        return cls(version=move.version, at=move.at, by=move.by)


@router.put("", responses=problems(404, 410))
def put_alias(
    name: Name, alias: Name, body: AliasTarget, center: CenterHere, caller: Caller
) -> ModelVersion:
    """Have an alias mean this version; returns the version."""
    return ModelVersion.of(center.aliases.point(name, alias, body.version, caller))


@router.delete("", status_code=204, responses=problems(404))
def delete_alias(name: Name, alias: Name, center: CenterHere, caller: Caller) -> None:
    """Remove an alias; its history stays."""
    center.aliases.remove(name, alias, caller=caller)


@router.get("/history", responses=problems(404))
def get_history(
    name: Name,
    alias: Name,
    center: CenterHere,
    caller: Caller,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[AliasMove]:
    """The alias's moves, newest first."""
    found = center.aliases.history(name, alias, caller=caller, before=cursor, limit=limit)
    return Page(
        items=[AliasMove.of(move) for move in found],
        next_cursor=found[-1].id if len(found) == limit else None,
    )


@router.post("/rollback", responses=problems(404, 409, 410))
def roll_back(
    name: Name,
    alias: Name,
    center: CenterHere,
    caller: Caller,
    body: Rollback | None = None,
) -> ModelVersion:
    """Have an alias mean what it meant before; returns the version."""
    to = body.to if body else None
    return ModelVersion.of(center.aliases.roll_back(name, alias, caller=caller, to=to))
