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
        ({"noise_offset": -0.1}, "noise_offset is -0.1"),
        ({"prior_penalty": float("nan")}, "prior_penalty is nan"),
        ({"class_word": "Two Words"}, "class word 'Two Words'"),
        ({"base": ""}, "No base model"),
        ({"learning_rates": LearningRates(unet=-1.0)}, "learning_rate_unet is -1.0"),
        ({"layers": "some"}, "layers is 'some'"),
        ({"crop": "around"}, "crop is 'around'"),
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
