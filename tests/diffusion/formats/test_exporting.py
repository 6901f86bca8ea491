"""Exports, opened with stock diffusers and compared with the published folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mos_diffusion.formats import EXPORTS, export, read_lora
from mos_diffusion.formats.exporting import DTYPES
from mos_diffusion.formats.published import open_published
from mos_diffusion.tensor_file import read_metadata
from mos_protocol.errors import Conflict, InvalidRequest, JobFailed
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parent))

import stock_pipelines
from stock_pipelines import open_export, open_folder, outputs, with_words

LORAS = ("diffusers-lora", "kohya-lora")
TOLERANCE = {"float16": 1e-3, "float32": 1e-5}


def model_file(folder: Path) -> Path:
    """The one file of an export that is not about words."""
    (path,) = (path for path in folder.glob("*.safetensors") if path.stem != "concepts")
    return path


def differences(found, expected) -> dict[str, float]:
    """The largest difference of each output, relative to the output's size."""
    assert found.keys() == expected.keys()
    return {
        name: float((found[name] - value).abs().max() / value.abs().max())
        for name, value in expected.items()
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXPORTS)
def test_stock_diffusers_makes_the_same_of_an_export_as_of_the_folder(tiny, exported, name, dtype):
    # A file in half precision is the folder in half precision; a LoRA in it rounds only the change.
    whole = dtype if name == "single-file" else "float32"
    expected = outputs(open_folder(tiny.model, getattr(torch, whole)))

    found = outputs(open_export(tiny.base, exported[name, dtype]))

    assert max(differences(found, expected).values()) < TOLERANCE[dtype]
    unchanged = outputs(with_words(open_folder(tiny.base), exported[name, dtype]))
    assert min(differences(unchanged, expected)[name] for name in ("states", "unet")) > 0.01


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", EXPORTS)
def test_the_same_holds_for_a_pretrained_model(worlds, tmp_path, name, precision):
    # The folder of a half-precision base rounds base + change, a LoRA doesn't.
    world = worlds[precision]
    export(world.model, name, tmp_path / "out", "float32")

    found = outputs(open_export(world.base, tmp_path / "out"))

    expected = outputs(open_folder(world.model))
    assert max(differences(found, expected).values()) < TOLERANCE[precision]


def test_exports_need_nothing_of_ours(tiny, exported, tmp_path):
    program = Path(stock_pipelines.__file__)
    folders = [exported[name, "float32"] for name in EXPORTS]
    command = [sys.executable, program, tmp_path, tiny.base, *folders]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    expected = outputs(open_folder(tiny.model))
    for folder in folders:
        found = torch.load(tmp_path / f"{folder.name}.pt", weights_only=True)
        assert max(differences(found, expected).values()) < 1e-5


@pytest.mark.parametrize("name", LORAS)
def test_every_changed_layer_is_loaded(tiny, exported, name):
    pipe = open_export(tiny.base, exported[name, "float16"])

    loaded = sum(
        hasattr(module, "lora_A")
        for model in (pipe.unet, pipe.text_encoder)
        for module in model.modules()
    )
    changed = {key.rpartition(".")[0] for key in load_file(tiny.model / "delta.safetensors")}
    assert loaded == len(changed)
    assert {"ff", "proj_in", "mlp", "attn2"} <= {step for key in changed for step in key.split(".")}


@pytest.mark.parametrize("name", LORAS)
def test_a_lora_that_is_read_again_is_the_delta(tiny, exported, name):
    delta = load_file(tiny.model / "delta.safetensors")

    found = read_lora(model_file(exported[name, "float32"]), tiny.layers)

    assert found.unsupported == ()
    assert {f"{layer}.down" for layer in found.layers} == {
        key for key in delta if key.endswith(".down")
    }
    for layer, (down, up) in found.layers.items():
        expected = delta[f"{layer}.up"] @ delta[f"{layer}.down"]
        torch.testing.assert_close(up @ down, expected, rtol=1e-5, atol=1e-7)


def test_kohya_says_that_the_scale_is_one(exported):
    tensors = load_file(model_file(exported["kohya-lora", "float16"]))

    alphas = {key: value for key, value in tensors.items() if key.endswith(".alpha")}
    assert len(alphas) * 3 == len(tensors)
    for key, alpha in alphas.items():
        down = tensors[key.replace(".alpha", ".lora_down.weight")]
        assert float(alpha) == len(down)
        assert down.ndim == (4 if key.endswith(("proj_in.alpha", "proj_out.alpha")) else 2)


def test_headers_follow_modelspec_and_tell_the_true_hash(exported, tiny):
    for (name, _), folder in exported.items():
        for path in (model_file(folder), folder / "embeddings/c0a.safetensors"):
            metadata = read_metadata(path)
            raw = path.read_bytes()
            data = raw[8 + struct.unpack("<Q", raw[:8])[0] :]
            assert metadata["modelspec.hash_sha256"] == "0x" + hashlib.sha256(data).hexdigest()
            assert metadata["modelspec.sai_model_spec"] == "1.0.0"
            assert metadata["modelspec.resolution"] == "32x32"
            assert metadata["modelspec.merged_from"] == "tiny, ada/c0, ada/c1, ada/c2"
        kind = {"single-file": ""}.get(name, "/lora")
        metadata = read_metadata(model_file(folder))
        assert metadata["modelspec.architecture"] == f"stable-diffusion-v1{kind}"
        assert metadata["modelspec.trigger_phrase"] == "<c0a> <c0b>, <c1a> <c1b>, <c2a> <c2b>"
        assert metadata["modelspec.prediction_type"] == "epsilon"
    kohya = read_metadata(model_file(exported["kohya-lora", "float16"]))
    assert kohya["ss_network_module"] == "networks.lora"
    assert (kohya["ss_base_model_version"], kohya["ss_v2"]) == ("sd_v1", "False")


@pytest.mark.parametrize("name", EXPORTS)
def test_the_same_model_gives_the_same_bytes_anywhere(tiny, exported, tmp_path, name):
    shutil.copytree(tiny.model, tmp_path / "copy")

    files = export(tmp_path / "copy", name, tmp_path / "out", "float16")

    assert len(files) == 3 + 6
    for path in files:
        first = exported[name, "float16"] / path.relative_to(tmp_path / "out")
        assert path.read_bytes() == first.read_bytes()


def test_words_travel_beside_a_file_of_the_bases_own_size(tiny, exported):
    folder = exported["single-file", "float32"]
    table = "text_model.embeddings.token_embedding.weight"
    base = load_file(tiny.base / "text_encoder/model.safetensors")
    before = next(value for key, value in base.items() if key.endswith(table.split("model.", 1)[1]))

    after = load_file(model_file(folder))[f"cond_stage_model.transformer.{table}"]

    torch.testing.assert_close(after, before, rtol=0, atol=0)
    for name in ("concepts.json", "concepts.safetensors"):
        assert (folder / name).read_bytes() == (tiny.model / name).read_bytes()
    rows = load_file(tiny.model / "concepts.safetensors")["text_encoder.<c1b>"]
    word = load_file(folder / "embeddings/c1b.safetensors")["emb_params"]
    torch.testing.assert_close(word, rows.mean(0, keepdim=True))


def tampered(folder: Path, out: Path, kind: str) -> Path:
    """The export's file with one tensor changed or gone."""
    tensors = load_file(model_file(folder))
    name = next(key for key in sorted(tensors) if key.endswith("weight") and "attn1" in key)
    if kind == "changed":
        tensors[name] = tensors[name] * 1.1
    elif kind == "renamed":
        tensors[name.replace("attn1", "attn7")] = tensors.pop(name)
    else:
        module = name.split(".lora")[0]
        for key in [key for key in tensors if key.startswith(module)]:
            del tensors[key]
    save_file(tensors, out / model_file(folder).name)
    return out / model_file(folder).name


@pytest.mark.parametrize("kind", ["changed", "renamed", "gone"])
@pytest.mark.parametrize("name", EXPORTS)
def test_a_file_that_is_not_the_model_fails_its_check(tiny, exported, tmp_path, name, kind):
    path = tampered(exported[name, "float32"], tmp_path, kind)

    with pytest.raises((JobFailed, InvalidRequest)):
        EXPORTS[name].check(open_published(tiny.model), path, torch.float32)


def test_what_float16_cannot_hold_is_refused_and_nothing_is_left(tiny, tmp_path):
    shutil.copytree(tiny.model, tmp_path / "model")
    path = tmp_path / "model/unet/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_in.weight"][0] = 1e5
    save_file(weights, path, {"format": "pt"})

    with pytest.raises(InvalidRequest, match="can't hold") as caught:
        export(tmp_path / "model", "single-file", tmp_path / "out", "float16")

    assert "float32" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_factors_of_uneven_size_survive_float16(tiny, tmp_path):
    shutil.copytree(tiny.model, tmp_path / "model")
    path = tmp_path / "model/delta.safetensors"
    delta, metadata = load_file(path), read_metadata(path)
    for name in delta:
        delta[name] = delta[name] * (1e6 if name.endswith(".up") else 1e-6)
    save_file(delta, path, metadata)

    export(tmp_path / "model", "kohya-lora", tmp_path / "out", "float16")

    found = read_lora(tmp_path / "out/kohya_lora.safetensors")
    for layer, (down, up) in found.layers.items():
        expected = delta[f"{layer}.up"] @ delta[f"{layer}.down"]
        assert float((up @ down - expected).norm() / expected.norm()) < 1e-3


def test_requests_that_make_no_sense_are_refused(tiny, tmp_path):
    with pytest.raises(InvalidRequest, match="no export 'gguf'; expected one of diffusers-lora"):
        export(tiny.model, "gguf", tmp_path / "out")
    with pytest.raises(InvalidRequest, match="float16, float32"):
        export(tiny.model, "single-file", tmp_path / "out", "float8")
    with pytest.raises(InvalidRequest, match="no published model"):
        export(tiny.base, "single-file", tmp_path / "out")
    with pytest.raises(InvalidRequest, match="no published model"):
        export(tmp_path / "nowhere", "kohya-lora", tmp_path / "out")
    (tmp_path / "there").mkdir()
    with pytest.raises(Conflict):
        export(tiny.model, "kohya-lora", tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def broken(model: Path, out: Path, name: str, change) -> Path:
    """A copy of the model whose JSON file `name` was changed."""
    shutil.copytree(model, out)
    content = json.loads((out / name).read_text())
    (out / name).write_text(json.dumps(change(content)))
    return out


@pytest.mark.parametrize("generation", ["v2", "xl"])
@pytest.mark.parametrize("name", EXPORTS)
def test_the_other_generations_export_as_well(generations, tmp_path, name, generation):
    found = generations[generation]

    export(found.model, name, tmp_path / "out", "float32")

    expected = outputs(open_folder(found.model))
    assert (
        max(differences(outputs(open_export(found.base, tmp_path / "out")), expected).values())
        < 1e-5
    )
    architecture = {"v2": "stable-diffusion-v2-512", "xl": "stable-diffusion-xl-v1-base"}
    metadata = read_metadata(model_file(tmp_path / "out"))
    assert metadata["modelspec.architecture"].startswith(architecture[generation])


def test_kohya_numbers_the_stages_of_xl_in_one_row(generations, tmp_path):
    export(generations["xl"].model, "kohya-lora", tmp_path / "out")

    names = {key.split(".")[0] for key in load_file(tmp_path / "out/kohya_lora.safetensors")}

    assert "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k" in names
    assert "lora_te1_text_model_encoder_layers_0_mlp_fc1" in names
    assert "lora_te2_text_model_encoder_layers_1_self_attn_q_proj" in names
    metadata = read_metadata(tmp_path / "out/kohya_lora.safetensors")
    assert metadata["ss_base_model_version"] == "sdxl_base_v1-0"


def test_a_model_that_the_original_layout_cannot_hold_is_refused(tiny, tmp_path):
    model = broken(
        tiny.model,
        tmp_path / "layers",
        "unet/config.json",
        lambda config: {**config, "layers_per_block": [2, 2, 2, 2]},
    )
    with pytest.raises(InvalidRequest, match="no place for unet"):
        export(model, "single-file", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("concepts.json", lambda content: {**content, "format": "mos-concepts/9"}),
        ("concepts.json", lambda content: [content]),
        ("concepts.json", lambda content: {**content, "concepts": []}),
        ("model_index.json", lambda content: {**content, "_class_name": "FluxPipeline"}),
    ],
)
def test_folders_of_another_kind_are_refused(tiny, tmp_path, name, change):
    model = broken(tiny.model, tmp_path / "model", name, change)

    with pytest.raises(InvalidRequest):
        export(model, "diffusers-lora", tmp_path / "out")
