"""Train the UNet and its text encoder together on cached latents of generic scenes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import tokenizer as words
import torch
import vae as autoencoder
from data import render, to_signed
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from loop import LOGS, RUNS, Average, Budget, Log, learning_rate, load, save, set_rate
from parallel import agree_on_progress, average_gradients, join_group
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

CHECKPOINT = RUNS / "unet.pt"
LATENTS = RUNS / "latents.pt"
WIDTH = 128
CAPTION_DROP = 0.1
SNR_CAP = 5.0
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def build_unet() -> UNet2DConditionModel:
    """Stable Diffusion 1.5's layout, narrow: 16 cross-attention layers."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(64, 96, 112, 80),
        down_block_types=(*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        layers_per_block=2,
        cross_attention_dim=WIDTH,
        # In configurations of this age the field holds the number of heads.
        attention_head_dim=(2, 4, 4, 4),
        norm_num_groups=16,
    )


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Four layers of 128."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=words.LENGTH,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def encode_captions(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Token ids, (N, 32) int64, padded with the end token."""
    batch = tokenizer(
        captions,
        padding="max_length",
        truncation=True,
        max_length=words.LENGTH,
        return_tensors="pt",
    )
    return batch.input_ids


@torch.no_grad()
def standardise(vae: AutoencoderKL, pictures: torch.Tensor) -> None:
    """Fold a shift and a scale per channel into the 1x1 convolutions around the latents.

    Afterwards each latent channel has mean 0 and standard deviation 1, so the diffusion starts
    from well-conditioned latents and `scaling_factor` is 1.
    """
    means = torch.cat([vae.encode(to_signed(p)).latent_dist.mean for p in pictures.split(100)])
    shift, scale = means.mean((0, 2, 3)), means.std((0, 2, 3))
    inner, outer = vae.quant_conv, vae.post_quant_conv
    outer.bias += outer.weight[:, :, 0, 0] @ shift
    outer.weight *= scale[None, :, None, None]
    inner.bias[:4] = (inner.bias[:4] - shift) / scale
    inner.weight[:4] /= scale[:, None, None, None]
    inner.bias[4:] -= 2 * scale.log()
    vae.register_to_config(scaling_factor=1.0)


@torch.no_grad()
def prepare(scenes: int, tokenizer: CLIPTokenizer) -> dict[str, torch.Tensor]:
    """Latents (N, 4, 16, 16) fp16, caption ids, and the standardised autoencoder; cached."""
    if state := load(LATENTS):
        return state
    pictures, captions = render(0, scenes)
    vae = autoencoder.trained()
    standardise(vae, pictures[:4000])
    latents = [vae.encode(to_signed(p)).latent_dist.mean.half() for p in pictures.split(250)]
    state = {
        "latents": torch.cat(latents),
        "captions": encode_captions(tokenizer, captions).to(torch.int16),
        "vae": vae.state_dict(),
    }
    save(LATENTS, state)
    return state


@dataclass
class Denoiser:
    """The loss on one batch: noise prediction, weighted by min(SNR, 5)/SNR."""

    modules: nn.ModuleDict
    empty: torch.Tensor
    bf16: bool

    def __post_init__(self) -> None:
        self.alphas = DDPMScheduler(**BETAS).alphas_cumprod

    def loss(self, latents: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        """latents: (B, 4, 16, 16) fp32; captions: (B, 32) int64. Time steps are stratified."""
        count = len(latents)
        steps = ((torch.randperm(count) + torch.rand(count)) * (1000 / count)).long()
        alpha = self.alphas[steps].view(-1, 1, 1, 1)
        noise = torch.randn_like(latents)
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        captions = torch.where(torch.rand(count, 1) < CAPTION_DROP, self.empty, captions)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            states = self.modules["text"](captions).last_hidden_state
            guess = self.modules["unet"](noisy, steps, states).sample
        weight = (SNR_CAP * (1 - alpha) / alpha).clamp(max=1)
        return (weight * (guess.float() - noise).square()).mean()


def train(options: argparse.Namespace) -> None:
    """Train until the budget is spent; goes on from the checkpoint if there is one."""
    rank, size = join_group()
    if rank == 0:
        words.write(RUNS / "tokenizer")
        prepare(options.scenes, CLIPTokenizer.from_pretrained(RUNS / "tokenizer"))
    agree_on_progress(0)
    tokenizer = CLIPTokenizer.from_pretrained(RUNS / "tokenizer")
    data = prepare(options.scenes, tokenizer)
    latents, captions = data["latents"], data["captions"]
    torch.manual_seed(options.seed)
    modules = nn.ModuleDict({"unet": build_unet(), "text": build_text_encoder(tokenizer)})
    modules.train()
    # The plain form is twice as fast in training here: the fused kernel's backward is slow on CPUs.
    modules["unet"].set_attn_processor(AttnProcessor())
    average = Average(modules)
    optimiser = torch.optim.AdamW(
        modules.parameters(), options.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    step, spent = 0, 0.0
    if state := load(CHECKPOINT):
        modules.load_state_dict(state["modules"])
        optimiser.load_state_dict(state["optimiser"])
        average.weights, average.steps = state["average"], state["step"]
        step, spent = state["step"], state["spent_s"]
    torch.manual_seed(options.seed + 1000 * step + rank)
    denoiser = Denoiser(modules, encode_captions(tokenizer, [""]), not options.fp32)
    log = Log(LOGS / "unet.jsonl", step) if rank == 0 else None
    budget = Budget(options.minutes, spent)
    saved, losses, progress = budget.spent_s, [], budget.progress
    while progress < 1 and step < options.steps:
        chosen = torch.randint(len(latents), (options.batch // size,))
        loss = denoiser.loss(latents[chosen].float(), captions[chosen].long())
        optimiser.zero_grad()
        loss.backward()
        average_gradients(modules)
        progress = agree_on_progress(budget.progress)
        rate = learning_rate(options.rate, progress)
        set_rate(optimiser, rate)
        nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimiser.step()
        step += 1
        if log is None:
            continue
        average.update(modules)
        losses.append(loss.item())
        if step % 25 == 0:
            mean = sum(losses) / len(losses)
            log.write(step=step, seconds=budget.spent_s, loss=mean, rate=rate)
            losses = []
        if budget.spent_s - saved > 150 or progress >= 1:
            saved = budget.spent_s
            save(CHECKPOINT, autoencoder.snapshot(modules, optimiser, average, step, saved))


def trained(path: Path = CHECKPOINT) -> tuple[UNet2DConditionModel, CLIPTextModel, AutoencoderKL]:
    """The averaged UNet and text encoder of the last checkpoint, and the autoencoder."""
    state, data = load(path), load(LATENTS)
    if state is None or data is None:
        raise FileNotFoundError(f"{path} or {LATENTS} is missing: run unet.py first")
    tokenizer = CLIPTokenizer.from_pretrained(RUNS / "tokenizer")
    modules = nn.ModuleDict({"unet": build_unet(), "text": build_text_encoder(tokenizer)})
    modules.load_state_dict(state["average"])
    vae = autoencoder.build()
    vae.load_state_dict(data["vae"] | finer_decoder())
    vae.register_to_config(scaling_factor=1.0)
    return modules["unet"].eval(), modules["text"].eval(), vae.eval()


def finer_decoder() -> dict[str, torch.Tensor]:
    """The averaged weights of decoder.py, if it has run."""
    state = load(RUNS / "decoder.pt")
    return {} if state is None else state["average"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--scenes", type=int, default=40000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--fp32", action="store_true")
    train(parser.parse_args())
