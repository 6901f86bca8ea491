"""Write the last checkpoint as a StableDiffusionPipeline folder, fp16."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from pathlib import Path

import tokenizer as words
import torch
import unet as denoiser
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

MODEL = Path(__file__).parents[1] / "model"
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.39.0",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def export(folder: Path) -> None:
    """Write the whole folder beside its place, then swap it in."""
    unet, text, vae = denoiser.trained()
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    write_parts(partial, unet, text, vae)
    for path in partial.rglob("*.safetensors"):
        path.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def write_parts(
    folder: Path, unet: UNet2DConditionModel, text: CLIPTextModel, vae: AutoencoderKL
) -> None:
    """One subfolder per part, and the index."""
    unet.half().save_pretrained(folder / "unet")
    vae.half().save_pretrained(folder / "vae")
    text.half().save_pretrained(folder / "text_encoder")
    prefix_text_keys(folder / "text_encoder" / "model.safetensors")
    load_in_float32(folder / "text_encoder" / "config.json")
    words.write(folder / "tokenizer")
    scheduler = DPMSolverMultistepScheduler(
        **denoiser.BETAS, steps_offset=1, timestep_spacing="trailing"
    )
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(INDEX, indent=2) + "\n")


def prefix_text_keys(path: Path) -> None:
    """Name the tensors as every version of transformers reads them."""
    tensors = load_file(path)
    named = {
        key if key.startswith("text_model.") else f"text_model.{key}": value.contiguous()
        for key, value in tensors.items()
    }
    save_file(named, path, metadata={"format": "pt"})


def load_in_float32(path: Path) -> None:
    """Have transformers load the text encoder as diffusers loads the rest when none is asked."""
    configuration = json.loads(path.read_text()) | {"dtype": "float32"}
    path.write_text(json.dumps(configuration, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=MODEL)
    logging.basicConfig(level=logging.INFO)
    torch.set_grad_enabled(False)
    export(parser.parse_args().out)
