"""Concepts: the packages that passed validation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request, Response
from mos_protocol.manifest import Manifest
from mos_protocol.names import Digest

from mos_center.api.rest.context import (
    Answer,
    Caller,
    CenterHere,
    Cursor,
    Filter,
    Limit,
    Name,
    Page,
    Version,
    needs_token,
    problems,
)
from mos_center.api.rest.files import FILE_RESPONSES, blob_response
from mos_center.domain.access import Visibility
from mos_center.domain.models import Submission
from mos_center.domain.queries import ConceptQuery, Order
from mos_center.domain.states import CATALOGUED, SubmissionState
from mos_center.service import concepts

router = APIRouter(prefix="/v1/concepts", tags=["concepts"], dependencies=[needs_token])


class Concept(Answer):
    """One version of a concept; a withdrawn one has its reason and no previews."""

    name: str
    version: int
    words: list[str]
    class_word: str
    base: str
    state: str
    owner: str
    submission_id: str
    created_at: datetime
    withdrawn_at: datetime | None
    reason: str
    rank: int
    licence: str
    consent: str
    manifest_digest: str
    previews: list[str]

    @classmethod
    def of(cls, submission: Submission, **more: Any) -> Self:
        manifest = submission.manifest
        withdrawn = submission.state is SubmissionState.WITHDRAWN
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
            withdrawn_at=submission.withdrawn_at,
            reason=submission.reason,
            rank=manifest.rank,
            licence=manifest.licence,
            consent=manifest.consent,
            manifest_digest=submission.manifest_digest,
            previews=[] if withdrawn else [file.path for file in manifest.previews],
            **more,
        )


class ConceptDetail(Concept):
    """A concept with the manifest that its client sent."""

    manifest: Manifest


class ConceptOverview(Answer):
    """A concept with the versions that the caller may see, newest first.

    Whom it is shared with is told to its owner and to curators, others read null.
    """

    name: str
    owner: str
    visibility: Visibility
    created_at: datetime
    shares: list[str] | None
    versions: list[Concept]

    @classmethod
    def of(cls, found: concepts.ConceptOverview) -> Self:
        concept = found.concept
        return cls(
            name=f"{concept.owner}/{concept.name}",
            owner=concept.owner,
            visibility=concept.visibility,
            created_at=concept.created_at,
            shares=None if found.shares is None else list(found.shares),
            versions=[Concept.of(item) for item in found.versions],
        )


@router.get("", responses=problems())
def list_concepts(
    center: CenterHere,
    caller: Caller,
    base: Filter = None,
    owner: Filter = None,
    q: Filter = None,
    word: Filter = None,
    class_word: Filter = None,
    visibility: Visibility | None = None,
    state: Annotated[SubmissionState | None, Query(description="One of those listed")] = None,
    sort: Order = Order.NEWEST,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Concept]:
    """Concept versions; `q` is found in names, words and class words, `word` is one whole word."""
    query = ConceptQuery(base, owner, q, word, class_word, visibility, sort)
    states = [state] if state else CATALOGUED
    found = center.concepts.find(query, caller=caller, states=states, before=cursor, limit=limit)
    return Page(
        items=[Concept.of(item) for item in found],
        next_cursor=found[-1].id if len(found) == limit else None,
    )


@router.get("/{owner}/{name}", responses=problems(404))
def get_overview(owner: Name, name: Name, center: CenterHere, caller: Caller) -> ConceptOverview:
    """A concept over its versions, and who sees it."""
    return ConceptOverview.of(center.concepts.overview(owner, name, caller=caller))


@router.get("/{owner}/{name}/{version}", responses=problems(404))
def get_concept(
    owner: Name, name: Name, version: Version, center: CenterHere, caller: Caller
) -> ConceptDetail:
    """One version of a concept, with its manifest."""
    concept = center.concepts.get(owner, name, version, caller=caller)
    return ConceptDetail.of(concept, manifest=concept.manifest)


@router.get(
    "/{owner}/{name}/{version}/files/{path:path}",
    responses=problems(404, 410) | FILE_RESPONSES,
    response_class=Response,
)
def get_preview(
    owner: Name,
    name: Name,
    version: Version,
    path: Name,
    request: Request,
    center: CenterHere,
    caller: Caller,
) -> Response:
    """A preview picture; the concept's tensors are not given out."""
    entry = center.concepts.preview(owner, name, version, path, caller=caller)
    return blob_response(request, center.blobs, Digest(entry.sha256), "image/png", fixed=True)
