"""Writes concepts and scenes as folders of pictures, captions and masks."""

from __future__ import annotations

import json
from pathlib import Path

from tinyworld.concepts import CONCEPTS, Split
from tinyworld.scene import Scene, draw_scene

# Scenes before this number belong to the training of the base model.
FIRST_UNSEEN = 10_000_000
BLOCK = 100_000


def write_concept(name: str, out: Path, held_out: int = 8) -> Path:
    """Write `out/name/`: tune/, held_out/ and concept.json. Raises KeyError for unknown names."""
    concept = CONCEPTS[name]
    folder = out / name
    for split, count in ((Split.TUNE, concept.pictures), (Split.HELD_OUT, held_out)):
        for index in range(count):
            _write(folder / split.value, index + 1, concept.draw(split, index), mask=True)
    about = {
        "name": name,
        "words": list(concept.words),
        "class_word": concept.class_word,
        "kind": concept.kind.value,
    }
    (folder / "concept.json").write_text(json.dumps(about, indent=2) + "\n")
    return folder


def write_scenes(out: Path, count: int, seed: int) -> None:
    """Write generic pictures and captions that the base model was not trained on."""
    for index in range(count):
        _write(out, index + 1, draw_scene(FIRST_UNSEEN + BLOCK * seed + index), mask=False)


def _write(folder: Path, number: int, scene: Scene, mask: bool) -> None:
    (folder / "mask" if mask else folder).mkdir(parents=True, exist_ok=True)
    stem = f"{number:03d}"
    scene.image.save(folder / f"{stem}.png")
    (folder / f"{stem}.txt").write_text(scene.caption + "\n")
    if mask:
        scene.masks[0].save(folder / "mask" / f"{stem}.png")
