"""An export opened as a stranger would: stock diffusers and the base, nothing of ours.

Run as a program it does so where our packages can't be imported, and saves the outputs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file

PROMPT = "a photo of <c0a> <c0b> and a red <c1a> dog"
SINGLE_FILE = "checkpoint.safetensors"


def open_folder(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    return DiffusionPipeline.from_pretrained(folder, dtype=dtype)


def open_export(base: Path, export: Path) -> Any:
    """The base with a LoRA, or a single file; and all words, in float32."""
    pipe = open_folder(base)
    if (export / SINGLE_FILE).is_file():
        two = hasattr(pipe, "text_encoder_2")
        kind = StableDiffusionXLPipeline if two else StableDiffusionPipeline
        file = str(export / SINGLE_FILE)
        options = {} if two else {"safety_checker": None}
        pipe = kind.from_single_file(
            file, config=str(base), local_files_only=True, dtype=torch.float32, **options
        )
    else:
        name = next(path.name for path in export.iterdir() if "lora" in path.name)
        pipe.load_lora_weights(export, weight_name=name)
    return with_words(pipe, export)


def with_words(pipe: Any, export: Path) -> Any:
    """The pipeline with all of an export's words loaded."""
    for path in sorted((export / "embeddings").iterdir()):
        token = f"<{path.stem}>"
        if not hasattr(pipe, "text_encoder_2"):
            pipe.load_textual_inversion(path, token=token)
            continue
        rows = load_file(path)
        for key, number in (("clip_l", ""), ("clip_g", "_2")):
            pipe.load_textual_inversion(
                rows[key],
                token=token,
                text_encoder=getattr(pipe, f"text_encoder{number}"),
                tokenizer=getattr(pipe, f"tokenizer{number}"),
            )
    return pipe


@torch.no_grad()
def outputs(pipe: Any) -> dict[str, torch.Tensor]:
    """What text encoders and UNet make of a prompt with words and of fixed noise, in float32."""
    first = _encoded(pipe.tokenizer, pipe.text_encoder)
    found = {"states": first.last_hidden_state, "pooled": first.pooler_output}
    states, added = found["states"], None
    if hasattr(pipe, "text_encoder_2"):
        second = _encoded(pipe.tokenizer_2, pipe.text_encoder_2)
        found |= {"states 2": second.last_hidden_state, "pooled 2": second.text_embeds}
        states = torch.cat([states, found["states 2"]], -1)
        added = {"text_embeds": found["pooled 2"], "time_ids": torch.ones(1, 6)}
    size = pipe.unet.config.sample_size
    noise = torch.randn(1, 4, size, size, generator=torch.Generator().manual_seed(0))
    found["unet"] = pipe.unet.float()(noise, 500, states, added_cond_kwargs=added).sample
    found["picture"] = pipe.vae.float().decode(noise).sample
    return found


def _encoded(tokenizer: Any, encoder: Any) -> Any:
    length = tokenizer.model_max_length
    ids = tokenizer(PROMPT, padding="max_length", max_length=length, return_tensors="pt").input_ids
    return encoder.float()(ids)


class Refusal:
    """An import hook that lets nothing of ours in."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.startswith("mos_"):
            raise ImportError(f"{name} is not to be used here")


if __name__ == "__main__":
    sys.meta_path.insert(0, Refusal())
    out, base, *exports = map(Path, sys.argv[1:])
    for export in exports:
        torch.save(outputs(open_export(base, export)), out / f"{export.name}.pt")
