"""LoRAs in the formats of other tools, out of a fusion and into another one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings, Solver
from mos_client.importing import ImportSettings, import_concept
from mos_diffusion.base_folder import read_layer_map
from mos_diffusion.formats import export
from mos_diffusion.formats.module_names import kohya_name
from safetensors.torch import load_file, save_file
from tiny_base import write_tiny_base

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "center_node" / "fusion"))

from fused_models import weighted, write_concept

RANK = 16


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base") / "tiny")


def settings(base: Path, file: Path, **options: object) -> ImportSettings:
    return ImportSettings(
        file=file,
        name="ada/back",
        words=("<back1>", "<back2>"),
        base=str(base),
        trigger="red cat",
        recording="paper",
        preview_steps=1,
        device="cpu",
        **options,
    )


def test_a_kohya_lora_that_is_imported_again_fuses_to_the_same_model(base, tmp_path):
    layers = read_layer_map(base)
    packages = [tmp_path / "a", tmp_path / "b"]
    for seed, package in enumerate(packages):
        write_concept(package, layers, seed, drop="mlp" if seed else None)
    fuse_local(base, weighted(packages), FusionSettings(Solver.LBFGS), tmp_path / "first")
    export(tmp_path / "first", "kohya-lora", tmp_path / "lora", "float32")

    import_concept(settings(base, tmp_path / "lora/kohya_lora.safetensors"), tmp_path / "back")
    again = weighted([tmp_path / "back"])
    fuse_local(base, again, FusionSettings(Solver.SUM), tmp_path / "second")

    for path in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        first, second = (load_file(tmp_path / name / path) for name in ("first", "second"))
        for name, weight in first.items():
            if "token_embedding" not in name:
                torch.testing.assert_close(second[name], weight, rtol=1e-5, atol=1e-6)


def test_a_strangers_lora_of_rank_16_with_feed_forward_fuses_with_two_concepts(base, tmp_path):
    layers = read_layer_map(base)
    packages = [tmp_path / "a", tmp_path / "b"]
    for seed, package in enumerate(packages):
        write_concept(package, layers, seed)
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for layer in layers.layers():
        if any(part in layer.name for part in ("to_k", "to_v", "ff.net", "proj_in", "mlp.fc1")):
            name = kohya_name(layer.name)
            rank = min(RANK, layer.d_in, layer.d_out)
            for half, shape in (("down", (rank, layer.d_in)), ("up", (layer.d_out, rank))):
                values = torch.randn(shape, generator=generator) * 0.05
                tensors[f"{name}.lora_{half}.weight"] = values
            tensors[f"{name}.alpha"] = torch.tensor(8.0)
    save_file(tensors, tmp_path / "stranger.safetensors", {"ss_network_dim": "16"})

    import_concept(settings(base, tmp_path / "stranger.safetensors"), tmp_path / "back")
    three = weighted([*packages, tmp_path / "back"])
    fuse_local(base, three, FusionSettings(), tmp_path / "model", exports=["kohya-lora"])

    delta = load_file(tmp_path / "model/delta.safetensors")
    assert {layer.name for layer in layers.layers()} == {name.rpartition(".")[0] for name in delta}
    assert all(torch.isfinite(value).all() for value in delta.values())
    assert max(len(value) for name, value in delta.items() if name.endswith(".down")) == RANK + 4
    report = json.loads((tmp_path / "model/report.json").read_text())
    assert [concept["name"] for concept in report["concepts"]] == ["ada/c0", "ada/c1", "ada/back"]
    assert (tmp_path / "model/exports/kohya-lora/kohya_lora.safetensors").is_file()
