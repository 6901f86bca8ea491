"""Registering base models and finding them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mos_protocol.errors import Conflict, InvalidRequest, NotFound
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import sha256_of
from mos_protocol.names import Digest, check_slug

from mos_center.domain.access import LOCAL, Caller
from mos_center.domain.events import AuditEvent
from mos_center.domain.models import BaseRecord, StoredFile
from mos_center.domain.ports import BlobStore, Database, Transaction

log = logging.getLogger(__name__)


class BaseService:
    """The registered base models."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def add(
        self,
        name: str,
        path: Path,
        layer_map: LayerMap,
        prior: Mapping[str, Path],
        statistics: Mapping[str, Mapping[str, float]] | None = None,
        *,
        caller: Caller = LOCAL,
    ) -> BaseRecord:
        """Register a base; `prior` has a moments file per block, or is empty.

        Registering the same again adds statistics where there were none, and changes nothing else;
        another base of that name is a `Conflict`.
        """
        check_slug(name, "base name")
        _check_blocks(layer_map, prior)
        stored = {block: StoredFile(sha256_of(f), f.stat().st_size) for block, f in prior.items()}
        record = BaseRecord(
            name=name,
            digest=Digest(layer_map.digest),
            path=path.resolve(),
            layer_map=layer_map,
            prior={block: file.sha256 for block, file in stored.items()},
            statistics=statistics or {},
        )
        self._keep(prior, stored)
        with self._database.write() as transaction:
            known = transaction.bases.get(name) or transaction.bases.by_digest(record.digest)
            if known is not None and replace(known, statistics=record.statistics) == record:
                return _measured(transaction, known, record, caller)
            if known is not None:
                raise Conflict(
                    f"Base {known.name!r} is already registered ({known.digest[:12]}…, "
                    f"{known.path}), with other weights, folder or prior.",
                    hint="A base never changes: register the other one under a new name.",
                )
            transaction.bases.add(record, stored, datetime.now(UTC))
            after = {"digest": record.digest, "path": str(record.path)}
            transaction.audit.record(
                AuditEvent(caller.name, "base.added", f"base/{name}", after=after)
            )
            # Again, now that they are referred to: nobody deletes them from here on.
            self._keep(prior, stored)
        log.info("base.added name=%s digest=%s", name, record.digest)
        return record

    def all(self) -> tuple[BaseRecord, ...]:
        """Every base, by name."""
        with self._database.read() as transaction:
            return transaction.bases.all()

    def get(self, name: str) -> BaseRecord:
        """Return the base; raises `NotFound`."""
        with self._database.read() as transaction:
            base = transaction.bases.get(name)
        if base is None:
            raise NotFound(
                f"There is no base {name!r}.", hint="Register it with `mos-center base add`."
            )
        return base

    def prior(self, name: str) -> dict[str, StoredFile]:
        """The prior moments' file of each block; raises `NotFound`."""
        self.get(name)
        with self._database.read() as transaction:
            return transaction.bases.prior(name)

    def _keep(self, prior: Mapping[str, Path], stored: Mapping[str, StoredFile]) -> None:
        for block, path in prior.items():
            self._blobs.put_file(path, stored[block].sha256)


def _measured(
    transaction: Transaction, known: BaseRecord, record: BaseRecord, caller: Caller
) -> BaseRecord:
    """The known base, with the statistics of `record` if it had none."""
    if known.statistics or not record.statistics:
        return known
    transaction.bases.measure(record.name, record.statistics)
    transaction.audit.record(AuditEvent(caller.name, "base.measured", f"base/{record.name}"))
    return record


def _check_blocks(layer_map: LayerMap, prior: Mapping[str, Path]) -> None:
    blocks = {block.name for block in layer_map.blocks}
    known = {block.name for block in layer_map.all_blocks()}
    if prior and not blocks <= prior.keys() <= known:
        raise InvalidRequest(
            f"The prior covers the blocks {sorted(prior)}, the base has {sorted(blocks)}.",
            hint="Record the prior with this base.",
        )
