"""The world is reproducible, and its pictures, captions and masks belong together."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image
from tinyworld import draw_scene
from tinyworld.captions import Subject, describe
from tinyworld.geometry import Pose
from tinyworld.paint import CANVAS, SCALE, Design, Fill, paint_object
from tinyworld.shapes import SHAPES


def test_the_same_seed_draws_the_same_scene() -> None:
    first, again = draw_scene(7), draw_scene(7)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.caption == again.caption
    assert [m.tobytes() for m in first.masks] == [m.tobytes() for m in again.masks]


def test_different_seeds_draw_different_scenes() -> None:
    pictures = {draw_scene(seed).image.tobytes() for seed in range(100)}
    assert len(pictures) == 100


def test_scenes_are_64_by_64_with_a_mask_per_object() -> None:
    scenes = [draw_scene(seed) for seed in range(300)]
    assert {scene.image.size for scene in scenes} == {(64, 64)}
    assert {scene.image.mode for scene in scenes} == {"RGB"}
    assert {len(scene.masks) for scene in scenes} == {0, 1, 2}
    assert {mask.mode for scene in scenes for mask in scene.masks} == {"L"}


def test_a_pair_is_captioned_from_left_to_right() -> None:
    pairs = [s for s in map(draw_scene, range(200)) if len(s.masks) == 2]
    for scene in pairs:
        left, right = (np.asarray(mask).nonzero()[1].mean() for mask in scene.masks)
        assert left < right
        assert " and " in scene.caption


def test_an_object_changes_the_picture_only_near_its_mask() -> None:
    for kind in SHAPES:
        canvas = Image.new("RGB", (CANVAS, CANVAS), (1, 2, 3))
        pose = Pose(CANVAS / 2, CANVAS / 2, CANVAS * 0.3, tilt=8)
        mask = paint_object(canvas, kind, Design(Fill("red", "striped")), pose)
        picture = np.asarray(canvas.reduce(SCALE)).astype(int)
        changed = np.abs(picture - (1, 2, 3)).sum(-1) > 60
        inside = np.asarray(mask.reduce(SCALE)) > 0
        assert changed[inside].mean() > 0.9
        assert (changed & ~inside).sum() < 0.2 * inside.sum(), kind


def test_captions_name_objects_and_place() -> None:
    subjects = [Subject("ball", "orange", "striped"), Subject("mug", "blue", "plain")]
    seen = {describe(subjects, "brick", random.Random(seed)) for seed in range(200)}
    assert "a photo of an orange striped ball and a blue mug by the brick wall" in seen
    assert all("ball" in caption and "mug" in caption for caption in seen)
