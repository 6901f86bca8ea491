"""A concept attached to a base model: its tokens, embedding rows and adapters.

Legend: W words, L cross-attention layers, d width, r rank.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self

import torch
from torch import nn

from mos_diffusion.adapters import (
    LoraFactors,
    add_lora,
    lora_factors,
    lora_parameters,
    remove_lora,
    set_lora_scale,
)
from mos_diffusion.base_model import BaseModel, cross_attention_paths
from mos_diffusion.concept_file import ConceptWeights
from mos_diffusion.concept_tokens import ConceptRows, with_concept_tokens

ENCODER = "text_encoder"


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
        """rows: (W, L, d) fp32, first values of the embeddings, or (W, 1, d), one for all layers;
        ranks: of every layer with LoRA.

        The factors' first values are PEFT's own.
        """
        self.base = base
        self.words = tuple(words)
        self.layers = tuple(ranks)
        self.scale = 1.0
        self._adapter = "concept-" + "+".join(word.strip("<>") for word in words)
        self._tokenizer = base.tokenizer
        self._table = base.text_encoder.get_input_embeddings()
        depth = len(cross_attention_paths(base.unet))
        base.tokenizer = with_concept_tokens(base.tokenizer, words, depth)
        self._rows = ConceptRows(self._table, rows.to(base.device), len(self._tokenizer), depth)
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

    @contextmanager
    def without(self, layers: Collection[str]) -> Iterator[None]:
        """Leave the LoRA updates of these layers out inside the block."""
        set_lora_scale(self.base, self._adapter, layers, 0.0)
        try:
            yield
        finally:
            set_lora_scale(self.base, self._adapter, layers, self.scale)

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
        """The live embedding rows, fp32: (W, L, d), or (W, 1, d) that all layers share."""
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
        return ConceptWeights(self.words, {ENCODER: _copy(self._rows.by_layer())}, lora)

    @torch.no_grad()
    def load(self, weights: ConceptWeights) -> None:
        """Copy values into the live parameters; raise `ValueError` when they don't fit."""
        live = self.lora_factors()
        if weights.words != self.words or weights.lora.keys() != live.keys():
            raise ValueError("these weights are of another concept or for other layers")
        rows = self._rows.rows
        _copy_into(rows, weights.embeddings[ENCODER][:, : rows.shape[1]])
        for layer, factors in weights.lora.items():
            _copy_into(live[layer].down, factors.down)
            _copy_into(live[layer].up, factors.up)

    def _lora_parameters(self, model: str) -> Iterator[nn.Parameter]:
        layers = [layer for layer in self.layers if layer.startswith(f"{model}.")]
        return lora_parameters(self.base, self._adapter, layers)


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True).contiguous()


def _copy_into(parameter: torch.Tensor, values: torch.Tensor) -> None:
    if parameter.shape != values.shape:
        raise ValueError(f"expected shape {tuple(parameter.shape)}, got {tuple(values.shape)}")
    parameter.copy_(values)
