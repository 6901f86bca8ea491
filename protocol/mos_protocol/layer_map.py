"""The layer map: what a concept for one base model may contain, as data that needs no torch.

It is read off the base model once (`mos_diffusion.base_model`), and both sides derive from it
which tensors a package holds, their shapes, and how fusion is split into blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mos_protocol.names import DIGEST_PATTERN
from mos_protocol.parts import Part

__all__ = ["Block", "LayerInput", "LayerMap", "Linear", "Part", "TextEncoder"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Width = Annotated[int, Field(ge=1, le=1 << 16)]
LayerName = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$", max_length=200)]


class Linear(_Frozen):
    """One linear layer that concepts change: weight (d_out, d_in), fed by the input `input`.

    A convolution of kernel size 1 is one too, at every pixel.
    """

    name: LayerName
    input: LayerName
    part: Part
    d_in: Width
    d_out: Width


class LayerInput(_Frozen):
    """One distinct layer input of `width` features; every layer that names it shares it."""

    name: LayerName
    width: Width


class Block(_Frozen):
    """A text encoder's or one UNet block's layers: the unit of moments files and of fusion work."""

    name: LayerName | Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    inputs: tuple[LayerInput, ...]
    layers: tuple[Linear, ...]


class TextEncoder(_Frozen):
    """A text encoder: its embedding `width`, `tokens` per prompt and base vocabulary size."""

    name: str = Field(pattern=r"^text_encoder(_2)?$")
    width: Width
    tokens: int = Field(ge=1, le=1 << 12)
    vocabulary: int = Field(ge=1)


class LayerMap(_Frozen):
    """All that the protocol knows of a base model.

    `cross_attention` lists the cross-attention layers in order of execution (down, mid, up):
    a concept has one embedding per word and per entry. `blocks` are the attention layers, whose
    moments every package holds; `extra_blocks` the layers that our own tuning leaves alone and
    LoRAs of other trainers may change: a package that changes one holds its block's moments too.
    """

    digest: str = Field(pattern=DIGEST_PATTERN)
    cross_attention: tuple[LayerName, ...]
    text_encoders: tuple[TextEncoder, ...]
    blocks: tuple[Block, ...]
    extra_blocks: tuple[Block, ...] = ()

    def all_blocks(self) -> tuple[Block, ...]:
        """The blocks, then the extra blocks."""
        return self.blocks + self.extra_blocks

    def block(self, name: str) -> Block:
        """Return the block, or extra block, called `name`; raises `KeyError` without one."""
        for block in self.all_blocks():
            if block.name == name:
                return block
        raise KeyError(name)

    def blocks_for(self, changed: Collection[str]) -> tuple[Block, ...]:
        """The blocks whose moments a concept that changes the layers `changed` must have."""
        return self.blocks + tuple(
            block
            for block in self.extra_blocks
            if any(layer.name in changed for layer in block.layers)
        )

    def layers(self) -> Iterator[Linear]:
        """All linear layers, those of the extra blocks last."""
        for block in self.all_blocks():
            yield from block.layers
