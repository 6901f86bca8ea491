"""Every action that the audit log can tell of: a noun, a dot, and what was done with it."""

from __future__ import annotations

from mos_center.domain.audits import AuditState
from mos_center.domain.compositions import CompositionState
from mos_center.domain.evaluations import EvaluationState
from mos_center.domain.states import FusionState, SubmissionState

AUDIT_ACTIONS: tuple[str, ...] = tuple(
    sorted(
        {
            "alias.moved",
            "alias.removed",
            "base.added",
            "base.measured",
            "composition.released",
            "composition.requested",
            *(f"composition.{state.value}" for state in CompositionState),
            "concept.shared",
            "concept.shown",
            "concept.unshared",
            *(f"concept_audit.{state.value}" for state in AuditState),
            "evaluation.requested",
            *(f"evaluation.{state.value}" for state in EvaluationState),
            "fusion.requested",
            *(f"fusion.{state.value}" for state in FusionState),
            "invitation.created",
            "invitation.revoked",
            "invitation.used",
            "member.added",
            "member.changed",
            *(f"submission.{state.value}" for state in SubmissionState),
            "token.created",
            "token.revoked",
            "version.released",
            "version.tombstoned",
            "webhook.added",
            "webhook.pinged",
            "webhook.removed",
        }
    )
)


def actions_meant(action: str) -> tuple[str, ...]:
    """The actions that a filter means: `fusion.` all of fusions, anything else that one."""
    if not action.endswith("."):
        return (action,)
    return tuple(known for known in AUDIT_ACTIONS if known.startswith(action))
