"""What the words of an imported concept mean to the text encoder.

Other tools have one embedding per word; ours has one per word and cross-attention layer, so each
is repeated for every layer.
Legend: W words, L cross-attention layers, d width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from mos_diffusion.base_model import BaseModel, cross_attention_paths, token_table
from mos_diffusion.formats import read_embedding
from mos_protocol.errors import InvalidRequest

from mos_client.importing.settings import ImportSettings

ENCODER = "text_encoder"
WordsFrom = Literal["embedding", "trigger", "class_word"]


def word_rows(
    base: BaseModel, settings: ImportSettings, bundled: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, WordsFrom]:
    """The words' embeddings (W, L, d) fp32, and where they are from.

    `bundled` are the embeddings inside the LoRA's file, `<encoder>.<word>` → (n, d). Raises
    `InvalidRequest` when there are more or fewer rows than words, or of another width.
    """
    rows, source = _rows(base, settings, bundled)
    words, width = len(settings.words), token_table(base.text_encoder).embedding_dim
    if rows.shape[1] != width:
        raise InvalidRequest(
            f"The embedding is {rows.shape[1]} wide, this base's are {width}.",
            hint="It is for another base model.",
        )
    if len(rows) != words:
        raise InvalidRequest(
            f"The {source.replace('_', ' ')} has {len(rows)} tokens, but there are {words} words: "
            f"{' '.join(settings.words)}.",
            hint="Give as many words in --word as there are tokens.",
        )
    layers = len(cross_attention_paths(base.unet))
    return rows.float().cpu()[:, None].repeat(1, layers, 1), source


def _rows(
    base: BaseModel, settings: ImportSettings, bundled: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, WordsFrom]:
    """The rows (n, d) of the first source that there is."""
    if settings.embedding is not None:
        found = read_embedding(settings.embedding)
        if found.keys() != {ENCODER}:
            raise InvalidRequest(
                f"{settings.embedding} is for a model with other text encoders: "
                f"{', '.join(sorted(found))}.",
                hint="It is for another base model.",
            )
        return found[ENCODER], "embedding"
    if settings.trigger is not None:
        return _token_rows(base, settings.trigger), "trigger"
    if bundled:
        return _only(bundled), "embedding"
    row = _token_rows(base, settings.kind)
    if len(row) != 1:
        raise InvalidRequest(
            f"The class word {settings.kind!r} is {len(row)} tokens of this base model, not one.",
            hint='Choose a simpler word, for example "man", "cat" or "chair".',
        )
    return row.repeat(len(settings.words), 1), "class_word"


def _token_rows(base: BaseModel, text: str) -> torch.Tensor:
    """The base's own embeddings of a text's tokens, (n, d)."""
    ids: Sequence[int] = base.tokenizer(text, add_special_tokens=False).input_ids
    return token_table(base.text_encoder).weight.detach()[list(ids)].cpu()


def _only(bundled: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The one embedding that a LoRA's file bundles for our text encoder."""
    own = {name: rows for name, rows in bundled.items() if name.startswith(f"{ENCODER}.")}
    if len(own) != 1 or len(bundled) != 1:
        raise InvalidRequest(
            f"The file bundles {len(bundled)} embeddings: {', '.join(sorted(bundled))[:200]}.",
            hint="Say which one the words mean: --trigger, or --embedding with a file of its own.",
        )
    return next(iter(own.values()))
