"""Train a tiny CLIP, for measuring how pictures follow captions and whether they show one object.

Beside the contrast of pictures and captions, two pictures of one object in other places are drawn
together: a few thousand captions of a small vocabulary teach no eye for what they don't name.
In half of these pairs the second picture was redrawn by the base model, so that what a model
draws is known for what it shows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import tokenizer as words
import torch
from data import PairedScenes, joined, render_pairs, to_signed
from loop import LOGS, RUNS, Budget, Log, learning_rate, load, save, set_rate
from redrawn import redraw_seconds
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer
from unet import encode_captions

CHECKPOINT = RUNS / "clip.pt"
FOLDER = Path(__file__).parents[1] / "clip"
FIRST_SCENE = 1_000_000
WIDTH = 128
PICTURE_TEMPERATURE = 0.1
CLOSE_VIEWS = 0.5


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
    """Contrastive losses of pictures (2, B, 3, 64, 64) of B objects and captions (2, B, T) of them.

    The mean of two: pictures against captions, where equal captions share the target, and first
    against second pictures. Also how often a picture's own caption is the nearest.
    """
    ids = captions.flatten(0, 1)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(input_ids=ids, pixel_values=pictures.flatten(0, 1))
    same = (ids[:, None] == ids[None]).all(-1).float()
    scores = output.logits_per_image.float()
    told = _contrast(scores, same / same.sum(-1, keepdim=True))
    first, second = output.image_embeds.float().chunk(2)
    seen = _contrast(first @ second.T / PICTURE_TEMPERATURE, torch.eye(len(first)))
    right = same.gather(1, scores.argmax(1, keepdim=True)).mean()
    return (told + seen) / 2, right.item()


def _contrast(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target.T)) / 2


def train(options: argparse.Namespace) -> CLIPModel:
    """Train until the budget is spent; goes on from the checkpoint if there is one."""
    words.write(RUNS / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(RUNS / "tokenizer")
    scenes = render_pairs(FIRST_SCENE, options.scenes)
    scenes = joined(scenes, redraw_seconds(scenes, options.redrawn, options.seed))
    ids = torch.stack([encode_captions(tokenizer, captions) for captions in scenes.captions])
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
        chosen = _chosen(options)
        loss, accuracy = loss_of(model, _views(scenes, chosen), ids[:, chosen])
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


def _chosen(options: argparse.Namespace) -> torch.Tensor:
    """Half of a batch from the drawn pairs, half from the redrawn ones that follow them."""
    half = options.batch // 2
    redrawn = torch.randint(options.redrawn, (options.batch - half,)) + options.scenes
    return torch.cat([torch.randint(options.scenes, (half,)), redrawn])


def _views(scenes: PairedScenes, chosen: torch.Tensor) -> torch.Tensor:
    """(2, B, 3, 64, 64) in [-1, 1]: whole pictures, and close views of the object, at random."""
    close = torch.rand(2, len(chosen), 1, 1, 1) < CLOSE_VIEWS
    views = torch.where(close, scenes.close[:, chosen], scenes.whole[:, chosen])
    return to_signed(views)


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
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--scenes", type=int, default=20000)
    parser.add_argument("--redrawn", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=FOLDER)
    chosen_options = parser.parse_args()
    export(train(chosen_options), chosen_options.out)
