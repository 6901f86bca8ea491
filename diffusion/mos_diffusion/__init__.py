"""The diffusion engine that client and center share: concepts, layer-wise prompts, moments."""

from mos_diffusion.adapters import LoraFactors
from mos_diffusion.base_model import BaseModel, base_digest, layer_map, load_base
from mos_diffusion.composing import compose
from mos_diffusion.edlora import (
    AttachedConcept,
    ConceptWeights,
    add_deltas,
    attach_concept,
    load_concept,
    new_concept,
    save_concept,
)
from mos_diffusion.moments import read_moments, record_moments, write_moments
from mos_diffusion.noise import denoising_loss, encode_pictures, noise_scheduler, noised, predict
from mos_diffusion.prompts import LayerwisePrompts, layerwise
from mos_diffusion.recording import record_data, record_paper
from mos_diffusion.sampling import sample

__all__ = [
    "AttachedConcept",
    "BaseModel",
    "ConceptWeights",
    "LayerwisePrompts",
    "LoraFactors",
    "add_deltas",
    "attach_concept",
    "base_digest",
    "compose",
    "denoising_loss",
    "encode_pictures",
    "layer_map",
    "layerwise",
    "load_base",
    "load_concept",
    "new_concept",
    "noise_scheduler",
    "noised",
    "predict",
    "read_moments",
    "record_data",
    "record_moments",
    "record_paper",
    "sample",
    "save_concept",
    "write_moments",
]
