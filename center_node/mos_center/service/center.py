"""All use cases of a center, put together on one database, blob store and queue."""

from __future__ import annotations

from dataclasses import dataclass

from mos_center.domain.models import Review
from mos_center.domain.ports import ActivationReducer, BlobStore, Database, FusionQueue
from mos_center.service.bases import BaseService
from mos_center.service.concepts import ConceptService
from mos_center.service.fusions import FusionService
from mos_center.service.models import ModelService
from mos_center.service.submissions import SubmissionService
from mos_center.service.tokens import TokenService
from mos_center.service.uploads import UploadService
from mos_center.service.validation import ValidationService


@dataclass(frozen=True)
class Center:
    """What the edges (gRPC, REST, dashboard, commands) call."""

    blobs: BlobStore
    bases: BaseService
    submissions: SubmissionService
    uploads: UploadService
    validation: ValidationService
    concepts: ConceptService
    fusions: FusionService
    models: ModelService
    tokens: TokenService


def assemble(
    database: Database,
    blobs: BlobStore,
    queue: FusionQueue,
    reducer: ActivationReducer,
    *,
    review: Review = Review.AUTOMATIC,
    open_without_tokens: bool = False,
) -> Center:
    """Build every use case; nothing is read or opened."""
    return Center(
        blobs=blobs,
        bases=BaseService(database, blobs),
        submissions=SubmissionService(database, blobs),
        uploads=UploadService(database, blobs),
        validation=ValidationService(database, blobs, review, reducer),
        concepts=ConceptService(database),
        fusions=FusionService(database, queue),
        models=ModelService(database),
        tokens=TokenService(database, open_without_tokens=open_without_tokens),
    )


class WaitingQueue:
    """The queue of a process without a worker: a worker finds waiting fusions in the ledger."""

    def enqueue(self, fusion_id: str) -> None:
        """Do nothing: the fusion is recorded as queued."""

    def cancel(self, fusion_id: str) -> None:
        """Do nothing: the fusion is recorded as cancelled."""
