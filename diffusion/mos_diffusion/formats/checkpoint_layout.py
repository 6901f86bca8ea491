"""Where every tensor of a model folder goes in a checkpoint of the original layout."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mos_protocol.errors import InvalidRequest
from torch import Tensor

from mos_diffusion.formats import ldm_names
from mos_diffusion.formats.model_spec import architecture
from mos_diffusion.formats.openclip_names import PROJECTION, openclip_name
from mos_diffusion.formats.published import TABLE, PublishedModel
from mos_diffusion.tensor_file import Spec, StoredTensors

UNET, VAE = "model.diffusion_model.", "first_stage_model."
# A buffer that counts from 0, which the original layout has in one of its spellings only.
_POSITIONS = "text_model.embeddings.position_ids"


@dataclass(frozen=True)
class TextLayout:
    """Under which prefix a text encoder lies, and whether it is spelled as OpenCLIP's."""

    prefix: str
    openclip: bool


@dataclass(frozen=True)
class Place:
    """What one tensor of the checkpoint is made of: tensors of a component, stacked."""

    component: str
    sources: tuple[str, ...]
    spec: Spec
    transposed: bool = False

    def tensor(self, stored: Mapping[str, StoredTensors]) -> Tensor:
        """The tensor as it is written; raise `InvalidRequest` when its dtype can't hold it."""
        found = [stored[self.component][source] for source in self.sources]
        source = torch.cat(found) if len(found) > 1 else found[0]
        if self.transposed:
            source = source.T
        if self.sources == (TABLE,):
            source = source[: self.spec.shape[0]]
        value = source.reshape(self.spec.shape).to(self.spec.dtype)
        narrowed = value.is_floating_point() and value.dtype != source.dtype
        if narrowed and not torch.isfinite(value).all():
            raise InvalidRequest(
                f"{self.component}.{self.sources[0]} has values that {value.dtype} can't hold.",
                hint="Export it as float32.",
            )
        return value


def text_layouts(model: PublishedModel) -> dict[str, TextLayout]:
    """The layout of each text encoder."""
    if len(model.text_encoders) > 1:
        return {
            "text_encoder": TextLayout("conditioner.embedders.0.transformer.", False),
            "text_encoder_2": TextLayout("conditioner.embedders.1.model.", True),
        }
    openclip = architecture(model).startswith("stable-diffusion-v2")
    prefix = "cond_stage_model.model." if openclip else "cond_stage_model.transformer."
    return {"text_encoder": TextLayout(prefix, openclip)}


def places(
    model: PublishedModel, stored: Mapping[str, StoredTensors], dtype: torch.dtype
) -> dict[str, Place]:
    """Name in the checkpoint → what goes there; every tensor of the folder goes somewhere.

    Raises `InvalidRequest` for a tensor that the layout has no place for.
    """
    layouts = text_layouts(model)
    found: dict[str, Place] = {}
    for component, tensors in stored.items():
        layout = layouts.get(component)
        naming = _Naming(component, model.config(component), layout)
        pieces: dict[str, dict[int, str]] = defaultdict(dict)
        for source in tensors:
            if layout is not None and layout.openclip and source == _POSITIONS:
                continue
            name, piece = naming.name(source, tensors)
            if piece in pieces[name]:
                raise InvalidRequest(f"{component} has two tensors for {name}.")
            pieces[name][piece] = source
        for name, ordered in pieces.items():
            sources = tuple(ordered[piece] for piece in sorted(ordered))
            found[name] = _place(model, component, sources, tensors, dtype, name)
    return found


@dataclass(frozen=True)
class _Naming:
    """How one component's tensors are called; `layout` for text encoders only."""

    component: str
    config: Mapping[str, Any]
    layout: TextLayout | None

    def name(self, source: str, tensors: StoredTensors) -> tuple[str, int]:
        """A tensor's name in the original layout, and which piece of a stacked one it is."""
        try:
            if self.layout is not None:
                name, piece = openclip_name(source) if self.layout.openclip else (source, 0)
                return f"{self.layout.prefix}{name}", piece
            module, _, leaf = source.rpartition(".")
            if self.component == "vae":
                path = ldm_names.vae_path(module, len(self.config["block_out_channels"]))
                return f"{VAE}{path}.{leaf}", 0
            return f"{UNET}{self._unet_path(module, tensors)}.{leaf}", 0
        except (KeyError, TypeError) as error:
            raise InvalidRequest(
                f"The original layout has no place for {self.component}.{source}.",
                hint="Export a LoRA, and use it on the base's own checkpoint.",
            ) from error

    def _unet_path(self, module: str, tensors: StoredTensors) -> str:
        block = ".".join(module.split(".")[:2])
        return ldm_names.unet_path(
            module,
            layers_per_block=self.config["layers_per_block"],
            attention_above=f"{block}.attentions.0.norm.weight" in tensors,
        )


def _place(
    model: PublishedModel,
    component: str,
    sources: tuple[str, ...],
    tensors: StoredTensors,
    dtype: torch.dtype,
    name: str,
) -> Place:
    spec = tensors.spec(sources[0])
    shape = (sum(tensors.spec(source).shape[0] for source in sources), *spec.shape[1:])
    transposed = name.endswith(f".{PROJECTION}")
    if not spec.shape:
        shape = ()
    elif sources == (TABLE,):
        shape = (model.vocabulary(component), *shape[1:])
    elif transposed:
        shape = shape[::-1]
    elif component == "vae" and len(shape) == 2:
        # The original autoencoder's attention is made of 1x1 convolutions.
        shape = (*shape, 1, 1)
    kind = dtype if spec.dtype.is_floating_point else spec.dtype
    return Place(component, sources, Spec(kind, shape), transposed)
