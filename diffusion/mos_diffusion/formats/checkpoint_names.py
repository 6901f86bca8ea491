"""A checkpoint's names, read back by diffusers' own converters: tensors without values suffice."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import torch
from diffusers.loaders import single_file_utils as stock
from mos_protocol.errors import JobFailed
from torch import Tensor

from mos_diffusion.formats.checkpoint_layout import Place, text_layouts
from mos_diffusion.formats.published import PublishedModel


def check_names(model: PublishedModel, places: Mapping[str, Place]) -> None:
    """Check that diffusers finds every tensor where the model folder has it; else `JobFailed`."""
    empty = {
        name: torch.empty(place.spec.shape, device="meta", dtype=place.spec.dtype)
        for name, place in places.items()
    }
    for component, found in _converted(model, empty).items():
        expected = {
            source: empty[name] if len(place.sources) == 1 else None
            for name, place in places.items()
            if place.component == component
            for source in place.sources
        }
        wrong = sorted(found.keys() ^ expected.keys())
        wrong += [
            name for name in expected.keys() & found if not _same(expected[name], found[name])
        ]
        if wrong:
            raise JobFailed(
                f"diffusers would read {len(wrong)} tensors of the checkpoint's {component} "
                f"wrongly, {wrong[0]} for one.",
                hint="Report this: the export was not kept.",
            )


def _converted(model: PublishedModel, tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Component → its tensors, as stock diffusers names them."""
    found = {
        "unet": stock.convert_ldm_unet_checkpoint(dict(tensors), model.config("unet")),
        "vae": stock.convert_ldm_vae_checkpoint(dict(tensors), model.config("vae")),
    }
    for name, layout in text_layouts(model).items():
        if not layout.openclip:
            found[name] = stock.convert_ldm_clip_checkpoint(dict(tensors))
            continue
        width = SimpleNamespace(hidden_size=model.config(name)["hidden_size"])
        found[name] = stock.convert_open_clip_checkpoint(
            SimpleNamespace(config=width), dict(tensors), layout.prefix
        )
    return found


def _same(one: Tensor | None, other: Tensor) -> bool:
    """Whether it is one tensor, a piece of one, or a convolution that was made a linear layer."""
    if one is None or one is other:
        return True
    return one.shape[:2] == other.shape or one.T.shape == other.shape
