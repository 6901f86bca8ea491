"""Nineteen concepts, each in the folder layout that the client reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tinyworld import CONCEPTS, write_concept, write_scenes
from tinyworld.concepts import PLACEHOLDER, Kind, Split

EXAMPLE = Path(__file__).parents[2] / "examples" / "tinyworld"


def test_there_are_seventeen_objects_and_two_backgrounds() -> None:
    kinds = [concept.kind for concept in CONCEPTS.values()]
    assert kinds.count(Kind.OBJECT) == 17
    assert kinds.count(Kind.BACKGROUND) == 2
    assert len({word for concept in CONCEPTS.values() for word in concept.words}) == 38


@pytest.mark.parametrize("name", ["zigmug", "aurora"])
def test_a_concept_folder_has_pictures_captions_and_masks(tmp_path: Path, name: str) -> None:
    folder = write_concept(name, tmp_path, held_out=3)
    about = json.loads((folder / "concept.json").read_text())
    assert about["name"] == name
    assert about["words"] == [f"<{name}1>", f"<{name}2>"]
    for split, count in (("tune", CONCEPTS[name].pictures), ("held_out", 3)):
        stems = sorted(path.stem for path in (folder / split).glob("*.png"))
        assert stems == [f"{i:03d}" for i in range(1, count + 1)]
        for stem in stems:
            caption = (folder / split / f"{stem}.txt").read_text()
            mask = Image.open(folder / split / "mask" / f"{stem}.png")
            assert caption.count(PLACEHOLDER) == 1
            assert (mask.mode, mask.size) == ("L", (64, 64))


@pytest.mark.parametrize("name", list(CONCEPTS))
def test_held_out_pictures_differ_from_tuning_pictures(name: str) -> None:
    concept = CONCEPTS[name]
    assert 4 <= concept.pictures <= 20
    tuning = [concept.draw(Split.TUNE, i).image.tobytes() for i in range(concept.pictures)]
    held_out = [concept.draw(Split.HELD_OUT, i).image.tobytes() for i in range(8)]
    assert len(set(tuning) | set(held_out)) == len(tuning) + len(held_out)
    assert concept.draw(Split.TUNE, 0).image.tobytes() == tuning[0]


@pytest.mark.parametrize("name", [n for n, c in CONCEPTS.items() if c.kind is Kind.OBJECT])
def test_a_mask_covers_the_part_that_shows_the_concept(name: str) -> None:
    """Over many pictures the colours under the mask agree more than the colours around it."""
    scenes = [CONCEPTS[name].draw(Split.TUNE, i) for i in range(8)]
    inside, outside = [], []
    for scene in scenes:
        picture, mask = np.asarray(scene.image), np.asarray(scene.masks[0])
        assert 0.05 < (mask > 127).mean() < 0.6
        inside.append(picture[mask > 250].mean(0))
        outside.append(picture[mask == 0].mean(0))
    assert np.std(inside, axis=0).mean() < 0.3 * np.std(outside, axis=0).mean()


def test_the_command_writes_only_the_chosen_concepts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tinyworld", "concepts", "--out", str(tmp_path)]
    subprocess.run([*command, "--only", "grin", "--held-out", "2"], cwd=EXAMPLE, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["grin"]
    assert len(list((tmp_path / "grin" / "held_out").glob("*.png"))) == 2


def test_generic_scenes_are_written_with_captions(tmp_path: Path) -> None:
    write_scenes(tmp_path, count=5, seed=3)
    assert len(list(tmp_path.glob("*.png"))) == 5
    assert all(path.read_text().strip() for path in tmp_path.glob("*.txt"))
