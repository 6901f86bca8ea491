"""No two concepts of one model may share a word."""

from __future__ import annotations

import pytest
from mos_protocol.errors import Conflict
from mos_protocol.words import check_words, shared_words


def test_concepts_with_words_of_their_own_go_together():
    check_words([("ada/cat", ("<cat1>", "<cat2>")), ("ben/dog", ("<dog1>", "<dog2>"))])


def test_a_word_that_two_concepts_want_is_refused_with_both_names():
    with pytest.raises(Conflict, match=r"ada/cat@1 and ben/cat@2 share the word <cat2>"):
        check_words([("ada/cat@1", ("<cat1>", "<cat2>")), ("ben/cat@2", ("<cat2>",))])


def test_every_concept_that_shares_words_is_named() -> None:
    shared = shared_words(
        [
            ("ada/cat@1", ("<cat1>", "<cat2>")),
            ("ben/cat@2", ("<cat2>", "<cat1>")),
            ("eve/cat@1", ("<cat3>",)),
            ("eve/cat@2", ("<cat3>", "<cat4>")),
            ("kim/cat@1", ("<cat3>",)),
        ]
    )

    assert [str(item.error()).partition(".")[0] for item in shared] == [
        "ada/cat@1 and ben/cat@2 share the words <cat1> <cat2>",
        "eve/cat@1, eve/cat@2 and kim/cat@1 share the word <cat3>",
    ]
