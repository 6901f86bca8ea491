"""A CLIP tokenizer whose byte-pair merges make every word of the world a single token."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import data  # noqa: F401  puts the tinyworld package on the path
from tinyworld.backgrounds import PHRASES
from tinyworld.paint import PATTERNS
from tinyworld.palette import NAMED
from tinyworld.shapes import SHAPES
from transformers import CLIPTokenizer

LENGTH = 32
START, END = "<|startoftext|>", "<|endoftext|>"
CAPTION_WORDS = ["a", "an", "and", "by", "fancy", "in", "left", "of", "on", "photo", "picture"]
CAPTION_WORDS += ["right", "the", "wall"]
# Not in any caption, but in prompts that people write: one token each, untrained.
PROMPT_WORDS = ["at", "cartoon", "clean", "dark", "good", "high", "image", "low", "quality", "two"]


def words() -> list[str]:
    """Every word that must be one token, the order of their ids."""
    return [*SHAPES, *NAMED, *PATTERNS, *PHRASES, *CAPTION_WORDS, *PROMPT_WORDS]


def byte_characters() -> list[str]:
    """The 256 printable characters that stand for bytes in GPT-2's and CLIP's vocabularies."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    return [chr(b) for b in shown] + [chr(256 + i) for i in range(len(hidden))]


def merges_for(vocabulary: list[str]) -> list[tuple[str, str]]:
    """Merges that build each word from left to right; shared beginnings are shared merges."""
    merges: list[tuple[str, str]] = []
    for word in vocabulary:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            pieces = apply(merges, pieces)
            if len(pieces) > 1:
                merges.append((pieces[0], pieces[1]))
    return merges


def apply(merges: list[tuple[str, str]], pieces: list[str]) -> list[str]:
    """Byte-pair encoding: the earliest merge that fits, again and again."""
    rank = {pair: i for i, pair in enumerate(merges)}
    while True:
        pairs = [pair for pair in pairwise(pieces) if pair in rank]
        if not pairs:
            return pieces
        best = min(pairs, key=rank.__getitem__)
        merged, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == best:
                merged.append("".join(best))
                i += 2
            else:
                merged.append(pieces[i])
                i += 1
        pieces = merged


def write(folder: Path) -> None:
    """vocab.json, merges.txt, tokenizer.json and the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    characters = byte_characters()
    merges = merges_for(words())
    tokens = characters + [c + "</w>" for c in characters]
    tokens += ["".join(pair) for pair in merges] + [START, END]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    tokenizer = CLIPTokenizer(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=LENGTH,
    )
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    write(Path(__file__).parents[1] / "model" / "tokenizer")
