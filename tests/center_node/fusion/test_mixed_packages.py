"""Concepts of different ranks that change different layers, and moments at the edge of sense."""

from __future__ import annotations

import numpy as np
import pytest
from fused_models import (
    dense_moments,
    dense_updates,
    published_deltas,
    read_json,
    weighted,
    write_concept,
)
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings
from mos_diffusion.moments import read_moments, write_moments
from mos_protocol.errors import InvalidPackage, InvalidRequest
from mos_protocol.manifest import CONCEPT_FILE, MANIFEST_FILE
from mos_protocol.moments import moments_path
from mos_protocol.part_weights import PartWeights
from safetensors.numpy import load_file, save_file
from tiny_package import relist


def attention_only(folder, layers, seed):
    """A package as tuning writes it: LoRA on attention, moments of those blocks alone."""
    write_concept(folder, layers, seed)
    extra = {layer.name for block in layers.extra_blocks for layer in block.layers}
    kept = {
        name: value
        for name, value in load_file(folder / CONCEPT_FILE).items()
        if name.rpartition(".lora.")[0] not in extra
    }
    save_file(kept, folder / CONCEPT_FILE, metadata={"format": "mos-concept/1"})
    for block in layers.extra_blocks:
        (folder / moments_path(block.name)).unlink()
    relist(folder)
    return folder


def of_rank_16(folder, layers, seed):
    """A package that changes everything, at rank 16."""
    write_concept(folder, layers, seed)
    rng = np.random.default_rng(seed)
    tensors = dict(load_file(folder / CONCEPT_FILE))
    for name, value in tensors.items():
        if name.endswith(".lora.down"):
            tensors[name] = rng.normal(0, 0.1, (16, value.shape[1])).astype("f4")
        elif name.endswith(".lora.up"):
            tensors[name] = rng.normal(0, 0.1, (value.shape[0], 16)).astype("f4")
    save_file(tensors, folder / CONCEPT_FILE, metadata={"format": "mos-concept/1"})
    manifest = relist(folder).model_copy(update={"rank": 16})
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return folder


@pytest.fixture
def mixed(tiny, tmp_path):
    """Two attention-only concepts of low rank, and one of rank 16 with feed-forward layers."""
    low = [attention_only(tmp_path / f"low{seed}", tiny.layers, seed) for seed in (11, 12)]
    return [*low, of_rank_16(tmp_path / "high", tiny.layers, 13)]


def test_mixed_ranks_and_layers_fuse(tiny, mixed, tmp_path):
    fuse_local(tiny.base, weighted(mixed), FusionSettings(), tmp_path / "out")

    report = read_json(tmp_path / "out/report.json")
    ranks = {layer["layer"]: layer["rank"] for layer in report["layers"]}
    attention = tiny.layers.blocks[0].layers[0]
    beyond = tiny.layers.extra_blocks[0].layers[0]
    assert ranks[attention.name] == min(20, attention.d_out)
    assert ranks[beyond.name] == min(16, beyond.d_out)
    for layer in report["layers"]:
        assert layer["residual"]["result"] <= layer["residual"]["average"] + 1e-6


def test_where_only_one_concept_has_moments_the_others_are_taken_to_send_the_same(
    tiny, mixed, tmp_path
):
    fuse_local(tiny.base, weighted(mixed), FusionSettings(), tmp_path / "out")

    (warning,) = [
        text
        for text in read_json(tmp_path / "out/report.json")["warnings"]
        if "have no moments" in text
    ]
    assert "2 concepts" in warning
    deltas = published_deltas(tmp_path / "out", tiny.layers)
    own = dense_updates(mixed[2], tiny.layers)
    for layer in (layer for block in tiny.layers.extra_blocks for layer in block.layers):
        np.testing.assert_allclose(
            deltas[layer.name], own[layer.name] / 3, atol=1e-5 * np.abs(own[layer.name]).max()
        )


def test_a_prior_of_the_extra_layers_lets_the_one_concept_keep_more(tiny, mixed, tmp_path):
    write_concept(tmp_path / "generic", tiny.layers, 19)
    with_moments(tmp_path / "generic", tiny.layers, one_direction)
    prior = {
        block.name: tmp_path / "generic" / moments_path(block.name)
        for block in tiny.layers.all_blocks()
    }
    fuse_local(tiny.base, weighted(mixed), FusionSettings(), tmp_path / "plain")
    fuse_local(tiny.base, weighted(mixed), FusionSettings(), tmp_path / "out", prior=prior)

    plain, helped = (published_deltas(tmp_path / name, tiny.layers) for name in ("plain", "out"))
    own, moments = dense_updates(mixed[2], tiny.layers), dense_moments(mixed[2], tiny.layers)
    for layer in (layer for block in tiny.layers.extra_blocks for layer in block.layers):
        gram = moments[layer.input]
        missing = [delta[layer.name] - own[layer.name] for delta in (helped, plain)]
        lost = [float(((gap @ gram) * gap).sum()) for gap in missing]
        assert lost[0] < lost[1] / 2


def test_weights_count_in_their_own_part_only(tiny, tmp_path):
    package = tiny.packages[0]
    weights = PartWeights(text_encoder=0.0, cross_kv=1.0, spatial=0.5)
    fuse_local(tiny.base, [(package, weights)], FusionSettings(), tmp_path / "out")

    deltas = published_deltas(tmp_path / "out", tiny.layers)
    own = dense_updates(package, tiny.layers)
    for layer in tiny.layers.layers():
        np.testing.assert_allclose(
            deltas[layer.name],
            weights.of(layer.part) * own[layer.name],
            atol=1e-6 * np.abs(own[layer.name]).max(),
        )


def one_direction(gram):
    """What is left of a moment of inputs that all point one way."""
    return gram[:, :1] @ gram[:1] / gram[0, 0]


def with_moments(package, layers, change):
    """The package with every moment changed by `change`, and a manifest that agrees."""
    for block in layers.all_blocks():
        path = package / moments_path(block.name)
        changed = {name: change(value) for name, value in read_moments(path).items()}
        path.unlink()
        write_moments({block.name: changed}, package)
    relist(package)
    return package


@pytest.mark.parametrize("solver", ["closed-form", "lbfgs"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda gram: gram * 0, id="zero"),
        pytest.param(lambda gram: gram * 1e7, id="huge"),
        pytest.param(lambda gram: gram * 1e-20, id="minute"),
        pytest.param(one_direction, id="rank-one"),
    ],
)
def test_moments_at_the_edge_of_sense_give_a_finite_delta_of_sensible_size(
    tiny, tmp_path, solver, change
):
    write_concept(tmp_path / "odd", tiny.layers, 21)
    odd = with_moments(tmp_path / "odd", tiny.layers, change)

    packages = weighted([tiny.packages[0], odd])
    fuse_local(tiny.base, packages, FusionSettings(solver), tmp_path / "out")

    updates = [dense_updates(package, tiny.layers) for package, _ in packages]
    for name, delta in published_deltas(tmp_path / "out", tiny.layers).items():
        largest = max(np.linalg.norm(update[name]) for update in updates)
        assert np.isfinite(delta).all()
        assert np.linalg.norm(delta) <= 30.01 * largest


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_moments_that_are_not_finite_are_refused_before_anything_is_written(tiny, tmp_path, value):
    package = tmp_path / "bad"
    write_concept(package, tiny.layers, 22)
    path = package / moments_path("unet.mid_block")
    tensors = dict(load_file(path))
    name = next(name for name in tensors if name.endswith(".diagonal"))
    tensors[name][0] = value
    save_file(tensors, path, metadata={"format": "mos-moments/2"})
    relist(package)

    with pytest.raises((InvalidPackage, InvalidRequest), match=r"unet\.mid_block"):
        fuse_local(tiny.base, weighted([package]), FusionSettings(), tmp_path / "out")

    assert not (tmp_path / "out").exists()
