"""The public names of the client; a change here is a change for every user."""

from __future__ import annotations

import mos_client
import mos_client.session

TUNING = {"LearningRates", "PackageOptions", "TuneProgress", "TuningSettings", "tune_concept"}


def test_the_public_surface_is_this_and_no_more():
    assert set(mos_client.__all__) - TUNING == {
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
    }
    assert set(mos_client.__all__) - TUNING == set(mos_client.session.__all__)


def test_every_public_name_is_there():
    assert all(getattr(mos_client, name).__name__ == name for name in mos_client.__all__)
    assert dir(mos_client) == sorted(mos_client.__all__)
