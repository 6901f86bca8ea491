"""The modules of Stable Diffusion that LoRAs change, and how trainers spell their names.

kohya's names have underscores where ours have dots, so they can't be split; they are looked up in
a table of all the modules that SD 1.x, 2.x and SDXL have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import product

from mos_diffusion.formats import ldm_names

_ATTENTION_LAYERS = [
    *(f"attn{n}.{name}" for n in (1, 2) for name in ("to_q", "to_k", "to_v", "to_out.0")),
    "ff.net.0.proj",
    "ff.net.2",
]
_RESNET_LAYERS = ("conv1", "conv2", "conv_shortcut", "time_emb_proj")
_OUTER_LAYERS = (
    "conv_in",
    "conv_out",
    *(f"{name}_embedding.linear_{n}" for name in ("time", "add") for n in (1, 2)),
)
_TEXT_LAYERS = (
    *(f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")),
    "mlp.fc1",
    "mlp.fc2",
)
_MAX_BLOCKS, _MAX_PLACES, _MAX_TRANSFORMERS, _MAX_TEXT_LAYERS = 4, 3, 10, 32
_UNET_ROOTS = ("down_blocks.", "mid_block.", "up_blocks.", "conv_", "time_emb", "add_emb")
_TEXT_ROOTS = ("text_model.", "encoder.layers.", "text_projection")
_COMPONENTS = ("unet", "text_encoder", "text_encoder_2")
_SHORT_TEXT = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


@cache
def known_layers() -> frozenset[str]:
    """Our names of every module of SD 1.x, 2.x and SDXL that a LoRA can change."""
    unet = (f"unet.{path}" for path in _unet_paths())
    text = (
        f"{encoder}.encoder.layers.{number}.{layer}"
        for encoder in _COMPONENTS[1:]
        for number in range(_MAX_TEXT_LAYERS)
        for layer in _TEXT_LAYERS
    )
    return frozenset((*unet, *text, "text_encoder_2.text_projection"))


def kohya_name(layer: str, *, two_encoders: bool = False) -> str:
    """kohya's name of our layer.

    A model with two text encoders numbers them, and its UNet is the original one, whose stages
    are numbered in one row. Raises `KeyError` for a layer that the original UNet doesn't have.
    """
    component, _, path = layer.partition(".")
    if component == "unet":
        return f"lora_unet_{_underscored(ldm_names.unet_path(path) if two_encoders else path)}"
    number = "2" if component == "text_encoder_2" else "1" if two_encoders else ""
    level = "" if path.startswith("text_projection") else "text_model_"
    return f"lora_te{number}_{level}{_underscored(path)}"


def kohya_table(layers: Iterable[str]) -> dict[str, str]:
    """kohya's name → ours, in all spellings that trainers write for one layer."""
    return {name: layer for layer in layers for name in _kohya_names(layer)}


def dotted_layer(name: str, text_encoder: str = "text_encoder") -> str:
    """Our name of a module in diffusers' or PEFT's spelling, known or not.

    `text_encoder` is the encoder that a text module belongs to when its name doesn't say so.
    """
    path = name.removeprefix("base_model.model.").replace(".processor.", ".")
    component, _, rest = path.partition(".")
    if component not in _COMPONENTS:
        rest = path
        component = text_encoder if path.startswith(_TEXT_ROOTS) else "unet"
    if component == "unet":
        return "unet." + re.sub(r"(attn[12])\.to_out$", r"\1.to_out.0", rest)
    parent, _, last = rest.removeprefix("text_model.").rpartition(".")
    last = _SHORT_TEXT.get(last, last)
    return f"{component}.{parent}.{last}" if parent else f"{component}.{last}"


def _kohya_names(layer: str) -> Iterator[str]:
    names = {kohya_name(layer)}
    with suppress(KeyError):
        names.add(kohya_name(layer, two_encoders=True))
    yield from names


def _underscored(path: str) -> str:
    return path.replace(".", "_")


def _unet_paths() -> Iterator[str]:
    yield from _OUTER_LAYERS
    for stage in _stages("attentions"):
        yield from (f"{stage}.proj_in", f"{stage}.proj_out")
        for number, layer in product(range(_MAX_TRANSFORMERS), _ATTENTION_LAYERS):
            yield f"{stage}.transformer_blocks.{number}.{layer}"
    for stage, layer in product(_stages("resnets"), _RESNET_LAYERS):
        yield f"{stage}.{layer}"
    for number in range(_MAX_BLOCKS):
        yield f"down_blocks.{number}.downsamplers.0.conv"
        yield f"up_blocks.{number}.upsamplers.0.conv"


def _stages(kind: str) -> Iterator[str]:
    for side, block, place in product(("down", "up"), range(_MAX_BLOCKS), range(_MAX_PLACES)):
        yield f"{side}_blocks.{block}.{kind}.{place}"
    yield from (f"mid_block.{kind}.{place}" for place in range(2 if kind == "resnets" else 1))
