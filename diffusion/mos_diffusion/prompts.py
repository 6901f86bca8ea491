"""Layer-wise prompts: every concept word has its own embedding in each cross-attention layer.

A prompt is written once. For layer i each concept word is replaced by that word's token of layer
i; the variants are encoded as one batch and flattened, so that stock pipelines carry them:

    prompts = layerwise(pipe)
    pipe(**prompts("a <potter1> <potter2> on the beach"), num_inference_steps=20)

Legend: B prompts, L cross-attention layers, T tokens per prompt, d width.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from mos_diffusion.attention import install_slices, remove_slices
from mos_diffusion.base_model import BaseModel
from mos_diffusion.concept_tokens import layer_tokens, shared_words


class LayerwisePrompts:
    """Encodes prompts for a pipeline or a base model whose cross-attention takes L·T states."""

    def __init__(self, model: BaseModel | Any) -> None:
        self._model = model
        self.tokens: int = model.text_encoder.config.max_position_embeddings
        self.layers = install_slices(model.unet, self.tokens)
        self._known: tuple[Any, int, dict[int, list[int]]] | None = None

    def __call__(
        self, prompt: str | Sequence[str], negative_prompt: str | Sequence[str] = ""
    ) -> dict[str, torch.Tensor]:
        """Arguments for a stock pipeline: `prompt_embeds`, `negative_prompt_embeds` (B, L·T, d).

        One negative prompt serves all prompts; several must be as many as the prompts.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if isinstance(negative_prompt, str):
            negatives = [negative_prompt] * len(prompts)
        else:
            negatives = list(negative_prompt)
        if len(negatives) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts, but {len(negatives)} negative prompts")
        # Whatever swapped the processors since (attention slicing does) must not see L·T states.
        install_slices(self._model.unet, self.tokens)
        with torch.no_grad():
            return {
                "prompt_embeds": self.encode(prompts),
                "negative_prompt_embeds": self._states(self._tokenize(negatives)),
            }

    def encode(self, prompts: str | Sequence[str]) -> torch.Tensor:
        """States (B, L·T, d) in the text encoder's dtype; gradients flow when they are enabled."""
        return self._states(self.token_ids(prompts))

    def token_ids(self, prompts: str | Sequence[str]) -> torch.Tensor:
        """Ids (B, T) int64 with plain concept tokens, padded; longer prompts are cut, warning."""
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        tokenizer = self._model.tokenizer
        longest = max(map(len, tokenizer(prompts, verbose=False).input_ids))
        if longest > self.tokens:
            warnings.warn(f"a prompt of {longest} tokens was cut to {self.tokens}", stacklevel=3)
        return self._tokenize(prompts)

    def expand(self, ids: torch.Tensor) -> torch.Tensor:
        """Ids (B, T) → (B, L, T): in variant i every concept word is its token of layer i."""
        variants = ids[:, None].repeat(1, self.layers, 1)
        for plain, per_layer in self.word_tokens().items():
            own = torch.tensor(per_layer)[None, :, None]
            variants = torch.where(variants == plain, own, variants)
        return variants

    def word_tokens(self) -> dict[int, list[int]]:
        """The concept words that the tokenizer has now: plain id → ids by layer."""
        tokenizer = self._model.tokenizer
        if self._known is None or self._known[:2] != (tokenizer, len(tokenizer)):
            self._known = (tokenizer, len(tokenizer), layer_tokens(tokenizer, self.layers))
        return self._known[2]

    def remove(self) -> None:
        """Restore the UNet's own attention processors."""
        remove_slices(self._model.unet)

    def _tokenize(self, prompts: list[str]) -> torch.Tensor:
        ids: torch.Tensor = self._model.tokenizer(
            prompts,
            padding="max_length",
            max_length=self.tokens,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return ids

    def _states(self, ids: torch.Tensor) -> torch.Tensor:
        encoder = self._model.text_encoder
        variants, places = self._variants(ids)
        states: torch.Tensor = encoder(variants.to(encoder.device))[0].to(encoder.dtype)
        return states[places.to(states.device)].flatten(1, 2)

    def _variants(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Distinct token rows (N, T) to encode, and for (prompt, layer) which row it is, (B, L).

        A prompt without a word that differs by layer is encoded once.
        """
        shared = shared_words(self._model.text_encoder.get_input_embeddings())
        differing = torch.tensor(list(self.word_tokens().keys() - shared), dtype=ids.dtype)
        concept = torch.isin(ids, differing).any(1)
        sizes = torch.where(concept, self.layers, 1)
        first = sizes.cumsum(0) - sizes
        expanded = self.expand(ids)
        rows = [expanded[b, : sizes[b]] for b in range(len(ids))]
        steps = torch.arange(self.layers) * concept[:, None]
        return torch.cat(rows), first[:, None] + steps


def layerwise(pipe: BaseModel | Any) -> LayerwisePrompts:
    """Make a stock Stable Diffusion pipeline (or a base model) understand layer-wise prompts.

    Words are found in the tokenizer's added tokens; calling it again is harmless.
    """
    return LayerwisePrompts(pipe)
