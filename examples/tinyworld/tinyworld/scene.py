"""Scenes: one or two objects in a place, with a caption and a mask for each object."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image

from tinyworld import captions, marks
from tinyworld.backgrounds import BACKGROUNDS
from tinyworld.captions import Subject
from tinyworld.geometry import Pose
from tinyworld.paint import CANVAS, PATTERNS, SCALE, Design, Fill, paint_object
from tinyworld.palette import COLOURS, NAMED
from tinyworld.shapes import SHAPES

FANCY = 0.12
EMPTY = 0.04
PAIR = 0.3


@dataclass(frozen=True)
class Scene:
    """A picture (RGB, 64x64), its caption, and one mask (L, 64x64) per object, left to right."""

    image: Image.Image
    caption: str
    masks: tuple[Image.Image, ...]


def draw_scene(seed: int) -> Scene:
    """The generic scene with this number; the same number gives the same bytes."""
    rng = random.Random(f"scene-{seed}")
    place = rng.choice(list(BACKGROUNDS))
    canvas = Image.new("RGB", (CANVAS, CANVAS))
    BACKGROUNDS[place](canvas, rng)
    if rng.random() < EMPTY:
        return Scene(canvas.reduce(SCALE), captions.empty(place, rng), ())
    poses = pair_poses(rng) if rng.random() < PAIR else [single_pose(rng)]
    subjects, masks = [], []
    for pose in poses:
        subject, design = _random_object(rng)
        masks.append(paint_object(canvas, subject.kind, design, pose).reduce(SCALE))
        subjects.append(subject)
    caption = captions.describe(subjects, place, rng)
    return Scene(canvas.reduce(SCALE), caption, tuple(masks))


def draw_pair(seed: int) -> tuple[Scene, Scene]:
    """One random object, half of the time a fancy one, in two scenes; its mask is their first."""
    rng = random.Random(f"pair-{seed}")
    subject, design = _random_object(rng, fancy=0.5)
    return _scene_with(subject, design, rng), _scene_with(subject, design, rng)


def _scene_with(subject: Subject, design: Design, rng: random.Random) -> Scene:
    """The object alone or beside another one, left or right of it."""
    place = rng.choice(list(BACKGROUNDS))
    canvas = Image.new("RGB", (CANVAS, CANVAS))
    BACKGROUNDS[place](canvas, rng)
    poses = pair_poses(rng) if rng.random() < PAIR else [single_pose(rng)]
    own = rng.randrange(len(poses))
    subjects, masks = [], []
    for number, pose in enumerate(poses):
        here, look = (subject, design) if number == own else _random_object(rng)
        masks.append(paint_object(canvas, here.kind, look, pose).reduce(SCALE))
        subjects.append(here)
    masks.insert(0, masks.pop(own))
    return Scene(canvas.reduce(SCALE), captions.describe(subjects, place, rng), tuple(masks))


def single_pose(rng: random.Random) -> Pose:
    """One object: 45 to 70 % of the frame's height, somewhere near the middle."""
    size = rng.uniform(0.235, 0.345) * CANVAS
    x = (0.5 + rng.uniform(-0.11, 0.11)) * CANVAS
    y = (0.56 + rng.uniform(-0.07, 0.07)) * CANVAS
    return Pose(x, y, size, rng.uniform(-9, 9), rng.random() < 0.5)


def pair_poses(rng: random.Random) -> list[Pose]:
    """Two objects side by side."""
    poses = []
    for middle in (0.265, 0.735):
        size = rng.uniform(0.185, 0.225) * CANVAS
        x = (middle + rng.uniform(-0.02, 0.02)) * CANVAS
        y = (0.58 + rng.uniform(-0.06, 0.06)) * CANVAS
        poses.append(Pose(x, y, size, rng.uniform(-7, 7), rng.random() < 0.5))
    return poses


def _random_object(rng: random.Random, fancy: float = FANCY) -> tuple[Subject, Design]:
    kind = rng.choice(list(SHAPES))
    if rng.random() < fancy:
        return Subject(kind, None, "fancy"), _fancy_design(kind, rng)
    colour = rng.choice(list(NAMED))
    pattern = rng.choice(PATTERNS) if rng.random() < 0.65 else "plain"
    return Subject(kind, colour, pattern), Design(Fill(colour, pattern))


def _fancy_design(kind: str, rng: random.Random) -> Design:
    """Random colours for every part and a few random marks: what no caption describes."""

    def colour() -> str:
        return rng.choice(list(COLOURS))

    def near(reach: float) -> float:
        return rng.uniform(-reach, reach)

    parts = {part.name: Fill(colour()) for part in SHAPES[kind]() if part.name != "pupil"}
    choices = (
        lambda: marks.band(colour(), y := rng.uniform(-0.7, 0.5), y + rng.uniform(0.2, 0.5)),
        lambda: marks.post(colour(), x := rng.uniform(-0.7, 0.4), x + rng.uniform(0.2, 0.5)),
        lambda: marks.slash(colour(), rng.uniform(-0.5, 0.5), rng.uniform(0.25, 0.5)),
        lambda: marks.zigzag(colour(), rng.uniform(-0.3, 0.4)),
        lambda: marks.spot(colour(), near(0.5), near(0.5), rng.uniform(0.2, 0.4)),
        lambda: marks.badge(colour(), near(0.3), near(0.3), 0.55),
        lambda: marks.cross(colour(), near(0.4), near(0.4), 0.45),
        lambda: marks.eyes(colour(), 0, rng.uniform(-0.4, 0.2), 0.3, rng.uniform(0.1, 0.2)),
        lambda: marks.smile(colour(), 0, rng.uniform(0, 0.2), 0.45),
    )
    chosen = tuple(rng.choice(choices)() for _ in range(rng.randint(1, 3)))
    return Design(Fill(colour(), rng.choice(PATTERNS)), parts, chosen)
