"""Registered base models."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from mos_protocol.layer_map import LayerMap
from mos_protocol.names import Digest
from sqlalchemy import Connection, Row, insert, select, update

from mos_center.domain.models import BaseRecord, StoredFile
from mos_center.storage.repositories.references import know_blobs
from mos_center.storage.tables import base_priors, bases


class SqlBases:
    """Implements `domain.ports.Bases`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, base: BaseRecord, prior: Mapping[str, StoredFile], created_at: datetime) -> None:
        self._connection.execute(
            insert(bases).values(
                name=base.name,
                digest=base.digest,
                path=str(base.path),
                layer_map=base.layer_map.model_dump_json(),
                statistics={name: dict(values) for name, values in base.statistics.items()},
                created_at=created_at,
            )
        )
        know_blobs(self._connection, [file.sha256 for file in prior.values()])
        if prior:
            self._connection.execute(
                insert(base_priors),
                [
                    {
                        "base": base.name,
                        "block": block,
                        "sha256": file.sha256,
                        "size": file.size,
                    }
                    for block, file in prior.items()
                ],
            )

    def measure(self, name: str, statistics: Mapping[str, Mapping[str, float]]) -> None:
        plain = {key: dict(values) for key, values in statistics.items()}
        self._connection.execute(update(bases).where(bases.c.name == name).values(statistics=plain))

    def get(self, name: str) -> BaseRecord | None:
        row = self._connection.execute(select(bases).where(bases.c.name == name)).one_or_none()
        return self._record(row) if row else None

    def by_digest(self, digest: str) -> BaseRecord | None:
        row = self._connection.execute(select(bases).where(bases.c.digest == digest)).one_or_none()
        return self._record(row) if row else None

    def all(self) -> tuple[BaseRecord, ...]:
        rows = self._connection.execute(select(bases).order_by(bases.c.name)).all()
        return tuple(self._record(row) for row in rows)

    def prior(self, name: str) -> dict[str, StoredFile]:
        rows = self._connection.execute(
            select(base_priors).where(base_priors.c.base == name).order_by(base_priors.c.block)
        )
        return {row.block: StoredFile(Digest(row.sha256), row.size) for row in rows}

    def _record(self, row: Row[*tuple[Any, ...]]) -> BaseRecord:
        return BaseRecord(
            name=row.name,
            digest=Digest(row.digest),
            path=Path(row.path),
            layer_map=_layer_map(row.layer_map),
            prior={block: file.sha256 for block, file in self.prior(row.name).items()},
            statistics=row.statistics,
        )


# Every offer and commit asks for one of a few, which take milliseconds to parse.
@lru_cache(maxsize=16)
def _layer_map(text: str) -> LayerMap:
    return LayerMap.model_validate_json(text)
