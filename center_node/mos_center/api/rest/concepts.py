"""Concepts: the packages that passed validation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request, Response
from mos_protocol.manifest import Manifest
from mos_protocol.names import Digest

from mos_center.api.rest.context import (
    Answer,
    CenterHere,
    Cursor,
    Limit,
    Page,
    Version,
    needs_token,
    problems,
)
from mos_center.api.rest.files import FILE_RESPONSES, blob_response
from mos_center.domain.models import Submission

router = APIRouter(prefix="/v1/concepts", tags=["concepts"], dependencies=[needs_token])


class Concept(Answer):
    """One version of a concept."""

    name: str
    version: int
    words: list[str]
    class_word: str
    base: str
    state: str
    owner: str
    submission_id: str
    created_at: datetime
    rank: int
    manifest_digest: str
    previews: list[str]

    @classmethod
    def of(cls, submission: Submission, **more: Any) -> Self:
        manifest = submission.manifest
        return cls(
            name=submission.concept,
            version=submission.version or 0,
            words=list(manifest.words),
            class_word=manifest.class_word,
            base=submission.base,
            state=submission.state.value,
            owner=submission.owner,
            submission_id=submission.id,
            created_at=submission.created_at,
            rank=manifest.rank,
            manifest_digest=submission.manifest_digest,
            previews=[f.path for f in manifest.files if f.path.startswith("previews/")],
            **more,
        )


class ConceptDetail(Concept):
    """A concept with the manifest that its client sent."""

    manifest: Manifest


@router.get("", responses=problems())
def list_concepts(
    center: CenterHere,
    base: Annotated[str | None, Query(max_length=63)] = None,
    owner: Annotated[str | None, Query(max_length=63)] = None,
    q: Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Concept]:
    """Concepts, newest first; `q` is found in names, words and class words."""
    found = center.concepts.find(base=base, owner=owner, text=q, before=cursor, limit=limit)
    return Page(
        items=[Concept.of(item) for item in found],
        next_cursor=found[-1].id if len(found) == limit else None,
    )


@router.get("/{owner}/{name}/{version}", responses=problems(404))
def get_concept(owner: str, name: str, version: Version, center: CenterHere) -> ConceptDetail:
    """One version of a concept, with its manifest."""
    concept = center.concepts.get(owner, name, version)
    return ConceptDetail.of(concept, manifest=concept.manifest)


@router.get(
    "/{owner}/{name}/{version}/files/{path:path}",
    responses=problems(404) | FILE_RESPONSES,
    response_class=Response,
)
def get_preview(
    owner: str, name: str, version: Version, path: str, request: Request, center: CenterHere
) -> Response:
    """A preview picture; the concept's tensors are not given out."""
    entry = center.concepts.preview(owner, name, version, path)
    return blob_response(request, center.blobs, Digest(entry.sha256), "image/png", fixed=True)
