"""What a key of a LoRA file says: which module it belongs to, and which piece of its update it is.

Three families of spelling, one grammar:

    kohya       lora_unet_…_attn1_to_q.lora_down.weight   .lora_up.weight   .alpha
    diffusers   unet.….to_q.lora_A.weight, .to_q.lora.down.weight, .processor.to_q_lora.down.weight,
                text_encoder.….q_proj.lora_linear_layer.down.weight
    PEFT        base_model.model.….to_q.lora_A.weight, with or without an adapter's name
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

MAX_KEY = 512
_KOHYA = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_")
_PIECE = re.compile(
    r"(?P<module>.+?)"
    r"(?:[._]lora(?:_linear_layer)?\.(?P<old>down|up)\.weight"
    r"|\.lora_(?P<new>A|B|down|up)(?:\.[\w-]+)?\.weight"
    r"|(?:[._]lora(?:_linear_layer)?)?\.(?P<alpha>alpha))"
)
_OTHER = re.compile(
    r"(?P<module>.+?)(?:[._]lora[_.]|\.(?:hada|lokr|dora|oft|glora|diff|w_norm|b_norm|on_input)).*"
)
_BUNDLED = re.compile(r"bundle_emb\.(?P<word>.+)\.(?P<piece>string_to_param\.\*|clip_[lg])")


class Piece(StrEnum):
    """A part of a module's update; OTHER is what no plain LoRA has."""

    DOWN = "down"
    UP = "up"
    ALPHA = "alpha"
    OTHER = "other"


class Key(NamedTuple):
    """A key taken apart; `kohya` says whose spelling the module's name is in."""

    module: str
    piece: Piece
    kohya: bool


_PIECES = {"A": Piece.DOWN, "down": Piece.DOWN, "B": Piece.UP, "up": Piece.UP}


def parse_key(key: str) -> Key:
    """Take a key apart; anything that is no piece of a plain LoRA is OTHER."""
    kohya = key.startswith(_KOHYA)
    if found := _PIECE.fullmatch(key):
        half = found["old"] or found["new"]
        return Key(found["module"], _PIECES[half] if half else Piece.ALPHA, kohya)
    other = _OTHER.fullmatch(key)
    module = key.split(".")[0] if kohya else other["module"] if other else _parent(key)
    return Key(module, Piece.OTHER, kohya)


def bundled_embedding(key: str) -> str | None:
    """`<encoder>.<word>` of an embedding that is bundled with the LoRA; None for other keys."""
    found = _BUNDLED.fullmatch(key)
    if found is None:
        return None
    encoder = "text_encoder_2" if found["piece"] == "clip_g" else "text_encoder"
    return f"{encoder}.{found['word']}"


def _parent(key: str) -> str:
    return key.rpartition(".")[0] or key
