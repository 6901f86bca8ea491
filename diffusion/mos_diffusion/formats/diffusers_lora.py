"""`pytorch_lora_weights.safetensors`: what stock `pipe.load_lora_weights` loads on the base."""

from __future__ import annotations

from pathlib import Path

import torch

from mos_diffusion.formats.loaded_lora import check_lora
from mos_diffusion.formats.lora_file import LoraKeys, write_lora
from mos_diffusion.formats.model_spec import Adapter, model_spec
from mos_diffusion.formats.published import PublishedModel

FILE = "pytorch_lora_weights.safetensors"


class DiffusersLora:
    """PEFT's names and no alphas, which diffusers takes for a scale of 1."""

    title = "LoRA for diffusers: pipe.load_lora_weights(DIR) on the base model"

    def write(self, model: PublishedModel, out: Path, dtype: torch.dtype) -> Path:
        write_lora(model, out / FILE, dtype, _keys, model_spec(model, Adapter.LORA))
        return out / FILE

    def check(self, model: PublishedModel, path: Path, dtype: torch.dtype) -> None:
        check_lora(model, path, dtype)


def _keys(layer: str) -> LoraKeys:
    """Text encoders get the level that transformers before version 5 and other tools expect."""
    component, _, path = layer.partition(".")
    level = "text_model." if component != "unet" and path.startswith("encoder.") else ""
    name = f"{component}.{level}{path}"
    return LoraKeys(f"{name}.lora_A.weight", f"{name}.lora_B.weight")
