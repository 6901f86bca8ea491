"""The base model: load it, name its layers, compute its digest.

Layers are called `text_encoder.<path>` and `unet.<path>` by their paths in the models, without
the `text_model.` level that transformers before version 5 had and without anything that an
attached adapter adds, so that every machine has the same names for the same weights.
"""

from __future__ import annotations

import hashlib
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
from mos_protocol.layer_map import Block, LayerInput, LayerMap, Linear, Part, TextEncoder
from mos_protocol.names import Digest
from safetensors import SafetensorError
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

PIPELINE_CLASS = "StableDiffusionPipeline"


@dataclass
class BaseModel:
    """The parts of a Stable Diffusion 1.x/2.x model, frozen and in evaluation mode."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    scheduler: Any

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
    return BaseModel(pipe.tokenizer, pipe.text_encoder, pipe.vae, pipe.unet, pipe.scheduler)


def base_digest(base: BaseModel) -> Digest:
    """The sha256 over the weights of the UNet and the text encoder, the same for every copy.

    Values are rounded to float16 first, so float32 and float16 copies agree (bfloat16 ones
    don't). The autoencoder is left out: concepts don't depend on it. Attached concepts don't
    count.
    """
    tensors = sorted(_named_weights(base), key=lambda item: item[0])
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().to("cpu", torch.float16).contiguous().numpy().data)
    return Digest(digest.hexdigest())


def layer_map(base: BaseModel) -> LayerMap:
    """Read off the base what a concept for it may contain."""
    table = token_table(base.text_encoder)
    encoder = TextEncoder(
        name="text_encoder",
        width=table.embedding_dim,
        tokens=base.text_encoder.config.max_position_embeddings,
        vocabulary=table.num_embeddings,
    )
    return LayerMap(
        digest=base_digest(base),
        cross_attention=tuple(f"unet.{path}" for path in cross_attention_paths(base.unet)),
        text_encoders=(encoder,),
        blocks=blocks(base),
    )


def blocks(base: BaseModel) -> tuple[Block, ...]:
    """The text encoder and each UNet block with attention, in order of execution."""
    found = [_text_encoder_block(base.text_encoder)]
    for prefix in _unet_block_paths(base.unet):
        layers = tuple(_attention_layers(base.unet, prefix))
        if layers:
            found.append(_block(f"unet.{prefix}", layers))
    return tuple(found)


def cross_attention_paths(unet: nn.Module) -> list[str]:
    """Paths of the cross-attention modules in order of execution: down, mid, up."""
    return [
        path
        for prefix in _unet_block_paths(unet)
        for path in _attention_paths(unet, prefix)
        if path.endswith(".attn2")
    ]


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


def bare_linear(module: Any) -> nn.Linear:
    """The base's own linear layer, whether or not adapters are around it."""
    linear = module.get_base_layer() if hasattr(module, "get_base_layer") else module
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"expected a linear layer, found {type(linear).__name__}")
    return linear


def token_table(text_encoder: nn.Module) -> nn.Embedding:
    """The base's own token table, whether or not concepts have rows beside it."""
    table = text_encoder.get_input_embeddings()  # type: ignore[operator]
    while not isinstance(table, nn.Embedding):
        table = table.inner
    return table


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
            steps = path.removeprefix("text_model.").split(".")
            own = [step for step in steps if step not in ("base_layer", "inner")]
            yield f"{model_name}.{'.'.join(own)}", tensor


def _text_encoder_block(text_encoder: nn.Module) -> Block:
    layers = []
    for path, attention in text_encoder.named_modules():
        if not path.endswith(".self_attn"):
            continue
        name = f"text_encoder.{path.removeprefix('text_model.')}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            source = f"{name}.{'out' if projection == 'out_proj' else 'in'}"
            module = attention.get_submodule(projection)
            layers.append(_linear(f"{name}.{projection}", source, Part.TEXT_ENCODER, module))
    return _block("text_encoder", tuple(layers))


def _attention_layers(unet: nn.Module, prefix: str) -> Iterator[Linear]:
    for path in _attention_paths(unet, prefix):
        name = f"unet.{path}"
        crossed = path.endswith(".attn2")
        for projection in ("to_q", "to_k", "to_v", "to_out.0"):
            part, source = Part.SPATIAL, "in"
            if projection == "to_out.0":
                source = "out"
            elif crossed and projection != "to_q":
                part, source = Part.CROSS_KV, "context"
            module = unet.get_submodule(f"{path}.{projection}")
            yield _linear(f"{name}.{projection}", f"{name}.{source}", part, module)


def _unet_block_paths(unet: nn.Module) -> list[str]:
    down = [f"down_blocks.{i}" for i in range(len(unet.down_blocks))]  # type: ignore[arg-type]
    up = [f"up_blocks.{i}" for i in range(len(unet.up_blocks))]  # type: ignore[arg-type]
    return [*down, "mid_block", *up]


def _attention_paths(unet: nn.Module, prefix: str) -> list[str]:
    """Paths of the attention modules of transformer blocks below `prefix`."""
    block = unet.get_submodule(prefix)
    names = [name for name, _ in block.named_modules() if name.endswith((".attn1", ".attn2"))]
    return [f"{prefix}.{name}" for name in names]


def _linear(name: str, source: str, part: Part, module: nn.Module) -> Linear:
    linear = bare_linear(module)
    return Linear(
        name=name, input=source, part=part, d_in=linear.in_features, d_out=linear.out_features
    )


def _block(name: str, layers: tuple[Linear, ...]) -> Block:
    widths = {layer.input: layer.d_in for layer in layers}
    inputs = tuple(LayerInput(name=source, width=width) for source, width in widths.items())
    return Block(name=name, inputs=inputs, layers=layers)
