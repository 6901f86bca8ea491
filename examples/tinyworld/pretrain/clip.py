"""Train a tiny CLIP on generic scenes, for measuring how pictures follow their captions."""

from __future__ import annotations

import argparse
from pathlib import Path

import tokenizer as words
import torch
from data import render, to_signed
from loop import LOGS, RUNS, Budget, Log, learning_rate, load, save, set_rate
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer
from unet import encode_captions

CHECKPOINT = RUNS / "clip.pt"
FOLDER = Path(__file__).parents[1] / "clip"
FIRST_SCENE = 1_000_000
WIDTH = 128


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Two transformers of width 128: patches of 8x8 pixels, captions of 32 tokens."""
    size = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 4}
    text = {
        **size,
        "num_hidden_layers": 2,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": words.LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**size, "num_hidden_layers": 3, "image_size": 64, "patch_size": 8}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def loss_of(
    model: CLIPModel, pictures: torch.Tensor, captions: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Symmetric contrastive loss; equal captions in a batch share the target. Also accuracy."""
    with torch.autocast("cpu", torch.bfloat16):
        output = model(input_ids=captions, pixel_values=pictures)
    scores = output.logits_per_image.float()
    same = (captions[:, None] == captions[None]).all(-1).float()
    target = same / same.sum(-1, keepdim=True)
    loss = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
    right = same.gather(1, scores.argmax(1, keepdim=True)).mean()
    return loss, right.item()


def train(options: argparse.Namespace) -> CLIPModel:
    """Train until the budget is spent; goes on from the checkpoint if there is one."""
    words.write(RUNS / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(RUNS / "tokenizer")
    pictures, captions = render(FIRST_SCENE, options.scenes)
    ids = encode_captions(tokenizer, captions)
    torch.manual_seed(options.seed)
    model = build(tokenizer).train()
    optimiser = torch.optim.AdamW(model.parameters(), options.rate, weight_decay=0.05, fused=True)
    step, spent = 0, 0.0
    if state := load(CHECKPOINT):
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent_s"]
        torch.manual_seed(options.seed + step)
    log, budget = Log(LOGS / "clip.jsonl", step), Budget(options.minutes, spent)
    saved = budget.spent_s
    while budget.progress < 1:
        rate = learning_rate(options.rate, budget.progress)
        set_rate(optimiser, rate)
        chosen = torch.randint(len(pictures), (options.batch,))
        loss, accuracy = loss_of(model, to_signed(pictures[chosen]), ids[chosen])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        spent = budget.spent_s
        if step % 20 == 0:
            log.write(step=step, seconds=spent, loss=loss.item(), accuracy=accuracy, rate=rate)
        if spent - saved > 120 or budget.progress == 1:
            saved = spent
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            save(CHECKPOINT, {**state, "step": step, "spent_s": spent})
    return model.eval()


def export(model: CLIPModel, folder: Path) -> None:
    """Write the model, fp16, with its processor."""
    words.write(folder)
    images = CLIPImageProcessor(
        size={"shortest_edge": 64},
        crop_size={"height": 64, "width": 64},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    CLIPProcessor(images, CLIPTokenizer.from_pretrained(folder)).save_pretrained(folder)
    model.half().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--scenes", type=int, default=40000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=FOLDER)
    chosen_options = parser.parse_args()
    export(train(chosen_options), chosen_options.out)
