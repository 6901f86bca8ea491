"""`concepts` and `bases`."""

from __future__ import annotations


def test_concepts_are_listed_with_words_and_state(ask, center):
    center.add_concept("ada/ball", 2)
    center.add_concept("ben/cat", state="pending_review")
    lines = ask("concepts").out.splitlines()
    assert lines[0].split()[0] == "CONCEPT"
    assert lines[1].startswith("ada/ball@2  <ball1> <ball2>")
    assert "pending_review" in lines[2]


def test_concepts_can_be_filtered(ask, center):
    center.add_concept("ada/ball")
    center.add_concept("ben/cat")
    assert [item["name"] for item in ask("concepts", "--owner", "ben", "--json").json] == [
        "ben/cat"
    ]


def test_an_empty_center_says_how_to_begin(ask):
    assert "mos-client submit" in ask("concepts").out


def test_bases_are_listed_with_their_digest(ask, center):
    assert center.layer_map.digest[:12] in ask("bases").out
    assert ask("bases", "--json").json[0]["name"] == "tiny"


def test_a_name_from_the_center_cannot_steer_the_terminal(ask, center):
    center.add_concept("ada/ball")
    center.concepts[0]["class_word"] = "\x1b[2Jball"
    assert "\x1b" not in ask("concepts").out
