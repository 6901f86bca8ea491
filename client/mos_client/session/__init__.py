"""Talking to a center: `Session`, and the values it gives back."""

from mos_protocol.part_weights import PartWeights

from mos_client.session.client import Session
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

__all__ = [
    "Backoff",
    "Base",
    "CenterInfo",
    "Concept",
    "ConceptDetail",
    "Fusion",
    "FusionState",
    "ModelFile",
    "ModelVersion",
    "PartWeights",
    "Session",
    "Submission",
    "SubmissionState",
    "TransferProgress",
    "WeightedConcept",
]
