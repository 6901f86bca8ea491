"""What happened to fusions, in order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from mos_center.domain.fusion_events import FusionEvent, FusionEventKind
from mos_center.domain.models import Fusion
from mos_center.storage.tables import fusion_events


class SqlFusionEvents:
    """Implements `domain.ports.FusionEvents`; writers come one after another (`SqlDatabase`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        fusion: Fusion,
        kind: FusionEventKind,
        step: str = "",
        data: Mapping[str, object] | None = None,
    ) -> None:
        last = select(func.max(fusion_events.c.seq)).where(fusion_events.c.fusion == fusion.id)
        self._connection.execute(
            insert(fusion_events).values(
                fusion=fusion.id,
                seq=1 + (self._connection.scalar(last) or 0),
                at=datetime.now(UTC),
                kind=kind,
                generation=fusion.generation,
                attempt=fusion.attempts,
                step=step,
                data=None if data is None else dict(data),
            )
        )

    def of(self, fusion_id: str, *, after: int = 0, limit: int) -> tuple[FusionEvent, ...]:
        query = select(fusion_events).where(
            fusion_events.c.fusion == fusion_id, fusion_events.c.seq > after
        )
        rows = self._connection.execute(query.order_by(fusion_events.c.seq).limit(limit))
        return tuple(_event(row) for row in rows)


def _event(row: Row[Any]) -> FusionEvent:
    return FusionEvent(
        fusion_id=row.fusion,
        seq=row.seq,
        at=row.at,
        kind=FusionEventKind(row.kind),
        generation=row.generation,
        attempt=row.attempt,
        step=row.step,
        data=row.data,
    )
