"""Concepts of every tuning method, fused by every fuse method, alone and mixed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fused_models import (
    dense_moments,
    dense_updates,
    hashes,
    published_deltas,
    read_json,
    weighted,
    write_concept,
)
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings, Solver
from mos_center.fusion.solvers.constrained import rows_of
from mos_diffusion.moments import read_moments, write_moments
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part
from mos_protocol.manifest import MANIFEST_FILE, read_manifest
from mos_protocol.moments import moments_path
from mos_protocol.part_weights import PartWeights
from tiny_package import as_method, relist

ROWS = 3


def package(folder, layers, seed, method):
    """A concept of the method; one of Custom Diffusion recorded few rows of its own."""
    write_concept(folder, layers, seed)
    as_method(folder, method)
    return recorded_by_paper(folder, layers, seed) if method == "custom-diffusion" else folder


def recorded_by_paper(folder, layers, seed):
    """The package with few rows in the moments of keys and values, as the paper records them."""
    rng = np.random.default_rng(seed)
    kv = {layer.input for layer in layers.layers() if layer.part is Part.CROSS_KV}
    for block in layers.all_blocks():
        path = folder / moments_path(block.name)
        moments = read_moments(path)
        for name in kv & moments.keys():
            rows = moments[name].new_tensor(rng.standard_normal((ROWS, len(moments[name]))))
            moments[name] = rows.T @ rows / ROWS
        path.unlink()
        write_moments({block.name: moments}, folder)
    manifest = relist(folder)
    recording = manifest.moments.model_copy(update={"recording": "paper"})
    manifest = manifest.model_copy(update={"moments": recording})
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return folder


@pytest.fixture(scope="module")
def methods(tiny, tmp_path_factory):
    """A package of every method by name, and one more of Custom Diffusion."""
    home = tmp_path_factory.mktemp("methods")
    names = ("lora", "p-plus", "custom-diffusion")
    found = {
        name: package(home / name, tiny.layers, seed, name) for seed, name in enumerate(names, 30)
    }
    other = package(home / "other", tiny.layers, 40, "custom-diffusion")
    return {"ed-lora": tiny.packages[0], **found, "other": other}


@pytest.fixture(scope="module")
def prior(tiny, tmp_path_factory):
    """Moments of generic inputs for every block."""
    folder = tmp_path_factory.mktemp("generic")
    write_concept(folder, tiny.layers, 9)
    return {block.name: folder / moments_path(block.name) for block in tiny.layers.all_blocks()}


def kv_layers(tiny):
    return [layer for layer in tiny.layers.layers() if layer.part is Part.CROSS_KV]


@pytest.mark.parametrize(
    "solver", [solver for solver in Solver if solver is not Solver.CUSTOM_DIFFUSION]
)
def test_concepts_of_every_method_fuse_together(tiny, methods, tmp_path, solver):
    chosen = [methods[name] for name in ("ed-lora", "lora", "p-plus", "custom-diffusion")]

    fuse_local(tiny.base, weighted(chosen), FusionSettings(solver), tmp_path / "out")

    index = read_json(tmp_path / "out/concepts.json")["concepts"]
    assert [item["trigger"] for item in index] == ["<c0a> <c0b>", "<c30a>", "<c31a>", "<c32a> ball"]
    deltas = published_deltas(tmp_path / "out", tiny.layers)
    assert any(delta.any() for delta in deltas.values()) == (solver is not Solver.NONE)


@pytest.mark.parametrize("solver", list(Solver))
def test_concepts_without_any_lora_leave_the_weights_to_the_base(
    tiny, methods, prior, tmp_path, solver
):
    out = tmp_path / "out"

    report = fuse_local(
        tiny.base, weighted([methods["p-plus"]]), FusionSettings(solver), out, prior
    )

    assert report["warnings"] == []
    unet = "unet/diffusion_pytorch_model.safetensors"
    assert hashes(out)[unet] == hashes(tiny.base)[unet]
    assert read_json(out / "concepts.json")["concepts"][0]["words"] == ["<c31a>"]


def test_no_fusion_inserts_words_and_says_who_loses_a_change(tiny, methods, tmp_path):
    chosen = [methods["lora"], methods["p-plus"]]
    out = tmp_path / "out"

    report = fuse_local(tiny.base, weighted(chosen), FusionSettings(Solver.NONE), out)

    (warning,) = report["warnings"]
    assert "ada/c30 loses what it changes" in warning
    assert warning in (out / "README.md").read_text()
    assert report["kept"]["ada/c30"]["result"] == pytest.approx(0, abs=1e-9)
    unet = "unet/diffusion_pytorch_model.safetensors"
    assert hashes(out)[unet] == hashes(tiny.base)[unet]


def test_custom_diffusion_holds_the_rows_of_every_concept(tiny, methods, prior, tmp_path):
    chosen = [methods["custom-diffusion"], methods["other"]]
    settings = FusionSettings(Solver.CUSTOM_DIFFUSION)

    report = fuse_local(tiny.base, weighted(chosen), settings, tmp_path / "out", prior)

    deltas = published_deltas(tmp_path / "out", tiny.layers)
    for folder in chosen:
        updates, moments = dense_updates(folder, tiny.layers), dense_moments(folder, tiny.layers)
        for layer in kv_layers(tiny):
            rows = rows_of(torch.from_numpy(moments[layer.input])).numpy()
            assert len(rows) == ROWS
            np.testing.assert_allclose(
                rows @ deltas[layer.name].T, rows @ updates[layer.name].T, atol=1e-5
            )
    assert min(kept["result"] for kept in report["kept"].values()) > 0.999
    assert report["settings"] == {"solver": "custom-diffusion"}


def test_custom_diffusion_changes_least_on_generic_inputs(tiny, methods, prior, tmp_path):
    chosen = [methods["custom-diffusion"], methods["other"]]
    generic = {}
    for path in prior.values():
        generic |= {name: value.numpy() for name, value in read_moments(path).items()}

    def drift(solver):
        out = tmp_path / solver
        fuse_local(tiny.base, weighted(chosen), FusionSettings(solver), out, prior)
        deltas = published_deltas(out, tiny.layers)
        return sum(
            ((deltas[layer.name] @ generic[layer.input]) * deltas[layer.name]).sum()
            for layer in kv_layers(tiny)
        )

    assert drift("custom-diffusion") < drift("closed-form")


def test_words_alone_go_with_custom_diffusion_too(tiny, methods, prior, tmp_path):
    chosen = weighted([methods["custom-diffusion"], methods["p-plus"]])

    fuse_local(tiny.base, chosen, FusionSettings("custom-diffusion"), tmp_path / "out", prior)

    assert len(read_json(tmp_path / "out/concepts.json")["concepts"]) == 2


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("lora", PartWeights(), "ada/c30 was tuned by lora and changes text_encoder and spatial"),
        (
            "lora",
            PartWeights(text_encoder=0, spatial=0),
            "ada/c30 recorded its moments by 'data'",
        ),
    ],
)
def test_custom_diffusion_refuses_what_it_can_not_hold(
    tiny, methods, prior, tmp_path, name, weights, message
):
    packages = [(methods["custom-diffusion"], PartWeights()), (methods[name], weights)]

    with pytest.raises(InvalidRequest, match=message):
        fuse_local(tiny.base, packages, FusionSettings("custom-diffusion"), tmp_path / "o", prior)


@pytest.mark.parametrize("given", [None, {}])
def test_custom_diffusion_without_a_prior_is_refused(tiny, methods, tmp_path, given):
    packages = weighted([methods["custom-diffusion"]])

    with pytest.raises(InvalidRequest, match=r"needs the .*prior moments"):
        fuse_local(tiny.base, packages, FusionSettings("custom-diffusion"), tmp_path / "o", given)


def test_parts_that_are_weighed_0_let_other_methods_be_held(tiny, prior, tmp_path):
    folder = tmp_path / "lora"
    write_concept(folder, tiny.layers, 50)
    recorded_by_paper(folder, tiny.layers, 50)
    weights = PartWeights(text_encoder=0, spatial=0)

    fuse_local(
        tiny.base, [(folder, weights)], FusionSettings("custom-diffusion"), tmp_path / "out", prior
    )

    changed = {
        name
        for name, delta in published_deltas(tmp_path / "out", tiny.layers).items()
        if delta.any()
    }
    assert changed == {layer.name for layer in kv_layers(tiny)}
    assert read_manifest(folder).method == "ed-lora"
