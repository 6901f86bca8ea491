"""What routes get handed: the center's use cases, who calls, pages, path parameters."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Path, Query, Request
from fastapi.security import HTTPBearer
from mos_protocol.manifest import PLAIN_TEXT
from pydantic import BaseModel, ConfigDict, Field

from mos_center.api.rest.problems import Problem
from mos_center.domain import access
from mos_center.service.center import Center

T = TypeVar("T")

MAX_PAGE = 200
MAX_VERSION = 2**31 - 1


class Answer(BaseModel):
    """What the center sends."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Body(BaseModel):
    """What a caller sends; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Page(Answer, Generic[T]):
    """One page of a list; pass `next_cursor` as `cursor` to get the next one."""

    items: list[T]
    next_cursor: str | None


# Asynchronous, so that the framework needs no thread for each of them.
async def center_of(request: Request) -> Center:
    """The center that serves this request."""
    center: Center = request.app.state.center
    return center


async def caller_of(request: Request) -> access.Caller:
    """Whose token came with the request; the gate checked it."""
    caller: access.Caller = request.state.caller
    return caller


async def stopping_of(request: Request) -> asyncio.Event:
    """Set when the server is about to stop."""
    stopping: asyncio.Event = request.app.state.stopping
    return stopping


CenterHere = Annotated[Center, Depends(center_of)]
Caller = Annotated[access.Caller, Depends(caller_of)]
Stopping = Annotated[asyncio.Event, Depends(stopping_of)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str | None, Query(max_length=100, pattern=r"^[a-z0-9._-]*$")]
# Databases take no NUL in a text.
_WITHOUT_NUL = r"^[^\x00]*$"
Name = Annotated[str, Path(max_length=200, pattern=_WITHOUT_NUL)]
Filter = Annotated[str | None, Query(max_length=130, pattern=_WITHOUT_NUL)]
Version = Annotated[int, Path(ge=1, le=MAX_VERSION)]
Reason = Annotated[str, Field(min_length=1, max_length=2000, pattern=PLAIN_TEXT)]
# The gate does the checking; this tells readers of the OpenAPI document.
needs_token = Depends(HTTPBearer(auto_error=False, description="A token of this center"))


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route answers with, for the OpenAPI document."""
    return {status: {"model": Problem} for status in (401, 403, 422, 503, *statuses)}
