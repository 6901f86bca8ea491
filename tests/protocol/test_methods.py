"""What each method learns, and what its packages may hold."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from mos_protocol.errors import InvalidPackage
from mos_protocol.manifest import CONCEPT_FILE, MANIFEST_FILE, read_manifest
from mos_protocol.methods import METHODS, Method, adapted_parts, trigger_of
from mos_protocol.package import check_package
from mos_protocol.parts import Part
from tiny_package import as_method, tiny_layer_map, write_package

WORD = ("<ball1>",)


def pack(folder: Path, made_as: Method, **changes: object) -> Path:
    """A package of a method, whose manifest says of itself what a test wants."""
    write_package(folder)
    manifest = as_method(folder, made_as).model_copy(update=changes)
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return folder


def refusal(folder: Path) -> InvalidPackage:
    with pytest.raises(InvalidPackage) as caught:
        check_package(folder, tiny_layer_map())
    return caught.value


def test_every_method_has_its_entry():
    assert tuple(METHODS) == get_args(Method)
    assert all(name == method.name for name, method in METHODS.items())


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("ed-lora", "<ball1>"),
        ("lora", "<ball1>"),
        ("p-plus", "<ball1>"),
        ("custom-diffusion", "<ball1> ball"),
        ("imported", "<ball1>"),
    ],
)
def test_only_a_modifier_is_followed_by_the_class_word(method, expected):
    assert trigger_of(method, WORD, "ball") == expected


def test_methods_change_other_parts():
    assert adapted_parts("ed-lora") == adapted_parts("imported") == set(Part)
    assert adapted_parts("p-plus") == set()
    assert adapted_parts("custom-diffusion") == {Part.CROSS_KV}


def test_a_manifest_names_its_concept_by_its_trigger(tmp_path):
    plain = write_package(tmp_path / "plain")
    modifier = read_manifest(pack(tmp_path / "modifier", "custom-diffusion"))

    assert plain.trigger == "<ball1> <ball2>"
    assert modifier.trigger == "<ball1> ball"


@pytest.mark.parametrize(
    ("method", "rank"), [("ed-lora", 2), ("lora", 2), ("p-plus", 0), ("custom-diffusion", 8)]
)
def test_a_package_of_every_method_passes(tmp_path, method, rank):
    manifest = check_package(pack(tmp_path / "package", method), tiny_layer_map())

    assert (manifest.method, manifest.rank) == (method, rank)


@pytest.mark.parametrize(
    ("method", "rank", "told"),
    [("p-plus", 0, "bytes; at most"), ("custom-diffusion", 2, "unknown tensor 'text_encoder.")],
)
def test_factors_of_layers_that_the_method_does_not_change_are_refused(
    tmp_path, method, rank, told
):
    folder = pack(tmp_path / "package", "lora", method=method, rank=rank)

    error = refusal(folder)

    assert error.file == CONCEPT_FILE
    assert told in error.reason


@pytest.mark.parametrize(
    ("method", "rank", "told"),
    [
        ("ed-lora", 0, "rank must be from 1 to 256"),
        ("lora", 257, "rank must be from 1 to 256"),
        ("p-plus", 1, "rank must be from 0 to 0"),
        ("custom-diffusion", 0, "rank must be from 1 to 2048"),
    ],
)
def test_a_rank_that_the_method_does_not_have_is_refused(tmp_path, method, rank, told):
    error = refusal(pack(tmp_path / "package", method, rank=rank))

    assert error.file == MANIFEST_FILE
    assert f"{told} with method {method}" in error.reason


@pytest.mark.parametrize("method", ["lora", "p-plus", "custom-diffusion"])
def test_a_second_word_is_refused_where_a_method_teaches_one(tmp_path, method):
    folder = pack(tmp_path / "package", method, words=("<ball1>", "<ball2>"))

    assert f"words must be one with method {method}" in refusal(folder).reason


def test_what_only_some_tunings_use_is_not_written_by_the_others(tmp_path):
    write_package(tmp_path / "package")
    text = (tmp_path / "package" / MANIFEST_FILE).read_text()

    assert "regularisation_images" not in text
    assert "kv_drop" not in text
