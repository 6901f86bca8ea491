"""What the use cases need from the world: a database, a blob store, a queue."""

from __future__ import annotations

from mos_center.domain.ports.compositions import CompositionLedger, Compositions
from mos_center.domain.ports.database import Database, Transaction
from mos_center.domain.ports.evaluations import EvaluationLedger, Evaluations
from mos_center.domain.ports.files import ActivationReducer, BlobStore, BlobWriter, StoredBlob
from mos_center.domain.ports.jobs import AuditLedger, FusionLedger, FusionQueue
from mos_center.domain.ports.marks import Marks
from mos_center.domain.ports.members import Invitations, Members, Tokens
from mos_center.domain.ports.records import (
    AuditLog,
    Counts,
    IdempotencyKeys,
    Outbox,
    Webhooks,
    WebhookSender,
)
from mos_center.domain.ports.registry import (
    Aliases,
    Bases,
    Blobs,
    ConceptAudits,
    Concepts,
    FusionEvents,
    Fusions,
    Lineages,
    Models,
    Submissions,
    Usages,
)
from mos_center.domain.ports.workers import WorkerLedger, Workers

__all__ = [
    "ActivationReducer",
    "Aliases",
    "AuditLedger",
    "AuditLog",
    "Bases",
    "BlobStore",
    "BlobWriter",
    "Blobs",
    "CompositionLedger",
    "Compositions",
    "ConceptAudits",
    "Concepts",
    "Counts",
    "Database",
    "EvaluationLedger",
    "Evaluations",
    "FusionEvents",
    "FusionLedger",
    "FusionQueue",
    "Fusions",
    "IdempotencyKeys",
    "Invitations",
    "Lineages",
    "Marks",
    "Members",
    "Models",
    "Outbox",
    "StoredBlob",
    "Submissions",
    "Tokens",
    "Transaction",
    "Usages",
    "WebhookSender",
    "Webhooks",
    "WorkerLedger",
    "Workers",
]
