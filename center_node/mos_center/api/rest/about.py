"""What this center is, and where its gRPC listens."""

from __future__ import annotations

from fastapi import APIRouter, Request

from mos_center.api.rest.context import Answer, needs_token, problems

router = APIRouter(prefix="/v1", tags=["center"], dependencies=[needs_token])


class CenterInfo(Answer):
    """`grpc` is host:port; a wildcard host means the host that the caller reached."""

    version: str
    grpc: str
    worker: bool


@router.get("/center", responses=problems())
async def about(request: Request) -> CenterInfo:
    """This center's version, gRPC address, and whether it runs fusions itself."""
    info: CenterInfo = request.app.state.info
    return info
