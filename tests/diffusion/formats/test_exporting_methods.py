"""Exports of models whose concepts were tuned by methods without LoRA, or without a bound on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fused_models import weighted
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings
from mos_diffusion.base_folder import read_layer_map
from mos_diffusion.formats import export, read_lora
from mos_protocol.errors import InvalidRequest
from safetensors.torch import load_file
from tiny_package import as_method, write_package

LORAS = ("diffusers-lora", "kohya-lora")


def fused(folder: Path, base: Path, method) -> Path:
    """The model of one concept that the method tuned."""
    write_package(folder / "package", read_layer_map(base))
    as_method(folder / "package", method)
    fuse_local(base, weighted([folder / "package"]), FusionSettings(), folder / "model")
    return folder / "model"


@pytest.mark.parametrize("name", LORAS)
def test_changes_of_full_rank_are_exported_whole(tiny, tmp_path, name):
    export(fused(tmp_path, tiny.base, "custom-diffusion"), name, tmp_path / "out", "float32")

    (path,) = (path for path in (tmp_path / "out").glob("*lora*.safetensors"))
    assert max(len(values) for values in load_file(path).values() if values.ndim == 2) >= 32
    changed = read_lora(path).layers
    assert {layer.rpartition("attn")[2] for layer in changed} == {"2.to_k", "2.to_v"}
    assert len(changed) == 32


@pytest.mark.parametrize("name", LORAS)
def test_embeddings_alone_are_no_lora_to_export(tiny, tmp_path, name):
    model = fused(tmp_path, tiny.base, "p-plus")

    with pytest.raises(InvalidRequest, match="changes no layer of its base") as caught:
        export(model, name, tmp_path / "out")

    assert "concepts.safetensors" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_embeddings_alone_make_a_checkpoint(tiny, tmp_path):
    files = export(fused(tmp_path, tiny.base, "p-plus"), "single-file", tmp_path / "out")

    assert "checkpoint.safetensors" in {path.name for path in files}
