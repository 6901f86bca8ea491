"""The concepts' words in the published model: tokens, table rows, and their own files.

A word has a plain token, whose row is the mean over the layers (float64), and one token per
cross-attention layer. Rows are placed by token id. Legend: L layers, d width, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mos_diffusion.concept_tokens import token_names, with_concept_tokens
from mos_diffusion.tensor_file import write_all
from mos_protocol.errors import InvalidRequest
from torch import Tensor
from transformers import CLIPTokenizer

from mos_center.fusion.components import copy_component, write_json
from mos_center.fusion.delta import round_to
from mos_center.fusion.recipe import Recipe
from mos_center.fusion.sources import ConceptSource

FORMAT = "mos-concepts/1"
CONCEPTS_FILE = "concepts.safetensors"
CONCEPTS_INDEX = "concepts.json"
MERGES_HEADER = "#version: 0.2\n"


@dataclass(frozen=True)
class WordRows:
    """One word of one concept in one text encoder: embeddings (L, d) float32."""

    word: str
    rows: Tensor

    def token_rows(self) -> Tensor:
        """Rows (1 + L, d) float64 of the word's tokens, the plain one first."""
        rows = self.rows.double()
        return torch.cat([rows.mean(0, keepdim=True), rows])


def word_rows(concepts: Sequence[ConceptSource], encoder: str) -> list[WordRows]:
    """All words of all concepts, in the order of the request."""
    found = []
    for concept in concepts:
        embeddings = concept.load().embeddings[encoder]
        found += [
            WordRows(word, rows)
            for word, rows in zip(concept.manifest.words, embeddings, strict=True)
        ]
    return found


def extended_tokenizer(folder: Path, words: Sequence[str], layers: int) -> CLIPTokenizer:
    """The base's tokenizer with the tokens of all words; raises `Conflict` if it has one."""
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"The base's tokenizer can't be loaded: {error}") from error
    return with_concept_tokens(tokenizer, words, layers)


def token_ids(tokenizer: CLIPTokenizer, word: str, layers: int) -> list[int]:
    """Ids of the word's tokens, the plain one first."""
    ids: list[int] = tokenizer.convert_tokens_to_ids(token_names(word, layers))
    return ids


def extended_table(table: Tensor, tokenizer: CLIPTokenizer, words: Sequence[WordRows]) -> Tensor:
    """The token table (V, d) with the words' rows at their ids, in the table's dtype."""
    places = {item.word: token_ids(tokenizer, item.word, len(item.rows)) for item in words}
    size = max([len(table), *(1 + max(ids) for ids in places.values())])
    extended = torch.zeros(size, table.shape[1], dtype=table.dtype)
    extended[: len(table)] = table
    for item in words:
        extended[places[item.word]] = round_to(item.token_rows(), table.dtype)
    return extended


def write_tokenizer(base: Path, component: str, tokenizer: CLIPTokenizer, out: Path) -> None:
    """Write the tokenizer for old and new versions of transformers alike.

    New ones read tokenizer.json; old ones and other tools read vocab.json, merges.txt and the
    added tokens in tokenizer_config.json.
    """
    copy_component(base, component, out)
    folder = out / component
    (folder / "added_tokens.json").unlink(missing_ok=True)
    text = tokenizer.backend_tokenizer.to_str(pretty=True)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    content = json.loads(text)
    if not (folder / "vocab.json").is_file():
        vocabulary = json.dumps(content["model"]["vocab"], ensure_ascii=False)
        (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
    if not (folder / "merges.txt").is_file():
        merges = [m if isinstance(m, str) else " ".join(m) for m in content["model"]["merges"]]
        lines = MERGES_HEADER + "".join(f"{merge}\n" for merge in merges)
        (folder / "merges.txt").write_text(lines, encoding="utf-8")
    path = folder / "tokenizer_config.json"
    configuration = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    configuration.setdefault("tokenizer_class", "CLIPTokenizer")
    configuration["added_tokens_decoder"] = {
        str(token["id"]): {key: value for key, value in token.items() if key != "id"}
        for token in content["added_tokens"]
    }
    write_json(path, configuration)
    if not (folder / "special_tokens_map.json").is_file():
        write_json(folder / "special_tokens_map.json", tokenizer.special_tokens_map)


def write_concepts(recipe: Recipe, tokenizers: Mapping[str, CLIPTokenizer], out: Path) -> None:
    """Write `concepts.safetensors` (`<encoder>.<word>`: (L, d) float32) and `concepts.json`."""
    concepts, layer_map = recipe.concepts, recipe.base.layer_map
    layers = len(layer_map.cross_attention)
    tensors = {
        f"{encoder}.{item.word}": item.rows
        for encoder in tokenizers
        for item in word_rows(concepts, encoder)
    }
    write_all(out / CONCEPTS_FILE, tensors, {"format": FORMAT})
    index = {
        "format": FORMAT,
        "build": recipe.build,
        "base": {"name": recipe.base.name, "digest": layer_map.digest},
        "cross_attention": list(layer_map.cross_attention),
        "concepts": [
            {
                "name": concept.ref,
                "weight": concept.weights.to_json(),
                "package": concept.manifest.digest(),
                "words": list(concept.manifest.words),
                "class_word": concept.manifest.class_word,
                "trigger": concept.manifest.trigger,
                "licence": concept.manifest.licence,
                "tokens": {
                    encoder: {
                        word: token_ids(tokenizer, word, layers) for word in concept.manifest.words
                    }
                    for encoder, tokenizer in tokenizers.items()
                },
            }
            for concept in concepts
        ],
    }
    write_json(out / CONCEPTS_INDEX, index)
