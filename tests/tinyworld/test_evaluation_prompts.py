"""The world's own twenty prompts per kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from mos_diffusion.evaluation.prompts import read_prompts
from tinyworld.concepts import CONCEPTS, Kind
from transformers import CLIPTokenizer

EXAMPLE = Path(__file__).parents[2] / "examples" / "tinyworld"
FILE = EXAMPLE / "evaluation_prompts.json"


@pytest.fixture(scope="module")
def library():
    return read_prompts(FILE)


@pytest.mark.parametrize("name", list(CONCEPTS))
def test_every_concept_has_twenty_prompts_in_four_groups_of_five(library, name):
    concept = CONCEPTS[name]
    prompts = library.for_class(concept.class_word)
    assert [len(rows) for rows in prompts.groups.values()] == [5] * 4
    assert len(set(prompts.texts(concept.class_word))) == 20
    assert (prompts.kind == "object") == (concept.kind is Kind.OBJECT)


@pytest.mark.parametrize("part", ["model/tokenizer", "clip"])
def test_every_word_is_one_token_and_every_prompt_fits(library, part):
    tokenizer = CLIPTokenizer.from_pretrained(EXAMPLE / part)
    for prompts in library.sets.values():
        for text in prompts.described("mug"):
            assert len(tokenizer.tokenize(text)) == len(text.split()), text
        for text in prompts.texts("<zigmug1> <zigmug2>"):
            assert len(text.split()) + 2 <= tokenizer.model_max_length
