"""The benchmark of regions on the committed base, with words for three concepts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import regions
from mos_diffusion.base_model import load_base
from mos_diffusion.concept_tokens import with_concept_tokens
from mos_protocol.scene import Region, Scene
from PIL import Image
from region_identity import OBJECTS, around, cut, in_best_order, middle

NAMES = ("zigmug", "mittens", "gift")
SCENE = """\
prompt: a photo of the grass
negative_prompt: ''
size: [128, 64]
steps: 1
regions:
  - id: zigmug
    box: [0, 8, 64, 64]
    prompt: a photo of a <zigmug1> <zigmug2> on the grass
  - id: {other}
    box: [{left}, 8, 128, 64]
    prompt: a photo of a <{other}1> <{other}2> on the grass
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The base with the words of three concepts, whose embeddings are random."""
    base = load_base(regions.TINYWORLD / "model")
    words = [word for name in NAMES for word in OBJECTS[name].words]
    base.tokenizer = with_concept_tokens(base.tokenizer, words, 16)
    base.text_encoder.resize_token_embeddings(len(base.tokenizer), mean_resizing=False)
    folder = tmp_path_factory.mktemp("model")
    base.pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def scenes(tmp_path) -> Path:
    folder = tmp_path / "scenes"
    folder.mkdir()
    (folder / "apart.yaml").write_text(SCENE.format(other="mittens", left=64))
    (folder / "overlap.yaml").write_text(SCENE.format(other="gift", left=48))
    (folder / "unknown.yaml").write_text(SCENE.format(other="nova", left=64))
    return folder


def test_scenes_of_known_concepts_are_measured_in_every_way(model, scenes, tmp_path, capsys):
    out, sheet = tmp_path / "a.json", tmp_path / "sheet.png"
    options = ["--scenes", scenes, "--seeds", 2, "--json", out, "--sheet", sheet]
    regions.main([*map(str, [model, *options])])
    result = json.loads(out.read_text())
    assert result["scenes"] == {"apart": ["zigmug", "mittens"], "overlap": ["zigmug", "gift"]}
    assert result["overlapping"] == ["overlap"]
    printed = capsys.readouterr().out
    for variant in regions.VARIANTS:
        found = result["found"][variant.name]
        assert [len(picture["all"]) for picture in found["apart"]] == [2, 2]
        assert {name for picture in found["overlap"] for name in picture["own"]} <= {
            "zigmug",
            "gift",
        }
        assert f"| {variant.title} |" in printed
    with Image.open(sheet) as picture:
        assert picture.width >= 6 * 128


def test_a_model_of_no_scene_ends_the_run(scenes):
    with pytest.raises(SystemExit, match="knows the concepts of none of the 3 scenes"):
        regions.main([str(regions.TINYWORLD / "model"), "--scenes", str(scenes)])


def test_the_share_of_regions_that_are_right_is_counted_by_kind():
    pictures = {
        "a": [{"own": ["x", "y"]}, {"own": ["x", "x"]}],
        "b": [{"own": ["x", "x", "x"]}, {"own": ["x", "y", "z"]}],
    }
    result = {"scenes": {"a": ["x", "y"], "b": ["x", "y", "z"]}, "found": {"free": pictures}}
    assert regions.right(result, "free", ["a"], "own") == "75%"
    assert regions.right(result, "free", ["a", "b"], "own") == "70%"
    assert regions.right(result, "free", [], "own") == "–"


def test_boxes_of_a_plain_prompt_are_given_out_in_the_best_order():
    assert in_best_order(["b", "a"], ["a", "b"], assigned=False) == ["a", "b"]
    assert in_best_order(["b", "a"], ["a", "b"], assigned=True) == ["b", "a"]
    assert in_best_order(["c", "a", "a"], ["a", "b", "c"], assigned=False) == ["a", "a", "c"]


def test_a_variant_changes_the_regions_and_nothing_else():
    own = Region(id="gift", box=(0, 0, 64, 64), prompt="a <gift1> <gift2> on the grass")
    scene = Scene(prompt="the grass", size=(64, 64), regions=(own,))
    variants = {variant.name: variant.of(scene, 2) for variant in regions.VARIANTS}
    assert variants["plain"].regions == ()
    assert variants["free"] == scene.model_copy(update={"seeds": (0, 1)})
    assert variants["half"].self_attention_share == 0.5
    assert variants["mixed"].regions[0].weight == 0.8
    assert variants["class"].regions[0].negative_prompt == "a cube on the grass"


def test_a_plain_prompt_names_all_concepts_where_the_regions_say():
    own = [
        Region(id=n, box=(0, 0, 64, 64), prompt=f"a photo of a <{n}1> <{n}2> on the grass")
        for n in NAMES
    ]
    scene = Scene(prompt="a photo of the grass", size=(64, 64), regions=tuple(own))
    assert regions.plain_prompt(scene) == (
        "a photo of a <zigmug1> <zigmug2> and a <mittens1> <mittens2> and a <gift1> <gift2> "
        "on the grass"
    )


def test_a_box_is_cut_to_the_square_in_its_middle():
    picture = Image.new("RGB", (128, 64), "white")
    picture.paste("red", (68, 8, 124, 64))
    assert middle((64, 8, 128, 64)) == (68, 8, 124, 64)
    corner = cut(picture, middle((64, 8, 128, 64))).getpixel((2, 2))
    assert corner == (255, 0, 0)
    assert cut(picture, (64, 8, 128, 64)).getpixel((2, 2)) == (255, 255, 255)


def test_a_mask_is_cut_to_the_square_around_it():
    mask = Image.new("L", (64, 64))
    mask.paste(255, (20, 10, 40, 50))
    assert around(mask) == (10, 10, 50, 50)
