"""All use cases of a center, put together on one database, blob store and queue."""

from __future__ import annotations

from dataclasses import dataclass

from mos_center.domain.jobs import Job
from mos_center.domain.policy import Policy
from mos_center.domain.ports import ActivationReducer, BlobStore, Database, FusionQueue
from mos_center.service.aliases import AliasService
from mos_center.service.audit import AuditService
from mos_center.service.bases import BaseService
from mos_center.service.comparison import ComparisonService
from mos_center.service.compositions import CompositionService
from mos_center.service.concept_audits import ConceptAuditService
from mos_center.service.concepts import ConceptService
from mos_center.service.evaluations import EvaluationService
from mos_center.service.fusions import FusionService
from mos_center.service.health import HealthService
from mos_center.service.idempotency import IdempotencyService
from mos_center.service.invitations import InvitationService
from mos_center.service.lineage import LineageService
from mos_center.service.marks import MarkService
from mos_center.service.members import MemberService
from mos_center.service.models import ModelService
from mos_center.service.overview import OverviewService
from mos_center.service.quotas import QuotaService
from mos_center.service.refusion import RefusionService
from mos_center.service.submissions import SubmissionService
from mos_center.service.tokens import TokenService
from mos_center.service.uploads import UploadService
from mos_center.service.validation import ValidationService
from mos_center.service.webhooks import DeliveryService, WebhookService
from mos_center.service.withdrawal import WithdrawalService
from mos_center.service.workers import WorkerService


@dataclass(frozen=True)
class Center:
    """What the edges (gRPC, REST, dashboard, commands) call."""

    blobs: BlobStore
    bases: BaseService
    submissions: SubmissionService
    uploads: UploadService
    validation: ValidationService
    concepts: ConceptService
    concept_audits: ConceptAuditService
    fusions: FusionService
    models: ModelService
    aliases: AliasService
    comparisons: ComparisonService
    compositions: CompositionService
    evaluations: EvaluationService
    lineage: LineageService
    marks: MarkService
    refusion: RefusionService
    withdrawal: WithdrawalService
    tokens: TokenService
    health: HealthService
    members: MemberService
    invitations: InvitationService
    quotas: QuotaService
    overview: OverviewService
    audit: AuditService
    webhooks: WebhookService
    deliveries: DeliveryService
    answers: IdempotencyService
    workers: WorkerService


def assemble(
    database: Database,
    blobs: BlobStore,
    queue: FusionQueue,
    reducer: ActivationReducer,
    policy: Policy | None = None,
) -> Center:
    """Build every use case; nothing is read or opened."""
    policy = policy or Policy()
    fusions = FusionService(database, queue, blobs, policy.quota)
    return Center(
        blobs=blobs,
        bases=BaseService(database, blobs),
        submissions=SubmissionService(database, blobs, policy),
        uploads=UploadService(database, blobs),
        validation=ValidationService(database, blobs, policy, reducer, queue),
        concepts=ConceptService(database),
        concept_audits=ConceptAuditService(database, queue),
        fusions=fusions,
        models=ModelService(database, blobs),
        aliases=AliasService(database),
        comparisons=ComparisonService(database),
        compositions=CompositionService(database, queue, policy.compositions),
        evaluations=EvaluationService(database, queue, policy.evaluations),
        lineage=LineageService(database),
        marks=MarkService(database),
        refusion=RefusionService(database, fusions),
        withdrawal=WithdrawalService(database, blobs, queue, policy.withdrawal),
        members=MemberService(database),
        invitations=InvitationService(database),
        quotas=QuotaService(database, policy.quota),
        overview=OverviewService(database, policy.quota),
        tokens=TokenService(database, open_without_tokens=policy.open_without_tokens),
        health=HealthService(database, blobs),
        audit=AuditService(database),
        webhooks=WebhookService(database, policy.webhooks),
        deliveries=DeliveryService(database),
        answers=IdempotencyService(database),
        workers=WorkerService(database),
    )


class WaitingQueue:
    """The queue of a process without a worker: a worker finds waiting jobs in the database."""

    def enqueue(self, job: Job) -> None:
        """Do nothing: what is to be done is recorded."""

    def cancel(self, fusion_id: str) -> None:
        """Do nothing: the fusion is recorded as cancelled."""
