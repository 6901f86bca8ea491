"""A folder of pictures as a data set.

photos/
    one.jpg   one.txt               the first line is the caption; `<TOK>` is the concept
    two.png   two-masklabel.png     a subject mask beside the picture …
    mask/one.png                    … or in a folder; else a picture's own alpha channel
    10_token class/                 sd-scripts layout: every picture in here counts ten times
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mos_protocol.errors import InvalidRequest
from mos_protocol.manifest import sha256_of
from PIL import Image, ImageOps

from mos_client.tuning.captions import DEFAULT_CAPTION, names_concept

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
MASK_FOLDER = "mask"
MASK_ENDING = "-masklabel"
MIN_SIDE = 16

_REPEATS = re.compile(r"^(\d{1,4})_.+")


@dataclass(frozen=True)
class Picture:
    """One picture: caption with `<TOK>` in it, mask file if it has one, how often it counts."""

    path: Path
    caption: str
    mask: Path | None
    repeats: int


@dataclass(frozen=True)
class Dataset:
    """The pictures in a fixed order, what looks odd about them, and a digest over all content."""

    pictures: tuple[Picture, ...]
    warnings: tuple[str, ...]
    digest: str

    def order(self) -> list[int]:
        """Picture numbers of one epoch, repeats included, not shuffled."""
        return [i for i, picture in enumerate(self.pictures) for _ in range(picture.repeats)]


def read_dataset(folder: Path, words: Sequence[str]) -> Dataset:
    """Find and check all pictures; raise `InvalidRequest` naming the file that is wrong."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InvalidRequest(
            f"{folder} {what}.", hint="Name a folder with pictures of the concept."
        )
    pictures = tuple(_pictures(folder))
    if not pictures:
        raise InvalidRequest(
            f"No pictures found in {folder}.",
            hint="Put 3 to 30 pictures in it, as .png, .jpg or .webp, each with a caption in a "
            ".txt file of the same name.",
        )
    for picture in pictures:
        check_picture(picture)
    return Dataset(pictures, tuple(_warnings(folder, pictures, words)), _digest(folder, pictures))


def open_rgb(path: Path) -> tuple[Image.Image, Image.Image | None]:
    """Decode a picture upright: RGB, and its alpha channel (L) if it hides anything."""
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if "transparency" in picture.info or picture.mode in {"RGBA", "LA", "PA"}:
                picture = picture.convert("RGBA")
                alpha = picture.getchannel("A")
                visible = None if alpha.getextrema()[0] == 255 else alpha
                return picture.convert("RGB"), visible
            return picture.convert("RGB"), None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidRequest(
            f"{path} can't be read as a picture ({error}).",
            hint="Save it again as PNG or JPEG, or remove it.",
        ) from None


def open_mask(picture: Picture, alpha: Image.Image | None) -> Image.Image | None:
    """The subject mask (L, white is the subject): the mask file's, else the alpha channel."""
    if picture.mask is None:
        return alpha
    rgb, _ = open_rgb(picture.mask)
    return rgb.convert("L")


def check_picture(picture: Picture) -> None:
    """Raise `InvalidRequest` unless the picture and its mask can be trained on."""
    rgb, alpha = open_rgb(picture.path)
    if min(rgb.size) < MIN_SIDE:
        raise InvalidRequest(
            f"{picture.path} is {rgb.width}x{rgb.height} pixels.",
            hint=f"Both sides need at least {MIN_SIDE} pixels; the base's own size is best.",
        )
    mask = open_mask(picture, alpha)
    if mask is None:
        return
    if mask.size != rgb.size:
        raise InvalidRequest(
            f"{picture.mask} is {mask.width}x{mask.height} pixels, but {picture.path.name} is "
            f"{rgb.width}x{rgb.height}.",
            hint="A mask needs the size of its picture, as the picture is shown (EXIF applied).",
        )
    if not mask.getbbox():
        raise InvalidRequest(
            f"{picture.mask or picture.path} masks everything out.",
            hint="White is the subject. Paint it white, or remove the mask.",
        )


def _pictures(folder: Path) -> Iterator[Picture]:
    yield from _folder_pictures(folder, 1)
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        repeats = _REPEATS.match(child.name)
        if repeats and int(repeats[1]):
            yield from _folder_pictures(child, int(repeats[1]))


def _folder_pictures(folder: Path, repeats: int) -> Iterator[Picture]:
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and path.suffix.lower() in SUFFIXES
        and not path.name.startswith(".")
        and not path.stem.endswith(MASK_ENDING)
    )
    stems = Counter(path.stem for path in paths)
    for path in paths:
        if stems[path.stem] > 1:
            raise InvalidRequest(
                f"{folder} has {stems[path.stem]} pictures called {path.stem!r}.",
                hint="They would share one caption; rename all but one of them.",
            )
        yield Picture(path, _caption(path.with_suffix(".txt")), _mask(path), repeats)


def _caption(path: Path) -> str:
    if not path.is_file():
        return DEFAULT_CAPTION
    try:
        lines = path.read_text(encoding="utf-8-sig").strip().splitlines()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path} is not UTF-8 text.", hint="Save it as UTF-8.") from None
    return lines[0].strip() if lines else DEFAULT_CAPTION


def _mask(path: Path) -> Path | None:
    candidates = (
        path.with_name(f"{path.stem}{MASK_ENDING}.png"),
        path.parent / MASK_FOLDER / f"{path.stem}.png",
    )
    return next((mask for mask in candidates if mask.is_file()), None)


def _warnings(folder: Path, pictures: Sequence[Picture], words: Sequence[str]) -> Iterator[str]:
    for picture in pictures:
        if not names_concept(picture.caption, words):
            yield (
                f"{picture.path.name}: the caption {picture.caption!r} has no <TOK>, so this "
                "picture teaches the concept's words nothing."
            )
    uncaptioned = sum(not picture.path.with_suffix(".txt").is_file() for picture in pictures)
    if uncaptioned:
        yield f"{uncaptioned} of {len(pictures)} pictures have no caption; they get 'a <TOK>'."
    masked = sum(picture.mask is not None for picture in pictures)
    if 0 < masked < len(pictures):
        yield f"Only {masked} of {len(pictures)} pictures have a mask file."
    known = {picture.path.with_suffix("") for picture in pictures}
    for path in sorted({p.parent for p in known} | {folder}):
        lost = [
            text.name for text in sorted(path.glob("*.txt")) if text.with_suffix("") not in known
        ]
        if lost:
            yield f"{len(lost)} captions in {path.name} have no picture, the first is {lost[0]}."


def _digest(folder: Path, pictures: Sequence[Picture]) -> str:
    content = hashlib.sha256()
    for picture in pictures:
        name = picture.path.relative_to(folder).as_posix()
        mask = sha256_of(picture.mask) if picture.mask else "-"
        line = (name, sha256_of(picture.path), mask, picture.caption, str(picture.repeats))
        content.update("\0".join(line).encode() + b"\n")
    return content.hexdigest()
