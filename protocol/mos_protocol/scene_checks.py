"""What types can't say about a scene: boxes in the picture, ids, words, pictures."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import lcm

from mos_protocol.plain_yaml import Path
from mos_protocol.scene import MAX_SIDE, Condition, Region, Scene, words_in

# Stock pipelines take no other sizes, whatever the autoencoder.
SIZE_STEP = 8
DATA_URL = "data:image/png;base64,"
_FILE = re.compile(r"[^/\\:\x00-\x1f][^\\:\x00-\x1f]{0,200}\.png")
_PNG_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


@dataclass(frozen=True)
class Rules:
    """What a scene is checked against.

    `words`: those that the model knows (None: any). `factor`: pixels per latent, along one side.
    `files`: whether pictures may be files, as in a scene on one's own disk.
    """

    words: Collection[str] | None = None
    factor: int = 8
    files: bool = False


def scene_faults(scene: Scene, rules: Rules) -> Iterator[tuple[Path, str]]:
    """Every fault with the path of its field."""
    yield from _size_faults(scene, rules)
    yield from _word_faults(scene, rules)
    ids = [region.id for region in scene.regions]
    for number, region in enumerate(scene.regions):
        at = ("regions", number)
        if ids.index(region.id) < number:
            yield (*at, "id"), "another region has the same id"
        for field, reason in _region_faults(region, scene, rules):
            yield (*at, field), reason
    for number, condition in enumerate(scene.conditions):
        for path, reason in _condition_faults(condition, ids, rules):
            yield ("conditions", number, *path), reason
    kinds = Counter(condition.kind for condition in scene.conditions)
    for kind in (kind for kind, count in kinds.items() if count > 1):
        yield ("conditions",), f"there are {kinds[kind]} conditions of the kind {kind}"


def picture_bytes(picture: str) -> bytes:
    """The PNG in a data: URL; raises ValueError with the reason."""
    try:
        data = base64.b64decode(picture.removeprefix(DATA_URL), validate=True)
    except binascii.Error as error:
        raise ValueError("it is no base64") from error
    png_size(data)
    return data


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height that a PNG claims; raises ValueError when it is none, or too large."""
    if len(data) < 24 or not data.startswith(_PNG_HEAD):
        raise ValueError("it is no PNG")
    width, height = struct.unpack(">II", data[16:24])
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ValueError(f"it has {width}×{height} pixels; at most {MAX_SIDE}×{MAX_SIDE} are read")
    return width, height


def _size_faults(scene: Scene, rules: Rules) -> Iterator[tuple[Path, str]]:
    step = lcm(SIZE_STEP, rules.factor)
    for number, (side, name) in enumerate(zip(scene.size, ("width", "height"), strict=True)):
        if side % step:
            yield ("size", number), f"the {name} {side} is no multiple of {step}"


def _word_faults(scene: Scene, rules: Rules) -> Iterator[tuple[Path, str]]:
    if rules.words is None:
        return
    for path, prompt in scene.prompts():
        for word in sorted(set(words_in(prompt)) - set(rules.words)):
            yield path, f"the model doesn't know {word}"


def _region_faults(region: Region, scene: Scene, rules: Rules) -> Iterator[tuple[str, str]]:
    if (region.box is None) == (region.mask is None):
        yield "box", "it needs either a box or a mask"
    if region.box is not None:
        for reason in _box_faults(region.box, scene.size, rules.factor):
            yield "box", reason
    if region.mask is not None:
        for reason in _picture_faults(region.mask, rules, "mask", scene.size):
            yield "mask", reason


def _box_faults(
    box: tuple[int, int, int, int], size: tuple[int, int], factor: int
) -> Iterator[str]:
    sides = zip(box[:2], box[2:], size, ("wide", "high"), strict=True)
    for start, end, side, how in sides:
        if start < 0:
            yield f"the box starts at {start}, outside the picture"
        elif end > side:
            yield f"the box ends at {end}, outside the picture's {side}"
        elif end <= start:
            yield f"the box is empty: it goes from {start} to {end}"
        elif end // factor <= -(-start // factor):
            yield (
                f"the box is {end - start} pixels {how} at {start}: "
                f"none of the model's cells of {factor} pixels lies in it"
            )


def _condition_faults(
    condition: Condition, ids: Collection[str], rules: Rules
) -> Iterator[tuple[Path, str]]:
    for reason in _picture_faults(condition.picture, rules, "picture", None):
        yield ("picture",), reason
    for name in condition.region_weights:
        if name not in ids:
            yield ("region_weights", name), "there is no region with this id"


def _picture_faults(
    picture: str, rules: Rules, what: str, size: tuple[int, int] | None
) -> Iterator[str]:
    if picture.startswith(DATA_URL):
        try:
            found = png_size(picture_bytes(picture))
        except ValueError as error:
            yield f"the {what} can't be read: {error}"
            return
        if size and found != size:
            yield f"the {what} has {found[0]}×{found[1]} pixels, the picture {size[0]}×{size[1]}"
    elif not rules.files:
        yield f"the {what} must be a data: URL that begins with {DATA_URL}"
    elif not _FILE.fullmatch(picture) or ".." in picture.split("/"):
        yield f"the {what} must be a .png file in the scene's folder or below"
