"""Draw the README's picture of the concepts: one tuning picture of each."""

from __future__ import annotations

import argparse
from pathlib import Path

import data  # noqa: F401  puts the tinyworld package on the path
from sheet import tiles
from tinyworld.concepts import CONCEPTS, Split

PICTURES = Path(__file__).parents[1] / "pictures"


def main() -> None:
    """Write concepts.png."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=PICTURES)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    scenes = [concept.draw(Split.TUNE, 0).image for concept in CONCEPTS.values()]
    titles = tuple(f"{name} ({concept.class_word})" for name, concept in CONCEPTS.items())
    tiles(scenes, titles, 96).save(out / "concepts.png", optimize=True)


if __name__ == "__main__":
    main()
