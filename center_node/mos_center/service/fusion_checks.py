"""What stands against a request, all of it at once, without changing anything.

A request is refused with the first error that is found here: the two can't differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from mos_protocol.errors import Gone, InvalidRequest, MosError, NotFound
from mos_protocol.names import Digest

from mos_center.domain.access import Caller, Role, Scope
from mos_center.domain.build import build_digest
from mos_center.domain.fuse_methods import check_prior
from mos_center.domain.models import BaseRecord, Fusion, Priority
from mos_center.domain.policy import Quota
from mos_center.domain.ports import Transaction
from mos_center.domain.solving import DEFAULT_PRIOR_WEIGHT, Solving
from mos_center.service.fusion_concepts import Member, find_members, findings_about
from mos_center.service.fusion_findings import Finding, FindingKind, Subject
from mos_center.service.fusion_lookup import check_model_owner
from mos_center.service.fusion_queue import placed
from mos_center.service.fusion_requests import FusionRequest
from mos_center.service.quotas import check_job_quota


@dataclass(frozen=True)
class Build:
    """What a request comes down to, and the fusion that is known of it already."""

    base: BaseRecord
    solving: Solving
    digest: Digest
    known: Fusion | None


@dataclass(frozen=True)
class Examined:
    """All findings about a request; `build` is None while an error leaves it open.

    `members` are the concepts that can be fused, whatever stands against the others.
    """

    findings: tuple[Finding, ...]
    members: tuple[Member, ...] = ()
    build: Build | None = None

    @property
    def known(self) -> Fusion | None:
        """The fusion of the same build that is queued, running or published."""
        return None if self.build is None else self.build.known


@dataclass(frozen=True)
class FusionCheck:
    """What a request would come to: findings, the fusion that is the same build, its version.

    `version` is the one that `known` was published as, or else what this becomes as things stand;
    None when the model is not the caller's.
    """

    findings: tuple[Finding, ...]
    known: Fusion | None = None
    version: int | None = None

    @property
    def is_possible(self) -> bool:
        """Whether the request would be taken."""
        return not any(finding.kind is FindingKind.ERROR for finding in self.findings)


def examine(
    transaction: Transaction, request: FusionRequest, caller: Caller, quota: Quota
) -> Examined:
    """Look at every part of the request, and at what is known of its build."""
    base = transaction.bases.get(request.base)
    around = [
        *_raised(Subject.SETTINGS, partial(_check_priority, request, caller)),
        *_raised(Subject.MODEL, partial(_check_model, transaction, request.model, caller)),
    ]
    if base is None:
        gone = NotFound(f"There is no base {request.base!r}.", hint="List the bases.")
        return Examined((Finding.of(gone, Subject.BASE), *around))
    members, refusals = find_members(transaction, request.concepts, base, caller)
    findings = [*refusals, *findings_about(members, base, request.solver)]
    findings += _raised(Subject.SETTINGS, partial(_prior_weight, request, base))
    needs = partial(check_prior, request.solver, base.name, has_prior=bool(base.prior))
    findings += _raised(Subject.SETTINGS, needs)
    findings += around
    if any(finding.error for finding in findings):
        return Examined(tuple(findings), tuple(members))
    build = _build(transaction, request, base, members)
    findings += _about_build(transaction, build, caller, quota)
    return Examined(tuple(findings), tuple(members), build)


def outcome(transaction: Transaction, request: FusionRequest, examined: Examined) -> FusionCheck:
    """The check that the findings make, with a note of what the request becomes."""
    findings = examined.findings
    known = None if examined.known is None else placed(transaction, [examined.known])[0]
    if any(finding.error and finding.subject is Subject.MODEL for finding in findings):
        return FusionCheck(findings, known)
    version = 1 + transaction.models.last_version(request.model)
    if known is not None and known.model_version is not None:
        version = known.model_version
    note = Finding(FindingKind.NOTE, Subject.MODEL, _becomes(request.model, known, version))
    return FusionCheck((*findings, note), known, version)


def _becomes(model: str, known: Fusion | None, version: int) -> str:
    ref = f"{model}@{version}"
    if known is not None and known.model_version is not None:
        return f"This is {ref} already: nothing is fused again, that version is the answer."
    if known is not None:
        return f"This is {known.state.value} already, as fusion {known.id}: that is the answer."
    if version == 1:
        return f"{model} is a new model; this becomes {ref}."
    return f"This becomes {ref}, the model's next version."


def _raised(subject: Subject, check: Callable[[], object]) -> Iterator[Finding]:
    """What `check` raises, as a finding."""
    try:
        check()
    except MosError as error:
        yield Finding.of(error, subject)


def _check_priority(request: FusionRequest, caller: Caller) -> None:
    if request.priority is Priority.HIGH:
        caller.require(Scope.FUSION_REQUEST, Role.CURATOR)


def _check_model(transaction: Transaction, model: str, caller: Caller) -> None:
    owner = transaction.models.owner(model)
    if owner is not None:
        check_model_owner(owner, model, caller)


def _build(
    transaction: Transaction, request: FusionRequest, base: BaseRecord, members: Sequence[Member]
) -> Build:
    solving = request.solving(_prior_weight(request, base))
    weighted = [(member.submission.manifest_digest, member.weights) for member in members]
    digest = build_digest(base.digest, weighted, solving)
    return Build(base, solving, digest, transaction.fusions.by_build(request.model, digest))


def _about_build(
    transaction: Transaction, build: Build, caller: Caller, quota: Quota
) -> Iterator[Finding]:
    """A known build costs nothing, but may not be given out any more."""
    if build.known is None:
        one_more = partial(check_job_quota, transaction, quota, caller.name, more=1)
        yield from _raised(Subject.SETTINGS, one_more)
    else:
        given_out = partial(_check_given_out, transaction, build.known)
        yield from _raised(Subject.MODEL, given_out)


def _check_given_out(transaction: Transaction, fusion: Fusion) -> None:
    """Raise `Gone` when what the fusion was published as is tombstoned."""
    version = transaction.models.get(fusion.model, fusion.model_version or 0)
    if version is not None and version.tombstoned_at is not None:
        raise Gone(
            f"This build is {fusion.model}@{version.version}, which is not given out any more: "
            f"{version.tombstone_reason}",
            hint="Choose another model name, or change the request.",
        )


def _prior_weight(request: FusionRequest, base: BaseRecord) -> float:
    if request.prior_weight is None:
        return DEFAULT_PRIOR_WEIGHT if base.prior else 0.0
    if request.prior_weight > 0 and not base.prior:
        raise InvalidRequest(
            f"Base {base.name!r} has no prior moments, but prior_weight is "
            f"{request.prior_weight:g}.",
            hint="Use prior_weight 0, or register the base with a prior.",
        )
    return request.prior_weight
