"""The layer map: what a concept for one base model may contain, as data that needs no torch.

It is read off the base model once (`mos_diffusion.base_model`), and both sides derive from it
which tensors a package holds, their shapes, and how fusion is split into blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mos_protocol.names import DIGEST_PATTERN


class Part(StrEnum):
    """The three kinds of layer that fusion weighs and regularises apart."""

    TEXT_ENCODER = "text_encoder"
    CROSS_KV = "cross_kv"
    SPATIAL = "spatial"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Width = Annotated[int, Field(ge=1, le=1 << 16)]
LayerName = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$", max_length=200)]


class Linear(_Frozen):
    """One linear layer that concepts change: weight (d_out, d_in), fed by the input `input`."""

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
    """A text encoder or one UNet block: the unit of moments files and of fusion work."""

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
    a concept has one embedding per word and per entry.
    """

    digest: str = Field(pattern=DIGEST_PATTERN)
    cross_attention: tuple[LayerName, ...]
    text_encoders: tuple[TextEncoder, ...]
    blocks: tuple[Block, ...]

    def block(self, name: str) -> Block:
        """Return the block called `name`; raises `KeyError` when there is none."""
        for block in self.blocks:
            if block.name == name:
                return block
        raise KeyError(name)

    def layers(self) -> Iterator[Linear]:
        """All linear layers, block by block."""
        for block in self.blocks:
            yield from block.layers
