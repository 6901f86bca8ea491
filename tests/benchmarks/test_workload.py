"""Workloads: valid, reproducible, and of the real models' shapes."""

from __future__ import annotations

import json

import pytest
import torch
from architectures import ARCHITECTURES
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from measuring import BenchmarkError
from mos_diffusion.base_folder import read_layer_map
from mos_diffusion.concept_file import load_concept
from mos_protocol.manifest import read_manifest, sha256_of
from mos_protocol.package import check_package
from random_base import tokenizer, write_base
from workload import main, make_workload


def test_packages_pass_every_check_of_the_protocol(tiny):
    layers = read_layer_map(tiny.base)
    manifests = [check_package(package, layers) for package in tiny.packages]
    assert len({manifest.words for manifest in manifests}) == 2
    attention = {layer.name for block in layers.blocks for layer in block.layers}
    weights = load_concept(tiny.packages[0] / "concept.safetensors", manifests[0].words)
    assert weights.lora.keys() == attention


def test_packages_of_an_xl_base_have_both_text_encoders(tmp_path):
    made = make_workload(tmp_path / "xl", "tinyxl", 1, jobs=1)
    layers = read_layer_map(made.base)
    manifest = check_package(made.packages[0], layers)
    weights = load_concept(made.packages[0] / "concept.safetensors", manifest.words)
    assert weights.embeddings.keys() == {"text_encoder", "text_encoder_2"}


@pytest.mark.parametrize(
    ("arch", "pipeline"),
    [("tiny", StableDiffusionPipeline), ("tinyxl", StableDiffusionXLPipeline)],
)
def test_a_base_opens_in_a_stock_pipeline_and_gives_finite_pictures(tmp_path, arch, pipeline):
    folder = write_base(ARCHITECTURES[arch], tmp_path / "base", torch.float16, 0)
    pipe = pipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    made = pipe("a photo of a cat", num_inference_steps=1, height=32, width=32, output_type="pt")
    assert made.images.isfinite().all()


@pytest.mark.parametrize(
    ("arch", "unet", "encoders", "crossed"),
    [("sd15", 859_520_964, 123_060_480, 16), ("sdxl", 2_567_463_684, 817_720_320, 70)],
)
def test_full_architectures_have_the_real_models_sizes(arch, unet, encoders, crossed):
    modules = ARCHITECTURES[arch].modules()
    sizes = {
        name: sum(tensor.numel() for tensor in module.parameters())
        for name, module in modules.items()
    }
    assert sizes["unet"] == unet
    assert sum(size for name, size in sizes.items() if "text" in name) == encoders
    names = [name for name, _ in modules["unet"].named_modules()]
    assert sum(name.endswith(".attn2") for name in names) == crossed
    assert all(tensor.is_meta for tensor in modules["unet"].parameters())


def test_a_full_tokenizer_has_the_real_one_s_entries_and_single_token_class_words():
    made = tokenizer(49408, "<|endoftext|>")
    assert len(made) == 49408
    assert len(made("cat", add_special_tokens=False).input_ids) == 1
    assert made("cat").input_ids[-1] == 49407


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tiny, tmp_path):
    again = make_workload(tmp_path / "again", "tiny", 1, jobs=1)
    other = make_workload(tmp_path / "other", "tiny", 1, seed=1, jobs=1)
    first = read_manifest(tiny.packages[0])
    assert read_manifest(again.packages[0]) == first
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert sha256_of(again.base / weights) == sha256_of(tiny.base / weights)
    assert sha256_of(other.base / weights) != sha256_of(tiny.base / weights)
    assert not {entry.sha256 for entry in read_manifest(other.packages[0]).files} & {
        entry.sha256 for entry in first.files
    }


def test_more_concepts_are_added_to_what_is_there(tmp_path):
    first = make_workload(tmp_path, "tiny", 1, jobs=1)
    before = (first.packages[0] / "manifest.json").stat()
    more = make_workload(tmp_path, "tiny", 2, jobs=1)
    assert (more.packages[0] / "manifest.json").stat().st_mtime_ns == before.st_mtime_ns
    assert read_manifest(more.packages[1]).concept == "bench/concept1"


def test_a_package_that_was_left_half_written_is_written_again(tmp_path):
    made = make_workload(tmp_path, "tiny", 1, jobs=1)
    package = made.packages[0]
    whole = read_manifest(package)
    (package / "manifest.json").unlink()
    (package / "moments" / "stray.safetensors").write_bytes(b"half")
    make_workload(tmp_path, "tiny", 1, jobs=1)
    assert read_manifest(package) == whole
    assert not (package / "moments" / "stray.safetensors").exists()


def test_a_folder_of_other_parameters_is_refused_and_left_alone(tiny):
    out = tiny.base.parent
    before = json.loads((out / "workload.json").read_text())
    with pytest.raises(BenchmarkError, match="Remove it or choose another folder"):
        main(["--arch", "tiny", "--concepts", "1", "--seed", "9", "--out", str(out)])
    assert json.loads((out / "workload.json").read_text()) == before
