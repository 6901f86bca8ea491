from __future__ import annotations

import numpy as np
import pytest
import torch
from mos_diffusion.evaluation.alignment import (
    image_alignment,
    load_clip,
    load_dino,
    open_picture,
    text_alignment,
)
from mos_protocol.errors import InvalidRequest
from PIL import Image
from tiny_clip import write_tiny_dino


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))


def unit(seed: int, count: int) -> torch.Tensor:
    rows = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=-1)


def test_text_alignment_is_two_and_a_half_times_the_cosine_cut_at_zero():
    pictures, texts = unit(0, 5), unit(1, 5)
    expected = [
        2.5 * max(cosine(a, b), 0) for a, b in zip(pictures.numpy(), texts.numpy(), strict=True)
    ]
    assert 0 < sum(value == 0 for value in expected) < 5
    assert text_alignment(pictures, texts).tolist() == pytest.approx(expected, abs=1e-6)


def test_image_alignment_is_the_mean_over_all_pairs_each_cut_at_zero():
    pictures, references = unit(0, 4), unit(1, 7)
    expected = [
        np.mean([max(cosine(a, b), 0) for b in references.numpy()]) for a in pictures.numpy()
    ]
    assert image_alignment(pictures, references).tolist() == pytest.approx(expected, abs=1e-6)


def test_embeddings_are_clips_own(clip, noise):
    """Against the model called by hand, one picture at a time."""
    for path, row in zip(noise, clip.pictures(noise, batch_size=2), strict=True):
        inputs = clip._processor(images=Image.open(path), return_tensors="pt")
        with torch.no_grad():
            vision = clip._model.vision_model(pixel_values=inputs.pixel_values).pooler_output
            own = clip._model.visual_projection(vision)[0]
        assert torch.allclose(row, own / own.norm(), atol=1e-5)


def test_texts_are_embedded_as_clip_does_whatever_else_is_in_the_batch(clip):
    texts = ["a cat", "a photo of a red dog on the beach", "a cat"]
    rows = clip.texts(texts)
    for text, row in zip(texts, rows, strict=True):
        inputs = clip._processor(text=[text], return_tensors="pt")
        with torch.no_grad():
            own = clip._model.get_text_features(**inputs).pooler_output[0]
        assert torch.allclose(row, own / own.norm(), atol=1e-5)
    assert rows.norm(dim=-1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_a_text_is_encoded_once(clip):
    calls = []
    handle = clip._model.text_model.register_forward_hook(lambda *_: calls.append(1))
    clip.texts(["a blue chair", "a blue chair"])
    clip.texts(["a blue chair"])
    handle.remove()
    assert calls == [1]


def test_texts_that_are_too_long_are_cut(clip):
    assert clip.texts(["a cat on the beach " * 40]).shape == (1, 16)


def test_dino_embeds_pictures_by_their_class_token(tmp_path, noise):
    dino = load_dino(write_tiny_dino(tmp_path))
    rows = dino.pictures(noise)
    inputs = dino._processor(images=Image.open(noise[0]), return_tensors="pt")
    with torch.no_grad():
        own = dino._model(**inputs).last_hidden_state[0, 0]
    assert torch.allclose(rows[0], own / own.norm(), atol=1e-5)
    assert rows.shape == (3, 32)


def test_what_is_no_clip_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match=r"can't be loaded.*hub id"):
        load_clip(tmp_path)
    with pytest.raises(InvalidRequest, match="it is a vit, not a clip"):
        load_clip(write_tiny_dino(tmp_path / "dino"))
    with pytest.raises(InvalidRequest, match=r"DINO.*can't be loaded"):
        load_dino(tmp_path / "nothing")


def test_pictures_are_opened_upright_and_damaged_ones_named(tmp_path):
    rotated = Image.Exif()
    rotated[0x0112] = 6
    Image.new("L", (4, 8)).save(tmp_path / "a.jpg", exif=rotated)
    assert (open_picture(tmp_path / "a.jpg").size, open_picture(tmp_path / "a.jpg").mode) == (
        (8, 4),
        "RGB",
    )
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(InvalidRequest, match=r"b\.png can't be read"):
        open_picture(tmp_path / "b.png")
