"""Transactions over all repositories."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from mos_center.domain.ports.compositions import Compositions
from mos_center.domain.ports.evaluations import Evaluations
from mos_center.domain.ports.marks import Marks
from mos_center.domain.ports.members import Invitations, Members, Tokens
from mos_center.domain.ports.records import (
    AuditLog,
    Counts,
    IdempotencyKeys,
    Outbox,
    Webhooks,
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
from mos_center.domain.ports.workers import Workers


class Transaction(Protocol):
    """All repositories, within one transaction."""

    @property
    def bases(self) -> Bases: ...
    @property
    def submissions(self) -> Submissions: ...
    @property
    def fusions(self) -> Fusions: ...
    @property
    def fusion_events(self) -> FusionEvents: ...
    @property
    def models(self) -> Models: ...
    @property
    def aliases(self) -> Aliases: ...
    @property
    def lineage(self) -> Lineages: ...
    @property
    def marks(self) -> Marks: ...
    @property
    def usages(self) -> Usages: ...
    @property
    def workers(self) -> Workers: ...
    @property
    def concepts(self) -> Concepts: ...
    @property
    def members(self) -> Members: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def invitations(self) -> Invitations: ...
    @property
    def blobs(self) -> Blobs: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def audits(self) -> ConceptAudits: ...
    @property
    def compositions(self) -> Compositions: ...
    @property
    def evaluations(self) -> Evaluations: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def idempotency(self) -> IdempotencyKeys: ...
    @property
    def counts(self) -> Counts: ...


class Database(Protocol):
    """Opens transactions. Thread-safe."""

    @property
    def kind(self) -> str:
        """Which one it is: `sqlite` or `postgresql`."""

    def revision(self) -> str | None:
        """The revision of its schema; None when it has none; raises `Unavailable`."""

    def read(self) -> AbstractContextManager[Transaction]:
        """A consistent view."""

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that commits at the end and rolls back when an error leaves it."""

    def note(self) -> AbstractContextManager[Transaction]:
        """As `write`, for a remark that nothing depends on: it need not wait for writers."""
