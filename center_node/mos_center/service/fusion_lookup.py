"""Finding fusions as far as a caller may, and writing down what becomes of them."""

from __future__ import annotations

import logging
from dataclasses import asdict

from mos_protocol.errors import NotFound, PermissionDenied

from mos_center.domain.access import Caller
from mos_center.domain.events import AuditEvent
from mos_center.domain.fusion_events import FusionEventKind
from mos_center.domain.models import Fusion
from mos_center.domain.ports import Transaction
from mos_center.domain.states import FusionState

log = logging.getLogger(__name__)


def find_fusion(transaction: Transaction, fusion_id: str) -> Fusion:
    """Return the fusion; raises `NotFound`."""
    fusion = transaction.fusions.get(fusion_id)
    if fusion is None:
        raise _no_fusion(fusion_id)
    return fusion


def readable_fusion(transaction: Transaction, fusion_id: str, caller: Caller) -> Fusion:
    """Return the fusion if the caller may read it; raises `NotFound`."""
    fusion = find_fusion(transaction, fusion_id)
    if not transaction.fusions.is_readable(fusion_id, caller.viewer):
        raise _no_fusion(fusion_id)
    return fusion


def check_requester(fusion: Fusion, caller: Caller) -> None:
    """Raise `PermissionDenied` unless the caller requested it or is a curator."""
    if caller.viewer not in (None, fusion.requested_by):
        raise PermissionDenied(
            f"Fusion {fusion.id} was requested by {fusion.requested_by}.",
            hint="Ask them, or a curator.",
        )


def record_fusion(
    transaction: Transaction, fusion: Fusion, before: FusionState | None, caller: Caller
) -> None:
    """Write a fusion's change of state into the audit log, and among its own events."""
    after: dict[str, object] = {"state": fusion.state.value, "model": fusion.model}
    if before is None:
        after["concepts"] = [concept.ref for concept in fusion.concepts]
    if fusion.model_version is not None:
        after["version"] = fusion.model_version
    if fusion.error is not None:
        after["error"] = fusion.error.code
    stood = None if before is None else {"state": before.value}
    action = "fusion.requested" if before is None else f"fusion.{fusion.state.value}"
    event = AuditEvent(caller.name, action, f"fusion/{fusion.id}", stood, after)
    transaction.audit.record(event)
    kind, data = _event(fusion, before, caller)
    transaction.fusion_events.add(fusion, kind, data=data)
    log.info("%s id=%s by=%s", action, fusion.id, caller.name)


def _event(
    fusion: Fusion, before: FusionState | None, caller: Caller
) -> tuple[FusionEventKind, dict[str, object]]:
    """The event that a fusion's change of state is, and its data."""
    if fusion.error is not None:
        return FusionEventKind.FAILED, asdict(fusion.error)
    if fusion.model_version is not None:
        return FusionEventKind.PUBLISHED, {"version": fusion.model_version}
    if fusion.state is FusionState.CANCELLED:
        return FusionEventKind.CANCELLED, {"by": caller.name}
    asked = FusionEventKind.REQUESTED if before is None else FusionEventKind.RETRIED
    return asked, {"by": caller.name}


def _no_fusion(fusion_id: str) -> NotFound:
    return NotFound(f"There is no fusion {fusion_id!r}.", hint="List the fusions.")


def check_model_owner(owner: str | None, model: str, caller: Caller) -> None:
    """Raise `PermissionDenied` unless the model is the caller's, or the caller is a curator."""
    if caller.viewer not in (None, owner):
        raise PermissionDenied(
            f"The model {model!r} belongs to {owner or 'the curators'}.",
            hint="Choose another model name.",
        )
