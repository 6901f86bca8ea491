"""Go on training the decoder alone; the latents that the UNet learned stay as they are."""

from __future__ import annotations

import argparse

import torch
import vae as autoencoder
from data import render, to_signed
from diffusers import AutoencoderKL
from loop import LOGS, RUNS, Average, Budget, Log, learning_rate, load, save, set_rate
from torch import nn

CHECKPOINT = RUNS / "decoder.pt"
NOISE = 0.05


def decoder_of(vae: AutoencoderKL) -> nn.ModuleDict:
    """The parts after the latents."""
    return nn.ModuleDict({"post_quant_conv": vae.post_quant_conv, "decoder": vae.decoder})


def train(options: argparse.Namespace) -> None:
    """Train until the budget is spent; goes on from the checkpoint if there is one."""
    pictures, _ = render(0, options.scenes)
    torch.manual_seed(options.seed)
    vae = autoencoder.build()
    vae.load_state_dict(load(RUNS / "latents.pt")["vae"])
    vae.requires_grad_(False)
    modules = decoder_of(vae).requires_grad_(True)
    average = Average(modules, 0.998)
    optimiser = torch.optim.AdamW(modules.parameters(), options.rate, weight_decay=0, fused=True)
    step, spent = 0, 0.0
    if state := load(CHECKPOINT):
        modules.load_state_dict(state["modules"])
        optimiser.load_state_dict(state["optimiser"])
        average.weights, average.steps = state["average"], state["step"]
        step, spent = state["step"], state["spent_s"]
        torch.manual_seed(options.seed + step)
    log, budget = Log(LOGS / "decoder.jsonl", step), Budget(options.minutes, spent)
    saved = budget.spent_s
    while budget.progress < 1:
        rate = learning_rate(options.rate, budget.progress)
        set_rate(optimiser, rate)
        batch = to_signed(pictures[torch.randint(len(pictures), (options.batch,))])
        loss, parts = loss_of(vae, batch)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimiser.step()
        average.update(modules)
        step += 1
        if step % 20 == 0:
            log.write(step=step, seconds=budget.spent_s, loss=loss.item(), **parts, rate=rate)
        if budget.spent_s - saved > 90 or budget.progress == 1:
            saved = budget.spent_s
            save(CHECKPOINT, autoencoder.snapshot(modules, optimiser, average, step, saved))
    save(CHECKPOINT, autoencoder.snapshot(modules, optimiser, average, step, budget.spent_s))


def loss_of(vae: AutoencoderKL, pictures: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
    """The picture error from slightly noisy latents."""
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            latents = vae.encode(pictures).latent_dist.mean
        output = vae.decode(latents + NOISE * torch.randn_like(latents)).sample
    return autoencoder.picture_error(output.float(), pictures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--scenes", type=int, default=20000)
    parser.add_argument("--rate", type=float, default=1e-3)
    train(parser.parse_args())
