"""What is evaluated, and what is refused before anything is sampled."""

from __future__ import annotations

import json
import shutil

import pytest
from mos_client.evaluating.plan import make_plan, read_target
from mos_protocol.errors import InvalidRequest


@pytest.fixture
def targets(world):
    return [read_target(path) for path in (*world.packages, world.fused)]


def test_packages_and_models_are_told_apart(targets):
    assert [(item.label, item.is_package) for item in targets] == [
        ("c0", True),
        ("c1", True),
        ("duo", False),
    ]
    assert targets[2].concepts == targets[0].concepts + targets[1].concepts
    assert len({item.base for item in targets}) == 1


def test_every_named_concept_becomes_a_case(world, targets):
    pictures = [f"c0={world.pictures('c0')}", f"ada/c1={world.pictures('c1')}"]
    plan = make_plan(targets, pictures, prompts=str(world.prompts))
    assert [case.name for case in plan.cases] == ["ada/c0", "ada/c1"]
    assert (plan.cases[0].trigger, plan.cases[0].class_word) == ("<c0a> <c0b>", "cat")
    assert [path.name for path in plan.cases[0].pictures] == ["0.png", "1.png"]
    assert ([item.label for item in plan.models], len(plan.packages)) == (["duo"], 2)


def test_a_single_concept_needs_no_name(world, targets):
    plan = make_plan(targets[:1], [str(world.pictures("c0"))])
    assert (plan.cases[0].name, plan.cases[0].prompts.kind) == ("ada/c0", "pet")


def test_of_a_model_only_the_named_concepts_are_evaluated(world, targets):
    plan = make_plan(targets[2:], [f"c1={world.pictures('c1')}"])
    assert [case.name for case in plan.cases] == ["ada/c1"]
    assert not plan.needs_base


def test_two_versions_of_one_concept_keep_theirs_in_the_name(world, tmp_path):
    folder = shutil.copytree(world.fused, tmp_path / "two")
    index = json.loads((folder / "concepts.json").read_text())
    for item, name in zip(index["concepts"], ("ada/c0@1", "ada/c0@2"), strict=True):
        item["name"] = name
    (folder / "concepts.json").write_text(json.dumps(index))
    assert [item.name for item in read_target(folder).concepts] == ["ada/c0@1", "ada/c0@2"]


def test_missing_pictures_are_asked_for_by_name(world, targets):
    with pytest.raises(InvalidRequest, match=r"ada/c1 with.*--concept ada/c1=DIR"):
        make_plan(targets, [f"c0={world.pictures('c0')}"])
    with pytest.raises(InvalidRequest, match="no pictures to compare ada/c0 with"):
        make_plan(targets[2:], [])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("c7=X", "No target has 'c7'.*ada/c0, ada/c1"),
        ("X", "not said which concept X shows.*NAME=X"),
        ("c0=/nowhere", "/nowhere does not exist"),
    ],
)
def test_a_concept_that_is_wrongly_given_is_told(targets, given, told):
    with pytest.raises(InvalidRequest, match=told):
        make_plan(targets[2:], [given])


def test_a_folder_without_pictures_or_two_for_one_concept_are_refused(world, targets, tmp_path):
    with pytest.raises(InvalidRequest, match="No pictures found"):
        make_plan(targets[:1], [str(tmp_path)])
    twice = [f"c0={world.pictures('c0')}", f"ada/c0={world.pictures('c1')}"]
    with pytest.raises(InvalidRequest, match="two folders"):
        make_plan(targets[:1], twice)


def test_the_same_target_twice_is_refused(world, targets):
    with pytest.raises(InvalidRequest, match="two targets called ada/c0"):
        make_plan([targets[0], targets[0]], [str(world.pictures("c0"))])


def test_held_out_pictures_are_of_an_evaluated_concept(world, targets):
    pictures = [f"c0={world.pictures('c0')}"]
    plan = make_plan(targets[2:], pictures, [f"c0={world.pictures('c1')}"])
    assert list(plan.held_out) == ["ada/c0"]
    assert plan.needs_base
    with pytest.raises(InvalidRequest, match=r"ada/c1 has held-out.*--concept ada/c1=DIR"):
        make_plan(targets[2:], pictures, [f"c1={world.pictures('c1')}"])


def test_what_is_neither_package_nor_model_is_refused(world):
    with pytest.raises(InvalidRequest, match=r"neither.*manifest\.json.*concepts\.json"):
        read_target(world.base)


def test_wrong_prompts_are_refused(world, targets):
    with pytest.raises(InvalidRequest, match=r"none\.json can't be read"):
        make_plan(targets[:1], [str(world.pictures("c0"))], prompts="none.json")
