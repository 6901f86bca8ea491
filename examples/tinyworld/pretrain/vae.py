"""Train the autoencoder: 64x64 RGB to 4x16x16 latents."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from data import render, to_signed
from diffusers import AutoencoderKL
from loop import LOGS, RUNS, Average, Budget, Log, learning_rate, load, save, set_rate
from torch import nn
from torch.nn import functional as F

CHECKPOINT = RUNS / "vae.pt"
KL_WEIGHT = 1e-3


def build() -> AutoencoderKL:
    """A small AutoencoderKL, factor 4, without attention."""
    return AutoencoderKL(
        block_out_channels=(24, 48, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )


def edges(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences of neighbouring pixels, down and across."""
    return pictures.diff(dim=2), pictures.diff(dim=3)


def loss_of(vae: AutoencoderKL, pictures: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
    """The picture error plus a small KL term. pictures: (B, 3, 64, 64)."""
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(pictures).latent_dist
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        latents = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        output = vae.decode(latents).sample
    loss, parts = picture_error(output.float(), pictures)
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return loss + KL_WEIGHT * kl, {**parts, "kl": kl.item()}


def picture_error(
    output: torch.Tensor, pictures: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """L1 + squared error + half the L1 of edges. Both (B, 3, 64, 64)."""
    l1, squared = F.l1_loss(output, pictures), F.mse_loss(output, pictures)
    edge = sum(F.l1_loss(a, b) for a, b in zip(edges(output), edges(pictures), strict=True))
    return l1 + squared + 0.5 * edge, {"l1": l1.item(), "mse": squared.item()}


def train(minutes: float, seed: int, batch: int, scenes: int, peak: float) -> None:
    """Train until the budget is spent; goes on from the checkpoint if there is one."""
    pictures, _ = render(0, scenes)
    torch.manual_seed(seed)
    vae = build()
    modules = nn.ModuleDict({"vae": vae})
    average = Average(modules, 0.998)
    optimiser = torch.optim.AdamW(vae.parameters(), peak, weight_decay=1e-4, fused=True)
    step, spent = 0, 0.0
    if state := load(CHECKPOINT):
        modules.load_state_dict(state["modules"])
        optimiser.load_state_dict(state["optimiser"])
        average.weights, average.steps = state["average"], state["step"]
        step, spent = state["step"], state["spent_s"]
        torch.manual_seed(seed + step)
    log, budget = Log(LOGS / "vae.jsonl", step), Budget(minutes, spent)
    saved = budget.spent_s
    while budget.progress < 1:
        rate = learning_rate(peak, budget.progress)
        set_rate(optimiser, rate)
        loss, parts = loss_of(vae, to_signed(pictures[torch.randint(len(pictures), (batch,))]))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        average.update(modules)
        step += 1
        if step % 20 == 0:
            log.write(step=step, seconds=budget.spent_s, loss=loss.item(), **parts, rate=rate)
        if budget.spent_s - saved > 120 or budget.progress == 1:
            saved = budget.spent_s
            save(CHECKPOINT, snapshot(modules, optimiser, average, step, saved))
    save(CHECKPOINT, snapshot(modules, optimiser, average, step, budget.spent_s))


def snapshot(
    modules: nn.ModuleDict,
    optimiser: torch.optim.Optimizer,
    average: Average,
    step: int,
    spent_s: float,
) -> dict[str, object]:
    """Everything that a resumed run and the export need."""
    return {
        "modules": modules.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average.weights,
        "step": step,
        "spent_s": spent_s,
    }


def trained(path: Path = CHECKPOINT) -> AutoencoderKL:
    """The averaged autoencoder of the last checkpoint."""
    state = load(path)
    if state is None:
        raise FileNotFoundError(f"{path} is missing: run vae.py first")
    vae = build()
    vae.load_state_dict({k.removeprefix("vae."): v for k, v in state["average"].items()})
    return vae.eval().requires_grad_(False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--scenes", type=int, default=20000)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    options = parser.parse_args()
    train(options.minutes, options.seed, options.batch, options.scenes, options.rate)
