"""The ways in which every concept is tuned: the paper's four methods, and what helps fusion.

Rates are 20 (embeddings) to 60 (text encoder) times those of the method, and Custom Diffusion's
those by which it learned most: a base of eight million parameters, tuned in 300 steps, takes far
higher ones than Stable Diffusion. All else is the method's but for what a comment says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mos_client.tuning.settings import LearningRates
from mos_protocol.methods import METHODS, Layers, Method

STEPS = 300
# Identity is measured on whole pictures, so all of each counts; the base's own embeddings are
# longer than the norm that stops the paper's; and so short a tuning learns no colours unless the
# steps of much noise count, which decide them.
COMMON: Mapping[str, Any] = MappingProxyType(
    {
        "steps": STEPS,
        "unmasked_weight": 1.0,
        "embedding_norm_stop": None,
        "loss_weighting": "debiased",
    }
)


@dataclass(frozen=True)
class Recipe:
    """One way to tune: a method, and its settings beyond `COMMON` and the method's own."""

    name: str
    method: Method
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def recording(self) -> str:
        """What its moments are recorded on, unless a study asks for something else."""
        return METHODS[self.method].recording

    @property
    def words(self) -> int:
        """How many of a concept's two words it has."""
        return 1 if METHODS[self.method].one_word else 2


def _ed_lora(name: str, layers: Layers, rank: int = 4, **settings: Any) -> Recipe:
    rates = LearningRates(embedding=2e-2, text_encoder=6e-4, unet=3e-3)
    chosen = {"learning_rates": rates, "layers": layers, "rank": rank, **settings}
    return Recipe(name, "ed-lora", chosen)


AS_IN_PAPER = _ed_lora("all", "all")
ALL_LAYERS = _ed_lora("all-prior-0.5", "all", prior_penalty=0.5)
MIX_OF_SHOW = _ed_lora("kv-16-prior-0.5", "keys-values", rank=16, prior_penalty=0.5)
LORA = Recipe(
    "lora",
    "lora",
    {"learning_rates": LearningRates(embedding=1e-2, text_encoder=6e-4, unet=3e-3)},
)
P_PLUS = Recipe("p-plus", "p-plus", {"learning_rates": LearningRates(2e-2, 0.0, 0.0)})
CUSTOM_DIFFUSION = Recipe(
    "custom-diffusion",
    "custom-diffusion",
    {
        "learning_rates": LearningRates(1e-2, 0.0, 3e-4),
        "regularisation_images": 48,
        # A picture of 64 pixels that is shrunk to a third shows nothing: with the method's zoom,
        # held-out pictures were denoised worse than with the class word.
        "zoom": False,
    },
)
FUSION_AWARE: tuple[Recipe, ...] = (
    AS_IN_PAPER,
    ALL_LAYERS,
    _ed_lora("cross-prior-0.5", "cross", prior_penalty=0.5),
    _ed_lora("kv-4-prior-0.5", "keys-values", prior_penalty=0.5),
    MIX_OF_SHOW,
    _ed_lora("kv-16", "keys-values", rank=16),
    _ed_lora("kv-16-prior-2", "keys-values", rank=16, prior_penalty=2.0),
    _ed_lora(
        "kv-16-prior-0.5-embedding-first",
        "keys-values",
        rank=16,
        prior_penalty=0.5,
        embedding_first=0.3,
    ),
    _ed_lora("kv-16-prior-0.5-drop", "keys-values", rank=16, prior_penalty=0.5, kv_drop=0.2),
)
RECIPES = {recipe.name: recipe for recipe in (*FUSION_AWARE, LORA, P_PLUS, CUSTOM_DIFFUSION)}
