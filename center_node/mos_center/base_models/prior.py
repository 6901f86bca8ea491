"""A base model's prior: the moments of generic pictures, recorded once when it is registered.

Runs the model, so it imports torch: import this module only where that is meant.
Legend: c h w latent size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from mos_diffusion.base_model import (
    BaseModel,
    blocks,
    extra_blocks,
    layer_map,
    load_base,
    read_layer_map,
)
from mos_diffusion.moments import write_moments
from mos_diffusion.prompts import layerwise
from mos_diffusion.recording import record_data
from mos_diffusion.sampling import sample_latents
from mos_protocol.errors import InvalidRequest
from PIL import Image, UnidentifiedImageError

__all__ = ["load", "local_folder", "read_layer_map", "record"]

PASSES = 4
GUIDANCE = 3.0
_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
Status = Callable[[str], None]


def local_folder(source: str) -> Path:
    """The folder of a base: as given, or of the hub model once it is downloaded."""
    folder = Path(source)
    if folder.is_dir():
        return folder.resolve()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        kept = ["*.json", "*.txt", "*.safetensors", "*.model"]
        return Path(snapshot_download(source, allow_patterns=kept))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InvalidRequest(
            f"{source!r} is neither a folder nor a hub model that can be fetched "
            f"({type(error).__name__}).",
            hint="Give the folder of a model in diffusers layout.",
        ) from None


def load(folder: Path, device: str) -> BaseModel:
    """Load the base in single precision; raises `InvalidRequest`."""
    return load_base(folder, device=device, dtype=torch.float32)


def record(
    base: BaseModel,
    out: Path,
    *,
    images: Path | None,
    samples: int,
    captions: Path | None,
    seed: int,
    on_progress: Status,
    extra: bool = False,
) -> dict[str, Path]:
    """Write the prior's moments below `out`, a file per block, and return the files.

    `extra` adds the blocks that tuning leaves alone (feed-forward, projections): members that
    change them are held to the base there, and others need no moments of their own.

    On the pictures of the folder `images` if there is one, else on as many `samples` drawn by
    the model itself, with the lines of the file `captions` or of our `generic_captions.txt`.
    """
    if images is not None:
        latents, texts = _encoded(base, images, on_progress)
    else:
        texts = _cycled(_captions(captions), samples)
        latents = _drawn(base, texts, seed, on_progress)
    on_progress(f"recording on {len(texts)} pictures")
    recorded = (*blocks(base), *extra_blocks(base)) if extra else blocks(base)
    with torch.no_grad():
        moments = record_data(
            base,
            layerwise(base.pipeline()),
            latents,
            texts,
            passes=PASSES,
            seed=seed,
            layers=layer_map(base).model_copy(update={"blocks": recorded}),
        )
    on_progress(f"coding the moments of {len(recorded)} blocks")
    paths = write_moments(moments, out)
    return dict(zip(moments, paths, strict=True))


def _drawn(base: BaseModel, texts: Sequence[str], seed: int, on_progress: Status) -> torch.Tensor:
    """Sample one latent picture per text: (n, c, h, w)."""
    drawn = []
    for number, text in enumerate(texts):
        on_progress(f"sampling {number + 1} of {len(texts)}: {text}")
        drawn.append(
            sample_latents(base, text, seeds=[seed + number], negative_prompt="", guidance=GUIDANCE)
        )
    return torch.cat(drawn)


def _encoded(base: BaseModel, folder: Path, on_progress: Status) -> tuple[torch.Tensor, list[str]]:
    """Encode the folder's pictures, cropped to the model's size: (n, c, h, w), and captions."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not paths:
        raise InvalidRequest(
            f"{folder} holds no pictures.", hint="Put .png or .jpg files with .txt captions there."
        )
    latents, texts = [], []
    for number, path in enumerate(paths):
        on_progress(f"encoding {number + 1} of {len(paths)}")
        latents.append(_encode(base, _pixels(path, base.resolution)))
        texts.append(_caption(path))
    return torch.cat(latents), texts


@torch.no_grad()
def _encode(base: BaseModel, pixels: torch.Tensor) -> torch.Tensor:
    vae = base.vae
    distribution = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    scaled: torch.Tensor = distribution.mode() * vae.config.scaling_factor
    return scaled


def _pixels(path: Path, side: int) -> torch.Tensor:
    """A picture's middle square as (1, 3, side, side) in -1 … 1."""
    try:
        with Image.open(path) as picture:
            square = min(picture.size)
            left, top = (picture.width - square) // 2, (picture.height - square) // 2
            cut = picture.convert("RGB").resize(
                (side, side), Image.Resampling.LANCZOS, (left, top, left + square, top + square)
            )
    except (UnidentifiedImageError, OSError) as error:
        raise InvalidRequest(
            f"{path} can't be read as a picture ({error}).", hint="Remove or replace it."
        ) from None
    values = torch.from_numpy(np.asarray(cut, dtype=np.float32) / 127.5 - 1.0)
    return values.permute(2, 0, 1).unsqueeze(0)


def _caption(picture: Path) -> str:
    text = picture.with_suffix(".txt")
    lines = text.read_text(encoding="utf-8").splitlines() if text.is_file() else []
    return lines[0].strip() if lines else "a photo"


def _captions(file: Path | None) -> list[str]:
    if file is None:
        generic = files("mos_center.base_models").joinpath("generic_captions.txt")
        return generic.read_text(encoding="utf-8").splitlines()
    if not file.is_file():
        raise InvalidRequest(f"{file} is no file.", hint="Give a text file, one caption per line.")
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    found = [line for line in lines if line]
    if not found:
        raise InvalidRequest(f"{file} has no captions.", hint="Write one caption per line.")
    return found


def _cycled(texts: Sequence[str], count: int) -> list[str]:
    return [texts[index % len(texts)] for index in range(count)]
