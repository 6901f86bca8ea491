from __future__ import annotations

import io
import struct
import zlib

from mos_center.dashboard.pictures import shrunk
from PIL import Image


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


def test_a_picture_is_made_as_wide_as_asked_for() -> None:
    small = shrunk(png(1024, 256), 320)

    assert small is not None
    with Image.open(io.BytesIO(small)) as image:
        assert (image.format, image.size) == ("WEBP", (320, 80))


def test_a_picture_that_claims_to_be_huge_is_not_opened() -> None:
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 9)), (b"IEND", b""))
    )

    assert shrunk(bomb, 320) is None


def test_what_is_no_picture_is_not_made_smaller() -> None:
    assert shrunk(b"\x89PNG\r\n\x1a\n" + b"a picture", 320) is None
    assert shrunk(b"GIF89a", 320) is None
