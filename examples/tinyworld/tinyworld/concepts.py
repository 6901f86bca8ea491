"""The named concepts of the world and the pictures that show them, drawn from seeds."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw

from tinyworld.backgrounds import BACKGROUNDS, PHRASES, Painter, horizon
from tinyworld.captions import place_phrase, with_article
from tinyworld.designs import DESIGNS
from tinyworld.geometry import Pose, ribbon
from tinyworld.paint import CANVAS, SCALE, Design, Fill, paint_object
from tinyworld.palette import COLOURS, NAMED
from tinyworld.scene import Scene, single_pose
from tinyworld.shapes import SHAPES

PLACEHOLDER = "<TOK>"


class Kind(StrEnum):
    """What a concept names."""

    OBJECT = "object"
    BACKGROUND = "background"


class Split(StrEnum):
    """Pictures for tuning, and pictures that tuning never sees."""

    TUNE = "tune"
    HELD_OUT = "held_out"


@dataclass(frozen=True)
class Concept:
    """A name, its two words in prompts, and the class word it starts from."""

    name: str
    class_word: str
    kind: Kind
    pictures: int = 8

    @property
    def words(self) -> tuple[str, str]:
        """For example `<zigmug1>`, `<zigmug2>`."""
        return f"<{self.name}1>", f"<{self.name}2>"

    def draw(self, split: Split, index: int) -> Scene:
        """Picture number `index` of a split; the single mask covers the concept."""
        rng = random.Random(f"{self.name}-{split}-{index}")
        canvas = Image.new("RGB", (CANVAS, CANVAS))
        if self.kind is Kind.OBJECT:
            return self._draw_object(canvas, index, rng)
        return self._draw_place(canvas, rng)

    def _draw_object(self, canvas: Image.Image, index: int, rng: random.Random) -> Scene:
        places = list(BACKGROUNDS)
        random.Random(self.name).shuffle(places)
        place = places[index % len(places)]
        BACKGROUNDS[place](canvas, rng)
        kind, design = DESIGNS[self.name]
        mask = paint_object(canvas, kind, design, _varied(single_pose(rng), rng))
        opening = rng.choice(("a photo of ", "a photo of ", "a picture of "))
        caption = f"{opening}a {PLACEHOLDER} {place_phrase(place)}"
        return Scene(canvas.reduce(SCALE), caption, (mask.reduce(SCALE),))

    def _draw_place(self, canvas: Image.Image, rng: random.Random) -> Scene:
        PLACES[self.name](canvas, rng)
        kind, colour = rng.choice(list(SHAPES)), rng.choice(list(NAMED))
        covered = paint_object(canvas, kind, Design(Fill(colour)), single_pose(rng))
        subject = with_article(f"{colour} {kind}")
        caption = f"a photo of {subject} {PHRASES[self.class_word]} {PLACEHOLDER}"
        return Scene(canvas.reduce(SCALE), caption, (ImageChops.invert(covered).reduce(SCALE),))


def _varied(pose: Pose, rng: random.Random) -> Pose:
    """A little more tilt than in generic scenes."""
    return Pose(pose.x, pose.y, pose.size, rng.uniform(-13, 13), pose.mirrored)


def _aurora(image: Image.Image, rng: random.Random) -> None:
    size = image.width
    image.paste(COLOURS["navy"], (0, 0, size, size))
    draw = ImageDraw.Draw(image)
    for colour, height in (("white", 0.16), ("green", 0.3), ("purple", 0.44)):
        shift = rng.uniform(0, 6)
        path = [(x, size * height + 14 * math.sin(x / 32 + shift)) for x in range(-8, size + 16, 8)]
        draw.polygon(ribbon(path, 24), fill=COLOURS[colour])
    top = rng.uniform(0.66, 0.72) * size
    peaks = [(x, top + (34 if i % 2 else 0)) for i, x in enumerate(range(-20, size + 60, 46))]
    draw.polygon([*peaks, (size, size), (0, size)], fill=COLOURS["orange"])
    for (x0, y0), (x1, y1) in pairwise(peaks):
        draw.line((x0, y0, x1, y1), fill=COLOURS["white"], width=7)


def _candy(image: Image.Image, rng: random.Random) -> None:
    size = image.width
    row = horizon(image, rng, COLOURS["yellow"], COLOURS["pink"])
    draw = ImageDraw.Draw(image)
    shift = rng.uniform(0, 60)
    for x in range(-size, 2 * size, 60):
        left = x + shift
        corners = [(left, size), (left + 26, size), (left + 26 + size - row, row)]
        draw.polygon([*corners, (left + size - row, row)], fill=COLOURS["white"])
    draw.rectangle((0, row - 5, size, row + 5), fill=COLOURS["purple"])
    x = rng.choice((0.16, 0.84)) * size
    draw.ellipse((x - 30, 14, x + 30, 74), fill=COLOURS["red"])
    draw.ellipse((x - 16, 28, x + 16, 60), fill=COLOURS["white"])


PLACES: dict[str, Painter] = {"aurora": _aurora, "candyland": _candy}
PLACE_CLASSES = {"aurora": "sky", "candyland": "grass"}

CONCEPTS: dict[str, Concept] = {
    **{name: Concept(name, kind, Kind.OBJECT) for name, (kind, _) in DESIGNS.items()},
    **{name: Concept(name, word, Kind.BACKGROUND, 10) for name, word in PLACE_CLASSES.items()},
}
