"""A LoRA file as kohya's sd-scripts write it: what ComfyUI, A1111 and Forge read."""

from __future__ import annotations

from pathlib import Path

import torch
from mos_protocol.errors import JobFailed

from mos_diffusion.formats.factors import relative_error
from mos_diffusion.formats.foreign_lora import read_lora
from mos_diffusion.formats.loaded_lora import TOLERANCE, check_lora
from mos_diffusion.formats.lora_file import LoraKeys, common_ranks, open_delta, write_lora
from mos_diffusion.formats.model_spec import Adapter, kohya_metadata, model_spec
from mos_diffusion.formats.module_names import kohya_name
from mos_diffusion.formats.published import PublishedModel

FILE = "kohya_lora.safetensors"


class KohyaLora:
    """kohya's names; every alpha is its layer's rank, so that the scale is exactly 1."""

    title = "LoRA in kohya's layout: ComfyUI, A1111, Forge"

    def write(self, model: PublishedModel, out: Path, dtype: torch.dtype) -> Path:
        two = len(model.text_encoders) > 1

        def keys(layer: str) -> LoraKeys:
            name = kohya_name(layer, two_encoders=two)
            return LoraKeys(f"{name}.lora_down.weight", f"{name}.lora_up.weight", f"{name}.alpha")

        with open_delta(model) as delta:
            rank = max(common_ranks(delta).values())
        metadata = {**model_spec(model, Adapter.LORA), **kohya_metadata(model, rank)}
        write_lora(model, out / FILE, dtype, keys, metadata)
        return out / FILE

    def check(self, model: PublishedModel, path: Path, dtype: torch.dtype) -> None:
        """Read it back by our own reader, as an import would, and by diffusers'."""
        found = read_lora(path)
        with open_delta(model) as delta:
            if found.layers.keys() != delta.ranks.keys() or found.unsupported:
                raise JobFailed(f"{path.name} lost layers: {len(found.layers)} came back.")
            for layer, factors in found.layers.items():
                if not relative_error(factors, delta.factors(layer)) <= TOLERANCE[dtype]:
                    raise JobFailed(f"{layer} in {path.name} differs from the model's.")
        check_lora(model, path, dtype)
