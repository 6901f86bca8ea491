"""ED-LoRA: a concept as per-layer word embeddings plus low-rank updates of attention layers.

Legend: W words, L cross-attention layers, d width, r rank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Linear
from mos_protocol.methods import LAYER_PARTS, METHODS, Layers, Method, TuningMethod
from torch import nn

from mos_diffusion.adapters import LoraFactors
from mos_diffusion.attached_concept import ENCODER, AttachedConcept
from mos_diffusion.base_model import (
    BaseModel,
    bare_linear,
    blocks,
    cross_attention_paths,
    extra_blocks,
    find_layer,
    token_table,
)
from mos_diffusion.concept_file import ConceptWeights, load_concept, save_concept

__all__ = [
    "AttachedConcept",
    "ConceptWeights",
    "LoraFactors",
    "add_deltas",
    "attach_concept",
    "load_concept",
    "new_concept",
    "save_concept",
]

RANDOM_WORD_STD = 0.013


def attach_concept(
    base: BaseModel, weights: ConceptWeights, *, scale: float = 1.0
) -> AttachedConcept:
    """Attach a tuned concept, frozen; raise `Conflict` or `InvalidRequest` if it doesn't fit."""
    known = [layer.name for layer in _layers(base, "all")] + _extra_layer_names(base)
    unknown = sorted(weights.lora.keys() - set(known)) or _without_rank(weights)
    shape = (len(weights.words), len(cross_attention_paths(base.unet)), _width(base))
    rows = weights.embeddings.get(ENCODER)
    if unknown or rows is None or tuple(rows.shape) != shape:
        problem = f"layer {unknown[0]}" if unknown else f"embeddings, expected shape {shape}"
        raise InvalidRequest(
            f"The concept {' '.join(weights.words)} does not fit this base model: {problem}.",
            hint="Use the base model that the concept was tuned on.",
        )
    ranks = {name: len(weights.lora[name].down) for name in known if name in weights.lora}
    concept = AttachedConcept(base, weights.words, rows.clone().float(), ranks)
    try:
        concept.load(weights)
    except ValueError as error:
        concept.detach()
        raise InvalidRequest(
            f"The concept {' '.join(weights.words)} does not fit this base model: {error}.",
            hint="Use the base model that the concept was tuned on.",
        ) from error
    concept.set_scale(scale)
    for parameter in _parameters(concept):
        parameter.requires_grad_(False)
    return concept


def new_concept(
    base: BaseModel,
    words: Sequence[str],
    class_word: str,
    *,
    rank: int = 0,
    layers: Layers = "all",
    seed: int,
    method: Method = "ed-lora",
) -> AttachedConcept:
    """Attach an untrained concept whose parameters are the only trainable ones of the base.

    The last word starts as `class_word`; the words before it, and a modifier, as one normal draw
    each, the same for every layer (std 0.013). Factors start as down Kaiming-uniform (a = √5),
    up 0. Without a bound on the rank, the factor on a layer's narrower side is the identity and
    frozen, and the other starts at 0: so training it is training the update itself.
    """
    recipe = METHODS[method]
    generator = torch.Generator().manual_seed(seed)
    rows = _initial_rows(base, len(words), class_word, generator, recipe)
    changed = _layers(base, layers)
    full = {layer.name: min(layer.d_in, layer.d_out) for layer in changed}
    ranks = full if recipe.full_rank else dict.fromkeys(full, rank)
    concept = AttachedConcept(base, words, rows, ranks)
    for model in (base.text_encoder, base.unet, base.vae):
        model.requires_grad_(False)
    for parameter in _parameters(concept):
        parameter.requires_grad_(True)
    for factors in concept.lora_factors().values():
        if recipe.full_rank:
            _start_full(factors)
        else:
            _start_low(factors, generator)
    return concept


@torch.no_grad()
def add_deltas(base: BaseModel, deltas: Mapping[str, torch.Tensor]) -> None:
    """Add dense updates (d_out, d_in) to the named layers' weights in place, rounding once."""
    for layer, delta in deltas.items():
        weight = bare_linear(find_layer(base, layer)).weight
        change = delta.double().cpu().reshape(weight.shape)
        weight.copy_((weight.double().cpu() + change).to(weight.dtype))


def _initial_rows(
    base: BaseModel,
    words: int,
    class_word: str,
    generator: torch.Generator,
    recipe: TuningMethod,
) -> torch.Tensor:
    """First embeddings (W, L, d) fp32, or (W, 1, d) for all layers."""
    ids = base.tokenizer(class_word, add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise InvalidRequest(
            f"The class word {class_word!r} is {len(ids)} tokens of this base model, not one.",
            hint='Choose a simpler word, for example "man", "cat" or "chair".',
        )
    drawn = words if recipe.modifier else words - 1
    rows = torch.randn(drawn, _width(base), generator=generator) * RANDOM_WORD_STD
    if not recipe.modifier:
        last = token_table(base.text_encoder).weight[ids[0]].detach().to("cpu", torch.float32)
        rows = torch.cat([rows, last[None]])
    depth = len(cross_attention_paths(base.unet)) if recipe.layer_wise else 1
    return rows[:, None].repeat(1, depth, 1)


@torch.no_grad()
def _start_low(factors: LoraFactors, generator: torch.Generator) -> None:
    down = torch.empty(factors.down.shape)
    nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
    factors.down.copy_(down)
    factors.up.zero_()


@torch.no_grad()
def _start_full(factors: LoraFactors) -> None:
    narrow = factors.down if len(factors.up) >= factors.down.shape[1] else factors.up
    for factor in factors:
        factor.zero_()
    nn.init.eye_(narrow)
    narrow.requires_grad_(False)


def _layers(base: BaseModel, layers: Layers) -> list[Linear]:
    """The attention layers that change, block by block."""
    parts = LAYER_PARTS[layers]
    return [layer for block in blocks(base) for layer in block.layers if layer.part in parts]


def _extra_layer_names(base: BaseModel) -> list[str]:
    return [layer.name for block in extra_blocks(base) for layer in block.layers]


def _without_rank(weights: ConceptWeights) -> list[str]:
    """The layers whose factors are no (r, d_in) with r ≥ 1."""
    return [
        layer
        for layer, factors in weights.lora.items()
        if factors.down.dim() != 2 or not len(factors.down)
    ]


def _parameters(concept: AttachedConcept) -> list[nn.Parameter]:
    return [
        *concept.embedding_parameters(),
        *concept.text_encoder_lora_parameters(),
        *concept.unet_lora_parameters(),
    ]


def _width(base: BaseModel) -> int:
    return token_table(base.text_encoder).embedding_dim
