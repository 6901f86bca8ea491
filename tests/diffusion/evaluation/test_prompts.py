from __future__ import annotations

import json

import pytest
from mos_diffusion.evaluation.prompts import GROUPS, PromptSet, choose_prompts, read_prompts
from mos_protocol.errors import InvalidRequest

KINDS = {"character", "pet", "chair", "table", "vase", "scene"}


def one_kind(**changes: object) -> dict[str, object]:
    groups = {group: [f"a <TOK> {group} {n}" for n in range(5)] for group in GROUPS}
    return {"prompts": {"thing": groups | changes}}


@pytest.fixture
def write(tmp_path):
    def write(document: object):
        path = tmp_path / "prompts.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


def test_the_paper_has_twenty_prompts_per_kind_in_four_groups_of_five():
    library = read_prompts()
    assert set(library.sets) == KINDS
    for prompts in library.sets.values():
        assert [len(rows) for rows in prompts.groups.values()] == [5] * 4
        assert list(prompts.groups) == list(GROUPS)
        assert len(set(prompts.texts("cat"))) == 20


@pytest.mark.parametrize(
    ("class_word", "kind"),
    [("man", "character"), ("cat", "pet"), ("chair", "chair"), ("castle", "scene")],
)
def test_the_class_word_chooses_the_kind(class_word, kind):
    assert choose_prompts(None, class_word).kind == kind


def test_a_kind_can_be_asked_for():
    assert choose_prompts("scene", "cat").kind == "scene"


def test_an_unknown_class_word_is_told_the_kinds():
    with pytest.raises(InvalidRequest, match=r"'spaceship'.*character, pet.*--prompts"):
        choose_prompts(None, "spaceship")


def test_an_unknown_kind_is_told_the_kinds():
    with pytest.raises(InvalidRequest, match=r"kind 'dragon'.*character"):
        choose_prompts("dragon", "cat")


def test_prompts_name_the_concept_and_clip_hears_the_class_word():
    prompts = PromptSet.of("animal", ["A <TOK> by a <TOK>"])
    assert prompts.texts("<v1> <v2>") == ["A <v1> <v2> by a <v1> <v2>"]
    assert prompts.described("cat") == ["A photo depicts A cat by a cat"]


def test_a_file_of_one_kind_suits_every_class_word(write):
    prompts = choose_prompts(str(write({**one_kind(), "prefix": "a photo of "})), "spaceship")
    assert prompts.kind == "thing"
    assert prompts.described("ship")[0] == "a photo of a ship recontextualization 0"


def test_a_file_of_several_kinds_says_which_class_is_which(write):
    groups = one_kind()["prompts"]["thing"]
    path = write({"prompts": {"one": groups, "two": groups}, "classes": {"car": "two"}})
    assert choose_prompts(str(path), "car").kind == "two"
    with pytest.raises(InvalidRequest, match=r"'boat'.*one, two"):
        choose_prompts(str(path), "boat")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("{", "no file of prompts"),
        ("[]", "no file of prompts"),
        ({}, "prompts: Field required"),
        ({"prompts": {}}, "prompts"),
        ({**one_kind(), "seeds": 3}, "seeds"),
        (one_kind(interaction=["a cat"]), "thing.interaction.*no <TOK>"),
        (one_kind(interaction=[]), "prompts.thing.interaction"),
        (one_kind(interaction=["a <TOK>", "a <TOK>"]), "twice"),
        (one_kind(interaction=["<TOK>" * 100]), "prompts.thing.interaction"),
        (one_kind(mood=["a <TOK>"]), "mood"),
        ({**one_kind(), "classes": {"car": "vehicle"}}, "'vehicle'"),
    ],
)
def test_a_wrong_file_is_told_what_is_wrong(write, document, told):
    with pytest.raises(InvalidRequest, match=told):
        choose_prompts(str(write(document)), "cat")


def test_a_kind_without_one_of_the_groups_is_refused(write):
    document = one_kind()
    del document["prompts"]["thing"]["restylization"]
    with pytest.raises(InvalidRequest, match="'thing' lack the group restylization"):
        choose_prompts(str(write(document)), "cat")


def test_a_missing_or_endless_file_is_refused(write, tmp_path):
    with pytest.raises(InvalidRequest, match="No such file"):
        choose_prompts(str(tmp_path / "none.json"), "cat")
    with pytest.raises(InvalidRequest, match="too long"):
        choose_prompts(str(write(" " * (1 << 20) + "{}")), "cat")


def test_own_prompts_need_the_placeholder():
    with pytest.raises(InvalidRequest, match="'a cat' has no <TOK>"):
        PromptSet.of("mine", ["a <TOK>", "a cat"])
