from __future__ import annotations

import json

import pytest
from mos_diffusion.published_identity import PublishedIdentity, read_identity

BUILD = "0123456789abcdef" * 4
CONCEPTS = [{"name": "ada/potter@1"}, {"name": "ben/cat@2"}]


def test_a_published_folder_says_its_build_and_concepts(tmp_path):
    content = {"build": BUILD, "concepts": CONCEPTS}
    (tmp_path / "concepts.json").write_text(json.dumps(content))
    assert read_identity(tmp_path) == PublishedIdentity(BUILD, ("ada/potter@1", "ben/cat@2"))


@pytest.mark.parametrize(
    "content",
    [
        {"concepts": CONCEPTS},
        {"build": BUILD},
        {"build": BUILD, "concepts": [1]},
        {"build": "0123", "concepts": CONCEPTS},
        {"build": 5, "concepts": CONCEPTS},
        [],
    ],
    ids=["of old", "no concepts", "no names", "short", "number", "list"],
)
def test_a_folder_that_says_something_else_says_nothing(content, tmp_path):
    (tmp_path / "concepts.json").write_text(json.dumps(content))
    assert read_identity(tmp_path) is None


def test_a_base_says_nothing(tmp_path):
    assert read_identity(tmp_path) is None
    (tmp_path / "concepts.json").write_text("{")
    assert read_identity(tmp_path) is None
