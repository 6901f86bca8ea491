"""Published models: versions, what their names mean, files, and their end."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from mos_protocol.errors import Gone, NotFound
from mos_protocol.names import LATEST

from mos_center.domain.access import SYSTEM, Caller
from mos_center.domain.events import AuditEvent
from mos_center.domain.lineage import VersionRef
from mos_center.domain.models import COMMIT_DIGITS, ModelVersion, PublishedFile
from mos_center.domain.ports import BlobStore, Database, Transaction
from mos_center.domain.queries import ModelQuery
from mos_center.service.fusion_lookup import check_model_owner
from mos_center.service.rejection import release_files

log = logging.getLogger(__name__)

EXPIRED = "expired by retention"
_COMMIT = re.compile(rf"[0-9a-f]{{{COMMIT_DIGITS}}}")


class ModelService:
    """Looks model versions up, and buries them.

    `latest` is always the newest version that the caller may read and that is not tombstoned.
    """

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def names(self, *, caller: Caller, after: str | None = None, limit: int) -> tuple[str, ...]:
        """Names of the models that the caller may read, in alphabetical order."""
        with self._database.read() as transaction:
            return transaction.models.names(viewer=caller.viewer, after=after, limit=limit)

    def find(
        self, query: ModelQuery, *, caller: Caller, after: str | None = None, limit: int
    ) -> tuple[ModelVersion, ...]:
        """The newest fitting version of every model that the caller may read."""
        with self._database.read() as transaction:
            found = transaction.models.find(query, viewer=caller.viewer, after=after, limit=limit)
            newest = transaction.models.newest(
                {version.model for version in found}, viewer=caller.viewer
            )
        return tuple(_named(version, newest) for version in found)

    def versions(
        self, model: str, *, caller: Caller, before: int | None = None, limit: int | None = None
    ) -> tuple[ModelVersion, ...]:
        """The versions that the caller may read, newest first; raises `NotFound`.

        With `before` only numbers below it, of which there may be none.
        """
        with self._database.read() as transaction:
            versions = transaction.models.versions(
                model, viewer=caller.viewer, before=before, limit=limit
            )
            newest = transaction.models.newest([model], viewer=caller.viewer)
        if not newest:
            raise NotFound(f"There is no model {model!r}.", hint="List the models.")
        return tuple(_named(version, newest) for version in versions)

    def get(self, model: str, revision: str, *, caller: Caller) -> ModelVersion:
        """Return the version that a number, an alias or a commit means; raises `NotFound`."""
        with self._database.read() as transaction:
            return find_version(transaction, model, revision, caller)

    def report(
        self,
        model: str,
        revision: str,
        *,
        caller: Caller,
        entries: Collection[str] | None = None,
    ) -> dict[str, object]:
        """The report that a version was published with, or these entries of it.

        It stays when the version is tombstoned. Raises `NotFound`.
        """
        with self._database.read() as transaction:
            version = find_version(transaction, model, revision, caller)
            return transaction.models.report(version.model, version.version, entries)

    def file(self, model: str, revision: str, path: str, *, caller: Caller) -> PublishedFile:
        """Return a file of a version; raises `NotFound`, and `Gone` for a tombstoned version."""
        version = self.get(model, revision, caller=caller)
        check_given_out(version)
        file = version.file(path)
        if file is None:
            raise NotFound(
                f"{model}@{version.version} has no file {path!r}.",
                hint="The version's `files` lists them.",
            )
        return file

    def tombstone(self, model: str, revision: str, reason: str, *, caller: Caller) -> ModelVersion:
        """Give the version's files out no more; again: nothing changes.

        For the model's owner and curators. The version stays listed with the reason.
        """
        with self._database.write() as transaction:
            version = find_version(transaction, model, revision, caller)
            check_model_owner(transaction.models.owner(model), model, caller)
            bury(transaction, version, reason, caller)
        return self.get(model, str(version.version), caller=caller)

    def expire(
        self, before: datetime, *, caller: Caller = SYSTEM, dry_run: bool = False
    ) -> tuple[VersionRef, ...]:
        """Tombstone what was published before then, but for aliased and newest versions.

        With `dry_run` only say which.
        """
        with self._database.write() as transaction:
            expired = transaction.models.expirable(before)
            for ref in () if dry_run else expired:
                version = transaction.models.get(ref.model, ref.version)
                if version is not None:
                    bury(transaction, version, EXPIRED, caller)
        return expired

    def release(
        self, before: datetime, *, caller: Caller = SYSTEM, dry_run: bool = False
    ) -> tuple[VersionRef, ...]:
        """Let go of the files of versions that were tombstoned before then, or say which."""
        with self._database.read() as transaction:
            buried = transaction.models.tombstoned(before)
        for ref in () if dry_run else buried:
            with self._database.write() as transaction:
                digests = (
                    *transaction.models.forget_files(ref.model, ref.version),
                    *transaction.evaluations.forget_grids_of(ref.model, ref.version),
                )
                release_files(transaction, self._blobs, digests)
                transaction.audit.record(
                    AuditEvent(caller.name, "version.released", f"model/{ref}")
                )
            log.info("version.released version=%s files=%d", ref, len(digests))
        return buried


def check_given_out(version: ModelVersion) -> None:
    """Raise `Gone` when the version is tombstoned."""
    if version.tombstoned_at is not None:
        raise Gone(
            f"{version.model}@{version.version} was withdrawn: {version.tombstone_reason}",
            hint="Ask for another version, or for a fusion without the withdrawn concept.",
        )


def find_version(
    transaction: Transaction, model: str, revision: str, caller: Caller
) -> ModelVersion:
    """The version that `revision` means to the caller; raises `NotFound`, also when hidden."""
    newest = transaction.models.newest([model], viewer=caller.viewer)
    number = newest.get(model) if revision == LATEST else _resolve(transaction, model, revision)
    version = transaction.models.get(model, number, viewer=caller.viewer) if number else None
    if version is None:
        raise NotFound(f"There is no model {model}@{revision}.", hint="List the model's versions.")
    return _named(version, newest)


def bury(transaction: Transaction, version: ModelVersion, reason: str, caller: Caller) -> None:
    """Tombstone the version unless it is, and write that down."""
    if version.tombstoned_at is not None:
        return
    transaction.models.tombstone(version.model, version.version, datetime.now(UTC), reason)
    resource = f"model/{version.model}@{version.version}"
    after = {"reason": reason, "aliases": [name for name in version.aliases if name != LATEST]}
    transaction.audit.record(AuditEvent(caller.name, "version.tombstoned", resource, after=after))
    log.info("version.tombstoned version=%s by=%s", resource, caller.name)


def _resolve(transaction: Transaction, model: str, revision: str) -> int | None:
    if revision.isascii() and revision.isdigit() and len(revision) < 10:
        return int(revision)
    if _COMMIT.fullmatch(revision):
        return transaction.models.by_commit(model, revision)
    return transaction.aliases.get(model, revision)


def _named(version: ModelVersion, newest: Mapping[str, int]) -> ModelVersion:
    """The version, also called `latest` if it is its model's newest."""
    if newest.get(version.model) != version.version:
        return version
    return replace(version, aliases=(*version.aliases, LATEST))
