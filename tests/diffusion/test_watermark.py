"""The thresholds of the whole measurement (`benchmarks/watermark.py`) on a few pictures of it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from mos_diffusion.watermark import MIN_SIDE, embed, has_room, read, read_sheet
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from varied_pictures import KINDS, varied_picture

MARK = "0123456789ab"
NUMBERS = range(len(KINDS))
SIZES = ((768, 512), (512, 768), (1024, 1024))


@pytest.fixture(scope="module")
def marked() -> list[tuple[Image.Image, Image.Image]]:
    """A picture of each kind, and the same with the mark."""
    plain = [varied_picture(number) for number in NUMBERS]
    return [(picture, embed(picture, MARK)) for picture in plain]


def as_jpeg(picture: Image.Image, quality: int = 75) -> Image.Image:
    """The picture after it was kept as JPEG."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


def halved(picture: Image.Image) -> Image.Image:
    """The picture at half its size."""
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)


def psnr(one: Image.Image, other: Image.Image) -> float:
    error = np.asarray(one, float) - np.asarray(other, float)
    return float(10 * np.log10(255**2 / np.mean(error**2)))


@pytest.mark.parametrize("change", [lambda picture: picture, as_jpeg, halved])
def test_the_mark_is_read_back_after(change, marked):
    assert [read(change(picture)) for _, picture in marked] == [MARK] * len(marked)


def test_no_picture_is_changed_much(marked):
    assert min(psnr(plain, picture) for plain, picture in marked) >= 38


def test_a_flat_picture_is_changed_hardly_at_all():
    flat = Image.new("RGB", (512, 512), (90, 120, 200))
    assert psnr(flat, embed(flat, MARK)) >= 47


def test_no_mark_is_found_where_there_is_none():
    pictures = [varied_picture(number) for number in NUMBERS]
    changed = [change(picture) for picture in pictures for change in (as_jpeg, halved)]
    assert [read(picture) for picture in [*pictures, *changed]] == [None] * 3 * len(pictures)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_other_sizes_are_marked_as_well(size):
    picture = embed(varied_picture(0, size), MARK)
    assert picture.size == size
    assert [read(as_jpeg(picture)), read(halved(picture))] == [MARK, MARK]


def test_a_photograph_survives_both_at_once(marked):
    _, portrait = marked[list(KINDS).index("portrait")]
    assert read(as_jpeg(halved(portrait))) == MARK


def test_every_mark_can_be_written():
    picture = varied_picture(1)
    marks = ["0" * 12, "f" * 12, "0f" * 6]
    assert [read(embed(picture, mark)) for mark in marks] == marks


def test_the_pattern_stays_what_pictures_of_old_carry():
    """A flat picture that was marked once: whatever changes here, its mark is to be read."""
    kept = Image.open(Path(__file__).parent / "marked-flat.png")
    assert read(kept) == MARK


def test_pictures_on_a_sheet_are_read_by_the_first(marked):
    cells = [picture for _, picture in marked[:3]]
    sheet = Image.new("RGB", (1024, 1024), "white")
    for number, cell in enumerate(cells):
        sheet.paste(cell, (number % 2 * 512, number // 2 * 512))
    assert read(sheet) is None
    assert read_sheet(sheet) == MARK


def test_small_pictures_have_no_room():
    assert has_room(Image.new("RGB", (MIN_SIDE, MIN_SIDE)))
    assert not has_room(Image.new("RGB", (2 * MIN_SIDE, MIN_SIDE - 1)))
    assert read(Image.new("RGB", (60, 60))) is None


def test_what_is_no_mark_is_refused():
    with pytest.raises(ValueError, match="12 hexadecimal digits"):
        embed(Image.new("RGB", (512, 512)), "abcd")
