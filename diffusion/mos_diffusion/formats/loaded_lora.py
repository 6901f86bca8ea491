"""A LoRA file as stock diffusers loads it: which modules it changes, by which factors.

The models around it are shells: their weights are zeros that take no memory, since only the
adapters matter here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.utils import logging as diffusers_logging
from mos_protocol.errors import JobFailed
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection
from transformers.utils import logging as transformers_logging

from mos_diffusion.adapters import LoraFactors
from mos_diffusion.formats.factors import relative_error
from mos_diffusion.formats.lora_file import open_delta
from mos_diffusion.formats.published import PublishedModel

_ADAPTER = "export"
# Rounding up and down to the dtype moves the product by about its precision: 2^-11 and 2^-24.
TOLERANCE = {torch.float16: 2e-3, torch.float32: 1e-6}


def check_lora(model: PublishedModel, path: Path, dtype: torch.dtype) -> None:
    """Load the file with stock diffusers and compare all of it with the published delta.

    Raises `JobFailed` when a layer is not loaded, or with another update than the delta's.
    """
    try:
        loaded = load_with_diffusers(model, path)
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        raise JobFailed(
            f"diffusers can't load {path.name}: {error}",
            hint="Report this: the export was not kept.",
        ) from error
    with open_delta(model) as delta:
        lost = sorted(delta.ranks.keys() ^ loaded.keys())
        if lost:
            raise JobFailed(
                f"Of {len(delta.ranks)} layers, diffusers loads {len(loaded)} from {path.name}; "
                f"the first that differs is {lost[0]}.",
                hint="Report this: the export was not kept.",
            )
        for layer, found in loaded.items():
            off = relative_error(found, delta.factors(layer))
            if not off <= TOLERANCE[dtype]:
                raise JobFailed(
                    f"{layer} in {path.name} differs from the model's by {off:.1e}, relative; "
                    f"at most {TOLERANCE[dtype]:g} is rounding.",
                    hint="Export it as float32.",
                )


def load_with_diffusers(model: PublishedModel, path: Path) -> dict[str, LoraFactors]:
    """Our layer name → the factors that stock diffusers puts there, its scale folded into up."""
    shells = _shells(model)
    two = len(shells) > 2
    kind: Any = StableDiffusionXLPipeline if two else StableDiffusionPipeline
    options = {"unet_config": shells["unet"].config} if two else {}
    found: dict[str, LoraFactors] = {}
    with _quiet():
        state, alphas, metadata = kind.lora_state_dict(
            str(path), return_lora_metadata=True, **options
        )
        for name, shell in shells.items():
            if any(key.startswith(f"{name}.") for key in state):
                _load(kind, name, shell)(
                    state,
                    network_alphas=alphas,
                    adapter_name=_ADAPTER,
                    metadata=metadata,
                    low_cpu_mem_usage=True,
                )
            found.update(_factors(name, shell))
    return found


def _load(kind: Any, name: str, shell: nn.Module) -> Callable[..., None]:
    if name == "unet":
        return lambda state, **options: kind.load_lora_into_unet(state, unet=shell, **options)
    return lambda state, **options: kind.load_lora_into_text_encoder(
        state, text_encoder=shell, prefix=name, **options
    )


def _factors(component: str, shell: nn.Module) -> Iterator[tuple[str, LoraFactors]]:
    module: Any
    for path, module in shell.named_modules():
        if _ADAPTER not in getattr(module, "lora_A", ()):
            continue
        down, up = (half[_ADAPTER].weight.detach() for half in (module.lora_A, module.lora_B))
        if down.is_meta or up.is_meta:
            # The file had no values for it.
            continue
        layer = f"{component}.{path.removeprefix('text_model.')}"
        yield layer, LoraFactors(down.flatten(1), up.flatten(1) * module.scaling[_ADAPTER])


def _shells(model: PublishedModel) -> dict[str, Any]:
    """The UNet and the text encoders of the model, without their weights."""
    kinds = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    with torch.device("meta"):
        shells = {"unet": UNet2DConditionModel.from_config(model.config("unet"))}
        for name in model.text_encoders:
            shells[name] = kinds[name](CLIPTextConfig(**model.config(name)))
    for shell in shells.values():
        _fill(shell)
    return shells


def _fill(shell: nn.Module) -> None:
    """Put parameters and buffers in place that are one zero, seen in every place."""
    for module in shell.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            zeros = torch.zeros(()).expand(parameter.shape)
            setattr(module, name, nn.Parameter(zeros, requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.zeros((), dtype=buffer.dtype).expand(buffer.shape))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' bars and remarks on adapters out of our callers' output."""
    libraries = (diffusers_logging, transformers_logging)
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    levels = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
        for library in shown:
            library.enable_progress_bar()
