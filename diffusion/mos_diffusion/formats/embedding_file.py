"""Textual-inversion files: the embedding of one word, read and written.

emb_params          A1111's and kohya's name; ComfyUI and diffusers read it too
clip_l, clip_g      of a model with two text encoders
<word>              diffusers' own
"""

from __future__ import annotations

from pathlib import Path

from mos_protocol.errors import InvalidRequest
from torch import Tensor

from mos_diffusion.formats.stored_file import open_stored

ONE_ENCODER = "emb_params"
TWO_ENCODERS = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
_ENCODERS = {ONE_ENCODER: "text_encoder", "clip_l": "text_encoder", "clip_g": "text_encoder_2"}


def read_embedding(path: Path) -> dict[str, Tensor]:
    """The embedding in a safetensors file: text encoder → (n, d) fp32, n vectors.

    Raises `InvalidRequest` for pickles, damaged files, and files of several words.
    """
    with open_stored(path) as stored:
        named = {key: key for key in stored.keys if key in _ENCODERS}
        if not named and len(stored.keys) == 1:
            named = {ONE_ENCODER: stored.keys[0]}
        if len(named) != len(stored.keys) or {ONE_ENCODER, "clip_l"} <= named.keys():
            raise InvalidRequest(
                f"{path} holds {len(stored.keys)} tensors; an embedding of one word has one for "
                "each text encoder.",
                hint="Give the textual-inversion file of a single word.",
            )
        found = {_ENCODERS[name]: stored.read(key) for name, key in named.items()}
    for rows in found.values():
        if rows.ndim not in (1, 2) or rows.numel() == 0:
            raise InvalidRequest(f"{path} holds no embedding, but {tuple(rows.shape)} numbers.")
    return {encoder: rows.reshape(-1, rows.shape[-1]) for encoder, rows in found.items()}
