"""Captions name the concept, whatever is done to the rest of them."""

from __future__ import annotations

import random

from mos_client.tuning.captions import (
    append_phrases,
    fill_caption,
    names_concept,
    shuffle_phrases,
)


def test_every_placeholder_becomes_the_words():
    assert fill_caption("<TOK> and <TOK>", "<a1> <a2>") == "<a1> <a2> and <a1> <a2>"


def test_a_caption_names_the_concept_by_placeholder_or_by_all_its_words():
    words = ("<a1>", "<a2>")

    named = [names_concept(text, words) for text in ("a <TOK>", "<a1> <a2>", "<a1> dog", "a dog")]

    assert named == [True, True, False, False]


def test_shuffling_keeps_the_first_phrase_and_every_other_one():
    shuffled = {shuffle_phrases("a <TOK>, red, green , blue", random.Random(i)) for i in range(50)}

    assert len(shuffled) == 6
    assert all(text.startswith("a <TOK>, ") for text in shuffled)
    assert {frozenset(text.split(", ")) for text in shuffled} == {
        frozenset({"a <TOK>", "red", "green", "blue"})
    }


def test_a_caption_of_commas_survives_shuffling():
    assert shuffle_phrases(", ,", random.Random(0)) == ", ,"


def test_phrases_are_appended_and_nothing_else_changes():
    texts = {append_phrases("a <TOK>", random.Random(i)) for i in range(200)}

    assert "a <TOK>" in texts
    assert all(text.split(", ")[0] == "a <TOK>" for text in texts)
    assert max(text.count(",") for text in texts) == 2
