"""Textual-inversion files as A1111, kohya and diffusers write them."""

from __future__ import annotations

import pytest
import torch
from mos_diffusion.formats import read_embedding
from mos_protocol.errors import InvalidRequest
from safetensors.torch import save_file

ROW = torch.arange(6.0)


@pytest.mark.parametrize(
    ("tensors", "shapes"),
    [
        ({"emb_params": ROW.view(2, 3)}, {"text_encoder": (2, 3)}),
        ({"emb_params": ROW.half()}, {"text_encoder": (1, 6)}),
        ({"<dog>": ROW}, {"text_encoder": (1, 6)}),
        (
            {"clip_l": ROW.view(2, 3), "clip_g": ROW.view(2, 3) + 1},
            {"text_encoder": (2, 3), "text_encoder_2": (2, 3)},
        ),
    ],
)
def test_every_usual_layout_is_read(tmp_path, tensors, shapes):
    save_file(tensors, tmp_path / "e.safetensors")

    found = read_embedding(tmp_path / "e.safetensors")

    assert {encoder: tuple(rows.shape) for encoder, rows in found.items()} == shapes
    assert found["text_encoder"].flatten().tolist() == ROW.tolist()


@pytest.mark.parametrize(
    "tensors",
    [
        {"<dog>": ROW, "<cat>": ROW + 1},
        {"emb_params": ROW, "clip_l": ROW + 1},
        {"emb_params": ROW, "more": ROW + 1},
        {"emb_params": ROW.view(1, 2, 3)},
        {"emb_params": ROW * float("nan")},
        {"emb_params": torch.zeros(0, 3)},
    ],
)
def test_anything_else_is_refused(tmp_path, tensors):
    save_file(tensors, tmp_path / "e.safetensors")

    with pytest.raises(InvalidRequest):
        read_embedding(tmp_path / "e.safetensors")
