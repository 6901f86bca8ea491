"""The client of Mix-of-Show Federation.

    from mos_client import Session, TuningSettings, tune_concept

    settings = TuningSettings(name="ada/potter", words=("<potter1>", "<potter2>"),
                              class_word="man", base="models/sd15")
    tune_concept(settings, Path("pictures"), out=Path("potter-package"), work=Path("work"))
    with Session("http://center:8000", token="…") as center:
        submission = center.submit(Path("potter-package"))
        fusion = center.request_fusion("demo", "tinyworld", ["ada/potter", "ben/cat@2"])
        for fusion in center.watch_fusion(fusion.id):
            print(fusion.state, fusion.progress.message)
        center.pull("demo@latest", Path("demo"))

Importing this package is cheap: what a name needs is loaded when it is first used, so that the
command line starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mos_client.concept_builder import PackageOptions, tune_concept
    from mos_client.session import (
        AliasMove,
        Backoff,
        Base,
        CenterInfo,
        Composition,
        CompositionState,
        Concept,
        ConceptDetail,
        ConceptOverview,
        Evaluation,
        EvaluationState,
        Fusion,
        FusionState,
        Invitation,
        Lineage,
        Mark,
        Me,
        Member,
        ModelFile,
        ModelVersion,
        NewToken,
        PartWeights,
        Session,
        Submission,
        SubmissionState,
        Tls,
        Token,
        TransferProgress,
        WeightedConcept,
        Welcome,
        Withdrawn,
    )
    from mos_client.tuning import LearningRates, TuneProgress, TuningSettings

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
    "LearningRates",
    "Lineage",
    "Mark",
    "Me",
    "Member",
    "ModelFile",
    "ModelVersion",
    "NewToken",
    "PackageOptions",
    "PartWeights",
    "Session",
    "Submission",
    "SubmissionState",
    "Tls",
    "Token",
    "TransferProgress",
    "TuneProgress",
    "TuningSettings",
    "WeightedConcept",
    "Welcome",
    "Withdrawn",
    "tune_concept",
]
_PLACES = {
    "LearningRates": "mos_client.tuning",
    "PackageOptions": "mos_client.concept_builder",
    "TuneProgress": "mos_client.tuning",
    "TuningSettings": "mos_client.tuning",
    "tune_concept": "mos_client.concept_builder",
}


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module(_PLACES.get(name, "mos_client.session")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
