"""Captions: `<TOK>` stands for the concept, and augmentation never separates it from its phrase."""

from __future__ import annotations

import random
from collections.abc import Sequence

PLACEHOLDER = "<TOK>"
DEFAULT_CAPTION = f"a {PLACEHOLDER}"

STYLE_PHRASES = ("photo", "rendering", "painting", "drawing", "close-up", "illustration")
QUALITY_PHRASES = ("high quality", "best quality", "detailed", "sharp focus", "4k", "8k")


def names_concept(caption: str, words: Sequence[str]) -> bool:
    """Whether the concept appears: by the placeholder or by all of its words."""
    return PLACEHOLDER in caption or all(word in caption for word in words)


def fill_caption(caption: str, trigger: str) -> str:
    """The caption with `<TOK>` replaced by the concept's words."""
    return caption.replace(PLACEHOLDER, trigger)


def shuffle_phrases(caption: str, rng: random.Random) -> str:
    """Shuffle the comma-separated phrases but the first one, which names the subject."""
    first, *rest = [phrase.strip() for phrase in caption.split(",") if phrase.strip()] or [caption]
    rng.shuffle(rest)
    return ", ".join([first, *rest])


def append_phrases(caption: str, rng: random.Random) -> str:
    """Append a style phrase, a quality phrase, both or none, each with even chances."""
    chosen = [
        rng.choice(phrases) for phrases in (STYLE_PHRASES, QUALITY_PHRASES) if rng.random() < 0.5
    ]
    return ", ".join([caption, *chosen])
