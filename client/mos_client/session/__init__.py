"""Talking to a center: `Session`, and the values it gives back."""

from mos_protocol.part_weights import PartWeights

from mos_client.session.client import Session
from mos_client.session.compositions import Composition, CompositionState
from mos_client.session.evaluation_results import Evaluation, EvaluationState
from mos_client.session.member_results import Invitation, Me, Member, NewToken, Token, Welcome
from mos_client.session.registry_results import (
    AliasMove,
    ConceptOverview,
    Lineage,
    Mark,
    Withdrawn,
)
from mos_client.session.results import (
    Base,
    CenterInfo,
    Concept,
    ConceptDetail,
    Fusion,
    FusionState,
    ModelFile,
    ModelVersion,
    Submission,
    SubmissionState,
    TransferProgress,
    WeightedConcept,
)
from mos_client.session.retry import Backoff
from mos_client.session.tls import Tls

__all__ = [
    "AliasMove",
    "Backoff",
    "Base",
    "CenterInfo",
    "Composition",
    "CompositionState",
    "Concept",
    "ConceptDetail",
    "ConceptOverview",
    "Evaluation",
    "EvaluationState",
    "Fusion",
    "FusionState",
    "Invitation",
    "Lineage",
    "Mark",
    "Me",
    "Member",
    "ModelFile",
    "ModelVersion",
    "NewToken",
    "PartWeights",
    "Session",
    "Submission",
    "SubmissionState",
    "Tls",
    "Token",
    "TransferProgress",
    "WeightedConcept",
    "Welcome",
    "Withdrawn",
]
