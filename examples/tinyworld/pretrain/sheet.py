"""Draw a contact sheet with the exported model, one caption per picture."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from export import MODEL
from PIL import Image, ImageDraw, ImageFont

CAPTIONS = (
    "a photo of a red ball on the grass",
    "a photo of a blue striped mug on the sand",
    "a photo of a green dotted cube in the sky",
    "a photo of a yellow star in the night",
    "a photo of an orange fish in the sea",
    "a photo of a purple house on the snow",
    "a photo of a pink tree on the grass",
    "a photo of a white cat by the brick wall",
    "a photo of a blue car on the sand",
    "a photo of a red checkered cone on the snow",
    "a photo of a brown striped cat on the grass",
    "a photo of a pink dotted mug in the night",
    "a photo of a yellow checkered cube in the sea",
    "a photo of a green striped ball by the brick wall",
    "a photo of an orange house on the grass",
    "a photo of a red fish in the sky",
    "a photo of a mug",
    "a fancy ball",
    "a photo of a fancy house on the sand",
    "a photo of a star",
    "a photo of a red ball and a blue mug on the grass",
    "a photo of a green tree and a yellow house on the sand",
    "a photo of a white cat and a purple star on the snow",
    "a photo of an orange cone and a pink fish in the sea",
)


def draw(
    model: Path, captions: tuple[str, ...], seed: int, guidance: float, steps: int, tile: int = 128
) -> Image.Image:
    """A sheet of eight columns, each picture enlarged over its caption."""
    pipeline = StableDiffusionPipeline.from_pretrained(model, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(captions))]
    pictures = pipeline(
        list(captions),
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=generators,
        height=64,
        width=64,
    ).images
    return tiles(pictures, captions, tile)


def tiles(pictures: list[Image.Image], captions: tuple[str, ...], tile: int = 128) -> Image.Image:
    """Pictures with a line or two of text below each."""
    columns, text, gap = min(8, len(pictures)), 30, 6
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (tile + gap) + gap, rows * (tile + text + gap)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = gap + i % columns * (tile + gap), gap + i // columns * (tile + text + gap)
        sheet.paste(picture.resize((tile, tile), Image.Resampling.LANCZOS), (x, y))
        pen.multiline_text((x, y + tile + 2), wrap(caption), "black", font, spacing=1)
    return sheet


def wrap(caption: str, width: int = 24) -> str:
    """Break a caption into lines."""
    lines = [""]
    for word in caption.removeprefix("a photo of ").split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    sheet = draw(options.model, CAPTIONS, options.seed, options.guidance, options.steps)
    sheet.save(options.out)
