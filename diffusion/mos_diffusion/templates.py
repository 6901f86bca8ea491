"""Prompts that show a concept in many contexts, for recording without pictures.

Subject alone, places, actions, styles, other subjects, and properties: what people ask for later.
`{}` stands for the concept's words.
"""

from __future__ import annotations

TEMPLATES = (
    "a photo of a {}",
    "a {} on the beach, waves in the background",
    "an oil painting of a {}",
    "a {} next to a cat",
    "a close-up of a {}, studio light, grey background",
    "a {} in a busy street at night",
    "a {} in the snow",
    "a pencil sketch of a {}",
    "a wooden {}",
    "a {} in a forest, morning fog",
    "two people looking at a {}",
    "a low-resolution picture of a {} from far away",
    "a {} in front of a brick wall",
    "a watercolor of a {}, bright colors",
    "a {} wearing a red hat",
    "a {} on a table in a kitchen",
    "a cartoon of a {}",
    "the {} from behind, mountains in the distance",
    "a {} under water",
    "a black and white photo of a {}",
    "a {} holding a book",
    "a {} with a dog in a garden",
    "a golden {} on a pedestal",
    "{}",
)
