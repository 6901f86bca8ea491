"""The catalogue of concepts: the submissions that passed validation, and who sees them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mos_protocol.errors import Gone, NotFound, PermissionDenied
from mos_protocol.manifest import FileEntry
from mos_protocol.names import ConceptRef

from mos_center.domain.access import Caller, Visibility
from mos_center.domain.events import AuditEvent
from mos_center.domain.models import ConceptRecord, Submission
from mos_center.domain.ports import Database, Transaction
from mos_center.domain.queries import ConceptQuery
from mos_center.domain.states import CATALOGUED, SHOWN_TO_OTHERS, SubmissionState


@dataclass(frozen=True)
class ConceptOverview:
    """A concept with the versions that a caller may see, newest first.

    `shares` is None for callers who may not know them.
    """

    concept: ConceptRecord
    versions: tuple[Submission, ...]
    shares: tuple[str, ...] | None


@dataclass(frozen=True)
class ShownConcept:
    """A package, and who sees the concept that it is a version of."""

    submission: Submission
    visibility: Visibility


class ConceptService:
    """Looks concepts up, and changes who sees them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self,
        query: ConceptQuery | None = None,
        *,
        caller: Caller,
        states: Iterable[SubmissionState] = CATALOGUED,
        before: str | None = None,
        limit: int,
    ) -> tuple[Submission, ...]:
        """What the caller may see and the query asks for."""
        with self._database.read() as transaction:
            return transaction.submissions.find(
                states=CATALOGUED & frozenset(states),
                viewer=caller.viewer,
                query=query or ConceptQuery(),
                before=before,
                limit=limit,
            )

    def find_all(
        self,
        query: ConceptQuery,
        *,
        caller: Caller,
        states: Iterable[SubmissionState],
        before: str | None = None,
        limit: int,
    ) -> tuple[ShownConcept, ...]:
        """As `find`, with what only its owner and curators see: uploads and refused packages."""
        with self._database.read() as transaction:
            found = transaction.submissions.find(
                states=states, viewer=caller.viewer, query=query, before=before, limit=limit
            )
            shown = transaction.concepts.visibilities({(one.owner, one.name) for one in found})
        return tuple(ShownConcept(one, shown[one.owner, one.name]) for one in found)

    def get(self, owner: str, name: str, version: int, *, caller: Caller) -> Submission:
        """Return one version of a concept; raises `NotFound`, also when it is hidden."""
        with self._database.read() as transaction:
            return find_concept(transaction, owner, name, version, caller)

    def named(
        self, refs: Collection[ConceptRef], *, caller: Caller
    ) -> dict[ConceptRef, Submission]:
        """The versions named, of those that the caller may see and that are in the catalogue.

        A reference without a version means the newest approved one.
        """
        with self._database.read() as transaction:
            found = transaction.submissions.named(refs, viewer=caller.viewer)
        return {ref: item for ref, item in found.items() if item.state in CATALOGUED}

    def overview(
        self, owner: str, name: str, *, caller: Caller, newest: int | None = None
    ) -> ConceptOverview:
        """Return a concept over its versions; raises `NotFound`, also when it is hidden.

        Whom it is shared with is for its owner and curators alone. newest: how many versions at
        most; None: all.
        """
        with self._database.read() as transaction:
            concept = _find_record(transaction, owner, name, caller)
            knows = _sees_all(caller, owner)
            states = CATALOGUED if knows else SHOWN_TO_OTHERS
            versions = transaction.submissions.of_concept(owner, name, states=states, limit=newest)
        if not versions and not knows:
            raise _no_concept(f"{owner}/{name}")
        return ConceptOverview(concept, versions, concept.shares if knows else None)

    def show(
        self, owner: str, name: str, visibility: Visibility, *, caller: Caller
    ) -> ConceptOverview:
        """Change who sees the concept, and with it who may read the models that contain it."""
        with self._database.write() as transaction:
            before = _own_record(transaction, owner, name, caller)
            if before.visibility is not visibility:
                transaction.concepts.show(owner, name, visibility)
                concept = f"{owner}/{name}"
                record_visibility(transaction, concept, before.visibility, visibility, caller)
        return self.overview(owner, name, caller=caller)

    def share(self, owner: str, name: str, member: str, *, caller: Caller) -> ConceptOverview:
        """Let a member see the concept while it is shared; raises `NotFound` for strangers."""
        with self._database.write() as transaction:
            concept = _own_record(transaction, owner, name, caller)
            if transaction.members.get(member) is None:
                raise NotFound(
                    f"There is no member {member!r}.", hint="Ask them to join the center first."
                )
            if member not in concept.shares:
                transaction.concepts.share(owner, name, member)
                _record_share(transaction, concept, "concept.shared", member, caller)
        return self.overview(owner, name, caller=caller)

    def unshare(self, owner: str, name: str, member: str, *, caller: Caller) -> ConceptOverview:
        """Take that back; nothing happens when it was not shared."""
        with self._database.write() as transaction:
            concept = _own_record(transaction, owner, name, caller)
            if member in concept.shares:
                transaction.concepts.unshare(owner, name, member)
                _record_share(transaction, concept, "concept.unshared", member, caller)
        return self.overview(owner, name, caller=caller)

    def preview(
        self, owner: str, name: str, version: int, path: str, *, caller: Caller
    ) -> FileEntry:
        """Return a preview picture's entry; tensors are not given out.

        Raises `NotFound`, and `Gone` for a withdrawn concept.
        """
        concept = self.get(owner, name, version, caller=caller)
        entry = concept.manifest.file(path)
        if entry is None or not path.startswith("previews/"):
            raise NotFound(
                f"{owner}/{name}@{version} has no preview {path!r}.",
                hint="The concept's `previews` lists them.",
            )
        if concept.state is SubmissionState.WITHDRAWN:
            raise Gone(f"{owner}/{name}@{version} was withdrawn, and its previews with it.")
        return entry


def find_concept(
    transaction: Transaction, owner: str, name: str, version: int, caller: Caller
) -> Submission:
    """Return one version of a concept; raises `NotFound`, also when it is hidden."""
    concept = transaction.submissions.by_version(owner, name, version)
    if (
        concept is None
        or concept.state not in CATALOGUED
        or not is_shown(transaction, concept, caller)
    ):
        raise _no_concept(f"{owner}/{name}@{version}")
    return concept


def is_shown(transaction: Transaction, submission: Submission, caller: Caller) -> bool:
    """Whether the caller may see this package: its owner, curators, and others once approved."""
    if _sees_all(caller, submission.owner):
        return True
    concept = transaction.concepts.get(submission.owner, submission.name)
    return (
        submission.state in SHOWN_TO_OTHERS
        and concept is not None
        and concept.is_readable(caller.viewer)
    )


def record_visibility(
    transaction: Transaction,
    concept: str,
    before: Visibility | None,
    after: Visibility,
    caller: Caller,
) -> None:
    """Write who sees a concept into the audit log."""
    stood = None if before is None else {"visibility": before.value}
    stands = {"visibility": after.value}
    event = AuditEvent(caller.name, "concept.shown", f"concept/{concept}", stood, stands)
    transaction.audit.record(event)


def _record_share(
    transaction: Transaction, concept: ConceptRecord, action: str, member: str, caller: Caller
) -> None:
    resource = f"concept/{concept.owner}/{concept.name}"
    event = AuditEvent(caller.name, action, resource, after={"member": member})
    transaction.audit.record(event)


def _sees_all(caller: Caller, owner: str) -> bool:
    return caller.viewer in (None, owner)


def _find_record(transaction: Transaction, owner: str, name: str, caller: Caller) -> ConceptRecord:
    concept = transaction.concepts.get(owner, name)
    if concept is None or not concept.is_readable(caller.viewer):
        raise _no_concept(f"{owner}/{name}")
    return concept


def _own_record(transaction: Transaction, owner: str, name: str, caller: Caller) -> ConceptRecord:
    """The concept, if it is the caller's to change; raises `PermissionDenied` or `NotFound`."""
    concept = _find_record(transaction, owner, name, caller)
    if not caller.owns(owner):
        raise PermissionDenied(
            f"{owner}/{name} belongs to {owner}.", hint="Its owner decides who sees it."
        )
    return concept


def _no_concept(name: str) -> NotFound:
    return NotFound(f"There is no concept {name}.", hint="List the concepts.")
