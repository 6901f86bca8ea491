"""The base model: load it, map its layers, compute its digest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Block, LayerMap
from mos_protocol.names import Digest
from safetensors import SafetensorError
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from mos_diffusion.base_folder import read_layer_map
from mos_diffusion.layer_names import (
    attention_blocks,
    bare_linear,
    cross_attention_paths,
    describe_text_encoder,
    feed_forward_blocks,
    token_table,
    weight_name,
)
from mos_diffusion.published_identity import PublishedIdentity, read_identity
from mos_diffusion.weight_digest import WeightDigest

__all__ = [
    "BaseModel",
    "bare_linear",
    "base_digest",
    "blocks",
    "cross_attention_paths",
    "extra_blocks",
    "find_layer",
    "layer_map",
    "layer_map_of",
    "load_base",
    "model_path",
    "read_layer_map",
    "token_table",
]

PIPELINE_CLASS = "StableDiffusionPipeline"


@dataclass
class BaseModel:
    """The parts of a Stable Diffusion 1.x/2.x model, frozen and in evaluation mode.

    published: what it calls itself, if a fusion made it.
    """

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    scheduler: Any
    published: PublishedIdentity | None = None

    @property
    def device(self) -> torch.device:
        device: torch.device = self.unet.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.unet.dtype
        return dtype

    @property
    def resolution(self) -> int:
        """The picture size in pixels that the model was made for."""
        latents: int = self.unet.config.sample_size
        return latents * self.vae_factor

    @property
    def vae_factor(self) -> int:
        """Pixels per latent, along one side."""
        return 1 << (len(self.vae.config.block_out_channels) - 1)

    def pipeline(self) -> StableDiffusionPipeline:
        """A stock pipeline over these very modules; make a new one after attaching a concept."""
        pipe = StableDiffusionPipeline(
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe


def load_base(
    source: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> BaseModel:
    """Load a diffusers folder or hub id, safetensors only; raise `InvalidRequest` otherwise."""
    _check_folder(Path(source))
    try:
        with _without_loading_bars():
            pipe = StableDiffusionPipeline.from_pretrained(
                str(source),
                dtype=dtype,
                safety_checker=None,
                requires_safety_checker=False,
                use_safetensors=True,
            )
    except (OSError, ValueError, LookupError, AttributeError, SafetensorError) as error:
        raise InvalidRequest(
            f"The base model {str(source)!r} can't be loaded: {error}",
            hint="Give a folder in diffusers layout with safetensors files, or a hub id.",
        ) from error
    for module in (pipe.text_encoder, pipe.vae, pipe.unet):
        module.to(device).requires_grad_(False).eval()
    return BaseModel(
        pipe.tokenizer,
        pipe.text_encoder,
        pipe.vae,
        pipe.unet,
        pipe.scheduler,
        read_identity(Path(source)),
    )


def base_digest(base: BaseModel) -> Digest:
    """The sha256 over the weights of the UNet and the text encoder, the same for every copy.

    Values are rounded to float16 first, so float32 and float16 copies agree (bfloat16 ones
    don't). The autoencoder is left out: concepts don't depend on it. Attached concepts don't
    count.
    """
    digest = WeightDigest()
    for name, tensor in sorted(_named_weights(base), key=lambda item: item[0]):
        digest.add(name, tensor.shape)
        digest.values(tensor.detach())
    return digest.digest()


def layer_map(base: BaseModel) -> LayerMap:
    """Read off the base what a concept for it may contain."""
    return LayerMap(
        digest=base_digest(base),
        cross_attention=tuple(f"unet.{path}" for path in cross_attention_paths(base.unet)),
        text_encoders=(describe_text_encoder("text_encoder", base.text_encoder),),
        blocks=blocks(base),
        extra_blocks=extra_blocks(base),
    )


def layer_map_of(source: str | Path) -> LayerMap:
    """The layer map of a diffusers folder, whose weights are not loaded, or of a hub id."""
    return read_layer_map(source) if Path(source).is_dir() else layer_map(load_base(source))


def blocks(base: BaseModel) -> tuple[Block, ...]:
    """The text encoder and each UNet block with attention, in order of execution."""
    return attention_blocks({"text_encoder": base.text_encoder}, base.unet)


def extra_blocks(base: BaseModel) -> tuple[Block, ...]:
    """The layers around attention, which only LoRAs of other trainers change."""
    return feed_forward_blocks({"text_encoder": base.text_encoder}, base.unet)


def find_layer(base: BaseModel, name: str) -> nn.Module:
    """The module called `name`; with a concept attached, its adapter around the base's linear."""
    model_name, path = model_path(base, name)
    model: nn.Module = getattr(base, model_name)
    return model.get_submodule(path)


def model_path(base: BaseModel, name: str) -> tuple[str, str]:
    """Split a layer name into its model (`text_encoder`, `unet`) and the path inside it."""
    model_name, _, path = name.partition(".")
    root = _encoder_root(base.text_encoder) if model_name == "text_encoder" else ""
    return model_name, root + path


@contextmanager
def _without_loading_bars() -> Iterator[None]:
    """Keep the libraries' bars out of our callers' output; those of downloads stay."""
    libraries = (diffusers_logging, transformers_logging)
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def _check_folder(folder: Path) -> None:
    """Refuse early, with the reason, what diffusers would refuse late or misread."""
    if not folder.exists():
        return
    index = folder / "model_index.json"
    if not index.is_file():
        raise InvalidRequest(
            f"{folder} is no base model: it has no model_index.json.",
            hint="Give the folder of a model in diffusers layout, or a hub id.",
        )
    try:
        kind = json.loads(index.read_text()).get("_class_name")
    except (ValueError, AttributeError):
        kind = "damaged model_index.json"
    if kind != PIPELINE_CLASS:
        raise InvalidRequest(
            f"{folder} holds a {kind}; expected a {PIPELINE_CLASS}.",
            hint="Stable Diffusion 1.x and 2.x models can be used.",
        )


def _encoder_root(text_encoder: nn.Module) -> str:
    return "text_model." if hasattr(text_encoder, "text_model") else ""


def _named_weights(base: BaseModel) -> Iterator[tuple[str, torch.Tensor]]:
    models = {"text_encoder": base.text_encoder, "unet": base.unet}
    for model_name, model in models.items():
        for path, tensor in model.named_parameters():
            if ".lora_" in path or ".concept_rows." in path:
                continue
            yield f"{model_name}.{weight_name(path)}", tensor
