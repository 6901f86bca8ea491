"""One sheet of scenes: a row each, first the boxes, then the picture of every variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mos_protocol.scene import Scene
from PIL import Image, ImageDraw, ImageFont

SCALE = 2
GAP = 6
TITLE = 34
COLOURS = ("#c2410c", "#1d4ed8", "#15803d")


def draw_sheet(
    scenes: Mapping[str, Scene],
    pictures: Mapping[str, Sequence[Image.Image]],
    titles: Sequence[str],
    path: Path,
) -> None:
    """Write the sheet; `pictures` has those of each scene in the order of `titles`."""
    width = max(scene.size[0] for scene in scenes.values()) * SCALE + GAP
    heights = [scene.size[1] * SCALE + GAP for scene in scenes.values()]
    sheet = Image.new("RGB", (width * (len(titles) + 1), TITLE + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(("boxes", *titles)):
        draw.multiline_text((column * width, 2), wrapped(title, width), "black", font(), spacing=1)
    top = TITLE
    for (name, scene), height in zip(scenes.items(), heights, strict=True):
        for column, picture in enumerate((outlines(scene), *map(enlarged, pictures[name]))):
            sheet.paste(picture, (column * width, top))
        top += height
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)


def outlines(scene: Scene) -> Image.Image:
    """The boxes with the names of their concepts."""
    picture = Image.new("RGB", (scene.size[0] * SCALE, scene.size[1] * SCALE), "#f1f5f9")
    draw = ImageDraw.Draw(picture)
    for number, region in enumerate(scene.regions):
        left, top, right, bottom = (SCALE * side for side in region.box or (0, 0, 0, 0))
        draw.rectangle((left, top, right - 1, bottom - 1), outline=COLOURS[number], width=2)
        # Names of boxes that overlap stand one below the other.
        draw.text((left + 4, top + 3 + 12 * number), region.id, COLOURS[number], font())
    return picture


def enlarged(picture: Image.Image) -> Image.Image:
    """The picture at the scale of the sheet."""
    size = picture.width * SCALE, picture.height * SCALE
    return picture.resize(size, Image.Resampling.LANCZOS)


def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The sheet's font."""
    return ImageFont.load_default(11)


def wrapped(title: str, width: int) -> str:
    """The title in lines that fit a column."""
    lines = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".strip()
        if font().getlength(longer) > width - GAP and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)
