"""The whole model as one checkpoint in the original layout, the words cut off the token table.

Other tools build Stable Diffusion's text encoder with the base's number of tokens and refuse any
other; words travel beside the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from mos_protocol.errors import JobFailed

from mos_diffusion.formats.checkpoint_layout import places
from mos_diffusion.formats.checkpoint_names import check_names
from mos_diffusion.formats.model_spec import HASH_KEY, model_spec
from mos_diffusion.formats.published import PublishedModel
from mos_diffusion.tensor_file import StoredTensors, open_tensors, write_tensors

FILE = "checkpoint.safetensors"


class SingleFile:
    """One file with UNet, autoencoder and text encoders, written and checked tensor by tensor."""

    title = "whole model in one file (original Stable Diffusion layout): ComfyUI, A1111, Forge"

    def write(self, model: PublishedModel, out: Path, dtype: torch.dtype) -> Path:
        with _components(model) as stored:
            found = places(model, stored, dtype)
            specs = {name: place.spec for name, place in found.items()}
            write_tensors(
                out / FILE,
                specs,
                lambda name: found[name].tensor(stored),
                model_spec(model),
                HASH_KEY,
            )
        return out / FILE

    def check(self, model: PublishedModel, path: Path, dtype: torch.dtype) -> None:
        """Compare every tensor with the folder's, and the names with diffusers' own converter."""
        with _components(model) as stored, open_tensors(path) as written:
            found = places(model, stored, dtype)
            if set(written) != found.keys():
                raise JobFailed(f"{path.name} holds other tensors than the model.")
            for name, place in found.items():
                if not torch.equal(written[name], place.tensor(stored)):
                    raise JobFailed(f"{name} in {path.name} differs from the model's.")
        check_names(model, found)


@contextmanager
def _components(model: PublishedModel) -> Iterator[dict[str, StoredTensors]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(open_tensors(*model.weights(name)))
            for name in ("unet", "vae", *model.text_encoders)
        }
