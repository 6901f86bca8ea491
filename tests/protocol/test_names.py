"""Names and references, well-formed and not."""

from __future__ import annotations

import pytest
from mos_protocol.errors import InvalidName
from mos_protocol.names import (
    ConceptName,
    ConceptRef,
    ModelRef,
    check_slug,
    parse_concept_name,
    parse_concept_ref,
    parse_model_ref,
    parse_words,
)


def test_a_concept_name_has_an_owner_and_a_name():
    assert parse_concept_name("ada/potter") == ConceptName("ada", "potter")
    assert str(ConceptName("ada", "potter")) == "ada/potter"


@pytest.mark.parametrize(
    "text",
    ["potter", "/potter", "ada/", "ada/b/c", "Ada/potter", "../potter", "ada/..", "ada/potter\n"],
)
def test_a_malformed_concept_name_is_refused(text):
    with pytest.raises(InvalidName):
        parse_concept_name(text)


def test_a_concept_reference_may_name_a_version():
    assert parse_concept_ref("ada/potter") == ConceptRef(ConceptName("ada", "potter"), None)
    assert parse_concept_ref("ada/potter@3").version == 3
    assert str(parse_concept_ref("ada/potter@3")) == "ada/potter@3"


@pytest.mark.parametrize("version", ["", "0", "-1", "x", "1.0", "٣", "9" * 5000, "1\n"])
def test_a_version_that_is_no_positive_integer_is_refused(version):
    with pytest.raises(InvalidName):
        parse_concept_ref(f"ada/potter@{version}")


def test_a_model_reference_is_a_version_or_an_alias():
    assert parse_model_ref("demo") == ModelRef("demo", "latest")
    assert parse_model_ref("demo@7").version == 7
    assert parse_model_ref("demo@champion").version is None
    assert str(parse_model_ref("demo@7")) == "demo@7"


@pytest.mark.parametrize("text", ["", "@7", "demo@", "demo@Best", "demo/x", "demo@1@2", "demo@1\n"])
def test_a_malformed_model_reference_is_refused(text):
    with pytest.raises(InvalidName):
        parse_model_ref(text)


@pytest.mark.parametrize("text", ["a", "sd15", "a.b-c_d", "a" * 63])
def test_a_slug_is_returned_as_it_is(text):
    assert check_slug(text) == text


@pytest.mark.parametrize("text", ["", ".a", "-a", "A", "a b", "a" * 64, "ä", "a\n", "a/b", "a\x00"])
def test_what_is_no_slug_is_refused_with_the_rule(text):
    with pytest.raises(InvalidName) as caught:
        check_slug(text)
    assert "lower-case" in caught.value.hint


def test_words_are_split_at_blanks():
    assert parse_words("<potter1>  <potter2>") == ("<potter1>", "<potter2>")


@pytest.mark.parametrize("text", ["", "potter", "<Potter>", "<a b>", "<a|0>", "<a> <a>", "<>"])
def test_malformed_or_repeated_words_are_refused(text):
    with pytest.raises(InvalidName):
        parse_words(text)
