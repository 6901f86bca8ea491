"""Which concept of tinyworld a part of a picture shows, told by a CLIP.

A box is cut out and compared with the mean embedding of each object concept's tuning pictures, cut
to a square around their masks.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import permutations

import torch
from measuring import HERE
from mos_diffusion.evaluation.alignment import PictureEncoder
from mos_protocol.scene import Scene
from PIL import Image
from torch.nn import functional as F

sys.path.insert(0, str(HERE.parent / "examples/tinyworld"))
from tinyworld.concepts import CONCEPTS, Concept, Kind, Split

Box = tuple[float, float, float, float]
SIDE = 64
HELD_OUT = 4
# Among which concepts it is asked what a box shows.
ALL, OWN = "all", "own"
# The box that a scene of a single concept has.
ALONE = (0, 8, 64, 64)
OBJECTS = {name: c for name, c in CONCEPTS.items() if c.kind is Kind.OBJECT}


class Identifier:
    """Names what is in boxes, one of the object concepts."""

    def __init__(self, clip: PictureEncoder) -> None:
        self._clip = clip
        means = [
            clip.pictures(own_pictures(c, Split.TUNE, c.pictures)).mean(0) for c in OBJECTS.values()
        ]
        self._means = F.normalize(torch.stack(means), dim=-1)

    def named(self, picture: Image.Image, scene: Scene, assigned: bool) -> dict[str, list[str]]:
        """For each region of the scene the concept in its box: of all, and of the scene's own.

        Not `assigned`: a plain prompt says not which concept comes where, so the boxes are given
        to the scene's concepts in the order that fits best.
        """
        scores = self._scores([cut(picture, middle(r.box)) for r in scene.regions if r.box])
        names, wanted = list(OBJECTS), [region.id for region in scene.regions]
        own = scores[:, [names.index(name) for name in wanted]]
        return {
            ALL: in_best_order([names[i] for i in scores.argmax(1)], wanted, assigned),
            OWN: in_best_order([wanted[i] for i in own.argmax(1)], wanted, assigned),
        }

    def alone(self, pictures: Sequence[Image.Image]) -> list[str]:
        """The concept in the middle of each picture of one object."""
        names = list(OBJECTS)
        found = self._scores([cut(picture, middle(ALONE)) for picture in pictures]).argmax(1)
        return [names[best] for best in found.tolist()]

    def accuracy(self) -> float:
        """How often it is right about pictures that were drawn, not generated."""
        right = [
            name == list(OBJECTS)[best]
            for name, concept in OBJECTS.items()
            for best in self._scores(own_pictures(concept, Split.HELD_OUT, HELD_OUT)).argmax(1)
        ]
        return sum(right) / len(right)

    def _scores(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Cosines (n, concepts)."""
        return self._clip.pictures(pictures) @ self._means.T


def in_best_order(found: Sequence[str], wanted: Sequence[str], assigned: bool) -> list[str]:
    """What was found, in the order of boxes that agrees most with what was wanted."""
    if assigned:
        return list(found)

    def agreeing(order: Sequence[int]) -> int:
        return sum(found[box] == name for box, name in zip(order, wanted, strict=True))

    return [found[box] for box in max(permutations(range(len(wanted))), key=agreeing)]


def own_pictures(concept: Concept, split: Split, count: int) -> list[Image.Image]:
    """Pictures of the concept as the world draws them, cut to a square around it."""
    scenes = [concept.draw(split, index) for index in range(count)]
    return [cut(scene.image, around(scene.masks[0])) for scene in scenes]


def around(mask: Image.Image) -> Box:
    """The square around the box of a mask."""
    left, top, right, bottom = mask.getbbox() or (0, 0, *mask.size)
    reach = max(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - reach, y - reach, x + reach, y + reach


def middle(box: Box) -> Box:
    """The largest square in the middle of a box."""
    left, top, right, bottom = box
    x, y = (left + right) / 2, (top + bottom) / 2
    reach = min(right - left, bottom - top) / 2
    return x - reach, y - reach, x + reach, y + reach


def cut(picture: Image.Image, box: Box) -> Image.Image:
    """What is in a box, as large as the CLIP wants it."""
    bicubic = Image.Resampling.BICUBIC
    return picture.transform((SIDE, SIDE), Image.Transform.EXTENT, box, bicubic)
