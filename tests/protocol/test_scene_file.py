"""Scene files: what is read, and what errors say of lines and reasons."""

from __future__ import annotations

import base64
import json
import struct

import jsonschema
import pytest
from mos_protocol.errors import InvalidRequest
from mos_protocol.plain_yaml import read_plain
from mos_protocol.scene import Region, Scene
from mos_protocol.scene_checks import DATA_URL, Rules
from mos_protocol.scene_file import (
    check_scene,
    read_scene,
    read_storyboard,
    scene_of,
    scene_schema,
    storyboard_schema,
)

SCENE = """\
prompt: a cat and a mug on the grass
size: [512, 384]
guidance: 4
regions:
  - id: cat
    box: [0, 16, 256, 380]
    prompt: a <cat1> <cat2>
  - id: mug
    box: [248, 16, 512, 380]
    prompt: a mug
    negative_prompt: a cat
    weight: 2
conditions:
  - kind: sketch
    picture: sketch.png
    region_weights: {cat: 0.5}
self_attention: regions
self_attention_share: 0.5
"""
BOARD = """\
title: A day
defaults:
  size: [64, 64]
  steps: 3
scenes:
  - title: Morning
    prompt: a cat
  - prompt: a dog
    steps: 4
    regions:
      - {id: dog, prompt: a dog, box: [0, 0, 64, 32]}
"""
WORDS = {"<cat1>", "<cat2>"}


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"\x08\x00"
    return DATA_URL + base64.b64encode(head).decode()


def told(text: str | bytes, read=read_scene, **rules) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read(text, **({"files": True} | rules))
    return caught.value.message


def test_a_scene_is_read_from_yaml_and_again_from_its_own_json():
    scene = read_scene(SCENE, words=WORDS, files=True)
    assert scene.regions[0] == Region(id="cat", box=(0, 16, 256, 380), prompt="a <cat1> <cat2>")
    assert (scene.seeds, scene.steps, scene.self_attention) == ((0,), 20, "regions")
    assert scene.words() == WORDS
    assert read_scene(scene.model_dump_json(exclude_defaults=True), files=True) == scene
    assert scene_of(json.loads(scene.model_dump_json()), files=True) == scene


def test_a_plain_prompt_is_a_scene():
    assert read_scene("{prompt: a cat, size: [64, 128]}").regions == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[0, 16, 256, 380]",
            "[0, 16, 700, 380]",
            "line 6: region `cat`: the box ends at 700, outside the picture's 512",
        ),
        (
            "[0, 16, 256, 380]",
            "[0, -1, 256, 380]",
            "line 6: region `cat`: the box starts at -1, outside the picture",
        ),
        (
            "[0, 16, 256, 380]",
            "[90, 16, 90, 380]",
            "line 6: region `cat`: the box is empty: it goes from 90 to 90",
        ),
        (
            "[0, 16, 256, 380]",
            "[9, 16, 17, 380]",
            "line 6: region `cat`: the box is 8 pixels wide at 9: none of the model's cells of "
            "8 pixels lies in it",
        ),
        ("[0, 16, 256, 380]", "[0, 16, 256]", "line 6: region `cat`: box: it has only 3 values"),
        ("    box: [0, 16, 256, 380]\n", "", "line 5: region `cat`: it needs either a box or"),
        ("id: mug", "id: cat", "line 8: region `cat`: another region has the same id"),
        ("<cat1>", "<dog1>", "line 7: region `cat`: the model doesn't know <dog1>"),
        ("a cat and", "a <dog1> and", "line 1: the model doesn't know <dog1>"),
        ("[512, 384]", "[512, 380]", "line 2: the height 380 is no multiple of 8"),
        ("[512, 384]", "[512, 9999]", "line 2: size[1]: it should be less than or equal to 2048"),
        ("size: [512, 384]\n", "", "line 1: `size` is missing"),
        ("guidance: 4", "guidance: '4'", "line 3: guidance: it should be a valid number, not '4'"),
        ("guidance: 4", "guidance: NaN", "line 3: guidance: it should be a valid number, not"),
        ("guidance: 4", "guidance: 1e999", "line 3: guidance: it should be a finite number"),
        ("weight: 2", "weight: 0", "line 12: region `mug`: weight: it should be greater than 0"),
        (
            "weight: 2",
            "wieght: 2",
            "line 12: region `mug`: there is no field `wieght`; is `weight`",
        ),
        ("id: cat", "id: Cat", "line 5: region `Cat`: id: it should match pattern"),
        ("  - id: cat", "  - 5\n  - id: cat", "line 5: region 1: fields are expected, not 5"),
        ("kind: sketch", "kind: depth", "line 14: condition 1: kind: it should be 'pose' or"),
        ("{cat: 0.5}", "{dog: 1}", "line 16: condition 1: there is no region with this id"),
        ("sketch.png", "../sketch.png", "line 15: condition 1: the picture must be a .png file"),
        ("sketch.png", "/sketch.png", "line 15: condition 1: the picture must be a .png file"),
        ("weight: 2", "weight: &w 2", "line 12: anchors and aliases"),
        ("weight: 2", "weight: !!float 2", "line 12: tags are not read"),
        ("weight: 2", "weight: 2\n    weight: 3", "line 13: `weight` is given twice"),
    ],
)
def test_an_error_names_line_and_reason(old, new, message):
    assert old in SCENE
    assert told(SCENE.replace(old, new, 1), words=WORDS).startswith(message)


def test_all_faults_are_told_in_the_order_of_their_lines():
    text = SCENE.replace("380]", "999]").replace("384]", "380]")
    lines = [part.partition(":")[0] for part in told(text).split("; ")]
    assert lines == ["line 2", "line 6", "line 9"]


def test_very_many_faults_are_cut():
    text = SCENE + "".join(f"x{number}: 1\n" for number in range(30))
    assert told(text).endswith("and 20 more")


def test_ten_megabytes_are_refused_unread():
    assert told("a: 1\n" * 2_000_000) == "the text is longer than 256 KB"


def test_faults_are_data_too():
    with pytest.raises(InvalidRequest) as caught:
        read_scene(SCENE.replace("256, 380", "999, 380"), files=True)
    assert caught.value.fields["faults"] == [
        {
            "line": 6,
            "where": "region `cat`",
            "reason": "the box ends at 999, outside the picture's 512",
        }
    ]


def test_an_object_without_lines_names_the_region():
    data = json.loads(read_scene(SCENE, files=True).model_dump_json())
    data["regions"][1]["box"][2] = 700
    message = told(data, scene_of)
    assert message == "region `mug`: the box ends at 700, outside the picture's 512"


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (png(512, 384), ""),
        (png(512, 383), "the mask has 512×383 pixels, the picture 512×384"),
        (png(60_000, 60_000), "the mask can't be read: it has 60000×60000 pixels"),
        (DATA_URL + "????", "the mask can't be read: it is no base64"),
        (DATA_URL + "aGVsbG8=", "the mask can't be read: it is no PNG"),
        ("mask.png", "the mask must be a data: URL"),
    ],
)
def test_a_mask_that_travels_is_a_png_of_the_scenes_size(mask, message):
    text = SCENE.partition("conditions")[0].replace("box: [0, 16, 256, 380]", f"mask: {mask}")
    if message:
        assert message in told(text, files=False)
    else:
        assert read_scene(text).regions[0].mask == mask


def test_two_conditions_of_a_kind_are_refused():
    text = SCENE.replace("self_attention: ", "  - {kind: sketch, picture: b.png}\nself_attention: ")
    assert "there are 2 conditions of the kind sketch" in told(text)


def test_a_scene_made_in_python_is_checked_too():
    region = Region(id="cat", prompt="", box=(0, 0, 99, 64))
    scene = Scene(prompt="", size=(64, 64), regions=(region,))
    with pytest.raises(InvalidRequest, match=r"^region `cat`: the box ends at 99"):
        check_scene(scene, Rules())


def test_scenes_of_a_storyboard_have_its_defaults():
    morning, second = read_storyboard(BOARD).scenes
    assert (morning.title, morning.size, morning.steps) == ("Morning", (64, 64), 3)
    assert (second.size, second.steps) == ((64, 64), 4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("64, 32]}", "64, 99]}", "line 11: scene 2: region `dog`: the box ends at 99"),
        ("[64, 64]", "[65, 64]", "line 3: scene `Morning`: the width 65 is no multiple of 8"),
        ("steps: 3", "steps: x", "line 4: steps: it should be a valid integer, not 'x'"),
        ("steps: 3", "prompt: x", "line 4: there is no field `prompt`"),
        ("steps: 4", "steps: x", "line 9: scene 2: steps: it should be a valid integer"),
        ("  size: [64, 64]\n", "", "line 5: scene `Morning`: `size` is missing"),
        ("scenes:", "scene:", "line 1: `scenes` is missing"),
        ("    prompt: a cat", "    prompt: a <dog1>", "line 7: scene `Morning`: the model does"),
    ],
)
def test_errors_of_a_storyboard_name_line_and_scene(old, new, message):
    assert message in told(BOARD.replace(old, new, 1), read_storyboard, words=WORDS)


def test_the_schemas_accept_what_is_read_and_nothing_misspelled():
    jsonschema.validate(read_plain(SCENE).data, scene_schema())
    jsonschema.validate(read_plain(BOARD).data, storyboard_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(read_plain(SCENE.replace("weight", "wieght")).data, scene_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(read_plain(BOARD.replace("steps", "stpes")).data, storyboard_schema())
