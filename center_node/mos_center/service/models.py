"""Published models: versions, aliases, files."""

from __future__ import annotations

import logging
from dataclasses import replace

from mos_protocol.errors import InvalidName, NotFound
from mos_protocol.names import LATEST, check_slug

from mos_center.domain.models import ModelVersion, PublishedFile
from mos_center.domain.ports import Database, Transaction

log = logging.getLogger(__name__)


class ModelService:
    """Looks model versions up and moves aliases. `latest` is always the highest version."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def names(self, *, after: str | None = None, limit: int) -> tuple[str, ...]:
        """Model names in alphabetical order."""
        with self._database.read() as transaction:
            return transaction.models.names(after=after, limit=limit)

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """All versions, newest first; raises `NotFound` when there is none."""
        with self._database.read() as transaction:
            versions = transaction.models.versions(model)
        if not versions:
            raise NotFound(f"There is no model {model!r}.", hint="List the models.")
        return (_with_latest(versions[0]), *versions[1:])

    def get(self, model: str, revision: str) -> ModelVersion:
        """Return the version that a number or an alias means; raises `NotFound`."""
        with self._database.read() as transaction:
            number = _resolve(transaction, model, revision)
            version = transaction.models.get(model, number) if number else None
            newest = number is not None and number == transaction.models.last_version(model)
        if version is None:
            raise NotFound(
                f"There is no model {model}@{revision}.", hint="List the model's versions."
            )
        return _with_latest(version) if newest else version

    def file(self, model: str, revision: str, path: str) -> PublishedFile:
        """Return a file of a version; raises `NotFound`."""
        version = self.get(model, revision)
        file = version.file(path)
        if file is None:
            raise NotFound(
                f"{model}@{version.version} has no file {path!r}.",
                hint="The version's `files` lists them.",
            )
        return file

    def point(self, model: str, alias: str, version: int, caller: str) -> ModelVersion:
        """Have `alias` mean `version`, and return that version."""
        check_slug(alias, "alias")
        if alias == LATEST or alias.isdigit():
            raise InvalidName(
                f"{alias!r} can't be an alias.",
                hint=f"{LATEST!r} is always the newest version, and numbers are versions.",
            )
        with self._database.write() as transaction:
            if transaction.models.get(model, version) is None:
                raise NotFound(
                    f"There is no model {model}@{version}.", hint="List the model's versions."
                )
            before = transaction.models.alias(model, alias)
            transaction.models.point(model, alias, version)
        log.info(
            "alias.moved model=%s alias=%s before=%s after=%d by=%s",
            model,
            alias,
            before,
            version,
            caller,
        )
        return self.get(model, str(version))


def _resolve(transaction: Transaction, model: str, revision: str) -> int | None:
    if revision == LATEST:
        return transaction.models.last_version(model) or None
    if revision.isascii() and revision.isdigit() and len(revision) < 10:
        return int(revision)
    return transaction.models.alias(model, revision)


def _with_latest(version: ModelVersion) -> ModelVersion:
    return replace(version, aliases=(*version.aliases, LATEST))
