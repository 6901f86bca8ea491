"""Settings refuse what can't be tuned and know how long to tune."""

from __future__ import annotations

import dataclasses

import pytest
from mos_client.tuning.settings import LearningRates, TuningSettings, base_name_of
from mos_protocol.errors import InvalidName, InvalidRequest


def make_settings(**changes) -> TuningSettings:
    fields = {
        "name": "ada/potter",
        "words": ("<potter1>", "<potter2>"),
        "class_word": "man",
        "base": "some/base",
    }
    return TuningSettings(**(fields | changes))


def test_people_get_steps_by_the_number_of_pictures():
    assert make_settings().steps_for(14) == 1750


def test_objects_get_between_500_and_1000_steps():
    chair = make_settings(class_word="chair")
    assert [chair.steps_for(images) for images in (2, 6, 30)] == [500, 750, 1000]


def test_steps_that_are_given_are_kept():
    assert make_settings(steps=7).steps_for(14) == 7


def test_the_trigger_is_how_a_prompt_names_the_concept():
    assert make_settings().trigger == "<potter1> <potter2>"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"resolution": 4}, "resolution is 4"),
        ({"seed": -1}, "seed is -1"),
        ({"loss_weighting": "snr"}, "loss_weighting is 'snr'"),
        ({"noise_offset": -0.1}, "noise_offset is -0.1"),
        ({"prior_penalty": float("nan")}, "prior_penalty is nan"),
        ({"class_word": "Two Words"}, "class word 'Two Words'"),
        ({"base": ""}, "No base model"),
        ({"learning_rates": LearningRates(unet=-1.0)}, "learning_rate_unet is -1.0"),
        ({"layers": "some"}, "layers is 'some'"),
        ({"crop": "around"}, "crop is 'around'"),
        ({"method": "dreambooth"}, "method is 'dreambooth'"),
        ({"embedding_first": 1.5}, "embedding_first is 1.5"),
        ({"kv_drop": -0.1}, "kv_drop is -0.1"),
        ({"kv_drop": 1.0}, "kv_drop 1 no layer would ever be tuned"),
        ({"layers": "none"}, "ed-lora can't be tuned with layers 'none'"),
        ({"regularisation_images": -1}, "regularisation_images is -1"),
        ({"mixed_precision": "fp8"}, "mixed_precision is 'fp8'"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_name(change, named):
    with pytest.raises(InvalidRequest) as caught:
        make_settings(**change)

    assert named in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("change", [{"name": "potter"}, {"words": ("potter",)}, {"words": ()}])
def test_a_malformed_name_or_word_is_refused(change):
    with pytest.raises(InvalidName):
        make_settings(**change)


def test_settings_that_only_say_how_often_to_save_do_not_decide_the_result():
    settings = make_settings()

    rarely = dataclasses.replace(settings, save_every=500, sample_every=10)
    longer = dataclasses.replace(settings, steps=99)

    assert rarely.deciding() == settings.deciding()
    assert longer.deciding() != settings.deciding()


@pytest.mark.parametrize(
    ("source", "label"),
    [
        ("examples/tinyworld/model", "tinyworld"),
        ("/data/bases/SD 1.5/", "sd-1.5"),
        ("runwayml/stable-diffusion-v1-5", "stable-diffusion-v1-5"),
        ("..", "base"),
    ],
)
def test_a_base_without_a_name_gets_one_from_its_source(source, label):
    assert base_name_of(source) == label


def of(method: str, **changes) -> TuningSettings:
    fields = {
        "name": "ada/potter",
        "words": ("<potter>",),
        "class_word": "man",
        "base": "some/base",
    }
    return TuningSettings.of(method, **(fields | changes))


def test_the_usual_settings_are_those_of_ed_lora():
    assert of("ed-lora") == make_settings(words=("<potter>",))


def test_ed_lora_as_published_has_low_rank_on_all_attention():
    usual, published = of("ed-lora"), of("ed-lora", as_published=True)
    assert (usual.rank, usual.layers) == (16, "keys-values")
    assert (published.rank, published.layers) == (4, "all")
    assert of("lora") == of("lora", as_published=True)


def test_a_method_decides_what_is_not_given():
    lora, plus, custom = (of(method) for method in ("lora", "p-plus", "custom-diffusion"))

    assert lora.learning_rates == LearningRates(5e-4, 1e-5, 1e-4)
    assert lora.noise_offset == plus.noise_offset == custom.noise_offset == 0
    assert (plus.rank, plus.layers, plus.steps_for(14)) == (0, "none", 500)
    assert (custom.layers, custom.regularisation_images, custom.flip, custom.zoom) == (
        *("keys-values", 200),
        *(True, True),
    )
    assert of("custom-diffusion", steps=9, zoom=False).steps_for(14) == 9


def test_a_modifier_is_followed_by_the_class_word_in_prompts():
    assert of("custom-diffusion").trigger == "<potter> man"
    assert of("lora").trigger == "<potter>"


@pytest.mark.parametrize(
    ("method", "change", "told"),
    [
        ("lora", {"words": ("<a>", "<b>")}, "lora teaches one word, and <a> <b> are 2"),
        ("custom-diffusion", {"words": ("<a>", "<b>")}, "custom-diffusion teaches one word"),
        ("ed-lora", {"rank": 0}, "rank is 0"),
        ("p-plus", {"rank": 4}, "p-plus changes no layers: rank 4 means nothing"),
        ("custom-diffusion", {"rank": 4}, "custom-diffusion changes layers in full: rank 4"),
        ("p-plus", {"layers": "all"}, "p-plus can't be tuned with layers 'all'"),
        ("custom-diffusion", {"layers": "cross"}, "can't be tuned with layers 'cross'"),
        (
            "p-plus",
            {"learning_rates": LearningRates()},
            "p-plus tunes no layer of the text encoder",
        ),
        ("custom-diffusion", {"learning_rates": LearningRates()}, "no layer of the text encoder"),
        ("p-plus", {"prior_penalty": 0.1}, "p-plus tunes embeddings alone: prior_penalty"),
        ("p-plus", {"kv_drop": 0.2}, "p-plus tunes embeddings alone: kv_drop"),
        ("p-plus", {"embedding_first": 0.5}, "p-plus tunes embeddings alone: embedding_first"),
        ("p-plus", {"embedding_norm_stop": 0.5}, "embeddings alone: embedding_norm_stop"),
    ],
)
def test_what_means_nothing_for_a_method_is_refused(method, change, told):
    with pytest.raises(InvalidRequest) as caught:
        of(method, **change)

    assert told in caught.value.message
    assert caught.value.hint
