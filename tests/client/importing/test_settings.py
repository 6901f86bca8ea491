"""Settings that contradict each other are refused before a model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from mos_protocol.errors import InvalidName, InvalidRequest

FILE = Path("cat.safetensors")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trigger": None}, "What kind of thing"),
        ({"trigger": "ohwx"}, "What kind of thing"),
        ({"trigger": "an ohwx2"}, "'ohwx2' is not one lower-case word"),
        ({"class_word": "Cat"}, "'Cat' is not one lower-case word"),
        ({"class_word": "two words"}, "not one lower-case word"),
        ({"trigger": " "}, "What kind of thing"),
        ({"embedding": Path("e.safetensors")}, "only start from one"),
        ({"recording": "data"}, "needs pictures"),
        ({"images": Path("pictures")}, "recorded on paper"),
        ({"recording": "dreams"}, "Choose one of templates, paper, data"),
        ({"recording": "data", "images": Path("p"), "passes": 0}, "0 passes"),
        ({"seed": -1}, "seed -1"),
        ({"words": tuple(f"<w{n}>" for n in range(9))}, "There are 9 words"),
        ({"licence": "x" * 2001}, "The licence is no plain text"),
        ({"description": "\x1b[2J"}, "The description is no plain text"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_a_hint(make_settings, changes, told):
    with pytest.raises(InvalidRequest) as caught:
        make_settings(FILE, **changes)
    assert told in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("changes", [{"name": "cat"}, {"words": ("cat",)}, {"base_name": "A B"}])
def test_malformed_names_are_refused(make_settings, changes):
    with pytest.raises(InvalidName):
        make_settings(FILE, **changes)


def test_class_word_is_the_triggers_last_word_unless_given(make_settings):
    assert make_settings(FILE).kind == "cat"
    assert make_settings(FILE, class_word="lion").kind == "lion"


def test_base_is_named_after_its_folder_unless_named(make_settings):
    assert make_settings(FILE, base="models/SD 1.5/model", base_name=None).base_label == "sd-1.5"
    assert make_settings(FILE).base_label == "tiny"
