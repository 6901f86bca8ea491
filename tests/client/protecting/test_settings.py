from __future__ import annotations

import pytest
from mos_client.tuning import LearningRates
from mos_protocol.errors import InvalidRequest


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"budget": 0}, "budget is 0. It must be from 1 to 32."),
        ({"budget": 33}, "budget is 33. It must be from 1 to 32."),
        ({"rounds": 0}, "rounds is 0"),
        ({"longest_side": 8}, "longest_side is 8"),
        ({"class_word": "a dog"}, "not one lower-case word"),
        ({"surrogate": "lora"}, "Choose one of ed-lora, unet"),
        ({"learning_rates": LearningRates(unet=float("nan"))}, "learning rate unet is nan"),
        ({"base": ""}, "No base model"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_its_range(make_settings, change, told):
    with pytest.raises(InvalidRequest) as refused:
        make_settings(**change)
    assert told in str(refused.value)


def test_where_it_runs_does_not_decide_the_result(make_settings):
    one = make_settings(device="cpu", save_every=1, base="here")
    other = make_settings(device="cuda", save_every=7, base="there")
    assert one.deciding() == other.deciding()
    assert one.deciding() != make_settings(budget=4).deciding()
    assert one.deciding() != make_settings(learning_rates=LearningRates()).deciding()
