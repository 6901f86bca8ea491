"""The committed model opens in stock diffusers and has the promised layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from tinyworld import CONCEPTS, draw_scene
from tinyworld.backgrounds import BACKGROUNDS
from tinyworld.concepts import Kind, Split
from tinyworld.paint import PATTERNS
from tinyworld.palette import NAMED
from tinyworld.shapes import SHAPES
from transformers import CLIPModel, CLIPProcessor, CLIPTokenizer

EXAMPLE = Path(__file__).parents[2] / "examples" / "tinyworld"
LIMIT = 25_000_000


@pytest.fixture(scope="module")
def pipeline(model_folder: Path) -> StableDiffusionPipeline:
    loaded = StableDiffusionPipeline.from_pretrained(model_folder)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_what_is_committed_is_at_most_25_mb() -> None:
    folders = [EXAMPLE / "model", EXAMPLE / "clip"]
    sizes = [p.stat().st_size for folder in folders for p in folder.rglob("*") if p.is_file()]
    assert sum(sizes) <= LIMIT


@pytest.mark.parametrize("word", [*SHAPES, *NAMED, *PATTERNS, *BACKGROUNDS, "photo", "fancy"])
def test_words_of_the_world_are_single_tokens(model_folder: Path, word: str) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(model_folder / "tokenizer")
    assert tokenizer.tokenize(word) == [f"{word}</w>"]


def test_captions_have_one_token_per_word_and_fit(model_folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(model_folder / "tokenizer")
    assert tokenizer.model_max_length == 32
    for seed in range(20):
        caption = draw_scene(seed).caption
        ids = tokenizer(caption).input_ids
        assert len(ids) == len(caption.split()) + 2 <= 32
        assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)


def test_class_words_of_concepts_are_single_tokens(model_folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(model_folder / "tokenizer")
    for concept in CONCEPTS.values():
        assert len(tokenizer.tokenize(concept.class_word)) == 1


def test_any_text_can_be_tokenised(model_folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(model_folder / "tokenizer")
    tokens = tokenizer.tokenize("größe 42 <x1> 猫")
    assert tokens
    assert tokenizer.unk_token not in tokens


def test_files_for_older_readers_are_there(model_folder: Path) -> None:
    names = {path.name for path in (model_folder / "tokenizer").iterdir()}
    assert {"vocab.json", "merges.txt", "tokenizer.json"} <= names
    tensors = load_file(model_folder / "text_encoder" / "model.safetensors")
    assert all(key.startswith("text_model.") for key in tensors)
    index = json.loads((model_folder / "model_index.json").read_text())
    assert index["requires_safety_checker"] is False


def test_the_unet_has_sixteen_cross_attention_layers(pipeline: StableDiffusionPipeline) -> None:
    layers = [name for name, _ in pipeline.unet.named_modules() if name.endswith("attn2")]
    assert len(layers) == 16
    assert pipeline.unet.config.cross_attention_dim == pipeline.text_encoder.config.hidden_size
    assert pipeline.vae.config.latent_channels == 4
    assert 2 ** (len(pipeline.vae.config.block_out_channels) - 1) == 4
    assert pipeline.scheduler.config.prediction_type == "epsilon"


def test_the_text_encoder_pools_at_the_first_end_token(pipeline: StableDiffusionPipeline) -> None:
    ids = pipeline.tokenizer("a red ball", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        output = pipeline.text_encoder(ids)
    end = int((ids[0] == pipeline.tokenizer.eos_token_id).int().argmax())
    assert end == 4
    torch.testing.assert_close(output.pooler_output[0], output.last_hidden_state[0, end])


def test_a_picture_follows_its_caption(pipeline: StableDiffusionPipeline) -> None:
    """A red ball is redder in the middle than a blue one drawn from the same noise."""
    means = []
    for colour in ("red", "blue"):
        picture = pipeline(
            f"a photo of a {colour} ball on the grass",
            height=64,
            width=64,
            num_inference_steps=10,
            guidance_scale=5.0,
            generator=torch.Generator().manual_seed(0),
            output_type="pt",
        ).images[0]
        assert picture.shape == (3, 64, 64)
        means.append(picture[:, 26:46, 22:42].mean((1, 2)))
    red, blue = means
    assert red[0] - red[2] > 0.3
    assert blue[2] - blue[0] > 0.3


def test_the_evaluation_model_ranks_captions(clip_folder: Path) -> None:
    model = CLIPModel.from_pretrained(clip_folder, dtype=torch.float32).eval()
    processor = CLIPProcessor.from_pretrained(clip_folder)
    scenes = [draw_scene(20_000_000 + i) for i in range(16)]
    batch = processor(
        text=[scene.caption for scene in scenes],
        images=[scene.image for scene in scenes],
        padding="max_length",
        return_tensors="pt",
    )
    with torch.no_grad():
        scores = model(**batch).logits_per_image
    assert (scores.argmax(1) == torch.arange(16)).float().mean() > 0.6


def test_the_evaluation_model_recognises_concepts_that_it_never_saw(clip_folder: Path) -> None:
    model = CLIPModel.from_pretrained(clip_folder, dtype=torch.float32).eval()
    processor = CLIPProcessor.from_pretrained(clip_folder)
    names = [name for name, concept in CONCEPTS.items() if concept.kind is Kind.OBJECT]

    def embedded(name: str, split: Split) -> torch.Tensor:
        pictures = [CONCEPTS[name].draw(split, index).image for index in range(8)]
        batch = processor(images=pictures, return_tensors="pt")
        with torch.no_grad():
            found = model.get_image_features(**batch)
        return torch.nn.functional.normalize(getattr(found, "pooler_output", found), dim=-1)

    known = torch.stack([embedded(name, Split.TUNE).mean(0) for name in names])
    right = [
        (embedded(name, Split.HELD_OUT) @ known.T).argmax(1) == index
        for index, name in enumerate(names)
    ]
    assert torch.stack(right).float().mean() > 0.95
