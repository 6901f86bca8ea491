"""Pictures from a model folder, with layer-wise prompts for the concepts that it knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState
from mos_diffusion.base_model import load_base
from mos_diffusion.provenance import Provenance
from mos_diffusion.sampling import NEGATIVE_PROMPT, sample
from PIL import Image


def sample_folder(
    folder: Path | str,
    prompt: str,
    *,
    seeds: Sequence[int],
    negative_prompt: str | None = None,
    steps: int = 20,
    guidance: float = 7.5,
    side: int | None = None,
    device: str | None = None,
    watermark: bool = True,
    name: str | None = None,
) -> tuple[list[Image.Image], Provenance]:
    """One picture per seed from a diffusers folder (or hub id), on a GPU if there is one.

    With them comes what their files are to say: `name` is what the model is called there.
    """
    model = load_base(folder, device=device or PartialState().device)
    negative = NEGATIVE_PROMPT if negative_prompt is None else negative_prompt
    pictures = sample(
        model,
        prompt,
        seeds=seeds,
        negative_prompt=negative,
        steps=steps,
        guidance=guidance,
        height=side,
        width=side,
        watermark=watermark,
    )
    told = Provenance.of(model.published, name).model_copy(
        update={
            "prompt": prompt,
            "negative_prompt": negative,
            "seeds": tuple(seeds),
            "steps": steps,
            "guidance": guidance,
        }
    )
    return pictures, told


def grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """All pictures in one, near to a square; each cell is as large as the first picture."""
    columns = next(n for n in range(1, len(pictures) + 1) if n * n >= len(pictures))
    rows = -(-len(pictures) // columns)
    width, height = pictures[0].size
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * width, number // columns * height))
    return sheet
