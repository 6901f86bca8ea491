"""Which inputs are recorded: tuning data as the model saw it, the paper's prompts, or templates.

All run the base as it stands, with whatever concept is attached, and change nothing. `layers` is
the base's map, where it is at hand; give a `recorder` to keep the inputs themselves.
Legend: L cross-attention layers, T tokens per prompt, c h w latent size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mos_protocol.layer_map import Block, LayerMap, Part

from mos_diffusion.adapters import recorded_blocks
from mos_diffusion.base_model import BaseModel
from mos_diffusion.moments import Moments, Recorder, record_moments
from mos_diffusion.noise import noise_scheduler, noised, predict, spread_timesteps
from mos_diffusion.prompts import LayerwisePrompts
from mos_diffusion.sampling import sample_latents
from mos_diffusion.templates import TEMPLATES


@torch.no_grad()
def record_data(
    base: BaseModel,
    prompts: LayerwisePrompts,
    latents: torch.Tensor,
    captions: Sequence[str],
    *,
    passes: int = 6,
    seed: int,
    batch_size: int = 4,
    noise_offset: float = 0.0,
    layers: LayerMap | None = None,
    recorder: Recorder | None = None,
) -> Moments:
    """Moments of noised latents (n, c, h, w) with their captions, all token positions counted.

    Every pass shows each picture once at a new time step; the time steps of all passes together
    are spread evenly. With a concept attached this is the default recording; with none, and
    generic captions, it gives the base's prior.
    """
    if len(latents) != len(captions):
        raise ValueError(f"{len(latents)} pictures, but {len(captions)} captions")
    generator = torch.Generator().manual_seed(seed)
    scheduler = noise_scheduler(base)
    order = torch.cat([torch.randperm(len(latents), generator=generator) for _ in range(passes)])
    timesteps = spread_timesteps(len(order), scheduler, generator)
    everything = noised(latents[order], scheduler, generator, noise_offset, timesteps)
    texts = [captions[i] for i in order.tolist()]
    with record_moments(base, layers, recorder=recorder) as recorder:
        for start, batch in enumerate(everything.split(batch_size)):
            predict(base, prompts, batch, texts[start * batch_size :][:batch_size])
    return recorder.moments()


@torch.no_grad()
def record_paper(
    base: BaseModel,
    prompts: LayerwisePrompts,
    trigger: str,
    *,
    steps: int = 20,
    resolution: int | None = None,
    seed: int,
    layers: LayerMap | None = None,
    recorder: Recorder | None = None,
) -> Moments:
    """Moments as the paper records them, from prompts alone; V is the concept's `trigger`.

    Text encoder: `photo of a V` and `V` in all L variants, unpadded. Cross-attention keys and
    values: the words of V and the end token of the two. The rest: sampling `photo of a V`
    without guidance.
    """
    parts = recorded_blocks(base, layers)
    recorder = recorder or Recorder(parts)
    for text in (f"photo of a {trigger}", trigger):
        _record_text(base, prompts, text, trigger, recorder, parts)
    with record_moments(base, layers, only=_inputs(parts, Part.SPATIAL), recorder=recorder):
        sample_latents(
            base,
            f"photo of a {trigger}",
            seeds=[seed],
            steps=steps,
            guidance=1.0,
            height=resolution,
            width=resolution,
        )
    return recorder.moments()


@torch.no_grad()
def record_templates(
    base: BaseModel,
    prompts: LayerwisePrompts,
    trigger: str,
    *,
    samples: int = len(TEMPLATES),
    steps: int = 6,
    guidance: float = 7.5,
    resolution: int | None = None,
    seed: int,
    layers: LayerMap | None = None,
    recorder: Recorder | None = None,
) -> Moments:
    """Moments of pictures that are sampled for this purpose, for concepts that come without any.

    Each of `samples` pictures has the concept's `trigger` in another context, its own seed, and few
    steps; with guidance, so that layers see the negative prompt's half too. Every layer counts
    all token positions of every step. `prompts` are the base's, through which it is sampled.
    """
    if guidance <= 1:
        raise ValueError(f"a guidance of {guidance} leaves the negative prompt's half out")
    with record_moments(base, layers, recorder=recorder) as recorder:
        for number in range(samples):
            sample_latents(
                base,
                TEMPLATES[number % len(TEMPLATES)].format(trigger),
                seeds=[seed + number],
                steps=steps,
                guidance=guidance,
                height=resolution,
                width=resolution,
            )
    return recorder.moments()


def _record_text(
    base: BaseModel,
    prompts: LayerwisePrompts,
    text: str,
    trigger: str,
    recorder: Recorder,
    parts: Sequence[Block],
) -> None:
    """Record the text encoder on one text, and what cross-attention reads of the result."""
    padded = prompts.token_ids(text)[0]
    end = int((padded == base.tokenizer.eos_token_id).nonzero()[0])
    ids = padded[: end + 1]
    with record_moments(base, only=_inputs(parts, Part.TEXT_ENCODER), recorder=recorder):
        states = base.text_encoder(prompts.expand(ids[None])[0].to(base.device))[0]
    words = base.tokenizer(trigger, add_special_tokens=False).input_ids
    kept = torch.isin(ids, torch.tensor(words))
    kept[end] = True
    # The contexts are listed in order of execution, as the variants are.
    for layer, name in enumerate(_inputs(parts, Part.CROSS_KV)):
        recorder.add(name, states[layer, kept.to(states.device)])


def _inputs(parts: Sequence[Block], part: Part) -> list[str]:
    """The distinct inputs of a part's layers, in order of execution."""
    layers = (layer for block in parts for layer in block.layers)
    return list(dict.fromkeys(layer.input for layer in layers if layer.part == part))
