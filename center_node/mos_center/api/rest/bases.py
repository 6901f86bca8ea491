"""Base models."""

from __future__ import annotations

from typing import Self

from fastapi import APIRouter, Request, Response
from mos_protocol.errors import NotFound
from mos_protocol.layer_map import LayerMap

from mos_center.api.rest.context import Answer, CenterHere, Page, needs_token, problems
from mos_center.api.rest.files import FILE_RESPONSES, blob_response
from mos_center.domain.models import BaseRecord, StoredFile

router = APIRouter(prefix="/v1/bases", tags=["bases"], dependencies=[needs_token])


class PriorFile(Answer):
    sha256: str
    size: int


class Base(Answer):
    """A base model; `prior` has the moments of generic pictures, a file per block, or nothing."""

    name: str
    digest: str
    layer_map: LayerMap
    prior: dict[str, PriorFile]

    @classmethod
    def of(cls, base: BaseRecord, prior: dict[str, StoredFile]) -> Self:
        return cls(
            name=base.name,
            digest=base.digest,
            layer_map=base.layer_map,
            prior={
                block: PriorFile(sha256=file.sha256, size=file.size)
                for block, file in prior.items()
            },
        )


@router.get("", responses=problems())
def list_bases(center: CenterHere) -> Page[Base]:
    """Every base, by name; there are few, so there is one page."""
    bases = center.bases.all()
    return Page(
        items=[Base.of(base, center.bases.prior(base.name)) for base in bases], next_cursor=None
    )


@router.get("/{name}", responses=problems(404))
def get_base(name: str, center: CenterHere) -> Base:
    """One base."""
    return Base.of(center.bases.get(name), center.bases.prior(name))


@router.get(
    "/{name}/prior/{block}",
    responses=problems(404) | FILE_RESPONSES,
    response_class=Response,
)
def get_prior(name: str, block: str, request: Request, center: CenterHere) -> Response:
    """The prior moments of one block, in the format of a package's moments files."""
    file = center.bases.prior(name).get(block)
    if file is None:
        raise NotFound(
            f"Base {name!r} has no prior for block {block!r}.",
            hint="The base's `prior` lists what it has.",
        )
    return blob_response(request, center.blobs, file.sha256, "application/octet-stream", fixed=True)
