"""Read a base model's layer map off its folder, without loading its weights.

The modules are made on the meta device from their configurations; the digest is streamed from the
safetensors files in pieces of a few megabytes. Stable Diffusion 1.x, 2.x and XL.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from huggingface_hub.errors import StrictDataclassError
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import LayerMap
from mos_protocol.names import Digest
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from mos_diffusion.layer_names import (
    attention_blocks,
    cross_attention_paths,
    describe_text_encoder,
    feed_forward_blocks,
    weight_name,
)
from mos_diffusion.weight_digest import WeightDigest

_TEXT_ENCODERS = {
    "StableDiffusionPipeline": ("text_encoder",),
    "StableDiffusionXLPipeline": ("text_encoder", "text_encoder_2"),
}
_CLASSES = {
    "CLIPTextModel": CLIPTextModel,
    "CLIPTextModelWithProjection": CLIPTextModelWithProjection,
}
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
_WRONG_CONFIGURATION = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    StrictDataclassError,
)
_PIECE_BYTES = 1 << 22


@dataclass(frozen=True)
class _StoredWeight:
    """Where a weight lies: `begin` and `end` are bytes from the start of the file."""

    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int

    def pieces(self) -> Iterator[torch.Tensor]:
        """The values, flat, a few megabytes at a time."""
        with self.file.open("rb") as file:
            file.seek(self.begin)
            left = self.end - self.begin
            while left:
                data = bytearray(file.read(min(_PIECE_BYTES, left)))
                if not data:
                    raise InvalidRequest(f"{self.file} was cut short while it was read.")
                left -= len(data)
                yield torch.frombuffer(data, dtype=self.dtype)


def read_layer_map(folder: str | Path) -> LayerMap:
    """The layer map of the model in a diffusers folder, the same that the loaded model has.

    Raises `InvalidRequest` for a folder that holds no such model with safetensors files.
    """
    folder = Path(folder)
    index = _read_json(folder / "model_index.json", "model_index.json")
    encoders = _TEXT_ENCODERS.get(str(index.get("_class_name")))
    if encoders is None:
        raise InvalidRequest(
            f"{folder} holds a {index.get('_class_name')}; expected one of "
            f"{', '.join(_TEXT_ENCODERS)}.",
            hint="Stable Diffusion 1.x, 2.x and XL models can be read.",
        )
    text_encoders = {name: _text_encoder(folder / name, index.get(name)) for name in encoders}
    unet = _unet(folder / "unet")
    return LayerMap(
        digest=_digest(folder, {**text_encoders, "unet": unet}),
        cross_attention=tuple(f"unet.{path}" for path in cross_attention_paths(unet)),
        text_encoders=tuple(
            describe_text_encoder(name, encoder) for name, encoder in text_encoders.items()
        ),
        blocks=attention_blocks(text_encoders, unet),
        extra_blocks=feed_forward_blocks(text_encoders, unet),
    )


def stored_weights(
    folder: str | Path, model: str
) -> Iterator[tuple[str, tuple[int, ...], Iterator[torch.Tensor]]]:
    """Every weight of one model of the folder: its name, shape, and values, flat, in pieces."""
    for name, place in _stored_weights(Path(folder) / model).items():
        yield name, place.shape, place.pieces()


def _text_encoder(folder: Path, entry: Any) -> nn.Module:
    kind = _CLASSES.get(entry[-1]) if isinstance(entry, list) and entry else None
    if kind is None:
        raise InvalidRequest(
            f"The {folder.name} of {folder.parent} is {entry}; expected one of "
            f"{', '.join(_CLASSES)}."
        )
    config = _read_json(folder / "config.json", f"{folder.name}/config.json")
    with _without_weights(folder):
        encoder: nn.Module = kind(CLIPTextConfig(**config))
        return encoder


def _unet(folder: Path) -> nn.Module:
    config = _read_json(folder / "config.json", "unet/config.json")
    with _without_weights(folder):
        unet: nn.Module = UNet2DConditionModel.from_config(config)
        return unet


@contextmanager
def _without_weights(folder: Path) -> Iterator[None]:
    """Make modules on the meta device; a configuration they can't take is an `InvalidRequest`."""
    try:
        with torch.device("meta"):
            yield
    except _WRONG_CONFIGURATION as error:
        raise InvalidRequest(
            f"The configuration in {folder} describes no model: {error}",
            hint="Get the model's files again.",
        ) from error


def _digest(folder: Path, models: dict[str, nn.Module]) -> Digest:
    """The digest that `base_digest` computes, over the weights that the models have a place for."""
    places = {}
    for name, model in models.items():
        stored = _stored_weights(folder / name)
        for path, parameter in model.named_parameters():
            place = stored.get(weight_name(path))
            if place is None or place.shape != tuple(parameter.shape):
                came = f"has shape {place.shape}" if place else "is missing"
                raise InvalidRequest(
                    f"The weights in {folder / name} don't fit its configuration: {path} {came}; "
                    f"expected shape {tuple(parameter.shape)}.",
                    hint="Get the model's files again.",
                )
            places[f"{name}.{weight_name(path)}"] = place
    digest = WeightDigest()
    for name, place in sorted(places.items()):
        digest.add(name, place.shape)
        for piece in place.pieces():
            digest.values(piece)
    return digest.digest()


def _stored_weights(folder: Path) -> dict[str, _StoredWeight]:
    """Every weight of a model's folder by name, from its one file or its shards."""
    stem = "diffusion_pytorch_model" if folder.name == "unet" else "model"
    index = folder / f"{stem}.safetensors.index.json"
    if index.is_file():
        files = _read_json(index, f"{folder.name}/{index.name}").get("weight_map")
        if not isinstance(files, dict):
            raise InvalidRequest(f"{index} names no weights.", hint="Get the model's files again.")
        shards = sorted({folder / Path(str(file)).name for file in files.values()})
    else:
        shards = [folder / f"{stem}.safetensors"]
    return {name: place for shard in shards for name, place in _places(shard)}


def _places(path: Path) -> Iterator[tuple[str, _StoredWeight]]:
    try:
        # Checks the header; what it says can be trusted below.
        with safe_open(path, framework="pt"):
            pass
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
    except (SafetensorError, OSError) as error:
        raise InvalidRequest(
            f"{path} can't be read: {error}",
            hint="Give a folder in diffusers layout with safetensors files.",
        ) from error
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if entry["dtype"] in _DTYPES:
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            shape = tuple(entry["shape"])
            yield (
                weight_name(name),
                _StoredWeight(path, _DTYPES[entry["dtype"]], shape, begin, end),
            )


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError:
        raise InvalidRequest(
            f"{path.parent} is no base model: it has no {name}.",
            hint="Give the folder of a model in diffusers layout.",
        ) from None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InvalidRequest(f"{path} is damaged.", hint="Get the model's files again.")
    return document
