"""Whether the process lives, and whether it can work."""

from __future__ import annotations

from fastapi import APIRouter
from mos_protocol.errors import Unavailable

from mos_center.api.rest.context import Answer, CenterHere, Stopping
from mos_center.api.rest.problems import Problem

router = APIRouter(tags=["health"])


class Health(Answer):
    status: str


@router.get("/healthz")
def healthz() -> Health:
    """The process answers."""
    return Health(status="alive")


@router.get("/readyz", responses={503: {"model": Problem}})
def readyz(center: CenterHere, stopping: Stopping) -> Health:
    """The database and the blob store answer, and the process is not stopping."""
    if stopping.is_set():
        raise Unavailable("The center is stopping.", hint="Try again.")
    center.health.check()
    return Health(status="ready")
