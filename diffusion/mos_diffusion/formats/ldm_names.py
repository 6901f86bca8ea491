"""Diffusers' module paths in the spelling of the original checkpoints (LDM).

Those number the UNet's stages in one row (`input_blocks.4.1`), where diffusers nests them in blocks
(`down_blocks.1.attentions.0`), and the autoencoder's decoder from the last level to the first.
"""

from __future__ import annotations

import re

_UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_MID = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}
_VAE_MID = {"resnets.0": "block_1", "attentions.0": "attn_1", "resnets.1": "block_2"}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    # The names before attention was one class in diffusers; old folders still have them.
    "query": "q",
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
}
_UNET_STAGE = re.compile(
    r"(?P<side>down|up)_blocks\.(?P<block>\d+)\."
    r"(?P<kind>resnets|attentions|downsamplers|upsamplers)\.(?P<place>\d+)(?:\.(?P<rest>.+))?"
)
_UNET_MID = re.compile(r"mid_block\.(?P<stage>(?:resnets|attentions)\.\d+)(?:\.(?P<rest>.+))?")
_VAE_STAGE = re.compile(
    r"(?P<side>encoder|decoder)\.(?:down|up)_blocks\.(?P<block>\d+)\."
    r"(?P<kind>resnets|downsamplers|upsamplers)\.(?P<place>\d+)\.(?P<rest>.+)"
)
_VAE_MIDDLE = re.compile(
    r"(?P<side>encoder|decoder)\.mid_block\.(?P<stage>(?:resnets|attentions)\.\d+)\.(?P<rest>.+)"
)


def unet_path(path: str, *, layers_per_block: int = 2, attention_above: bool = True) -> str:
    """The path of a UNet module; raise `KeyError` for one that the layout has no place for.

    `attention_above` says whether the module's own block has attention: an upsampler comes behind
    it in the same stage.
    """
    if path in _UNET_ENDS:
        return _UNET_ENDS[path]
    if found := _UNET_MID.fullmatch(path):
        stage = _MID[found["stage"]]
        return _joined("middle_block", stage, _inside(found["stage"], found["rest"]))
    found = _UNET_STAGE.fullmatch(path)
    if found is None:
        raise KeyError(path)
    block, place = int(found["block"]), int(found["place"])
    first = (layers_per_block + 1) * block
    if found["kind"] == "downsamplers":
        return _joined("input_blocks", first + layers_per_block + 1, "0.op")
    if found["kind"] == "upsamplers":
        behind = 2 if attention_above else 1
        return _joined("output_blocks", first + layers_per_block, behind, found["rest"])
    row, offset = ("input_blocks", 1) if found["side"] == "down" else ("output_blocks", 0)
    lane = "0" if found["kind"] == "resnets" else "1"
    return _joined(row, first + place + offset, lane, _inside(found["kind"], found["rest"]))


def vae_path(path: str, levels: int) -> str:
    """The path of an autoencoder module; `levels` resolutions. Raise `KeyError` if unknown."""
    if found := _VAE_MIDDLE.fullmatch(path):
        names = _VAE_ATTENTION if found["stage"].startswith("attentions") else {}
        rest = names.get(found["rest"], found["rest"])
        return _joined(found["side"], "mid", _VAE_MID[found["stage"]], _shortcut(rest))
    if found := _VAE_STAGE.fullmatch(path):
        block = int(found["block"])
        side = f"{found['side']}.down.{block}"
        if found["side"] == "decoder":
            side = f"{found['side']}.up.{levels - 1 - block}"
        if found["kind"] == "resnets":
            return _joined(side, "block", found["place"], _shortcut(found["rest"]))
        return _joined(side, found["kind"].removesuffix("rs"), found["rest"])
    known = re.fullmatch(r"(?:(?:en|de)coder\.conv_(?:in|out|norm_out)|(?:post_)?quant_conv)", path)
    if known is None:
        raise KeyError(path)
    return path.replace("conv_norm_out", "norm_out")


def _inside(stage: str, rest: str | None) -> str:
    """The path inside a stage: resnets have other names, transformers the same."""
    if rest is None:
        return ""
    return _RESNET[rest] if stage.startswith("resnets") else rest


def _shortcut(rest: str) -> str:
    return rest.replace("conv_shortcut", "nin_shortcut")


def _joined(*steps: object) -> str:
    return ".".join(str(step) for step in steps if step not in ("", None))
