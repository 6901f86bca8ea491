"""A concept's words as tokens: their names, and their embedding rows beside the base's table.

The word `<potter1>` has the plain token `<potter1>` and one token per cross-attention layer,
`<potter1|0>` … `<potter1|15>`. Ids follow the base's vocabulary, word by word, the plain one first.
Legend: W words, L cross-attention layers, d width.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

import torch
from mos_protocol.errors import Conflict, InvalidRequest
from tokenizers import AddedToken
from torch import nn
from transformers import CLIPTokenizer

_LAYER_TOKEN = re.compile(r"^(<[a-z0-9_-]{1,40})\|(\d{1,4})>$")


class ConceptRows(nn.Module):
    """Looks up the ids `first` … in the concept's rows and every other id in `inner`.

    `rows` (W, L, d) fp32, or (W, 1, d) that all `layers` share, are the only parameters besides
    the frozen inner table; the plain token of a word is the mean of its rows.
    """

    def __init__(self, inner: nn.Module, rows: torch.Tensor, first: int, layers: int) -> None:
        super().__init__()
        self.inner = inner
        # In a list, which is a submodule behind `inner`: the model's dtype is that of its first
        # parameter, and must stay the base's.
        self.concept_rows = nn.ParameterList([nn.Parameter(rows)])
        self.first = first
        self.layers = layers

    @property
    def rows(self) -> nn.Parameter:
        rows: nn.Parameter = self.concept_rows[0]
        return rows

    def by_layer(self) -> torch.Tensor:
        """The embedding of every word for every layer, (W, L, d)."""
        return self.rows.expand(-1, self.layers, -1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids: (…) int64 → embeddings (…, d) in the inner table's dtype."""
        table = torch.cat([self.rows.mean(1, keepdim=True), self.by_layer()], dim=1).flatten(0, 1)
        own = (ids >= self.first) & (ids < self.first + len(table))
        found = self.inner(ids.masked_fill(own, 0))
        rows = table[torch.where(own, ids - self.first, 0)]
        return torch.where(own[..., None], rows.to(found.dtype), found)


def shared_words(embeddings: nn.Module) -> set[int]:
    """Ids of the words, of all concepts attached, that have one embedding for all layers."""
    found: set[int] = set()
    while isinstance(embeddings, ConceptRows):
        if embeddings.rows.shape[1] == 1:
            step = embeddings.layers + 1
            found |= {embeddings.first + word * step for word in range(len(embeddings.rows))}
        embeddings = embeddings.inner
    return found


def token_names(word: str, layers: int) -> list[str]:
    """All tokens of a word, the plain one first."""
    return [word, *(f"{word[:-1]}|{layer}>" for layer in range(layers))]


def with_concept_tokens(
    tokenizer: CLIPTokenizer, words: Sequence[str], layers: int
) -> CLIPTokenizer:
    """A copy of the tokenizer that has the tokens of `words`; raise `Conflict` if it has one."""
    taken = sorted(set(words) & tokenizer.get_added_vocab().keys())
    if taken:
        raise Conflict(
            f"The word {taken[0]} is already in the model.",
            hint="Give the concept words that no other concept uses.",
        )
    extended = copy.deepcopy(tokenizer)
    names = [name for word in words for name in token_names(word, layers)]
    extended.add_tokens([AddedToken(name, normalized=False, special=False) for name in names])
    return extended


def layer_tokens(tokenizer: CLIPTokenizer, layers: int) -> dict[int, list[int]]:
    """For each concept word in the tokenizer: the plain token's id → its L per-layer ids.

    Raises `InvalidRequest` when a word has tokens for another number of layers.
    """
    added = tokenizer.get_added_vocab()
    counts: dict[str, int] = {}
    for match in filter(None, map(_LAYER_TOKEN.match, added)):
        counts[match[1] + ">"] = counts.get(match[1] + ">", 0) + 1
    found = {}
    for word, count in counts.items():
        names = token_names(word, layers)
        if count != layers or not added.keys() >= set(names):
            raise InvalidRequest(
                f"{word} has tokens for {count} layers; this model has {layers}.",
                hint="Use the tokenizer that belongs to the model.",
            )
        found[added[word]] = [added[name] for name in names[1:]]
    return found
