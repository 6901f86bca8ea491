"""The committed scenes: that they are what the benchmark of regions says they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from mos_protocol.scene_file import read_scene
from tinyworld.concepts import CONCEPTS, Kind

FILES = sorted((Path(__file__).parents[2] / "examples/tinyworld/scenes").glob("*.yaml"))
OBJECTS = {name: c for name, c in CONCEPTS.items() if c.kind is Kind.OBJECT}


def test_there_are_twenty_scenes_that_show_every_object_concept():
    scenes = [read_scene(path.read_bytes()) for path in FILES]
    assert len(scenes) == 20
    assert {region.id for scene in scenes for region in scene.regions} == OBJECTS.keys()
    counts = [len(scene.regions) for scene in scenes]
    assert (counts.count(2), counts.count(3)) == (16, 4)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_region_is_called_and_prompted_by_its_concept(path):
    words = {word for concept in OBJECTS.values() for word in concept.words}
    scene = read_scene(path.read_bytes(), words=words, factor=4)
    for region in scene.regions:
        assert " ".join(CONCEPTS[region.id].words) in region.prompt
