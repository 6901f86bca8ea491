from __future__ import annotations

import json

import pytest
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part
from mos_protocol.part_weights import PartWeights, numbers_by_part


@pytest.mark.parametrize("value", [0.5, 2, {"spatial": 0.0}, {"text_encoder": 1, "cross_kv": 0.25}])
def test_weights_survive_json(value: object) -> None:
    weights = PartWeights.from_json(value)

    assert PartWeights.from_json(json.loads(json.dumps(weights.to_json()))) == weights


def test_a_part_that_is_left_out_counts_as_tuned() -> None:
    weights = PartWeights.from_json({"spatial": 0.2})

    assert [weights.of(part) for part in Part] == [1.0, 1.0, 0.2]
    assert weights.to_json() == {"text_encoder": 1.0, "cross_kv": 1.0, "spatial": 0.2}


def test_equal_weights_are_one_number_however_they_were_given() -> None:
    spelled_out = PartWeights.from_json({"text_encoder": 2, "cross_kv": 2, "spatial": 2})

    assert spelled_out == PartWeights.uniform(2.0)
    assert spelled_out.to_json() == 2.0
    assert str(spelled_out) == "2"


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("-inf"),
        10**400,
        True,
        None,
        "1",
        [1.0],
        {"spatial": float("nan")},
        {"spatial": "1"},
        {"unet": 1.0},
        {1: 1.0},
    ],
)
def test_what_is_no_finite_weight_is_refused_with_the_names_of_the_parts(value: object) -> None:
    with pytest.raises(InvalidRequest, match="text_encoder, cross_kv, spatial"):
        PartWeights.from_json(value)


def test_a_weight_that_is_not_finite_is_refused_wherever_it_is_made() -> None:
    with pytest.raises(InvalidRequest, match="weight of cross_kv is not finite"):
        PartWeights(cross_kv=float("nan"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.8", PartWeights.uniform(0.8)),
        ("text_encoder=0.5,cross_kv=1", PartWeights(text_encoder=0.5)),
        ("0.5, spatial = 0", PartWeights(0.5, 0.5, 0.0)),
    ],
)
def test_weights_are_read_from_the_command_line(text: str, expected: PartWeights) -> None:
    assert PartWeights.parse(text) == expected
    assert PartWeights.parse(str(expected)) == expected


@pytest.mark.parametrize("text", ["", "heavy", "unet=1", "spatial=", "=1", "spatial=nan", "1,,2"])
def test_a_text_that_is_no_weight_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="weight"):
        PartWeights.parse(text)


def test_options_by_part_add_up_and_later_ones_win() -> None:
    steps = numbers_by_part(["100", "spatial=20", "spatial=30"], int, "number of steps")

    assert steps == {Part.TEXT_ENCODER: 100, Part.CROSS_KV: 100, Part.SPATIAL: 30}
    with pytest.raises(InvalidRequest, match=r"'spatial=1\.5' is no number of steps"):
        numbers_by_part(["spatial=1.5"], int, "number of steps")
