"""Pictures out of the store, as they are or small enough for cards.

They were made by strangers: they are opened as nothing but PNG, and only up to a sensible size.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Annotated

from fastapi import Query, Request, Response
from mos_protocol.names import Digest
from PIL import Image, UnidentifiedImageError

from mos_center.domain.ports import BlobStore

# Sheets of four pictures at full resolution are far smaller.
MAX_PIXELS = 40_000_000
WIDTHS = (240, 320, 640)
_KEPT = 1000
# All that damaged and hostile files raise.
_UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    ValueError,
    SyntaxError,
)
_FOREVER = "private, max-age=31536000, immutable"

Width = Annotated[int | None, Query(description="240, 320 or 640: smaller, as WebP")]


class Thumbnails:
    """Small copies of the store's pictures; those that were asked for last are kept."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._small = lru_cache(_KEPT)(self._make)

    def whole(self, digest: Digest) -> bytes:
        """The picture as it is."""
        with self._blobs.open(digest) as file:
            return file.read()

    def small(self, digest: Digest, width: int) -> bytes | None:
        """The picture as WebP, at most `width` pixels wide; None when it can't be made smaller."""
        return self._small(digest, width)

    def _make(self, digest: Digest, width: int) -> bytes | None:
        return shrunk(self.whole(digest), width)


def picture(
    request: Request, digest: Digest, width: int | None = None, *, fixed: bool = True
) -> Response:
    """Answer with a PNG blob, or with a small WebP of it.

    `fixed`: the address always means this picture.
    """
    pictures: Thumbnails = request.app.state.pictures
    size = width if width in WIDTHS else None
    kept = _FOREVER if fixed else "private, no-cache"
    headers = {"ETag": f'"{digest[:32]}-{size or 0}"', "Cache-Control": kept}
    if headers["ETag"] == request.headers.get("if-none-match"):
        return Response(status_code=304, headers=headers)
    small = pictures.small(digest, size) if size else None
    if small is not None:
        return Response(small, media_type="image/webp", headers=headers)
    return Response(pictures.whole(digest), media_type="image/png", headers=headers)


def shrunk(png: bytes, width: int) -> bytes | None:
    """The picture as WebP, at most `width` pixels wide; None when it can't be read as a PNG."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            small = image.convert("RGB")
    except _UNREADABLE:
        return None
    small.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=72)
    return out.getvalue()
