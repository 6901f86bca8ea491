"""The contact sheet of a storyboard."""

from __future__ import annotations

import numpy as np
from mos_client.composing import contact_sheet
from PIL import Image


def where(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The box of the pixels of one colour."""
    rows, columns = np.nonzero((np.array(sheet) == colour).all(-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_pictures_of_a_sheet_lie_in_rows_below_their_titles():
    rows = [
        [Image.new("RGB", (40, 30), "red"), Image.new("RGB", (40, 30), "blue")],
        [Image.new("RGB", (60, 20), "green")],
    ]
    sheet = contact_sheet(["First", "Second"], rows, "Board")
    red, blue, green = (where(sheet, c) for c in ((255, 0, 0), (0, 0, 255), (0, 128, 0)))
    assert red[1] == blue[1]
    assert red[2] < blue[0]
    assert green[1] > red[3]
    assert green[0] == red[0]
    assert (green[2] - green[0], green[3] - green[1]) == (60, 20)
