"""ED-LoRA: a concept as per-layer word embeddings plus low-rank updates of attention layers.

Legend: W words, L cross-attention layers, d width, r rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Self

import torch
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part
from torch import nn

from mos_diffusion.adapters import (
    LoraFactors,
    add_lora,
    lora_factors,
    lora_parameters,
    remove_lora,
    set_lora_scale,
)
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
from mos_diffusion.concept_tokens import ConceptRows, with_concept_tokens

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

ENCODER = "text_encoder"
RANDOM_WORD_STD = 0.013


class AttachedConcept:
    """A concept on a base model: tokens, embedding rows and adapters, until `detach()`.

    As a context manager it detaches at the end. Concepts are detached in reverse order.
    """

    def __init__(
        self,
        base: BaseModel,
        words: Sequence[str],
        rows: torch.Tensor,
        ranks: Mapping[str, int],
    ) -> None:
        """rows: (W, L, d) fp32, first values of the embeddings; ranks: of every layer with LoRA.

        The factors' first values are PEFT's own.
        """
        self.base = base
        self.words = tuple(words)
        self.layers = tuple(ranks)
        self.scale = 1.0
        self._adapter = "concept-" + "+".join(word.strip("<>") for word in words)
        self._tokenizer = base.tokenizer
        self._table = base.text_encoder.get_input_embeddings()
        base.tokenizer = with_concept_tokens(base.tokenizer, words, rows.shape[1])
        self._rows = ConceptRows(self._table, rows.to(base.device), len(self._tokenizer))
        base.text_encoder.set_input_embeddings(self._rows)
        try:
            add_lora(base, self._adapter, ranks)
        except BaseException:
            self.detach()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()

    def set_scale(self, scale: float) -> None:
        """Multiply the LoRA updates by `scale`; the words' embeddings stay as they are."""
        set_lora_scale(self.base, self._adapter, self.layers, scale)
        self.scale = scale

    def detach(self) -> None:
        """Restore the base exactly as it was found; raise `RuntimeError` out of order."""
        if self.base.text_encoder.get_input_embeddings() is not self._rows:
            raise RuntimeError(f"{self.words} is not the concept that was attached last")
        remove_lora(self.base, self._adapter)
        self.base.text_encoder.set_input_embeddings(self._table)
        self.base.tokenizer = self._tokenizer

    def lora_factors(self) -> dict[str, LoraFactors]:
        """The live factors per layer."""
        return lora_factors(self.base, self._adapter, self.layers)

    def embedding_rows(self) -> nn.Parameter:
        """The live embedding rows (W, L, d), fp32."""
        return self._rows.rows

    def embedding_parameters(self) -> list[nn.Parameter]:
        """What is trained of the embeddings: the concept's rows."""
        return [self._rows.rows]

    def text_encoder_lora_parameters(self) -> list[nn.Parameter]:
        """The factors on the text encoder, down and up, layer by layer."""
        return list(self._lora_parameters(ENCODER))

    def unet_lora_parameters(self) -> list[nn.Parameter]:
        """The factors on the UNet, down and up, layer by layer."""
        return list(self._lora_parameters("unet"))

    def weights(self) -> ConceptWeights:
        """A copy on the CPU, fp32."""
        lora = {
            layer: LoraFactors(_copy(factors.down), _copy(factors.up))
            for layer, factors in self.lora_factors().items()
        }
        return ConceptWeights(self.words, {ENCODER: _copy(self._rows.rows)}, lora)

    @torch.no_grad()
    def load(self, weights: ConceptWeights) -> None:
        """Copy values into the live parameters; raise `ValueError` when they don't fit."""
        live = self.lora_factors()
        if weights.words != self.words or weights.lora.keys() != live.keys():
            raise ValueError("these weights are of another concept or for other layers")
        _copy_into(self._rows.rows, weights.embeddings[ENCODER])
        for layer, factors in weights.lora.items():
            _copy_into(live[layer].down, factors.down)
            _copy_into(live[layer].up, factors.up)

    def _lora_parameters(self, model: str) -> Iterator[nn.Parameter]:
        layers = [layer for layer in self.layers if layer.startswith(f"{model}.")]
        return lora_parameters(self.base, self._adapter, layers)


def attach_concept(
    base: BaseModel, weights: ConceptWeights, *, scale: float = 1.0
) -> AttachedConcept:
    """Attach a tuned concept, frozen; raise `Conflict` or `InvalidRequest` if it doesn't fit."""
    known = _layer_names(base, "all") + _extra_layer_names(base)
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
    rank: int,
    layers: Literal["all", "cross"] = "all",
    seed: int,
) -> AttachedConcept:
    """Attach an untrained concept whose parameters are the only trainable ones of the base.

    The last word starts as `class_word`; the words before it as one normal draw each, the same
    for every layer (std 0.013); factors start as down Kaiming-uniform (a = √5), up 0.
    `layers="cross"` adapts only cross-attention keys and values, and the text encoder.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = _initial_rows(base, len(words), class_word, generator)
    ranks = dict.fromkeys(_layer_names(base, layers), rank)
    concept = AttachedConcept(base, words, rows, ranks)
    with torch.no_grad():
        for factors in concept.lora_factors().values():
            down = torch.empty(factors.down.shape)
            nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
            factors.down.copy_(down)
            factors.up.zero_()
    for model in (base.text_encoder, base.unet, base.vae):
        model.requires_grad_(False)
    for parameter in _parameters(concept):
        parameter.requires_grad_(True)
    return concept


@torch.no_grad()
def add_deltas(base: BaseModel, deltas: Mapping[str, torch.Tensor]) -> None:
    """Add dense updates (d_out, d_in) to the named layers' weights in place, rounding once."""
    for layer, delta in deltas.items():
        weight = bare_linear(find_layer(base, layer)).weight
        change = delta.double().cpu().reshape(weight.shape)
        weight.copy_((weight.double().cpu() + change).to(weight.dtype))


def _initial_rows(
    base: BaseModel, words: int, class_word: str, generator: torch.Generator
) -> torch.Tensor:
    """First embeddings (W, L, d) fp32."""
    ids = base.tokenizer(class_word, add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise InvalidRequest(
            f"The class word {class_word!r} is {len(ids)} tokens of this base model, not one.",
            hint='Choose a simpler word, for example "man", "cat" or "chair".',
        )
    last = token_table(base.text_encoder).weight[ids[0]].detach().to("cpu", torch.float32)
    random = torch.randn(words - 1, _width(base), generator=generator) * RANDOM_WORD_STD
    rows = torch.cat([random, last[None]])
    return rows[:, None].repeat(1, len(cross_attention_paths(base.unet)), 1)


def _layer_names(base: BaseModel, layers: Literal["all", "cross"]) -> list[str]:
    """Names of the layers that carry LoRA, block by block."""
    return [
        layer.name
        for block in blocks(base)
        for layer in block.layers
        if layers == "all" or layer.part != Part.SPATIAL
    ]


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


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True)


def _copy_into(parameter: torch.Tensor, values: torch.Tensor) -> None:
    if parameter.shape != values.shape:
        raise ValueError(f"expected shape {tuple(parameter.shape)}, got {tuple(values.shape)}")
    parameter.copy_(values)
