"""Every layout of a data set is read, and every mistake in one is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from mos_client.tuning.dataset import open_mask, open_rgb, read_dataset
from mos_protocol.errors import InvalidRequest
from PIL import Image

WORDS = ("<dot1>", "<dot2>")


def save(path: Path, size: tuple[int, int] = (40, 30), mode: str = "RGB", colour=128) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    value = colour if mode == "L" or not isinstance(colour, int) else (colour,) * len(mode)
    Image.new(mode, size, value).save(path)
    return path


def test_pictures_come_in_name_order_with_the_first_line_of_their_caption(tmp_path):
    save(tmp_path / "b.png")
    save(tmp_path / "a.JPG")
    (tmp_path / "a.txt").write_text("a <TOK> outside\nsecond line")
    (tmp_path / "notes.md").write_text("no picture")

    data = read_dataset(tmp_path, WORDS)

    assert [picture.path.name for picture in data.pictures] == ["a.JPG", "b.png"]
    assert [picture.caption for picture in data.pictures] == ["a <TOK> outside", "a <TOK>"]


def test_masks_are_found_beside_the_picture_and_in_the_mask_folder(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "a-masklabel.png", mode="L", colour=255)
    save(tmp_path / "b.jpg")
    save(tmp_path / "mask" / "b.png", mode="L", colour=255)
    save(tmp_path / "c.png")

    data = read_dataset(tmp_path, WORDS)

    masks = {picture.path.name: picture.mask for picture in data.pictures}
    assert masks == {
        "a.png": tmp_path / "a-masklabel.png",
        "b.jpg": tmp_path / "mask" / "b.png",
        "c.png": None,
    }
    assert any("Only 2 of 3" in warning for warning in data.warnings)


def test_an_alpha_channel_is_a_mask(tmp_path):
    picture = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (5, 5, 10, 10))
    picture.save(tmp_path / "a.png")

    (found,) = read_dataset(tmp_path, WORDS).pictures
    mask = open_mask(found, open_rgb(found.path)[1])

    assert mask is not None
    assert mask.getbbox() == (5, 5, 10, 10)


def test_an_opaque_alpha_channel_is_no_mask(tmp_path):
    save(tmp_path / "a.png", mode="RGBA", colour=255)

    assert open_rgb(tmp_path / "a.png")[1] is None


def test_folders_in_sd_scripts_layout_repeat_their_pictures(tmp_path):
    save(tmp_path / "10_dot dog" / "a.png")
    save(tmp_path / "2_more" / "b.png")
    save(tmp_path / "other" / "c.png")

    data = read_dataset(tmp_path, WORDS)

    assert [picture.repeats for picture in data.pictures] == [10, 2]
    assert data.order() == [0] * 10 + [1] * 2


def test_pictures_are_turned_as_their_exif_says(tmp_path):
    picture = Image.new("RGB", (40, 20))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)

    assert open_rgb(tmp_path / "a.jpg")[0].size == (20, 40)


def test_a_caption_that_does_not_name_the_concept_is_a_warning(tmp_path):
    for name, caption in {"a": "a dog", "b": "<dot1> <dot2>", "c": "<dot1> alone"}.items():
        save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(caption)

    warnings = read_dataset(tmp_path, WORDS).warnings

    assert [warning.split(":")[0] for warning in warnings] == ["a.png", "c.png"]


def test_captions_without_a_picture_are_a_warning(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("<TOK>")
    (tmp_path / "lost.txt").write_text("<TOK>")

    (warning,) = read_dataset(tmp_path, WORDS).warnings

    assert "lost.txt" in warning


def test_the_digest_covers_pictures_masks_captions_and_repeats(tmp_path):
    save(tmp_path / "1_x" / "a.png")
    digests = [read_dataset(tmp_path, WORDS).digest]
    (tmp_path / "1_x" / "a.txt").write_text("<TOK> there")
    digests.append(read_dataset(tmp_path, WORDS).digest)
    save(tmp_path / "1_x" / "a-masklabel.png", mode="L", colour=200)
    digests.append(read_dataset(tmp_path, WORDS).digest)
    (tmp_path / "1_x").rename(tmp_path / "2_x")
    digests.append(read_dataset(tmp_path, WORDS).digest)
    save(tmp_path / "2_x" / "a.png", colour=7)
    digests.append(read_dataset(tmp_path, WORDS).digest)

    assert len(set(digests)) == 5
    assert read_dataset(tmp_path, WORDS).digest == digests[-1]


def _missing(folder: Path) -> Path:
    return folder / "nowhere"


def _empty(folder: Path) -> Path:
    (folder / "readme.txt").write_text("nothing here")
    return folder


def _file(folder: Path) -> Path:
    return save(folder / "a.png")


def _damaged(folder: Path) -> Path:
    save(folder / "a.png")
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:60])
    return folder


def _not_a_picture(folder: Path) -> Path:
    (folder / "broken.jpg").write_text("<html>not found</html>")
    return folder


def _tiny(folder: Path) -> Path:
    save(folder / "small.png", (15, 40))
    return folder


def _mask_of_other_size(folder: Path) -> Path:
    save(folder / "a.png", (40, 30))
    save(folder / "mask" / "a.png", (30, 40), mode="L", colour=255)
    return folder


def _black_mask(folder: Path) -> Path:
    save(folder / "a.png")
    save(folder / "a-masklabel.png", mode="L", colour=0)
    return folder


def _broken_mask(folder: Path) -> Path:
    save(folder / "a.png")
    (folder / "a-masklabel.png").write_bytes(b"no picture")
    return folder


def _same_stem(folder: Path) -> Path:
    save(folder / "a.png")
    save(folder / "a.jpg")
    return folder


def _latin1_caption(folder: Path) -> Path:
    save(folder / "a.png")
    (folder / "a.txt").write_bytes("ein Stück <TOK>".encode("latin-1"))
    return folder


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (_missing, "nowhere does not exist"),
        (_empty, "No pictures found"),
        (_file, "is a file"),
        (_damaged, "broken.png"),
        (_not_a_picture, "broken.jpg"),
        (_tiny, "small.png is 15x40"),
        (_mask_of_other_size, "mask/a.png is 30x40"),
        (_black_mask, "a-masklabel.png masks everything out"),
        (_broken_mask, "a-masklabel.png can't be read"),
        (_same_stem, "2 pictures called 'a'"),
        (_latin1_caption, "a.txt is not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_said_with_the_file_and_what_to_do(tmp_path, build, named):
    with pytest.raises(InvalidRequest) as caught:
        read_dataset(build(tmp_path), WORDS)

    assert named in caught.value.message
    assert caught.value.hint
