"""Marks in sampled pictures: the first bits of the digest of the model that made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mos_protocol.names import Digest
from PIL.Image import Image

from mos_diffusion.base_model import BaseModel, base_digest
from mos_diffusion.published_identity import read_identity
from mos_diffusion.watermark import MARK_DIGITS, embed, has_room


def marked(
    pipe: BaseModel | Any, pictures: Sequence[Image], made_by: Digest | None = None
) -> list[Image]:
    """The pictures with the mark of the model in those that have room for one.

    made_by: whose mark, for one that can't be read off the model: a tuned concept's package.
    """
    if not any(has_room(picture) for picture in pictures):
        return list(pictures)
    mark = mark_of(made_by or model_digest(pipe))
    return [embed(picture, mark) if has_room(picture) else picture for picture in pictures]


def mark_of(digest: Digest) -> str:
    """The part of a digest that fits into a picture."""
    return digest[:MARK_DIGITS]


def model_digest(pipe: BaseModel | Any) -> Digest:
    """The build of a published model, else the digest over a base's weights, which takes seconds.

    A concept that is attached doesn't count: while it is tuned, it has no digest of its own.
    """
    if isinstance(pipe, BaseModel):
        published = pipe.published
    else:
        published = read_identity(Path(pipe.name_or_path or ""))
    return published.build if published else base_digest(pipe)
