from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from varied_pictures import KINDS, kind_of, varied_picture


@pytest.mark.parametrize("number", range(len(KINDS)), ids=list(KINDS))
def test_a_picture_has_the_size_and_is_always_the_same(number):
    picture = varied_picture(number, (96, 64))
    assert (picture.size, picture.mode) == ((96, 64), "RGB")
    assert picture.tobytes() == varied_picture(number, (96, 64)).tobytes()
    assert picture.tobytes() != varied_picture(number + len(KINDS), (96, 64)).tobytes()


def test_kinds_take_turns():
    assert [kind_of(number) for number in range(len(KINDS) + 1)] == [*KINDS, next(iter(KINDS))]


def test_photographs_of_ones_own_take_their_turn(tmp_path):
    Image.new("RGB", (200, 100), (255, 0, 0)).save(tmp_path / "red.png")
    pixels = np.asarray(varied_picture(len(KINDS), (64, 64), tmp_path))
    assert (pixels[..., 0].min(), pixels[..., 1:].max()) == (255, 0)
