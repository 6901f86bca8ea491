"""A CLIP text encoder's tensors in OpenCLIP's spelling, as the original SD 2.x and SDXL have them.

There q, k and v are one tensor, and the projection is transposed.
"""

from __future__ import annotations

import re

PROJECTION = "text_projection"
_OUTER = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "text_projection.weight": PROJECTION,
}
_LAYER = re.compile(r"text_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_INNER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_STACKED = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


def openclip_name(name: str) -> tuple[str, int]:
    """The tensor's name, and which piece of a stacked tensor it is; `KeyError` for unknown ones."""
    if name in _OUTER:
        return _OUTER[name], 0
    found = _LAYER.fullmatch(name)
    if found is None:
        raise KeyError(name)
    block, inner, leaf = f"transformer.resblocks.{found[1]}", found[2], found[3]
    if inner in _STACKED:
        return f"{block}.attn.in_proj_{leaf}", _STACKED.index(inner)
    return f"{block}.{_INNER[inner]}.{leaf}", 0
