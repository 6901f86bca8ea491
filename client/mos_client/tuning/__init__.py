"""Tuning one concept: `tune(settings, data, work)` → weights; `concept_builder` packs them."""

from mos_client.tuning.defaults import LearningRates, default_prior_penalty
from mos_client.tuning.progress import Phase, TuneProgress
from mos_client.tuning.run import TunedConcept, tune
from mos_client.tuning.settings import TuningSettings

__all__ = [
    "LearningRates",
    "Phase",
    "TuneProgress",
    "TunedConcept",
    "TuningSettings",
    "default_prior_penalty",
    "tune",
]
