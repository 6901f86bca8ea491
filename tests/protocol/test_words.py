"""No two concepts of one model may share a word."""

from __future__ import annotations

import pytest
from mos_protocol.errors import Conflict
from mos_protocol.words import check_words


def test_concepts_with_words_of_their_own_go_together():
    check_words([("ada/cat", ("<cat1>", "<cat2>")), ("ben/dog", ("<dog1>", "<dog2>"))])


def test_a_word_that_two_concepts_want_is_refused_with_both_names():
    with pytest.raises(Conflict, match=r"ada/cat@1 and ben/cat@2 share the word <cat2>"):
        check_words([("ada/cat@1", ("<cat1>", "<cat2>")), ("ben/cat@2", ("<cat2>",))])
