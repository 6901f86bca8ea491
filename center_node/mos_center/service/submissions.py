"""Offering concept packages, and deciding about those that passed validation."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mos_protocol.errors import Conflict, InvalidPackage, NotFound, PermissionDenied
from mos_protocol.manifest import MANIFEST_FILE, FileEntry, Manifest, parse_manifest
from mos_protocol.names import Digest, parse_concept_name
from mos_protocol.package import check_manifest

from mos_center.domain.access import Caller, Role, Scope, Visibility
from mos_center.domain.events import AuditEvent, Event, EventKind
from mos_center.domain.ids import new_id
from mos_center.domain.models import BaseRecord, ConceptRecord, Submission
from mos_center.domain.policy import Policy
from mos_center.domain.ports import BlobStore, Database, Transaction
from mos_center.domain.queries import ConceptQuery
from mos_center.domain.states import SubmissionState, check_submission_transition
from mos_center.service.concepts import record_visibility
from mos_center.service.quotas import check_package_quota
from mos_center.service.rejection import refuse

log = logging.getLogger(__name__)

NOTHING_KNOWN: Mapping[Digest, bool] = {}


@dataclass(frozen=True)
class MissingBlob:
    """A file that the center lacks, and where to send it when not through the center."""

    entry: FileEntry
    put_url: str | None


@dataclass(frozen=True)
class Offer:
    """A submission, and what has to be sent before it can be committed."""

    submission: Submission
    missing: tuple[MissingBlob, ...]


class SubmissionService:
    """The use cases of submitters and reviewers; uploading and validating have their own."""

    def __init__(self, database: Database, blobs: BlobStore, policy: Policy) -> None:
        self._database = database
        self._blobs = blobs
        self._policy = policy

    def offer(self, data: bytes, *, caller: Caller, visibility: Visibility | None = None) -> Offer:
        """Take a manifest and say which files are missing; again: the same submission.

        `visibility` is who shall see the concept; None leaves it as it is, or to the center.
        Raises `InvalidPackage`, `PermissionDenied` or `QuotaExceeded`, and then keeps nothing.
        """
        manifest = parse_manifest(data)
        check_owner(caller, manifest.concept)
        if self._policy.statements:
            _check_statements(manifest)
        with self._database.read() as transaction:
            base = _base_of(transaction, manifest)
        check_manifest(manifest, base.layer_map)
        with self._database.write() as transaction:
            self._show(transaction, manifest, visibility, caller)
            new = transaction.blobs.unreferred(Digest(entry.sha256) for entry in manifest.files)
            submission = self._find_or_add(transaction, manifest, base, caller)
            transaction.submissions.touch(submission.id, _now())
        # Only now: from here on nobody deletes a file that this submission refers to.
        missing = self._missing(submission, dict.fromkeys(new, False))
        log.info("submission.offered id=%s missing=%d", submission.id, len(missing))
        return Offer(submission, missing)

    def get(self, submission_id: str, *, caller: Caller) -> Submission:
        """Return the submission of the caller, or any for curators; raises `NotFound`."""
        with self._database.read() as transaction:
            return own_submission(transaction, submission_id, caller)

    def find(
        self,
        *,
        states: Iterable[SubmissionState],
        caller: Caller,
        before: str | None = None,
        limit: int,
    ) -> tuple[Submission, ...]:
        """The caller's submissions in these states, newest first; everybody's for curators."""
        with self._database.read() as transaction:
            return transaction.submissions.find(
                states=states,
                viewer=caller.viewer,
                query=ConceptQuery(owner=caller.viewer),
                before=before,
                limit=limit,
            )

    def approve(self, submission_id: str, caller: Caller) -> Submission:
        """Let the concept be fused; raises `Conflict` unless it waits for review."""
        caller.require(Scope.ADMIN, Role.CURATOR)
        with self._database.write() as transaction:
            submission = find_submission(transaction, submission_id)
            if submission.state is SubmissionState.APPROVED:
                return submission
            check_submission_transition(submission.state, SubmissionState.APPROVED)
            approved = replace(submission, state=SubmissionState.APPROVED)
            transaction.submissions.update(approved)
            record_decision(transaction, submission, approved, caller)
        return approved

    def reject(self, submission_id: str, reason: str, caller: Caller) -> Submission:
        """Refuse the concept and delete its files."""
        caller.require(Scope.ADMIN, Role.CURATOR)
        with self._database.write() as transaction:
            submission = find_submission(transaction, submission_id)
            if submission.state is SubmissionState.REJECTED:
                return submission
            rejected = refuse(transaction, self._blobs, submission, reason)
            record_decision(transaction, submission, rejected, caller)
        return rejected

    def _show(
        self,
        transaction: Transaction,
        manifest: Manifest,
        visibility: Visibility | None,
        caller: Caller,
    ) -> None:
        """Have a record of the concept, shown as wanted."""
        name = parse_concept_name(manifest.concept)
        known = transaction.concepts.get(name.owner, name.name)
        if known is None:
            shown = visibility or self._policy.visibility
            transaction.concepts.add(ConceptRecord(name.owner, name.name, shown, _now()))
        elif visibility is not None and visibility is not known.visibility:
            shown = visibility
            transaction.concepts.show(name.owner, name.name, shown)
        else:
            return
        before = known.visibility if known else None
        record_visibility(transaction, manifest.concept, before, shown, caller)

    def _find_or_add(
        self, transaction: Transaction, manifest: Manifest, base: BaseRecord, caller: Caller
    ) -> Submission:
        known = transaction.submissions.by_manifest(manifest.digest())
        if known is None:
            submission = Submission(
                id=new_id(),
                manifest=manifest,
                manifest_digest=manifest.digest(),
                base=base.name,
                state=SubmissionState.UPLOADING,
                created_at=_now(),
                submitted_by=caller.name,
            )
            transaction.submissions.add(submission)
        elif known.state is SubmissionState.WITHDRAWN:
            raise _withdrawn(known)
        elif known.state is SubmissionState.REJECTED:
            submission = replace(known, state=SubmissionState.UPLOADING, reason="")
            transaction.submissions.update(submission)
            transaction.submissions.refer(submission)
        else:
            return known
        check_package_quota(transaction, self._policy.quota, submission.owner)
        record_decision(transaction, known, submission, caller)
        return submission

    def _missing(
        self, submission: Submission, known: Mapping[Digest, bool]
    ) -> tuple[MissingBlob, ...]:
        if submission.state not in (SubmissionState.UPLOADING, SubmissionState.VALIDATING):
            return ()
        staged = self._blobs.staged(submission.id)
        return tuple(
            MissingBlob(
                entry,
                self._blobs.presigned_put(submission.id, Digest(entry.sha256), entry.size),
            )
            for entry in missing_files(submission, self._blobs, known)
            if staged.get(Digest(entry.sha256)) != entry.size
        )


def find_submission(transaction: Transaction, submission_id: str) -> Submission:
    """Return the submission; raises `NotFound`."""
    submission = transaction.submissions.get(submission_id)
    if submission is None:
        raise no_submission(submission_id)
    return submission


def no_submission(submission_id: str) -> NotFound:
    """What a caller hears of a submission that is not there, or not the caller's."""
    return NotFound(
        f"There is no submission {submission_id!r}.", hint="Offer the package's manifest first."
    )


def missing_files(
    submission: Submission, blobs: BlobStore, known: Mapping[Digest, bool] = NOTHING_KNOWN
) -> list[FileEntry]:
    """The manifest's files that are not in the store, each content once.

    `known` says of some whether they are there: asking a store that is far away takes long.
    """
    by_content = {Digest(entry.sha256): entry for entry in submission.manifest.files}
    there = {digest: known.get(digest) for digest in by_content}
    return [
        entry
        for digest, entry in by_content.items()
        if not (blobs.exists(digest) if there[digest] is None else there[digest])
    ]


def unsaid(manifest: Manifest) -> tuple[str, ...]:
    """What a reviewer should know that the manifest does not say, in words."""
    said = {
        "no licence is stated": manifest.licence,
        "no consent of whoever is shown is stated": manifest.consent,
        "there is no description": manifest.description,
        "there are no previews": "".join(file.path for file in manifest.previews),
    }
    return tuple(warning for warning, text in said.items() if not text.strip())


def _check_statements(manifest: Manifest) -> None:
    """Raise `InvalidPackage` unless the manifest states licence and consent."""
    for field in ("licence", "consent"):
        if not getattr(manifest, field).strip():
            raise InvalidPackage(
                MANIFEST_FILE,
                f"`{field}` is empty, and this center asks for licence and consent",
                hint="Say so when the package is made: "
                "`mos-client tune … --licence … --consent …`.",
            )


def _withdrawn(submission: Submission) -> Conflict:
    return Conflict(
        f"This package is {submission.concept}@{submission.version}, which was withdrawn: "
        f"{submission.reason}",
        hint="A withdrawn version does not come back; make another package.",
    )


def _base_of(transaction: Transaction, manifest: Manifest) -> BaseRecord:
    base = transaction.bases.by_digest(manifest.base.digest)
    if base is None:
        known = ", ".join(f"{item.name} ({item.digest[:12]}…)" for item in transaction.bases.all())
        raise InvalidPackage(
            MANIFEST_FILE,
            f"tuned on base {manifest.base.name!r} with digest {manifest.base.digest[:12]}…, "
            "which is not registered here",
            hint=f"Tune on a base of this center: {known or 'there is none yet'}.",
        )
    return base


def check_owner(caller: Caller, concept: str) -> None:
    """Raise `PermissionDenied` when `concept` is not in the caller's namespace."""
    owner = parse_concept_name(concept).owner
    if not caller.owns(owner):
        raise PermissionDenied(
            f"{concept} belongs to {owner}, and you are {caller.name}.",
            hint=f"Name the concept {caller.name}/….",
        )


def own_submission(transaction: Transaction, submission_id: str, caller: Caller) -> Submission:
    """The submission, if the caller owns it or is a curator; raises `NotFound`."""
    submission = find_submission(transaction, submission_id)
    if caller.viewer not in (None, submission.owner):
        raise no_submission(submission_id)
    return submission


def record_decision(
    transaction: Transaction, before: Submission | None, after: Submission, caller: Caller
) -> None:
    """Write a submission's change of state into the audit log, and tell subscribers."""
    resource = f"submission/{after.id}"
    stood = None if before is None else {"state": before.state.value}
    stands = {
        "state": after.state.value,
        "concept": after.concept,
        "version": after.version,
        **({"reason": after.reason} if after.reason else {}),
    }
    action = f"submission.{after.state.value}"
    transaction.audit.record(AuditEvent(caller.name, action, resource, stood, stands))
    if after.state is SubmissionState.APPROVED:
        transaction.outbox.add(Event(EventKind.CONCEPT_APPROVED, resource, stands))
    log.info("submission.decided id=%s state=%s by=%s", after.id, after.state.value, caller.name)


def _now() -> datetime:
    return datetime.now(UTC)
