"""Every method tunes by the one loop, resumes exactly, and ends in a package like any other."""

from __future__ import annotations

import pytest
import torch
from mos_client.concept_builder import PackageOptions, build_package
from mos_client.tuning import Phase, TuningSettings, tune
from mos_client.tuning.defaults import DEFAULTS
from mos_diffusion.base_model import base_digest, layer_map
from mos_diffusion.edlora import attach_concept, load_concept
from mos_protocol.methods import METHODS
from mos_protocol.package import check_package

RATES = {
    "ed-lora": (1e-2, 1e-3, 1e-3),
    "lora": (1e-2, 1e-3, 1e-3),
    "p-plus": (1e-2, 0.0, 0.0),
    "custom-diffusion": (1e-2, 0.0, 1e-3),
}


class StoppedError(Exception):
    """Raised by a progress callback to stop a tuning."""


@pytest.fixture
def settings_of(tiny_base_folder):
    """Settings of a short tuning by a method, with what a test changes."""

    def make(method: str, **changes: object) -> TuningSettings:
        rates = type(DEFAULTS["ed-lora"].learning_rates)(*RATES[method])
        short: dict = {
            "name": "ada/dot",
            "words": ("<dot1>",),
            "class_word": "dog",
            "base": str(tiny_base_folder),
            "steps": 4,
            "batch_size": 2,
            "learning_rates": rates,
            "embedding_norm_stop": None,
            "regularisation_images": 3 if method == "custom-diffusion" else 0,
            "seed": 3,
            "device": "cpu",
            "save_every": 2,
        }
        return TuningSettings.of(method, **(short | changes))

    return make


def same(one, other) -> bool:
    pairs = [(one.embeddings["text_encoder"], other.embeddings["text_encoder"])]
    for layer, factors in one.lora.items():
        pairs += zip(factors, other.lora[layer], strict=True)
    return one.lora.keys() == other.lora.keys() and all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_tuning_ends_with_the_same_weights(
    tiny_base, settings_of, wide_photos, tmp_path, method
):
    def stop(progress):
        if progress.phase is Phase.TUNING and progress.step == 3:
            raise StoppedError

    settings = settings_of(method)
    digest = base_digest(tiny_base)
    whole = tune(settings, wide_photos, tmp_path / "whole", base=tiny_base)
    with pytest.raises(StoppedError):
        tune(settings, wide_photos, tmp_path / "cut", stop, base=tiny_base)

    resumed = tune(settings, wide_photos, tmp_path / "cut", base=tiny_base)

    assert resumed.losses == whole.losses
    assert same(resumed.weights, whole.weights)
    assert base_digest(tiny_base) == digest


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_package_that_can_be_attached(
    tiny_base, settings_of, photos, tmp_path, method
):
    settings = settings_of(method)
    tuned = tune(settings, photos, tmp_path / "work", base=tiny_base)
    out = tmp_path / "package"
    options = PackageOptions(passes=1, preview_steps=1)

    manifest = build_package(tuned, settings, out, base=tiny_base, options=options)

    assert check_package(out, layer_map(tiny_base)) == manifest
    assert (manifest.method, manifest.trigger) == (method, settings.trigger)
    assert manifest.rank == tuned.weights.rank
    assert manifest.training.layers == settings.layers
    assert manifest.moments.recording == METHODS[method].recording
    loaded = load_concept(out / "concept.safetensors", manifest.words)
    assert same(loaded, tuned.weights)
    attach_concept(tiny_base, loaded).detach()


def test_what_changes_is_the_method_s(tiny_base, settings_of, photos, tmp_path):
    ranks, rows = {}, {}
    for method in METHODS:
        tuned = tune(settings_of(method), photos, tmp_path / method, base=tiny_base)
        ranks[method] = {len(factors.down) for factors in tuned.weights.lora.values()}
        own = tuned.weights.embeddings["text_encoder"][0]
        rows[method] = len({tuple(row.tolist()) for row in own})

    # The tiny UNet's first blocks are 16 wide, which is then their full rank; its text is 32.
    assert ranks == {"ed-lora": {16}, "lora": {4}, "p-plus": set(), "custom-diffusion": {16, 32}}
    assert rows == {"ed-lora": 16, "lora": 1, "p-plus": 16, "custom-diffusion": 1}


def test_previews_of_embeddings_alone_are_one_sheet(tiny_base, settings_of, photos, tmp_path):
    settings = settings_of("p-plus", steps=1)
    tuned = tune(settings, photos, tmp_path / "work", base=tiny_base)
    options = PackageOptions(passes=1, preview_steps=1)

    manifest = build_package(tuned, settings, tmp_path / "dot", base=tiny_base, options=options)

    assert [entry.path for entry in manifest.previews] == ["previews/scale_1.0.png"]


def test_another_method_is_another_run(tiny_base, settings_of, photos, tmp_path):
    tune(settings_of("ed-lora"), photos, tmp_path / "work", base=tiny_base)

    with pytest.raises(Exception, match="other settings"):
        tune(settings_of("lora"), photos, tmp_path / "work", base=tiny_base)


def test_what_a_method_is_tuned_with_is_told(tiny_base, settings_of, photos, tmp_path):
    settings = settings_of("custom-diffusion", kv_drop=0.2, embedding_first=0.5)
    tuned = tune(settings, photos, tmp_path / "work", base=tiny_base)
    options = PackageOptions(passes=1, preview_steps=1)

    manifest = build_package(tuned, settings, tmp_path / "dot", base=tiny_base, options=options)

    training = manifest.training
    assert training.regularisation_images == 3
    assert (training.embedding_first, training.kv_drop) == (0.5, 0.2)
