"""Photos are read as they are shown, and written without what tells about their owner."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mos_client.protecting.photos import compare_written, read_photos, write_photos
from mos_client.tuning.dataset import read_dataset
from mos_protocol.errors import InvalidRequest
from PIL import Image, ImageCms

ROTATED, MAKER = 0x0112, 0x010F


def read(folder, longest_side=64):
    return read_photos(folder, read_dataset(folder, ()), longest_side)


def test_a_photo_is_turned_upright_and_its_exif_is_gone(tmp_path):
    picture = Image.new("RGB", (30, 20), "red")
    picture.paste("blue", (0, 0, 15, 20))
    exif = Image.Exif()
    exif[ROTATED], exif[MAKER] = 6, "a camera"
    folder = tmp_path / "in"
    folder.mkdir()
    picture.save(folder / "a.png", exif=exif)

    photos = read(folder)
    write_photos(photos, [photo.pixels for photo in photos], tmp_path / "out")

    with Image.open(tmp_path / "out" / "a.png") as written:
        assert written.size == (20, 30)
        assert written.getpixel((5, 5)) == (0, 0, 255)
        assert (dict(written.getexif()), "exif" in written.info) == ({}, False)


def test_the_colour_profile_is_kept_and_the_names_of_folders_too(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    folder = tmp_path / "in" / "3_dog"
    folder.mkdir(parents=True)
    Image.new("RGB", (20, 20), "red").save(folder / "a.b.jpg", icc_profile=profile)

    photos = read(folder.parent)
    write_photos(photos, [photo.pixels for photo in photos], tmp_path / "out")

    with Image.open(tmp_path / "out" / "3_dog" / "a.b.png") as written:
        assert written.info["icc_profile"] == profile


def test_what_transparency_hid_becomes_white(tmp_path):
    pixels = np.full((20, 20, 4), 50, dtype=np.uint8)
    pixels[:, :10, 3], pixels[:, 10:, 3] = 0, 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read(tmp_path)[0].pixels[0, 0, [0, 19]].tolist() == [255, 50]


def test_a_photo_is_shrunk_to_the_longest_side_and_never_enlarged(tmp_path):
    Image.new("RGB", (300, 150)).save(tmp_path / "a.png")
    Image.new("RGB", (40, 30)).save(tmp_path / "b.png")
    assert [tuple(photo.pixels.shape) for photo in read(tmp_path)] == [(3, 32, 64), (3, 30, 40)]


def test_a_photo_too_narrow_when_shrunk_is_refused_by_name(tmp_path):
    Image.new("RGB", (400, 20)).save(tmp_path / "a.png")
    with pytest.raises(InvalidRequest, match=r"a\.png is too narrow"):
        read(tmp_path)


def test_a_written_file_is_compared_with_its_photo(photos, tmp_path):
    found = read(photos)
    changed = [photo.pixels.clone() for photo in found]
    changed[0][0, 0, 0] += 7
    write_photos(found, changed, tmp_path / "out")
    small, *others = compare_written(found, tmp_path / "out")
    assert small.largest == 7
    assert small.psnr == pytest.approx(10 * np.log10(255**2 / (49 / changed[0].numel())))
    assert [other.largest for other in others] == [0, 0]
    assert torch.isinf(torch.tensor(others[0].psnr))
