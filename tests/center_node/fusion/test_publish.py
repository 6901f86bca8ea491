"""A published folder: exact weights, stock layout, words, card; read from its files alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from fused_models import published_deltas, read_json, weighted, write_concept
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings
from mos_diffusion.base_model import load_base
from mos_diffusion.marking import model_digest
from mos_diffusion.prompts import layerwise
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file

UNET = "unet/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"
TABLE = "text_model.embeddings.token_embedding.weight"


def plain_names(tensors: dict[str, np.ndarray], component: str) -> dict[str, np.ndarray]:
    """Tensors by the names that layers have in a layer map."""
    return {
        f"{component}.{name.removeprefix('text_model.').removesuffix('.weight')}": value
        for name, value in tensors.items()
    }


def check_arithmetic(base, model) -> int:
    """Recompute all weights from base and delta; return how many layers changed."""
    factors = load_file(model / "delta.safetensors")
    changed = 0
    for component, path in (("unet", UNET), ("text_encoder", TEXT)):
        before = plain_names(load_file(base / path), component)
        after = plain_names(load_file(model / path), component)
        assert before.keys() == after.keys()
        for name, weight in before.items():
            if name.endswith("token_embedding"):
                np.testing.assert_array_equal(after[name][: len(weight)], weight)
                continue
            expected = weight
            if f"{name}.up" in factors:
                up, down = (factors[f"{name}.{half}"].astype("f8") for half in ("up", "down"))
                total = weight.astype("f8").reshape(weight.shape[:2])
                for k in range(len(down)):
                    total += up[:, k, None] * down[k, None, :]
                expected = total.astype("f4").astype(weight.dtype).reshape(weight.shape)
                changed += 1
                assert not np.array_equal(expected, weight)
            assert after[name].dtype == weight.dtype
            np.testing.assert_array_equal(after[name], expected)
    return changed


@pytest.mark.parametrize("solver", ["closed-form", "lbfgs", "average", "sum"])
def test_base_plus_delta_is_the_published_model_bit_for_bit(tiny, fused, solver):
    changed = check_arithmetic(tiny.base, fused[solver])

    assert changed == len(list(tiny.layers.layers()))


def test_a_half_precision_base_stays_half_precision_and_exact(tiny, tmp_path):
    pipe = StableDiffusionPipeline.from_pretrained(tiny.base, dtype=torch.float16)
    pipe.save_pretrained(tmp_path / "half")
    packages = weighted(tiny.packages)

    fuse_local(tmp_path / "half", packages, FusionSettings(), tmp_path / "out")

    assert load_file(tmp_path / "out" / UNET)["conv_in.weight"].dtype == np.float16
    assert check_arithmetic(tmp_path / "half", tmp_path / "out") == len(list(tiny.layers.layers()))


def test_layers_that_no_concept_changed_are_untouched(tiny, tmp_path):
    write_concept(tmp_path / "package", tiny.layers, 7, drop="up_blocks")

    fuse_local(tiny.base, weighted([tmp_path / "package"]), FusionSettings(), tmp_path / "out")

    expected = [layer for layer in tiny.layers.layers() if "up_blocks" not in layer.name]
    assert check_arithmetic(tiny.base, tmp_path / "out") == len(expected)


def test_what_fusion_does_not_change_is_a_byte_copy(tiny, fused):
    model = fused["closed-form"]
    for path in (
        "model_index.json",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "unet/config.json",
    ):
        assert (model / path).read_bytes() == (tiny.base / path).read_bytes()


STOCK = """
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mos_protocol", "mos_diffusion", "mos_client", "mos_center"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
import numpy, torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

model = sys.argv[1]
pipe = StableDiffusionPipeline.from_pretrained(model)
stored = load_file(model + "/text_encoder/model.safetensors")
loaded = pipe.text_encoder.state_dict()
loaded = {"text_model." + name.removeprefix("text_model."): loaded[name] for name in loaded}
same = stored.keys() == loaded.keys() and all(torch.equal(stored[k], loaded[k]) for k in stored)
stored = load_file(model + "/unet/diffusion_pytorch_model.safetensors")
loaded = pipe.unet.state_dict()
same = same and all(torch.equal(stored[k], loaded[k]) for k in stored)
picture = pipe("a photo of <c0a> <c0b>", num_inference_steps=2, output_type="np").images
ids = pipe.tokenizer("<c0a> <c2b|15>", add_special_tokens=False).input_ids
print(json.dumps([same, list(picture.shape), bool(numpy.isfinite(picture).all()), ids]))
"""


def test_stock_diffusers_opens_it_where_our_packages_are_not_installed(tiny, fused):
    done = subprocess.run(
        [sys.executable, "-c", STOCK, str(fused["closed-form"])],
        capture_output=True,
        text=True,
        check=True,
    )

    size = tiny.layers.text_encoders[0].vocabulary
    ids = [size, size + 6 * 17 - 1]
    assert json.loads(done.stdout.splitlines()[-1]) == [True, [1, 32, 32, 3], True, ids]


def test_older_versions_of_the_stack_find_what_they_need(fused):
    model = fused["closed-form"]

    assert all(name.startswith("text_model.") for name in load_file(model / TEXT))
    vocabulary = read_json(model / "tokenizer/vocab.json")
    assert (model / "tokenizer/merges.txt").read_text().startswith("#version: 0.2\n")
    added = read_json(model / "tokenizer/tokenizer_config.json")["added_tokens_decoder"]
    assert added[str(len(vocabulary))]["content"] == "<c0a>"
    assert (model / "tokenizer/special_tokens_map.json").is_file()


def test_the_table_has_every_words_rows_and_the_config_says_its_size(tiny, fused):
    model = fused["closed-form"]
    table = load_file(model / TEXT)[TABLE]
    index = read_json(model / "concepts.json")
    embeddings = load_file(model / "concepts.safetensors")

    assert read_json(model / "text_encoder/config.json")["vocab_size"] == len(table)
    assert len(table) == tiny.layers.text_encoders[0].vocabulary + 3 * 2 * 17
    for number, concept in enumerate(index["concepts"]):
        own = load_file(tiny.packages[number] / "concept.safetensors")["text_encoder.embeddings"]
        for place, word in enumerate(concept["words"]):
            rows = embeddings[f"text_encoder.{word}"]
            np.testing.assert_array_equal(rows, own[place])
            plain, *layers = concept["tokens"]["text_encoder"][word]
            np.testing.assert_array_equal(table[layers], rows)
            np.testing.assert_array_equal(table[plain], rows.astype("f8").mean(0).astype("f4"))


def test_the_folder_carries_the_build_that_marks_its_pictures(tiny, fused):
    builds = {read_json(folder / "concepts.json")["build"] for folder in fused.values()}
    assert len(builds) == len(fused)
    model = load_base(fused["closed-form"])
    assert model.published.build == read_json(fused["closed-form"] / "concepts.json")["build"]
    assert len(model.published.concepts) == len(tiny.packages)
    assert model_digest(model) == model.published.build


def test_one_line_gives_layer_wise_prompts_on_the_stock_pipeline(fused):
    pipe = StableDiffusionPipeline.from_pretrained(fused["closed-form"])
    pipe.set_progress_bar_config(disable=True)

    states = layerwise(pipe)("a photo of <c1a> <c1b>")
    picture = pipe(**states, num_inference_steps=2, output_type="np").images

    per_layer = states["prompt_embeds"].reshape(16, 32, 32)
    assert not torch.equal(per_layer[0], per_layer[1])
    assert np.isfinite(picture).all()


def test_the_delta_names_its_base(tiny, fused):
    with safe_open(fused["closed-form"] / "delta.safetensors", framework="np") as file:
        assert file.metadata() == {"format": "mos-delta/1", "base_digest": tiny.layers.digest}


def test_the_rank_of_the_delta_is_that_of_all_concepts_together(fused):
    report = read_json(fused["closed-form"] / "report.json")

    ranks = {layer["layer"]: layer["rank"] for layer in report["layers"]}
    assert {rank for name, rank in ranks.items() if "down_blocks.1" not in name} == {6}
    assert {rank for name, rank in ranks.items() if "down_blocks.1" in name} == {4}


def test_the_report_has_the_figures_of_every_layer(tiny, fused):
    report = read_json(fused["lbfgs"] / "report.json")
    deltas = published_deltas(fused["lbfgs"], tiny.layers)

    assert [item["layer"] for item in report["layers"]] == list(deltas)
    assert report["settings"]["solver"] == "lbfgs"
    assert [item["weight"] for item in report["concepts"]] == [1.0, 0.5, 1.0]
    for layer in report["layers"]:
        assert layer["norm"] == pytest.approx(np.linalg.norm(deltas[layer["layer"]]), rel=1e-6)
        assert layer["objective"]["base"] == 0.0
        assert layer["growth"] == pytest.approx(layer["norm"] / layer["largest_concept_norm"])
        assert layer["ridge"]["relative"] >= 0.999e-3
        assert layer["condition"] > 1
        assert layer["effective_rank"] >= 1
        assert 0 <= layer["residual"]["result"] <= layer["residual"]["average"] <= 1.001
    assert report["parts"].keys() == {"text_encoder", "cross_kv", "spatial"}
    assert (fused["lbfgs"] / "quality.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_says_what_every_concept_keeps_and_who_collides(tiny, fused):
    report = read_json(fused["closed-form"] / "report.json")
    refs = [concept["name"] for concept in report["concepts"]]

    assert list(report["kept"]) == refs
    for layer in report["layers"]:
        for ref, fit in layer["concepts"].items():
            assert ref in refs
            assert fit["result"] >= 0
    asked = sum(fit["asked"] for la in report["layers"] for fit in la["concepts"].values())
    error = sum(
        fit["asked"] * fit["result"] for la in report["layers"] for fit in la["concepts"].values()
    )
    kept = [values["result"] for values in report["kept"].values()]
    assert min(kept) - 1e-6 <= 1 - error / asked <= max(kept) + 1e-6
    assert {tuple(pair["concepts"]) for pair in report["collisions"]} <= {
        (one, other) for one in refs for other in refs
    }
    assert [block["block"] for block in report["blocks"]] == [
        b.name for b in tiny.layers.all_blocks()
    ]


def test_the_card_names_base_concepts_licences_settings_and_residuals(tiny, tmp_path):
    hostile = "<script>alert(1)</script>\n| `x` | [a](javascript:b)"
    write_concept(
        tmp_path / "package",
        tiny.layers,
        8,
        licence="CC-BY-4.0",
        consent="It is mine.",
        description=hostile,
    )

    fuse_local(
        tiny.base,
        weighted([tmp_path / "package"], [0.7]),
        FusionSettings("lbfgs"),
        tmp_path / "out",
    )

    card = (tmp_path / "out/README.md").read_text()
    row = next(line for line in card.splitlines() if line.startswith("| ada/c8"))
    assert "`<c8a> <c8b>` | ball | 0.7 | CC-BY-4.0 | It is mine. |" in row
    assert "<script>" not in card
    assert "[a]" not in card
    assert tiny.layers.digest in card
    assert "solver: lbfgs" in card
    assert sum(line.startswith("| spatial |") for line in card.splitlines()) == 1
    assert 'prompts("a photo of <c8a> <c8b>"' in card


def test_a_base_in_shards_with_old_names_gives_the_same_tensors(tiny, fused, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    for path in tiny.base.iterdir():
        if path.name != "unet":
            (base / path.name).symlink_to(path)
    (base / "unet").mkdir()
    (base / "unet/config.json").symlink_to(tiny.base / "unet/config.json")
    tensors = load_torch(tiny.base / UNET)
    shards = [dict(list(tensors.items())[half::2]) for half in range(2)]
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        name = f"diffusion_pytorch_model-0000{number}-of-00002.safetensors"
        save_file(shard, base / "unet" / name, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(shard, name))
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (base / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))

    packages = weighted(tiny.packages, (1.0, 0.5, 1.0))
    fuse_local(base, packages, FusionSettings(), tmp_path / "out")

    assert (tmp_path / "out" / UNET).read_bytes() == (fused["closed-form"] / UNET).read_bytes()
    assert sorted(path.name for path in (tmp_path / "out/unet").iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]


def test_a_model_fused_on_a_half_precision_base_runs_without_naming_a_precision(tiny, tmp_path):
    half = StableDiffusionPipeline.from_pretrained(tiny.base).to(dtype=torch.float16)
    half.save_pretrained(tmp_path / "half")
    fuse_local(tmp_path / "half", weighted(tiny.packages[:1]), FusionSettings(), tmp_path / "out")

    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    assert load_torch(tmp_path / "out" / UNET)["conv_in.weight"].dtype == torch.float16
    assert pipe.text_encoder.dtype == pipe.unet.dtype == torch.float32
    assert pipe("a photo", num_inference_steps=1, output_type="np").images.shape == (1, 32, 32, 3)


def test_the_pooled_output_of_an_old_configuration_is_that_of_the_prompts_end(tiny, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny.base, base)
    path = base / "text_encoder/config.json"
    path.write_text(json.dumps({**read_json(path), "eos_token_id": 2}))
    fuse_local(base, weighted(tiny.packages[:1]), FusionSettings(), tmp_path / "out")

    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "out")

    # A word's id is larger than that of the end, which the old rule took for the largest.
    ids = pipe.tokenizer("a <c0a> dog", return_tensors="pt").input_ids
    assert ids.argmax() == 2
    found = pipe.text_encoder(ids)
    torch.testing.assert_close(found.pooler_output, found.last_hidden_state[:, -1])
